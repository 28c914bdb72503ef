//! How callers reach a fake server: over TCP, or, from the same process, through memory.
//!
//! Through memory a paused clock stays exact: tokio moves it on when nothing can run, and it takes bytes that are on
//! their way through a socket for nothing. A client finds the way through memory by the server's address, so that its
//! code, its URLs and its errors are the same.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::Stream;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::{
    either::Either,
    sync::{CancellationToken, WaitForCancellationFutureOwned},
};
use tonic::transport::server::Connected;

/// What fits between the two ends of a connection through memory.
const BUFFER_BYTES: usize = 64 << 10;

/// The fake servers of this process.
static SWITCHBOARDS: Mutex<BTreeMap<SocketAddr, Weak<Switchboard>>> = Mutex::new(BTreeMap::new());

/// One connection, to tell it from others and to cut it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// From 1.
    pub(super) number: u64,
    cut: CancellationToken,
}

impl Wire {
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }
}

/// Where the connections of a server come together.
#[derive(Debug)]
pub(super) struct Switchboard {
    address: SocketAddr,
    /// Takes connections through memory while the server listens.
    open: Mutex<Option<mpsc::UnboundedSender<ServerEnd>>>,
    /// Cuts all connections there are.
    cut: Mutex<CancellationToken>,
    connections: AtomicU64,
}

impl Switchboard {
    pub(super) fn new(address: SocketAddr) -> Arc<Self> {
        let switchboard =
            Arc::new(Self { address, open: Mutex::default(), cut: Mutex::default(), connections: AtomicU64::new(0) });
        lock(&SWITCHBOARDS).insert(address, Arc::downgrade(&switchboard));
        switchboard
    }

    /// The connections of a server that listens, from now on.
    pub(super) fn listen(
        self: &Arc<Self>,
        listener: TcpListener,
    ) -> impl Stream<Item = io::Result<ServerEnd>> + Send + use<> {
        let (open, through_memory) = mpsc::unbounded_channel();
        *lock(&self.open) = Some(open);
        let state = (self.clone(), listener, through_memory);
        futures_util::stream::unfold(state, |(this, listener, mut through_memory)| async move {
            let end = tokio::select! {
                accepted = listener.accept() => accepted.and_then(|(stream, _)| {
                    stream.set_nodelay(true)?;
                    Ok(Cuttable::new(Either::Left(stream), this.wire()))
                }),
                Some(end) = through_memory.recv() => Ok(end),
            };
            Some((end, (this, listener, through_memory)))
        })
    }

    /// Refuses connections through memory from now on.
    pub(super) fn close(&self) {
        *lock(&self.open) = None;
    }

    pub(super) fn cut_all(&self) {
        std::mem::take(&mut *lock(&self.cut)).cancel();
    }

    fn wire(&self) -> Wire {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Wire { number, cut: lock(&self.cut).child_token() }
    }

    fn connect(&self) -> io::Result<Cuttable<DuplexStream>> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let open = lock(&self.open).clone().ok_or_else(refused)?;
        let (client, server) = tokio::io::duplex(BUFFER_BYTES);
        let wire = self.wire();
        open.send(Cuttable::new(Either::Right(server), wire.clone())).map_err(|_| refused())?;
        Ok(Cuttable::new(client, wire))
    }
}

impl Drop for Switchboard {
    fn drop(&mut self) {
        let mut all = lock(&SWITCHBOARDS);
        // The port may be another server's by now.
        if all.get(&self.address).is_some_and(|other| other.strong_count() == 0) {
            all.remove(&self.address);
        }
    }
}

/// The way through memory to the fake server of that address, if one was started in this process and lives.
pub(crate) fn connector(
    address: SocketAddr,
) -> Option<
    impl tower::Service<
        Uri,
        Response = TokioIo<impl AsyncRead + AsyncWrite + Send + Unpin>,
        Error = io::Error,
        Future: Send,
    > + Clone
    + Send
    + 'static,
> {
    let switchboard = lock(&SWITCHBOARDS).get(&address)?.clone();
    switchboard.upgrade()?;
    Some(tower::service_fn(move |_: Uri| {
        let refused = || Err(io::ErrorKind::ConnectionRefused.into());
        let end = switchboard.upgrade().map_or_else(refused, |switchboard| switchboard.connect());
        std::future::ready(end.map(TokioIo::new))
    }))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server's end of a connection.
pub(super) type ServerEnd = Cuttable<Either<TcpStream, DuplexStream>>;

impl Connected for ServerEnd {
    type ConnectInfo = Wire;

    fn connect_info(&self) -> Wire {
        self.wire.clone()
    }
}

/// One end of a connection. When it is cut, both ends fail as if the other side's machine had reset it.
#[derive(Debug)]
pub(super) struct Cuttable<T> {
    io: T,
    wire: Wire,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<T> Cuttable<T> {
    fn new(io: T, wire: Wire) -> Self {
        let cut = Box::pin(wire.cut.clone().cancelled_owned());
        Self { io, wire, cut }
    }
}

impl<T: Reset> Cuttable<T> {
    /// Fails once it is cut.
    fn poll_intact(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(cx).is_ready() {
            self.io.reset();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

/// What tells the other side that the connection was cut rather than closed.
pub(super) trait Reset {
    fn reset(&self);
}

impl Reset for DuplexStream {
    /// The other end knows by itself.
    fn reset(&self) {}
}

impl Reset for Either<TcpStream, DuplexStream> {
    fn reset(&self) {
        if let Self::Left(stream) = self {
            // If it fails, the connection is gone already.
            let _ = stream.set_zero_linger();
        }
    }
}

impl<T: AsyncRead + Reset + Unpin> AsyncRead for Cuttable<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_intact(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Reset + Unpin> AsyncWrite for Cuttable<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_intact(cx)?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_intact(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_intact(cx)?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
