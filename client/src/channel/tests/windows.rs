//! Streams that are not read hold back nobody but themselves.

use std::sync::atomic::Ordering::SeqCst;

use super::{server::BATCH_BYTES, *};
use crate::channel::connection::STREAMS;

/// Small, so that the test takes little memory; what counts is its relation to the connection's.
const STREAM_WINDOW: usize = 128 << 10;

#[tokio::test]
async fn the_last_stream_of_a_connection_flows_when_all_others_are_not_read() {
    let a = Server::start("127.0.0.2");
    let settings = Settings { stream_window_bytes: u32::try_from(STREAM_WINDOW).unwrap(), ..settings(1) };
    let client = client(&[&a], &settings);
    let open = async || client.sql("endless").stream().await.unwrap();
    let mut unread = Vec::new();
    let opening = async {
        for _ in 1..STREAMS {
            unread.push(open().await);
        }
    };
    guarded("all are opened", opening).await;
    let stalled = || {
        let taken = a.script.taken.lock().unwrap();
        taken.iter().all(|batches| batches.load(SeqCst) >= STREAM_WINDOW / BATCH_BYTES)
    };
    let stalling = async {
        while !stalled() {
            tokio::task::yield_now().await;
        }
    };
    guarded("each has used up its own window", stalling).await;
    let reading = async {
        let mut last = open().await;
        while last.bytes_received() < 20 * STREAM_WINDOW as u64 {
            last.next_batch().await.unwrap();
        }
    };
    guarded("the last one flows", reading).await;
    assert_eq!(a.script.peers.lock().unwrap().len(), 1, "all on one connection");
}

#[tokio::test]
async fn a_connection_has_room_for_so_many_streams_and_the_next_one_waits() {
    let a = Server::start("127.0.0.2");
    let client = client(&[&a], &settings(1));
    let mut leases = Vec::new();
    for _ in 0..STREAMS {
        leases.push(client.channels().lease(&[]).await.unwrap());
    }
    let mut next = Box::pin(client.channels().lease(&[]));
    assert!((&mut next).now_or_never().is_none());
    leases.pop();
    next.await.unwrap();
}
