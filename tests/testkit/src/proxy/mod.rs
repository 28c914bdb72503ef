//! A TCP proxy for tests: it counts what passes and breaks it on demand.
//!
//! It knows nothing of what it carries. Each direction of each connection holds one buffer of 16 KiB, so
//! backpressure passes through it.

mod connection;
mod counts;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize, atomic::Ordering},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use self::counts::Counts;
use self::{
    connection::{Budget, Faults},
    counts::Meter,
};

/// A running proxy on a port of 127.0.0.1. Dropped, it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What the proxy and its connections both see.
#[derive(Debug)]
struct Shared {
    faults: Faults,
    /// One for every connection accepted so far, in that order.
    meters: Mutex<Vec<Arc<Meter>>>,
    open: AtomicUsize,
}

impl Proxy {
    /// Listens on a free port and forwards every connection to `target`. Lives on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let faults = Faults {
            stalled: watch::Sender::new(false),
            silences: watch::Sender::new(0),
            resets: watch::Sender::new(0),
            budget: Budget::default(),
        };
        let shared = Arc::new(Shared { faults, meters: Mutex::default(), open: AtomicUsize::new(0) });
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Round trips of all connections since the start or the last [`reset_counts`](Self::reset_counts).
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.counts().round_trips
    }

    /// The sums over all connections.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.connection_counts().into_iter().sum()
    }

    /// The counts of every connection accepted so far, closed ones too, in that order.
    #[must_use]
    pub fn connection_counts(&self) -> Vec<Counts> {
        self.meters().iter().map(|meter| meter.read()).collect()
    }

    /// Sets all counts to 0.
    pub fn reset_counts(&self) {
        self.meters().iter().for_each(|meter| meter.reset());
    }

    /// How many connections are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Forwards nothing more, in either direction, on present and future connections, and keeps the sockets open:
    /// a peer that has fallen silent.
    pub fn stall(&self) {
        self.shared.faults.stalled.send_replace(true);
    }

    /// Ends a [`stall`](Self::stall): what was held back goes on its way.
    pub fn resume(&self) {
        self.shared.faults.stalled.send_replace(false);
    }

    /// Forwards nothing more on the connections that are open now, for ever, and keeps their sockets open: a black
    /// hole. Connections made later work.
    pub fn silence(&self) {
        self.shared.faults.silences.send_modify(|count| *count += 1);
    }

    /// Closes every open connection with a TCP reset on both sides, even stalled ones.
    pub fn reset_all(&self) {
        self.shared.faults.resets.send_modify(|count| *count += 1);
    }

    /// Lets `bytes` more bytes pass from the server to clients, over all connections, then closes the connection
    /// that carried the last of them. Connections made later are not affected.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.faults.budget.set(bytes);
    }

    fn meters(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Meter>>> {
        self.shared.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The task owns the set of the connections' tasks, which ends with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // A failed accept concerns one client, who has gone already.
            Ok((client, _)) = listener.accept() => {
                let meter = Arc::new(Meter::default());
                shared.meters.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&meter));
                connections.spawn(serve(client, target, meter, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(client: TcpStream, target: SocketAddr, meter: Arc<Meter>, shared: Arc<Shared>) {
    let _open = Open::new(&shared.open);
    // Nobody listens there: the client's connection ends as well.
    let Ok(server) = TcpStream::connect(target).await else { return };
    connection::forward(client, server, &meter, &shared.faults).await;
}

/// Counts an open connection for as long as it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
