//! PostgreSQL that is stopped as in a crash, and started again, under load.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowstream_testkit::{PATIENCE, Postgres, StopMode, eventually};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    calls::{fact, is, outcome, read_all, row_of},
    harness::Server,
    reference::{Reference, assert_lost},
    size::Size,
};

const ROWS: usize = 20_000;
const READERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_postgresql_is_unavailable_until_it_is_back() {
    let postgres = Postgres::start().expect("a cluster of its own");
    let server = Server::over(postgres.create_database().expect("a database"), &["--pool-max", "4"]).await;
    Reference::create(&server.database, ROWS);
    let reference = Reference::read(&server.client(), ROWS).await;
    for _ in 0..Size::asked().count(2, 20) {
        let over = CancellationToken::new();
        let readers = (0..READERS).map(|_| async {
            let (mut complete, mut lost) = (0, 0);
            while !over.is_cancelled() {
                let reading = read_all(&server.client(), Reference::request()).await;
                if reference.check_complete_or_lost(&reading) { complete += 1 } else { lost += 1 }
            }
            (complete, lost)
        });
        let crash = async {
            tokio::task::block_in_place(|| postgres.stop(StopMode::Immediate)).expect("stopped");
            server.until_health(ServingStatus::NotServing).await;
            tokio::task::block_in_place(|| postgres.restart()).expect("started");
            let begun = Instant::now();
            server.until_serving().await;
            over.cancel();
            begun.elapsed()
        };
        let (ends, took) = tokio::join!(join_all(readers), crash);
        let (complete, lost) = ends.iter().fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1));
        println!(
            "PostgreSQL crashed: {complete} streams complete, {lost} UNAVAILABLE; serving {took:.1?} after its start"
        );
        assert!(lost > 0, "nobody noticed");
        server.assert_settled().await;
    }
}

/// A standby that is told not to take readers refuses every connection as one does that is still starting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_starting_is_unavailable() {
    let primary = Postgres::start().expect("a cluster of its own");
    let starting = primary.standby().setting("hot_standby", "off").start().expect("a standby");
    let server = Server::over(primary.create_database().expect("a database"), &["--pool-max", "2"]).await;
    let url = starting.url("postgres");
    let flags = ["--listen", "127.0.0.1:0", "--allow-sql", "--database-url", &url];
    let mut program = rowstream_testkit::Program::spawn(rowstream_testkit::Program::command().args(flags));
    let client = crate::calls::client(program.address().await);
    let status: Status = client.clone().query_row(row_of("select 1")).await.expect_err("nobody is let in");
    assert_lost(&status);
    assert_eq!(fact(&status, "sqlstate").as_deref(), Some("57P03"));
    assert_eq!(program.terminate().await.status, Some(0));
    server.assert_settled().await;
}

/// Room that is taken by others: the server says so, and serves when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_without_room_is_unavailable_until_there_is_some() {
    let postgres = Postgres::builder().setting("max_connections", "20").start().expect("a cluster of its own");
    let database = postgres.create_database().expect("a database");
    let server = Server::over(database, &["--pool-max", "4", "--pool-min", "0", "--max-read-sessions", "1"]).await;
    server.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rowstream%'");
    let mut taken = Vec::new();
    while let Ok(other) = PgConnection::connect(&server.database.url()).await {
        taken.push(other);
    }
    let mut statuses = Vec::new();
    eventually("a call finds no room", PATIENCE, async || {
        let calls = (0..4).map(|_| async { server.client().query_row(row_of("select pg_sleep(0.1)")).await });
        statuses = join_all(calls).await.into_iter().filter_map(Result::err).collect();
        !statuses.is_empty()
    })
    .await;
    for status in &statuses {
        assert_eq!(outcome(status), is(Code::Unavailable, "DATABASE_UNAVAILABLE"), "{status:?}");
        assert_eq!(fact(status, "sqlstate").as_deref(), Some("53300"));
    }
    drop(taken);
    eventually("there is room again", PATIENCE, async || {
        server.client().query_row(crate::calls::within(Duration::from_secs(2), row_of("select 1"))).await.is_ok()
    })
    .await;
    server.until_serving().await;
    server.assert_settled().await;
}
