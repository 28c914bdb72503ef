//! HTTP/2 by hand: frames that no library would send, and what comes back. RFC 9113 has the numbers.

use std::{io, net::SocketAddr, time::Duration};

use prost::Message;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Types of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// The flag of an answer to SETTINGS or PING.
pub(crate) const ACK: u8 = 1;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The path of a method of ours.
pub(crate) const STREAM_QUERY: &str = "/rowstream.v1.QueryService/StreamQuery";

/// Appends a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A field of a header block: literal, not Huffman-coded, not to be remembered.
pub(crate) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(0);
    string(name, out);
    string(value, out);
}

/// A string literal of a header block.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        short @ 0..127 => out.push(u8::try_from(short).expect("below 127")),
        long => {
            out.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).expect("7 bits") | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).expect("7 bits"));
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// The header block of a request, with more fields.
pub(crate) fn request(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let fixed = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    for (name, value) in fixed.iter().chain(more) {
        field(name, value, &mut block);
    }
    block
}

/// The fields that every gRPC request has.
pub(crate) const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// The header block of a call.
pub(crate) fn call(path: &str) -> Vec<u8> {
    request(path, &GRPC)
}

/// A message with gRPC's five bytes before it.
pub(crate) fn message(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).expect("a small message").to_be_bytes();
    [&[0], &length[..], &body].concat()
}

/// A connection whose preface and SETTINGS have been sent.
#[derive(Debug)]
pub(crate) struct Raw {
    socket: TcpStream,
}

/// A frame that has come.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::with_window(address, 65_535).await
    }

    /// With this much room for each stream's answers.
    pub(crate) async fn with_window(address: SocketAddr, window: u32) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut raw = Self { socket };
        let initial_window_size = [&4_u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
        let mut out = PREFACE.to_vec();
        frame(kind::SETTINGS, 0, 0, &initial_window_size, &mut out);
        frame(kind::SETTINGS, ACK, 0, &[], &mut out);
        raw.write(&out).await?;
        Ok(raw)
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Sends a whole call on a stream.
    pub(crate) async fn send_call(&mut self, stream: u32, path: &str, body: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        frame(kind::HEADERS, END_HEADERS, stream, &call(path), &mut out);
        frame(kind::DATA, END_STREAM, stream, body, &mut out);
        self.write(&out).await
    }

    /// Both halves, for one task each.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// The next frame; `None` at the connection's end.
    pub(crate) async fn receive(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).ok()?];
        self.socket.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Received { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame for which this holds; `None` at the connection's end.
    pub(crate) async fn receive_until(&mut self, holds: impl Fn(&Received) -> bool) -> Option<Received> {
        loop {
            let received = self.receive().await?;
            if holds(&received) {
                return Some(received);
            }
        }
    }

    /// The next DATA frame, like a caller that is slow but there: PINGs on the way are answered.
    pub(crate) async fn receive_data(&mut self) -> Option<Received> {
        loop {
            let received = self.receive().await?;
            match received.kind {
                kind::DATA => return Some(received),
                kind::PING if received.flags & ACK == 0 => {
                    let mut out = Vec::new();
                    frame(kind::PING, ACK, 0, &received.payload, &mut out);
                    self.write(&out).await.ok()?;
                }
                _ => {}
            }
        }
    }

    /// Waits until the server has closed the connection; how, is its business.
    pub(crate) async fn until_closed(&mut self, limit: Duration) {
        let end = async { while self.receive().await.is_some() {} };
        timeout(limit, end).await.expect("the server closes the connection");
    }
}
