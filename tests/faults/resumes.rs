//! kill -9 of the server while streams are read that can be resumed: whoever reads them sees every row once.

use std::{net::TcpListener, time::Duration};

use rowstream_client::{Client, Code, RetryPolicy};
use rowstream_testkit::{Postgres, Program};
use tokio::time::sleep;

use crate::size::{Size, figure};

const ROWS: i32 = 30_000;
const READERS: usize = 3;

/// A server on that port, over that database, with those keys.
fn start(port: u16, database_url: &str, keys: &str) -> Program {
    let mut command = Program::command();
    let listen = format!("127.0.0.1:{port}");
    command.args(["--listen", &listen, "--allow-sql", "--database-url", database_url, "--token-keys", keys]);
    Program::spawn(&mut command)
}

/// Patient enough for a server that is killed more often than any real one.
fn patient() -> RetryPolicy {
    let (base, most) = (Duration::from_millis(50), Duration::from_millis(200));
    let policy = RetryPolicy::default().codes([Code::Unavailable, Code::Aborted]).max_retries(500);
    policy.backoff(base, most).max_pushback(most).budget(100_000, 1.0)
}

/// Reads all rows, in their order, until told to stop; answers how many streams, and how often they were resumed.
async fn read(client: &Client, stop: &tokio_util::sync::CancellationToken) -> (u32, u32) {
    let sql = format!("select i, md5(i::text) || repeat('.', 400) as t from generate_series(1, {ROWS}) i");
    let call = client.sql(sql).resume_key(["i"]).deadline(Duration::from_secs(600)).resume(patient());
    let (mut streams, mut resumed) = (0, 0);
    while !stop.is_cancelled() {
        // Until a stream has begun there is nothing to resume.
        let Ok(mut stream) = call.stream().await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut next = 1;
        while let Some(batch) = stream.next_batch().await.expect("resumed") {
            for row in batch.iter() {
                assert_eq!(row.get::<i32>("i").expect("a number"), next, "0 lost, 0 doubled");
                next += 1;
            }
        }
        assert_eq!(next, ROWS + 1);
        (streams, resumed) = (streams + 1, resumed + stream.resumed());
    }
    (streams, resumed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_costs_no_row_of_a_stream_with_a_key() {
    let kills = Size::asked().count(50, 1_000);
    let database = Postgres::shared().create_database().expect("a database");
    let directory = tempfile::tempdir().expect("a directory");
    let keys = directory.path().join("keys");
    std::fs::write(&keys, "0123456789abcdef".repeat(4)).expect("written");
    let keys = keys.to_str().expect("UTF-8");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let client = Client::builder([format!("http://127.0.0.1:{port}")]).build().expect("a valid endpoint");
    let stop = tokio_util::sync::CancellationToken::new();
    let reading = futures_util::future::join_all((0..READERS).map(|_| read(&client, &stop)));
    let killing = async {
        for _ in 0..kills {
            let mut program = start(port, &database.url(), keys);
            program.address().await;
            sleep(Duration::from_millis(fastrand::u64(100..600))).await;
            program.signal("KILL");
            while !program.has_ended() {
                sleep(Duration::from_millis(5)).await;
            }
        }
        stop.cancel();
        let mut last = start(port, &database.url(), keys);
        last.address().await;
        last
    };
    let (read, last) = tokio::join!(reading, killing);
    let streams: u32 = read.iter().map(|(streams, _)| streams).sum();
    let resumed: u32 = read.iter().map(|(_, resumed)| resumed).sum();
    figure(
        6,
        resumed > 0,
        format!("{kills} times kill -9: {streams} streams resumed {resumed} times, 0 rows lost, 0 doubled"),
    );
    drop(last);
}
