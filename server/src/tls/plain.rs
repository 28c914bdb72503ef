//! What a caller without TLS is told on a port with TLS: an HTTP/2 GOAWAY that says so, which gRPC clients show. They
//! show it to a call, so it waits for one: a connection that closes before its first call tells nobody why.

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
/// What a client begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The type of the frame that a call begins with (RFC 9113, section 6.2).
const HEADERS: u8 = 1;
/// How long the caller has to make a call, and then to go away by itself.
const LINGER: Duration = Duration::from_secs(1);

pub(super) async fn refuse(stream: &mut TcpStream) -> io::Result<()> {
    tracing::debug!("a caller without TLS was told that this port speaks it");
    stream.write_all(SETTINGS).await?;
    drop(timeout(LINGER, first_call(stream)).await);
    stream.write_all(&go_away()).await?;
    stream.shutdown().await?;
    // What the caller has sent is read, or else the system resets the connection and the answer is lost.
    let mut rest = [0; 1024];
    let read = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    drop(timeout(LINGER, read).await);
    Ok(())
}

/// Waits for the caller's first call, or for what is not HTTP/2.
async fn first_call(stream: &mut TcpStream) -> io::Result<()> {
    if read_array(stream).await? != *PREFACE {
        return Ok(());
    }
    loop {
        let [a, b, c, kind, ..] = read_array::<9>(stream).await?;
        if kind == HEADERS {
            return Ok(());
        }
        let content = u32::from_be_bytes([0, a, b, c]);
        tokio::io::copy(&mut stream.take(content.into()), &mut tokio::io::sink()).await?;
    }
}

async fn read_array<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn go_away() -> Vec<u8> {
    let length = u8::try_from(8 + MESSAGE.len()).expect("a short message");
    let head = [0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&head[..], &INADEQUATE_SECURITY.to_be_bytes(), MESSAGE].concat()
}
