//! What a caller without TLS is told on a port with TLS: an HTTP/2 GOAWAY that says so, which gRPC clients show.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// An empty SETTINGS frame, with which a server begins (RFC 9113, section 3.4).
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Error code of a connection that is not as secret as is asked (RFC 9113, section 7).
const INADEQUATE_SECURITY: u32 = 0xc;
const MESSAGE: &[u8] = b"this port speaks TLS: connect with https";
/// How long the caller has to go away by itself.
const LINGER: Duration = Duration::from_secs(1);

pub(super) async fn refuse(stream: &mut TcpStream) -> io::Result<()> {
    tracing::debug!("a caller without TLS was told that this port speaks it");
    stream.write_all(&answer()).await?;
    stream.shutdown().await?;
    // What the caller has sent is read, or else the system resets the connection and the answer is lost.
    let mut rest = [0; 1024];
    let read = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    drop(timeout(LINGER, read).await);
    Ok(())
}

fn answer() -> Vec<u8> {
    let length = u8::try_from(8 + MESSAGE.len()).expect("a short message");
    let go_away = [0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [SETTINGS, &go_away, &INADEQUATE_SECURITY.to_be_bytes(), MESSAGE].concat()
}
