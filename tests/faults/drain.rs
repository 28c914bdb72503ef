//! Figure 8: SIGTERM with fifty streams under way. Each ends well or is told that the server goes; the process ends
//! within its grace period, with status 0, and PostgreSQL knows none of its connections any more.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowstream_testkit::{PATIENCE, Postgres, eventually};
use tokio::time::sleep;
use tonic::Code;

use crate::{
    calls::{Client, MARKER, Reading, endless, is, outcome, read_all, rows, stream_of},
    harness::Server,
    size::{Size, Times, figure},
};

const STREAMS: usize = 50;
const GRACE: Duration = Duration::from_millis(500);
/// What the drain may take beyond the grace period.
const SLACK: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_every_stream_well_or_tells_it_and_leaves_nothing() {
    let drains = Size::asked().count(2, 100);
    let mut database = Postgres::shared().create_database().expect("a database");
    let (mut took, mut done, mut told) = (Times::default(), 0, 0);
    for _ in 0..drains {
        let mut server = Server::over(database, &["--pool-max", "50", "--grace-period", "500ms"]).await;
        let clients: Vec<Client> = (0..5).map(|_| server.new_client()).collect();
        let streams = join_all((0..STREAMS).map(|i| stream(&clients[i % clients.len()], i)));
        let drain = async {
            let mut watch = server.watch().await;
            eventually("every stream without an end is under way", PATIENCE, async || {
                watch.busy().await >= STREAMS * 3 / 5
            })
            .await;
            sleep(Duration::from_millis(fastrand::u64(0..100))).await;
            server.program.signal("TERM");
            let start = Instant::now();
            let ended = server.program.end().await;
            took.push(start.elapsed());
            assert_eq!(ended.status, Some(0), "{}", ended.stderr);
            eventually("no backend is left", PATIENCE, async || watch.count("true").await == 0).await;
        };
        let (readings, ()) = tokio::join!(streams, drain);
        for reading in readings {
            match reading.ended {
                Ok(_) => done += 1,
                Err(status) => {
                    assert_eq!(outcome(&status), is(Code::Unavailable, "DRAINING"), "{status:?}");
                    told += 1;
                }
            }
        }
        server.assert_log();
        database = server.into_database();
    }
    let text = format!(
        "{drains} SIGTERMs with {STREAMS} streams, grace {GRACE:?}: {done} done, {told} told; ended after {took}"
    );
    figure(8, took.most() <= GRACE + SLACK, text);
}

/// Some end before the signal, some within the grace period, some never.
async fn stream(client: &Client, number: usize) -> Reading {
    let sql = match number % 5 {
        0 => rows(1_000),
        1 => format!("select i, '{MARKER}', pg_sleep(0.002) from generate_series(1, 100) i"),
        2 => "select pg_sleep(60)".to_owned(),
        _ => endless(),
    };
    read_all(client, stream_of(&sql)).await
}
