//! Requests that are wrong, too large or never come to an end: refused cheaply, one by one, and the connection and
//! the server go on.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use rowstream_contract::v1::StreamQueryRequest;
use rowstream_testkit::{PATIENCE, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Request};

use crate::{
    calls::{is, outcome, row_of, rows, stream_of},
    frames::{
        END_HEADERS, END_STREAM, GRPC, PREFACE, Raw, Received, STREAM_QUERY, call, frame, kind, message, request,
    },
    harness::Server,
};

/// The text of a header block without Huffman coding: a status is plain to see in it. With it, its length is.
fn ends_stream(received: &Received) -> bool {
    matches!(received.kind, kind::RST_STREAM) || (received.kind == kind::HEADERS && received.flags & END_STREAM != 0)
}

/// A server and one connection to it that goes through many wrong requests.
struct Refusals {
    server: Server,
    raw: Raw,
    stream: u32,
}

impl Refusals {
    async fn start() -> Self {
        let server = Server::start(&[]).await;
        let raw = Raw::connect(server.address).await.expect("a connection");
        Self { server, raw, stream: 1 }
    }

    /// Sends a request, and waits until its stream has been ended, on a connection that lives on.
    async fn refused(&mut self, block: &[u8], body: &[u8]) {
        let (stream, mut out) = (self.stream, Vec::new());
        self.stream += 2;
        frame(kind::HEADERS, END_HEADERS, stream, block, &mut out);
        frame(kind::DATA, 0, stream, body, &mut out);
        self.raw.write(&out).await.expect("the connection lives");
        let end = self.raw.receive_until(|received| received.stream == stream && ends_stream(received));
        timeout(PATIENCE, end).await.expect("an answer in time").expect("the connection lives");
    }
}

#[tokio::test]
async fn wrong_requests_are_answered_on_a_connection_that_goes_on() {
    let mut all = Refusals::start().await;
    let memory = all.server.program.memory();
    let empty = message(&StreamQueryRequest::default());
    // Nobody listens there.
    for path in ["/", "/rowstream.v1.QueryService/DropTable", "/no.such.Service/Method", "/../../etc/passwd"] {
        all.refused(&call(path), &empty).await;
    }
    // No gRPC.
    for content_type in ["text/html", "application/json", ""] {
        all.refused(&request(STREAM_QUERY, &[("content-type", content_type)]), &empty).await;
    }
    // Compressed, which this server does not take: refused before anything is decompressed.
    let gzip = [GRPC[0], GRPC[1], ("grpc-encoding", "gzip")];
    let bomb = [&[1, 0, 0, 0, 20][..], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], &[0xff; 10]].concat();
    all.refused(&request(STREAM_QUERY, &gzip), &bomb).await;
    all.refused(&call(STREAM_QUERY), &bomb).await;
    // A length of 4 GiB, one just beyond the limit, and flags and bytes that are no message.
    for body in [&[0, 0xff, 0xff, 0xff, 0xff][..], &[0, 0, 0x40, 0, 1], &[7, 0, 0, 0, 0], &[0, 0, 0, 0, 2, 0xff, 0xff]]
    {
        all.refused(&call(STREAM_QUERY), body).await;
    }
    // A time that is none.
    let timeout = [GRPC[0], GRPC[1], ("grpc-timeout", "soon")];
    all.refused(&request(STREAM_QUERY, &timeout), &empty).await;
    let grown = all.server.program.peak_memory().saturating_sub(memory);
    assert!(grown < 8 << 20, "resident memory grew by {grown} bytes");
    drop(all.raw);
    all.server.assert_settled().await;
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let server = Server::start(&[]).await;
    let mut compressed = server.client();
    let mut request = Request::new(row_of("select 1"));
    request.metadata_mut().insert("grpc-encoding", "gzip".parse().expect("ASCII"));
    let refused = compressed.query_row(request).await.expect_err("not taken");
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");

    // 5 MiB of SQL.
    let long = format!("select '{}'", "x".repeat(5 << 20));
    let refused = server.client().query_row(row_of(&long)).await.expect_err("too large");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    server.assert_settled().await;
}

#[tokio::test]
async fn what_is_not_http2_is_closed_at_once() {
    let server = Server::start(&[]).await;
    let garbage: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    for bytes in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &garbage]
    {
        let mut socket = TcpStream::connect(server.address).await.expect("a connection");
        socket.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        // Reset or closed: both are an end.
        let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the server closes it");
    }
    // HTTP/2 at first, then none.
    let mut raw = Raw::connect(server.address).await.expect("a connection");
    raw.write(&garbage).await.expect("sent");
    raw.until_closed(PATIENCE).await;
    server.assert_settled().await;
}

