//! The first bytes of a connection: HTTP/2's preface, within a time.
//!
//! hyper waits for the preface without a limit, and its keepalive begins after it: a connection that sends a
//! byte now and then would hold its place for ever. So the preface is read here, and hyper is given it again.
//!
//! What comes after it goes through here in turns: hyper reads on as long as there is something to read, so that a
//! flood of small frames would keep a thread from everybody else's calls for tens of milliseconds.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::timeout,
};

use crate::metrics::connections::Failure;

/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much a connection may bring before others have their turn: some thousand of the smallest frames, or a millisecond
/// of work.
const TURN_BYTES: usize = 32 * 1024;

/// A connection that has sent its preface, of which nothing has been read.
#[derive(Debug)]
pub(crate) struct Prefaced<T> {
    io: T,
    /// How much of the preface has been read again.
    replayed: usize,
    /// Bytes read since there were none, or since others had their turn.
    turn: usize,
}

/// Reads the preface. Fails if it does not come within the limit, or something else comes.
pub(crate) async fn read<T: AsyncRead + Unpin>(mut io: T, limit: Duration) -> Result<Prefaced<T>, Failure> {
    let matches = async {
        let (mut received, mut buffer) = (0, [0; PREFACE.len()]);
        while received < PREFACE.len() {
            let more = io.read(&mut buffer[received..]).await.unwrap_or(0);
            received += more;
            if more == 0 || !PREFACE.starts_with(&buffer[..received]) {
                return false;
            }
        }
        true
    };
    match timeout(limit, matches).await {
        Ok(true) => Ok(Prefaced { io, replayed: 0, turn: 0 }),
        Ok(false) => Err(Failure::Error),
        Err(_) => Err(Failure::Silent),
    }
}

impl<T: AsyncRead + Unpin> Prefaced<T> {
    /// Reads, and stands back once it has read much without having to wait.
    fn poll_turn(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        self.turn = if read.is_pending() { 0 } else { self.turn + buffer.filled().len() - before };
        read
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefaced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &PREFACE[self.replayed..];
        if rest.is_empty() {
            return self.poll_turn(context, buffer);
        }
        let now = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..now]);
        self.replayed += now;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefaced<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncWriteExt as _, duplex},
        time::{Instant, sleep},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn the_preface_is_read_again_by_whoever_comes_next() {
        let (mut caller, server) = duplex(1024);
        caller.write_all(&[PREFACE, b"frames"].concat()).await.expect("room");
        drop(caller);
        let mut bytes = Vec::new();
        read(server, LIMIT).await.expect("a preface").read_to_end(&mut bytes).await.expect("bytes");
        assert_eq!(bytes, [PREFACE, b"frames"].concat());
    }

    #[tokio::test]
    async fn others_have_their_turn_however_much_there_is_to_read() {
        let (mut caller, server) = duplex(TURN_BYTES * 8);
        caller.write_all(PREFACE).await.expect("room");
        caller.write_all(&[0; TURN_BYTES * 4]).await.expect("room");
        drop(caller);
        let mut connection = read(server, LIMIT).await.expect("a preface");
        let reading = async {
            let (mut most, mut taken, mut buffer) = (0, 0, vec![0; 8 * 1024]);
            std::future::poll_fn(|context| {
                let mut now = 0;
                loop {
                    let mut part = ReadBuf::new(&mut buffer);
                    let read = Pin::new(&mut connection).poll_read(context, &mut part);
                    now += part.filled().len();
                    match read {
                        Poll::Ready(_) if !part.filled().is_empty() => continue,
                        _ => {}
                    }
                    most = most.max(now);
                    taken += now;
                    return read.map(drop);
                }
            })
            .await;
            (most, taken)
        };
        let (most, taken) = reading.await;
        assert_eq!(taken, PREFACE.len() + TURN_BYTES * 4, "nothing is lost");
        assert!(most < TURN_BYTES * 2, "{most} bytes in one turn");
    }

    #[tokio::test]
    async fn anything_else_ends_it_at_once() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"] {
            let (mut caller, server) = duplex(1024);
            caller.write_all(bytes).await.expect("room");
            assert!(matches!(read(server, LIMIT).await, Err(Failure::Error)), "{bytes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_byte_by_byte_has_no_more_time_than_one_that_does_not_come() {
        let (mut caller, server) = duplex(1024);
        let start = Instant::now();
        let dripping = async {
            for byte in PREFACE {
                sleep(Duration::from_secs(1)).await;
                if caller.write_u8(*byte).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let accepted = tokio::select! {
            accepted = read(server, LIMIT) => accepted,
            () = dripping => unreachable!("it goes on for ever"),
        };
        assert!(matches!(accepted, Err(Failure::Silent)));
        assert_eq!(start.elapsed(), LIMIT);
    }
}
