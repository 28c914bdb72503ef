//! What streams take of the machine: memory for a few batches, however long they are and whether or
//! not anybody reads them, and in the end not one file descriptor.

use std::time::Duration;

use futures_util::future::join_all;
use rowstream_testkit::eventually;

use crate::harness::{Client, Events, PATIENCE, Server, open, read, row_of};

const MIB: u64 = 1 << 20;
/// 20 MB: more than all buffers between the server and a caller who does not read.
const LARGE: &str = "select i, repeat('x', 1000) from generate_series(1, 20000) i";
const STALLED: usize = 20;

fn rows(count: i64) -> String {
    format!("select i, repeat('x', 100) from generate_series(1, {count}) i")
}

#[tokio::test]
async fn five_million_rows_take_no_more_memory_than_a_few() {
    const ROWS: i64 = 5_000_000;
    let server = Server::start(&["--default-deadline", "1h"]).await;
    let client = server.client();
    read(open(&client, &rows(10_000)).await).await.expect("a summary");
    let before = server.program.memory();
    let summary = read(open(&client, &rows(ROWS)).await).await.expect("a summary");
    assert_eq!(summary.row_count, ROWS);
    let peak = server.program.peak_memory();
    eprintln!("{} bytes of rows; resident {before} before, {peak} at most", summary.byte_count);
    assert!(peak <= before + 16 * MIB, "resident memory grew from {before} to {peak} bytes");
}

#[tokio::test]
async fn streams_that_nobody_reads_take_little_and_give_it_back() {
    let server = Server::start(&["--pool-min", "20", "--pool-max", "20"]).await;
    eventually("the pool is full", PATIENCE, async || backends(&server) >= STALLED).await;
    read(open(&server.client(), &rows(10_000)).await).await.expect("a summary");
    let (memory, files) = (server.program.memory(), sockets(&server));

    let streams = stall(&server).await;
    let first = server.program.peak_memory();
    eprintln!("resident {memory} before, {first} with {STALLED} streams that nobody reads");
    let bound = memory + STALLED as u64 * 3 * MIB / 2 + 8 * MIB;
    assert!(first <= bound, "resident memory grew from {memory} to {first} bytes");

    drop(streams);
    server.assert_idle().await;
    eventually("every socket is closed", PATIENCE, async || sockets(&server) <= files).await;

    // What the allocator keeps for itself is used again: it is not lost.
    let streams = stall(&server).await;
    let second = server.program.peak_memory();
    eprintln!("{second} with as many again");
    assert!(second <= first + 8 * MIB, "resident memory grew from {first} to {second} bytes");
    drop(streams);
    server.assert_idle().await;
}

#[tokio::test]
async fn calls_that_end_and_calls_that_are_dropped_lose_no_descriptor() {
    let server = Server::start(&["--pool-max", "10"]).await;
    call(server.client(), false).await;
    server.assert_idle().await;
    let mut before = sockets(&server);
    eventually("the first connections are closed", PATIENCE, async || {
        let now = sockets(&server);
        now == std::mem::replace(&mut before, now)
    })
    .await;

    for _ in 0..10 {
        join_all((0..20).map(|i| call(server.client(), i % 2 == 0))).await;
    }
    server.assert_idle().await;
    eventually("every descriptor is back", PATIENCE, async || sockets(&server) <= before).await;
    assert!(backends(&server) <= 12, "ten for calls and two for control");
    server.client().query_row(row_of("select 1")).await.expect("it goes on serving");
}

/// A call over a connection of its own, dropped in the middle or read to its end.
async fn call(client: Client, drop_it: bool) {
    if drop_it {
        let mut events = open(&client, LARGE).await;
        events.message().await.expect("a message").expect("not the end");
    } else {
        read(open(&client, "select i from generate_series(1, 100) i").await).await.expect("a summary");
    }
}

/// Opens streams, each over a connection of its own, and waits until none of them is worked for.
async fn stall(server: &Server) -> Vec<Events> {
    let streams = join_all((0..STALLED).map(|_| async { open(&server.client(), LARGE).await })).await;
    let resting = "select count(*) from pg_stat_activity where datname = current_database() \
                   and state = 'idle in transaction' and state_change < clock_timestamp() - interval '1 second'";
    eventually("no stream moves any more", PATIENCE + Duration::from_secs(30), async || {
        server.database.psql(resting).expect("psql").trim() == STALLED.to_string()
    })
    .await;
    streams
}

fn backends(server: &Server) -> usize {
    server.database.backends().expect("pg_stat_activity").len()
}

/// Open files that are not connections to PostgreSQL: how many of those are kept is the pool's business.
fn sockets(server: &Server) -> usize {
    server.program.open_files().saturating_sub(backends(server))
}