#[tokio::test]
async fn a_connection_that_does_not_get_to_its_preface_is_closed() {
    let server = Server::start(&[]).await;
    let silent = TcpStream::connect(server.address);
    let dripping = TcpStream::connect(server.address);
    let (mut silent, mut dripping) = (silent.await.expect("a connection"), dripping.await.expect("a connection"));
    let drip = async {
        for byte in PREFACE {
            if dripping.write_u8(*byte).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("it may take longer over its preface than there is time");
    };
    let end = async {
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, silent.read_to_end(&mut answer)).await.expect("the server closes it");
        assert!(answer.is_empty(), "nothing was asked");
    };
    tokio::join!(drip, end);
    server.assert_settled().await;
}

#[tokio::test]
async fn requests_that_never_end_do_not_keep_others_from_being_served() {
    const REQUESTS: u32 = 300;
    // Room for so many calls before their answer begins: two streams, one in line, and 256 others.
    const ROOM: u32 = 2 + 1 + 256;
    let limits = ["--max-streams", "2", "--max-queue", "1", "--pool-max", "2", "--max-connection-streams", "300"];
    let server = Server::start(&limits).await;
    let mut raw = Raw::connect(server.address).await.expect("a connection");
    let mut out = Vec::new();
    for stream in 0..REQUESTS {
        frame(kind::HEADERS, END_HEADERS, stream * 2 + 1, &call(STREAM_QUERY), &mut out);
        // The beginning of a message of a hundred bytes.
        frame(kind::DATA, 0, stream * 2 + 1, &[0, 0, 0, 0, 100, 10], &mut out);
    }
    raw.write(&out).await.expect("sent");
    // Whoever asks before the last of them has arrived takes a place, and leaves it free for the next who asks.
    let mut ended = BTreeSet::new();
    until_ended(&mut raw, &mut ended, REQUESTS - ROOM).await;
    let refused = async || {
        let refused = server.client().query_row(row_of("select 1")).await.err();
        refused.is_some_and(|status| outcome(&status) == is(Code::ResourceExhausted, "OVERLOADED"))
    };
    assert!(refused().await, "the server has no more room");
    let again = eventually("the server serves again", PATIENCE, async || !refused().await).await;
    println!("the server served again after {again:.1?}");
    // Each of them is told.
    until_ended(&mut raw, &mut ended, REQUESTS).await;
    drop(raw);
    server.assert_settled().await;
}

/// Waits until so many streams have been ended. One that is answered before its request has come may be reset too.
async fn until_ended(raw: &mut Raw, ended: &mut BTreeSet<u32>, count: u32) {
    while ended.len() < count as usize {
        let end = raw.receive_until(ends_stream);
        let end = timeout(PATIENCE, end).await.expect("an answer in time").expect("the connection lives");
        ended.insert(end.stream);
    }
}

#[tokio::test]
async fn a_request_that_does_not_arrive_in_its_own_time_is_past_its_deadline() {
    let server = Server::start(&[]).await;
    let mut raw = Raw::connect(server.address).await.expect("a connection");
    let mut out = Vec::new();
    frame(
        kind::HEADERS,
        END_HEADERS,
        1,
        &request(STREAM_QUERY, &[GRPC[0], GRPC[1], ("grpc-timeout", "100m")]),
        &mut out,
    );
    raw.write(&out).await.expect("sent");
    let end = raw.receive_until(ends_stream);
    let end = timeout(PATIENCE, end).await.expect("an answer in time").expect("the connection lives");
    assert_eq!((end.kind, end.stream), (kind::HEADERS, 1));
    drop(raw);
    server.assert_settled().await;
}

#[tokio::test]
async fn large_requests_that_wait_have_a_bound_together() {
    // One call runs; the others wait, each with almost 1 MiB of SQL.
    const MIB: u64 = 1 << 20;
    let server = Server::start(&["--max-streams", "1", "--pool-max", "1", "--queue-timeout", "5s"]).await;
    let held = server.new_client().stream_query(stream_of(&rows(10_000_000))).await.expect("headers");
    let memory = server.program.memory();
    let long = format!("select 1 /* {} */", "x".repeat(1_000_000));
    let calls = (0..200).map(|_| {
        let (mut client, long) = (server.client(), &long);
        async move { outcome(&client.query_row(row_of(long)).await.expect_err("no stream is free")) }
    });
    let outcomes = join_all(calls).await;
    let count = |name: &str| outcomes.iter().filter(|outcome| **outcome == is(Code::ResourceExhausted, name)).count();
    let (refused, waited) = (count("OVERLOADED"), count("QUEUE_TIMEOUT"));
    let grown = server.program.peak_memory().saturating_sub(memory);
    println!("{refused} refused, {waited} waited; resident memory grew by {} MiB", grown / MIB);
    assert_eq!(refused + waited, 200, "{outcomes:?}");
    assert!(refused > 100, "{refused} refused");
    assert!(grown < 256 * MIB, "resident memory grew by {grown} bytes");
    drop(held);
    eventually("the stream is free", PATIENCE, async || server.client().query_row(row_of("select 1")).await.is_ok())
        .await;
}
