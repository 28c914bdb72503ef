//! Every way a call can be cancelled reaches PostgreSQL, and never hits another call.

use std::time::Duration;

use futures_util::future::join_all;
use rowstream_client::Code;
use rowstream_contract::v1::{CancelQueryRequest, StreamQueryRequest};
use rowstream_testkit::eventually;

use crate::harness::{PATIENCE, Pair, SETTLE, Way, by_each_strategy, reason};

/// A statement that spends its time before the first row, in a sort.
const BEFORE_FIRST_ROW: &str = "select i from generate_series(1, 100000000) i order by i % 7, i";
/// A statement that spends its time between rows, which are large enough for PostgreSQL to send each at once.
const BETWEEN_ROWS: &str = "select i, pg_sleep(0.02), repeat('x', 9000) from generate_series(1, 1000000) i";

by_each_strategy!(a_caller_that_gives_up_before_the_first_row_ends_the_statement and arrow);

async fn a_caller_that_gives_up_before_the_first_row_ends_the_statement(way: Way) {
    let pair = Pair::start().await;
    let mut raw = pair.raw().await;
    let call = tokio::spawn(async move { raw.stream_query(way.sql(BEFORE_FIRST_ROW)).await });
    pair.until_active("generate_series").await;
    call.abort();
    eventually("the statement ends", SETTLE, async || pair.active("generate_series") == 0).await;
    pair.assert_settled().await;
}

by_each_strategy!(a_caller_that_drops_its_stream_ends_the_statement);

async fn a_caller_that_drops_its_stream_ends_the_statement(way: Way) {
    let pair = Pair::start().await;
    let mut rows = pair.client().sql(BETWEEN_ROWS).strategy(way.strategy()).stream().await.expect("a first batch");
    rows.next_batch().await.expect("rows").expect("not the end");
    drop(rows);
    eventually("the statement ends", SETTLE, async || pair.active("generate_series") == 0).await;
    pair.assert_settled().await;
}

by_each_strategy!(a_caller_that_gives_up_in_the_queue_leaves_it);

async fn a_caller_that_gives_up_in_the_queue_leaves_it(way: Way) {
    let pair = Pair::with(&["--pool-max", "1", "--max-streams", "1", "--max-queue", "1"]).await;
    let (holder, waiter) = (pair.client(), pair.client());
    let holding = tokio::spawn(async move { holder.sql("select pg_sleep(60) /* holds */").query_row().await });
    pair.until_active("/* holds */").await;
    for _ in 0..20 {
        // Each takes the queue's only place, and must leave it behind.
        let waiting =
            waiter.sql("select 1").strategy(way.strategy()).deadline(Duration::from_millis(50)).stream().await;
        assert_eq!(waiting.map(drop).expect_err("the stream is taken").code(), Code::DeadlineExceeded);
    }
    holding.abort();
    pair.assert_settled().await;
}

by_each_strategy!(cancel_query_ends_a_call_by_its_id_and_may_be_repeated and arrow);

async fn cancel_query_ends_a_call_by_its_id_and_may_be_repeated(way: Way) {
    let pair = Pair::start().await;
    let mut raw = pair.raw().await;
    let request = StreamQueryRequest { query_id: "mine-1".to_owned(), ..way.sql(BEFORE_FIRST_ROW) };
    let call = tokio::spawn(async move { raw.stream_query(request).await });
    pair.until_active("generate_series").await;

    let mut raw = pair.raw().await;
    let cancel = || CancelQueryRequest { query_id: "mine-1".to_owned() };
    assert!(raw.cancel_query(cancel()).await.expect("answered").into_inner().running);
    let status = call.await.expect("no panic").expect_err("cancelled");
    assert_eq!((status.code(), reason(&status).as_str()), (tonic::Code::Cancelled, "CANCEL_REQUESTED"));
    pair.assert_settled().await;
    assert!(!raw.cancel_query(cancel()).await.expect("answered").into_inner().running);
}

by_each_strategy!(two_calls_cannot_have_the_same_id_at_the_same_time);

