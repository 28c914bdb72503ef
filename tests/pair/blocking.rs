//! The blocking client: the same results as the asynchronous one, from many threads, and the same early
//! ends.

use std::{thread, time::Duration};

use rowstream_client::{Code, Health, blocking};
use serde::Deserialize;

use crate::harness::{PATIENCE, Pair};

const ROWS: &str = "select i as id, 'n' || i as name, case when i % 3 = 0 then i / 2.0 end as half
                    from generate_series(1, $1) i";

#[derive(Debug, Deserialize, PartialEq)]
struct Record {
    id: i32,
    name: String,
    half: Option<String>,
}

/// Runs on a thread where blocking is allowed, while the server goes on here.
async fn blocking<T: Send + 'static>(pair: &Pair, work: impl FnOnce(blocking::Client) -> T + Send + 'static) -> T {
    let client = blocking::Client::builder([&pair.url]).build().expect("a valid endpoint");
    tokio::task::spawn_blocking(move || work(client)).await.expect("no panic")
}

#[tokio::test]
async fn rows_batches_and_summary_are_those_of_the_asynchronous_client() {
    let pair = Pair::start().await;
    let mut rows = pair.client().sql(ROWS).bind(50_000).stream().await.expect("a stream");
    let mut expected = Vec::new();
    while let Some(batch) = rows.next_batch().await.expect("a batch") {
        expected.extend(batch.iter().map(|row| row.deserialize::<Record>().expect("a record")));
    }
    let checksum = rows.summary().expect("complete").checksum;

    let (by_row, by_batch, sums) = blocking(&pair, |client| {
        let call = client.sql(ROWS).bind(50_000);
        let mut rows = call.stream().expect("a stream");
        let by_row: Vec<Record> =
            rows.by_ref().map(|row| row.expect("a row").deserialize().expect("a record")).collect();
        let mut batches = call.stream().expect("a stream");
        let first = batches.next_batch().expect("a batch").expect("not the end");
        let mut by_batch: Vec<Record> = first.iter().map(|row| row.deserialize().expect("a record")).collect();
        for batch in batches.batches() {
            by_batch.extend(batch.expect("a batch").iter().map(|row| row.deserialize::<Record>().expect("a record")));
        }
        let sum = |rows: &blocking::RowStream| rows.summary().expect("complete").checksum;
        (by_row, by_batch, [sum(&rows), sum(&batches)])
    })
    .await;
    assert_eq!(expected.len(), 50_000);
    assert!(by_row == expected && by_batch == expected);
    assert_eq!(sums, [checksum; 2]);
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_session_is_taken_kept_read_and_deleted() {
    let pair = Pair::start().await;
    pair.psql("create table t (id int primary key); insert into t select i from generate_series(1, 5000) i; analyze t");
    let count = blocking(&pair, |client| {
        let live = Duration::from_secs(60);
        let call = client.sql("select id from t");
        let session = client.create_read_session(call).partitions(3).time_to_live(live).create().expect("a session");
        let id = session.id().to_owned();
        let tokens: Vec<_> = session.partitions().iter().map(|partition| partition.token.clone()).collect();
        assert!(session.snapshot_time().is_some() && session.columns().len() == 1);
        drop(session);
        let kept = client.keep_read_session(&id, live).expect("it is there");
        let read = |token| {
            let rows: Result<Vec<_>, _> = client.read_partition(token).stream().expect("a stream").collect();
            rows.expect("rows").len()
        };
        let count: usize = tokens.iter().cloned().map(read).sum();
        drop(kept);
        assert!(client.delete_read_session(&id).expect("an answer"));
        assert_eq!(client.renew_read_session(&id, live).expect_err("deleted").code(), Code::FailedPrecondition);
        count
    })
    .await;
    assert_eq!(count, 5000);
    pair.assert_settled().await;
}

#[tokio::test]
async fn single_rows_descriptions_health_and_errors_are_the_same() {
    let pair = Pair::start().await;
    blocking(&pair, |client| {
        let row = client.sql("select $1::int + 1").bind(41).query_row().expect("a row");
        assert_eq!(row.get::<i32>(0).expect("a number"), 42);
        let described = client.sql("select 1 as x").describe().expect("a description");
        assert_eq!(described.columns[0].name, "x");
        assert_eq!(client.health().expect("an answer"), Health::Serving);
        assert!(client.list_queries().expect("an answer").is_empty());
        assert!(!client.cancel("nobody").expect("an answer"));
        let error = client.sql("select foo").stream().expect_err("no such column");
        assert_eq!(error.server().and_then(|server| server.sqlstate()), Some("42703"));
        let error = client.sql("select pg_sleep(60)").deadline(Duration::from_millis(200)).query_row();
        assert_eq!(error.expect_err("too slow").code(), Code::DeadlineExceeded);
    })
    .await;
    pair.assert_settled().await;
}

#[tokio::test]
async fn dropping_a_half_read_stream_ends_the_statement() {
    let pair = Pair::start().await;
    let rows = blocking(&pair, |client| {
        let mut rows =
            client.sql("select i, pg_sleep(0.02) from generate_series(1, 1000000) i").stream().expect("rows");
        rows.next().expect("not the end").expect("a row");
        rows
    })
    .await;
    // Between rows, or waiting for somebody to read them.
    let backends = pair.database.backends().expect("pg_stat_activity");
    assert!(backends.iter().any(|backend| backend.is_active() || backend.in_transaction()));
    // The client is gone, the stream keeps its runtime; dropping it here, in asynchronous code, is allowed.
    drop(rows);
    pair.assert_idle().await;
    pair.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_serves_many_threads_and_one_may_cancel_what_another_waits_for() {
    let pair = Pair::with(&["--pool-max", "8"]).await;
    let client = blocking::Client::builder([&pair.url]).build().expect("a valid endpoint");
    let waiting = client.clone();
    let sleeper = thread::spawn(move || waiting.sql("select pg_sleep(60) /* waits */").query_id("mine").query_row());
    pair.until_active("/* waits */").await;
    let threads: Vec<_> = (0..16)
        .map(|number: i64| {
            let client = client.clone();
            thread::spawn(move || {
                let rows = client.sql("select i + $1::int8 from generate_series(1, 5000) i").bind(number).stream();
                rows.expect("a stream").map(|row| row.expect("a row").get::<i64>(0).expect("a number")).sum::<i64>()
            })
        })
        .collect();
    let cancelled = tokio::task::spawn_blocking(move || {
        let sums: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        assert_eq!(sums, (0..16).map(|number| 12_502_500 + 5000 * number).collect::<Vec<i64>>());
        assert!(client.cancel("mine").expect("an answer"));
        sleeper.join().expect("no panic")
    });
    let error = tokio::time::timeout(PATIENCE, cancelled).await.expect("the call ends").expect("no panic");
    assert_eq!(error.expect_err("cancelled").code(), Code::Cancelled);
    pair.assert_settled().await;
}
