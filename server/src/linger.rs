//! The end of a connection that is closed by this side.
//!
//! A socket that is closed while something its peer has sent is unread is reset, and what waits in it to be sent is
//! thrown away: the last messages of a stream, if a window update came at the wrong moment. So after the last byte
//! this side only stops writing, and reads until the peer has closed as well.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::timeout,
};

/// How long a peer may be silent before it closes, and how long it may take in all. One that still reads sends window
/// updates.
const SILENT: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_secs(60);

/// Where a stream is after whoever used it has dropped it.
#[derive(Debug)]
pub(crate) struct Left<T>(Arc<Mutex<Option<T>>>);

/// A stream that is not closed when it is dropped, but left.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    /// There until it is dropped.
    stream: Option<T>,
    left: Arc<Mutex<Option<T>>>,
}

impl<T> Kept<T> {
    pub(crate) fn new(stream: T) -> (Self, Left<T>) {
        let left = Arc::default();
        (Self { stream: Some(stream), left: Arc::clone(&left) }, Left(left))
    }
}

/// Reads what a peer still sends, until it has closed too.
pub(crate) async fn until_closed<T: AsyncRead + Unpin>(Left(left): Left<T>) {
    let stream = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut stream) = stream else { return };
    let closed = async {
        let mut unread = [0; 1024];
        while matches!(timeout(SILENT, stream.read(&mut unread)).await, Ok(Ok(1..))) {}
    };
    // One that does not close by then has had the time to read.
    let _ = timeout(LINGER, closed).await;
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

impl<T: Unpin> Kept<T> {
    fn stream(&mut self) -> io::Result<Pin<&mut T>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Kept<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Kept<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
        sync::oneshot,
    };

    use super::*;

    #[tokio::test]
    async fn what_was_written_arrives_although_something_was_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (full, reads) = oneshot::channel();
        let served = async {
            let (stream, _) = listener.accept().await.expect("a peer");
            let (mut stream, left) = Kept::new(stream);
            let mut written = 0;
            // As much as there is room for on the way to one who does not read.
            while let Ok(bytes) = timeout(Duration::from_millis(200), stream.write(&[7; 1 << 16])).await {
                written += bytes.expect("written");
            }
            full.send(()).expect("a reader");
            stream.shutdown().await.expect("no more is written");
            drop(stream);
            until_closed(left).await;
            written
        };
        let read = async {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(b"nobody reads this").await.expect("written");
            reads.await.expect("a writer");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("all of it, and no reset");
            all.len()
        };
        let (written, read) = tokio::join!(served, read);
        assert_eq!(read, written);
    }
}