async fn two_calls_cannot_have_the_same_id_at_the_same_time(way: Way) {
    let pair = Pair::start().await;
    let (first, second) = (pair.client(), pair.client());
    let running =
        tokio::spawn(
            async move { first.sql(BEFORE_FIRST_ROW).strategy(way.strategy()).query_id("mine").stream().await },
        );
    pair.until_active("generate_series").await;
    let refused = second.sql("select 1").query_id("mine").query_row().await;
    assert_eq!(refused.expect_err("in use").code(), Code::AlreadyExists);
    running.abort();
    pair.assert_settled().await;
    second.sql("select 1").query_id("mine").query_row().await.expect("free again");
}

by_each_strategy!(a_cancel_by_an_administrator_is_aborted_and_may_be_repeated and arrow);

/// A DBA who cancels is told apart from every cancel of ours.
async fn a_cancel_by_an_administrator_is_aborted_and_may_be_repeated(way: Way) {
    let pair = Pair::start().await;
    let mut raw = pair.raw().await;
    let call = tokio::spawn(async move { raw.stream_query(way.sql(BEFORE_FIRST_ROW)).await });
    pair.until_active("generate_series").await;
    pair.psql("select pg_cancel_backend(pid) from pg_stat_activity where application_name like 'rowstream % sql' and datname = current_database()");
    let status = call.await.expect("no panic").expect_err("cancelled");
    assert_eq!((status.code(), reason(&status).as_str()), (tonic::Code::Aborted, "ADMIN_CANCELLED"));
    pair.assert_settled().await;
}

by_each_strategy!(two_thousand_cancels_on_a_pool_of_one_harm_no_other_call: flavor = "multi_thread", worker_threads = 2);

/// The race that PgBouncer and lib/pq have had: a cancel that comes late kills the next borrower's
/// statement. One connection, each cancelled call followed at once by one that must not be harmed.
async fn two_thousand_cancels_on_a_pool_of_one_harm_no_other_call(way: Way) {
    let pair = Pair::with(&["--pool-max", "1"]).await;
    let client = pair.client();
    for round in 0..2_000_u64 {
        let cancelled = client.sql("select pg_sleep(5)").strategy(way.strategy()).deadline(PATIENCE);
        // From before the statement has begun until well into it.
        let wait = Duration::from_micros(round * 7 % 3_000);
        let given_up = tokio::time::timeout(wait, cancelled.stream()).await;
        assert!(given_up.is_err(), "the statement sleeps for longer");
        // The next borrower is a read of the same kind; a copy takes no values.
        let next = client.sql(format!("select {round}::int8 as n")).strategy(way.strategy()).deadline(PATIENCE);
        let mut rows = next.stream().await.expect("unharmed");
        let batch = rows.next_batch().await.expect("unharmed").expect("a row");
        assert_eq!(
            batch.iter().next().expect("a row").get::<i64>(0).expect("an int8"),
            i64::try_from(round).expect("small")
        );
        assert!(rows.next_batch().await.expect("unharmed").is_none());
    }
    pair.assert_settled().await;
}

by_each_strategy!(a_storm_of_dropped_streams_leaves_nothing_behind: flavor = "multi_thread", worker_threads = 2);

async fn a_storm_of_dropped_streams_leaves_nothing_behind(way: Way) {
    let pair = Pair::with(&["--pool-max", "4"]).await;
    let client = pair.client();
    for _ in 0..20 {
        let calls = (0..20).map(|i| {
            let call = client.sql(BETWEEN_ROWS).strategy(way.strategy()).deadline(PATIENCE);
            async move {
                let _ = tokio::time::timeout(Duration::from_millis(i * 3), async {
                    let mut rows = call.stream().await?;
                    while rows.next_batch().await?.is_some() {}
                    Ok::<_, rowstream_client::Error>(())
                })
                .await;
            }
        });
        join_all(calls).await;
    }
    pair.assert_settled().await;
}

by_each_strategy!(an_id_may_be_used_again_once_its_caller_knows_how_the_call_ended);

async fn an_id_may_be_used_again_once_its_caller_knows_how_the_call_ended(way: Way) {
    let pair = Pair::start().await;
    let client = pair.client();
    for _ in 0..200 {
        let mut rows =
            client.sql("select 1").strategy(way.strategy()).query_id("again").stream().await.expect("the id is free");
        while rows.next_batch().await.expect("a batch").is_some() {}
        let failing = client.sql("select 1/0").strategy(way.strategy()).query_id("again").stream().await;
        let failed = failing.map(drop).expect_err("no row");
        assert_eq!(failed.code(), Code::InvalidArgument, "{failed}");
    }
    pair.assert_settled().await;
}
