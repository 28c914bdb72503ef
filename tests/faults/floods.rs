//! HTTP/2 floods, a million frames each: the server's memory stays what it was, and others are served (figure 9).

use rowstream_contract::v1::StreamQueryRequest;
use rowstream_testkit::{PATIENCE, eventually};

use crate::{
    flood::{Attack, Flooded, Honest, flood},
    frames::{END_HEADERS, END_STREAM, STREAM_QUERY, call, field, frame, kind, message, request, string},
    harness::Server,
    size::{Size, figure},
};

const MIB: u64 = 1 << 20;
/// How much more memory the server may have after a flood.
const GROWTH: u64 = 16 * MIB;
/// Calls of an honest caller before a flood.
const BEFORE: (usize, usize) = (200, 3000);
/// Calls of an honest caller that a flood goes on for at least, so that their p99 is one.
const MEANWHILE: (usize, usize) = (20, 1000);

/// Frames of one connection that go on from stream to stream.
struct Frames {
    stream: u32,
    /// The header block of a call.
    call: Vec<u8>,
    next: fn(&mut Self, &mut Vec<u8>) -> usize,
    begin: fn(&mut Self, &mut Vec<u8>),
    reads: bool,
    is_ended: bool,
}

impl Frames {
    fn of(next: fn(&mut Self, &mut Vec<u8>) -> usize) -> Self {
        Self { stream: 1, call: call(STREAM_QUERY), next, begin: |_, _| {}, reads: true, is_ended: false }
    }

    fn beginning(self, begin: fn(&mut Self, &mut Vec<u8>)) -> Self {
        Self { begin, ..self }
    }

    /// The server must end each of its connections.
    fn ended(self) -> Self {
        Self { is_ended: true, ..self }
    }

    /// Opens the next stream.
    fn open(&mut self, flags: u8, out: &mut Vec<u8>) -> u32 {
        let stream = self.stream;
        self.stream += 2;
        frame(kind::HEADERS, END_HEADERS | flags, stream, &self.call, out);
        stream
    }
}

impl Attack for Frames {
    fn begin(&mut self, out: &mut Vec<u8>) {
        (self.begin)(self, out);
    }

    fn frames(&mut self, out: &mut Vec<u8>) -> usize {
        (self.next)(self, out)
    }

    fn reads(&self) -> bool {
        self.reads
    }

    fn is_ended(&self) -> bool {
        self.is_ended
    }
}

/// Floods a server with an honest caller beside it, before and meanwhile.
async fn withstood(name: &str, attack: fn() -> Frames) {
    let (size, server) = (Size::asked(), Server::start(&[]).await);
    let honest = Honest::start(server.address);
    eventually("the honest caller is under way", PATIENCE * 4, async || {
        honest.calls() >= size.count(BEFORE.0, BEFORE.1)
    })
    .await;
    let before = honest.end().await;
    let memory = server.program.memory();

    let honest = Honest::start(server.address);
    let calls = size.count(MEANWHILE.0, MEANWHILE.1);
    let flooded = flood(server.address, size.count(20_000, 1_000_000), (&honest, calls), attack).await;
    let during = honest.end().await;
    let peak = server.program.peak_memory();
    let Flooded { frames, connections, took } = flooded;
    let holds = peak <= memory + GROWTH && during.percentile(99) <= before.percentile(99) * 2;
    figure(
        9,
        holds,
        format!(
            "{name}: {frames} frames over {connections} connections in {took:.1?}; resident {} KiB before, {} at most; \
             an honest caller before: {before}; during: {during}",
            memory / 1024,
            peak / 1024
        ),
    );
    assert!(peak <= memory + 2 * GROWTH, "{name}: resident memory grew from {memory} to {peak} bytes");
    server.assert_settled().await;
}

#[tokio::test]
async fn rapid_reset() {
    withstood("rapid reset", || {
        Frames::of(|frames, out| {
            let stream = frames.open(0, out);
            frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes(), out);
            2
        })
        .ended()
    })
    .await;
}

#[tokio::test]
async fn resets_that_the_server_is_made_to_send() {
    withstood("MadeYouReset, WINDOW_UPDATE of 0", || {
        Frames::of(|frames, out| {
            let stream = frames.open(0, out);
            frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4], out);
            2
        })
        .ended()
    })
    .await;
    withstood("MadeYouReset, DATA after the end", || {
        Frames::of(|frames, out| {
            let stream = frames.open(END_STREAM, out);
            frame(kind::DATA, 0, stream, b"x", out);
            2
        })
        .ended()
    })
    .await;
}

