//! What goes wrong around the server: backends that die, PostgreSQL that restarts, a pool that is
//! empty, connections that go silent.

use std::time::Duration;

use futures_util::future::join_all;
use rowstream_client::{Client, Code, Error, Row};
use rowstream_testkit::{Postgres, StopMode, eventually};

use crate::harness::{PATIENCE, Pair, reason, sql};

const ENDLESS: &str = "select i, pg_sleep(0.01) from generate_series(1, 1000000) i";

async fn row(client: &Client, sql: &str, deadline: Duration) -> Result<Row, Error> {
    client.sql(sql).deadline(deadline).query_row().await
}

#[tokio::test]
async fn a_backend_that_is_terminated_ends_its_call_alone() {
    let pair = Pair::with(&["--pool-max", "2"]).await;
    let mut raw = pair.raw().await;
    let mut stream = raw.stream_query(sql(ENDLESS)).await.expect("headers").into_inner();
    pair.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rowstream % sql' and datname = current_database()");
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without an error"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (tonic::Code::Unavailable, "DATABASE_UNAVAILABLE"));
    pair.assert_settled().await;
}

#[tokio::test]
async fn an_idle_connection_that_died_is_replaced_without_the_caller_noticing() {
    let pair = Pair::with(&["--pool-max", "3"]).await;
    pair.assert_settled().await;
    pair.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()");
    for _ in 0..10 {
        pair.client().sql("select 1").query_row().await.expect("a new connection serves");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_restart_of_postgresql_is_unavailable_and_then_over_by_itself() {
    let postgres = Postgres::start().expect("a cluster of its own");
    let database = postgres.create_database().expect("a database");
    let url = database.url();
    let pair = Pair::over(database, &url, &[]).await;
    pair.client().sql("select 1").query_row().await.expect("a row");

    postgres.stop(StopMode::Immediate).expect("stopped");
    let error = pair.client().sql("select 1").deadline(PATIENCE).query_row().await.expect_err("PostgreSQL is down");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.server().is_some_and(|server| server.retry_delay().is_some()));
    let client = pair.client();
    eventually("the health service says so", PATIENCE, async || {
        matches!(client.health().await, Ok(rowstream_client::Health::NotServing))
    })
    .await;

    postgres.restart().expect("started");
    pair.assert_healthy().await;
    pair.client().sql("select 1").query_row().await.expect("it works again by itself");
    pair.assert_settled().await;
    pair.stop().await;
}

#[tokio::test]
async fn an_exhausted_pool_is_not_a_slow_query() {
    let pair = Pair::with(&["--pool-max", "1", "--queue-timeout", "300ms"]).await;
    let holder = pair.client();
    let holding = tokio::spawn(async move { holder.sql("select pg_sleep(60) /* holds */").query_row().await });
    pair.until_active("/* holds */").await;
    let status = pair.raw().await.stream_query(sql("select 1")).await.expect_err("no connection");
    assert_eq!((status.code(), reason(&status).as_str()), (tonic::Code::ResourceExhausted, "POOL_TIMEOUT"));
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    holding.abort();
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_thousand_calls_on_two_connections_are_all_answered() {
    let pair =
        Pair::with(&["--pool-max", "2", "--max-streams", "2", "--max-queue", "100", "--queue-timeout", "60s"]).await;
    let client = pair.client();
    let calls = (0..1_000).map(|_| row(&client, "select pg_sleep(0.001)", PATIENCE));
    let (mut served, mut refused) = (0, 0);
    for result in join_all(calls).await {
        match result {
            Ok(_) => served += 1,
            Err(error) if error.code() == Code::ResourceExhausted => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(served >= 102, "{served} served, {refused} refused");
    assert_eq!(served + refused, 1_000);
    pair.assert_settled().await;
}

#[tokio::test]
async fn connections_that_go_silent_are_given_up_and_replaced() {
    let (pair, proxy) = Pair::through_proxy(&["--pool-max", "2"]).await;
    pair.assert_settled().await;
    let client = pair.client();
    let calls = (0..2).map(|_| row(&client, "select pg_sleep(0.2)", Duration::from_secs(1)));
    let stall = async {
        pair.until_active("pg_sleep(0.2)").await;
        proxy.stall();
    };
    let (results, ()) = tokio::join!(join_all(calls), stall);
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| error.code() == Code::DeadlineExceeded)));
    // Whatever still hangs on the silent connections, new ones serve.
    proxy.resume();
    eventually("new connections serve", PATIENCE, async || {
        client.sql("select 1").deadline(Duration::from_secs(2)).query_row().await.is_ok()
    })
    .await;
    pair.assert_settled().await;
}
