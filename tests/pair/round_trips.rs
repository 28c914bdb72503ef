//! How often the server goes to PostgreSQL and back for a call: latency is made of round trips.

use rowstream_client::{Client, Strategy};
use rowstream_testkit::Proxy;

use crate::harness::Pair;

/// A server that reaches PostgreSQL through a proxy that counts, with one connection.
async fn counted() -> (Pair, Proxy, Client) {
    let (pair, proxy) = Pair::through_proxy(&["--pool-max", "1"]).await;
    let client = pair.client();
    (pair, proxy, client)
}

/// The round trips on the busiest connection, which is the pool's: the others are for control.
async fn trips_of(proxy: &Proxy, call: impl AsyncFn()) -> u64 {
    // Seen before, and warm.
    call().await;
    let before: Vec<u64> = proxy.connection_counts().iter().map(|counts| counts.round_trips).collect();
    call().await;
    let after = proxy.connection_counts();
    let increase = after.iter().enumerate().map(|(i, counts)| counts.round_trips - before.get(i).copied().unwrap_or(0));
    increase.max().expect("a connection")
}

#[tokio::test]
async fn a_statement_without_parameters_answers_after_one_round_trip() {
    let (pair, proxy, client) = counted().await;
    // Transaction, cursor and rows; the ROLLBACK comes after the answer.
    let stream = async || {
        let mut rows = client.sql("select i from generate_series(1, 10) i").stream().await.expect("rows");
        while rows.next_batch().await.expect("rows").is_some() {}
        pair.assert_idle().await;
    };
    assert_eq!(trips_of(&proxy, stream).await, 2);
    // A single row's ROLLBACK travels with the fetch.
    let row = async || {
        client.sql("select 1").query_row().await.expect("a row");
    };
    assert_eq!(trips_of(&proxy, row).await, 1);
}

#[tokio::test]
async fn a_statement_with_parameters_answers_after_three_round_trips_or_four_with_a_conversion() {
    let (_pair, proxy, client) = counted().await;
    let plain = async || {
        client.sql("select $1::int8 + 1").bind(41_i64).query_row().await.expect("a row");
    };
    assert_eq!(trips_of(&proxy, plain).await, 3);
    let converted = async || {
        client.sql("select $1::date + $2::int4").bind("2024-02-28").bind(1).query_row().await.expect("a row");
    };
    assert_eq!(trips_of(&proxy, converted).await, 4);
}

#[tokio::test]
async fn a_long_result_takes_a_round_trip_for_hundreds_of_kilobytes() {
    let (pair, proxy, client) = counted().await;
    let stream = async || {
        let mut rows =
            client.sql("select i, repeat('x', 100) from generate_series(1, 100000) i").stream().await.expect("rows");
        while rows.next_batch().await.expect("rows").is_some() {}
        pair.assert_idle().await;
    };
    // 12 MB at up to 512 KiB a trip, and a few small ones to begin with.
    let trips = trips_of(&proxy, stream).await;
    assert!(trips < 40, "{trips} round trips");
}

/// Transaction, preparation, rows and ROLLBACK; before a copy PostgreSQL is asked for its plan, too.
#[tokio::test]
async fn a_statement_that_runs_whole_takes_the_same_round_trips_whatever_its_length() {
    let (pair, proxy, client) = counted().await;
    for (strategy, trips) in [(Strategy::Portal, 4), (Strategy::Copy, 5)] {
        for rows in [1, 10, 10_000] {
            let stream = async || {
                let sql = format!("select i, repeat('x', 100) from generate_series(1, {rows}) i");
                let mut read = client.sql(sql).strategy(strategy).stream().await.expect("rows");
                while read.next_batch().await.expect("rows").is_some() {}
                pair.assert_idle().await;
            };
            assert_eq!(trips_of(&proxy, stream).await, trips, "{strategy:?} of {rows} rows");
        }
    }
}