#[tokio::test]
async fn continuation_without_end() {
    withstood("CONTINUATION", || {
        Frames::of(|frames, out| {
            let mut block = Vec::new();
            field("x", "y", &mut block);
            frame(kind::CONTINUATION, 0, frames.stream, &block, out);
            1
        })
        .beginning(|frames, out| frame(kind::HEADERS, 0, frames.stream, &call(STREAM_QUERY), out))
        .ended()
    })
    .await;
}

#[tokio::test]
async fn pings_read_and_unread() {
    let pings = || {
        Frames::of(|_, out| {
            frame(kind::PING, 0, 0, &[7; 8], out);
            1
        })
    };
    withstood("PING", pings).await;
    withstood("PING, answers unread", || Frames {
        reads: false,
        ..Frames::of(|_, out| {
            frame(kind::PING, 0, 0, &[7; 8], out);
            1
        })
    })
    .await;
}

#[tokio::test]
async fn settings() {
    withstood("SETTINGS", || {
        Frames::of(|_, out| {
            // SETTINGS_INITIAL_WINDOW_SIZE.
            frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff], out);
            1
        })
    })
    .await;
}

#[tokio::test]
async fn data_without_content() {
    withstood("empty DATA", || {
        Frames::of(|_, out| {
            frame(kind::DATA, 0, 1, &[], out);
            1
        })
        .beginning(|frames, out| {
            frames.open(0, out);
        })
    })
    .await;
}

#[tokio::test]
async fn headers_without_content() {
    withstood("empty HEADERS", || {
        Frames::of(|frames, out| {
            frame(kind::HEADERS, END_HEADERS | END_STREAM, frames.stream, &[], out);
            frames.stream += 2;
            1
        })
    })
    .await;
}

#[tokio::test]
async fn window_updates_and_priorities() {
    withstood("WINDOW_UPDATE", || {
        Frames::of(|_, out| {
            frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes(), out);
            1
        })
    })
    .await;
    withstood("PRIORITY", || {
        Frames::of(|frames, out| {
            frame(kind::PRIORITY, 0, frames.stream, &[0, 0, 0, 0, 16], out);
            frames.stream += 2;
            1
        })
    })
    .await;
}

#[tokio::test]
async fn calls_that_end_as_soon_as_they_begin() {
    let body = || message(&StreamQueryRequest::default());
    assert_eq!(body(), [0; 5], "five bytes");
    withstood("calls without a statement", || {
        Frames::of(|frames, out| {
            let stream = frames.open(0, out);
            frame(kind::DATA, END_STREAM, stream, &[0; 5], out);
            2
        })
    })
    .await;
}

#[tokio::test]
async fn header_blocks_that_grow_when_they_are_read() {
    withstood("HPACK bomb", || {
        Frames::of(|frames, out| {
            // One field of the dynamic table, 3 KiB long, a thousand times: a byte each.
            let mut block = call(STREAM_QUERY);
            block.push(0x40);
            string("bomb", &mut block);
            string(&"x".repeat(3000), &mut block);
            block.extend_from_slice(&[0xbe; 1000]);
            frame(kind::HEADERS, END_HEADERS | END_STREAM, frames.stream, &block, out);
            frames.stream += 2;
            // As heavy as a hundred small frames.
            100
        })
    })
    .await;
    withstood("metadata of 17 KiB", || {
        Frames::of(|frames, out| {
            let value = "x".repeat(8500);
            let block = request(STREAM_QUERY, &[("a", &value), ("b", &value)]);
            let (first, second) = block.split_at(10_000);
            frame(kind::HEADERS, END_STREAM, frames.stream, first, out);
            frame(kind::CONTINUATION, END_HEADERS, frames.stream, second, out);
            frames.stream += 2;
            100
        })
    })
    .await;
}

#[tokio::test]
async fn trailers_without_end() {
    withstood("trailers", || {
        Frames::of(|_, out| {
            let mut block = Vec::new();
            field("x", "y", &mut block);
            frame(kind::HEADERS, END_HEADERS, 1, &block, out);
            1
        })
        .beginning(|frames, out| {
            frames.open(0, out);
        })
    })
    .await;
}
