//! One absolute deadline a call, in whichever phase it passes, felt by PostgreSQL, too.

use std::time::Duration;

use rowstream_contract::v1::StreamQueryRequest;
use rowstream_testkit::eventually;
use tonic::{Code, Status};

use crate::harness::{PATIENCE, Pair, Way, by_each_strategy, error_of, fact, reason, sql, within};

const SOON: Duration = Duration::from_millis(400);
/// The same for calls that have to come as far as their rows first.
const LATER: Duration = Duration::from_millis(1500);
/// Spends its time between rows, which are large enough for PostgreSQL to send each at once.
const BETWEEN_ROWS: &str =
    "select i, pg_sleep(case when i > 8 then 0.05 else 0 end), repeat('x', 9000) from generate_series(1, 100000) i";

async fn first_error(pair: &Pair, request: StreamQueryRequest, timeout: Duration) -> Status {
    match pair.raw().await.stream_query(within(timeout, request)).await {
        Err(status) => status,
        Ok(stream) => error_of(stream.into_inner()).await,
    }
}

fn assert_deadline(status: &Status, phase: &str) {
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(reason(status), "DEADLINE_EXCEEDED");
    assert_eq!(fact(status, "phase").as_deref(), Some(phase));
}

by_each_strategy!(a_deadline_in_the_queue_for_a_connection_is_told_as_such);

async fn a_deadline_in_the_queue_for_a_connection_is_told_as_such(way: Way) {
    let pair = Pair::with(&["--pool-max", "1"]).await;
    let client = pair.client();
    let blocker = tokio::spawn(async move { client.sql("select pg_sleep(60) /* holds */").query_row().await });
    pair.until_active("/* holds */").await;
    assert_deadline(&first_error(&pair, way.sql("select 1"), SOON).await, "QUEUE");
    blocker.abort();
    pair.assert_settled().await;
}

by_each_strategy!(a_deadline_in_the_queue_for_a_stream_is_told_as_such);

async fn a_deadline_in_the_queue_for_a_stream_is_told_as_such(way: Way) {
    let pair = Pair::with(&["--max-streams", "1"]).await;
    let client = pair.client();
    let blocker = tokio::spawn(async move { client.sql("select pg_sleep(60) /* holds */").query_row().await });
    pair.until_active("/* holds */").await;
    assert_deadline(&first_error(&pair, way.sql("select 1"), SOON).await, "QUEUE");
    blocker.abort();
}

by_each_strategy!(a_deadline_while_planning_waits_for_a_lock_ends_the_wait_in_postgresql);

async fn a_deadline_while_planning_waits_for_a_lock_ends_the_wait_in_postgresql(way: Way) {
    let pair = Pair::start().await;
    pair.psql("create table locked (i int)");
    let locker = Locker::start(&pair).await;
    assert_deadline(&first_error(&pair, way.sql("select * from locked"), SOON).await, "PLAN");
    locker.release(&pair).await;
    pair.assert_settled().await;
}

by_each_strategy!(a_deadline_in_the_first_fetch_is_a_plain_error_and_ends_the_statement and arrow);

async fn a_deadline_in_the_first_fetch_is_a_plain_error_and_ends_the_statement(way: Way) {
    let pair = Pair::start().await;
    assert_deadline(&first_error(&pair, way.sql("select pg_sleep(60)"), SOON).await, "FETCH");
    pair.assert_settled().await;
}

by_each_strategy!(a_deadline_between_rows_cuts_the_stream_and_ends_the_statement and arrow);

async fn a_deadline_between_rows_cuts_the_stream_and_ends_the_statement(way: Way) {
    let pair = Pair::start().await;
    assert_deadline(&first_error(&pair, way.sql(BETWEEN_ROWS), LATER).await, "FETCH");
    pair.assert_settled().await;
}

by_each_strategy!(a_deadline_while_the_caller_does_not_read_is_told_when_it_returns and arrow);

async fn a_deadline_while_the_caller_does_not_read_is_told_when_it_returns(way: Way) {
    let pair = Pair::start().await;
    let mut raw = pair.raw().await;
    let many = "select i, repeat('x', 1000) from generate_series(1, 200000) i";
    let stream = raw.stream_query(within(LATER, way.sql(many))).await.expect("headers").into_inner();
    pair_is_idle_after_the_deadline(&pair).await;
    assert_deadline(&error_of(stream).await, "SEND");
    pair.assert_settled().await;
}

async fn pair_is_idle_after_the_deadline(pair: &Pair) {
    tokio::time::sleep(LATER).await;
    pair.assert_settled().await;
}

by_each_strategy!(the_servers_maximum_and_the_named_querys_own_limit_bound_the_caller);

async fn the_servers_maximum_and_the_named_querys_own_limit_bound_the_caller(way: Way) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "-- max_deadline: 300ms\nselect pg_sleep(60)";
    std::fs::write(folder.path().join("slow.sql"), file).expect("written");
    let folder = folder.path().to_str().expect("UTF-8");
    let pair = Pair::with(&["--queries", folder, "--max-deadline", "700ms", "--default-deadline", "500ms"]).await;
    assert_deadline(&first_error(&pair, way.sql("select pg_sleep(60)"), Duration::from_secs(60)).await, "FETCH");
    let row = pair.client().query("slow").strategy(way.strategy()).deadline(Duration::from_secs(60)).stream().await;
    assert_eq!(row.map(drop).expect_err("too slow").code(), rowstream_client::Code::DeadlineExceeded);
    let status = pair.raw().await.stream_query(way.sql("select pg_sleep(60)")).await.expect_err("the default applies");
    assert_deadline(&status, "FETCH");
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_timeout_of_nothing_is_answered_and_a_malformed_one_is_refused() {
    let pair = Pair::start().await;
    assert_deadline(&first_error(&pair, sql("select 1"), Duration::ZERO).await, "QUEUE");
    let mut request = tonic::Request::new(sql("select 1"));
    request.metadata_mut().insert("grpc-timeout", "soon".parse().expect("ASCII"));
    let status = pair.raw().await.stream_query(request).await.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
}

by_each_strategy!(a_client_with_a_timer_of_its_own_still_reads_phase_and_query_id);

async fn a_client_with_a_timer_of_its_own_still_reads_phase_and_query_id(way: Way) {
    let pair = Pair::start().await;
    let client = pair.client();
    for text in ["select pg_sleep(60)", BETWEEN_ROWS] {
        // On a busy machine the answer may come too late once; never to see it is the failure.
        eventually("the server's answer comes first", PATIENCE, async || {
            let error = last_error(&client, way, text).await;
            assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
            let told = error.server().map(|server| (server.phase(), server.query_id()));
            told.is_some_and(|(phase, query_id)| phase == Some("FETCH") && query_id.is_some())
        })
        .await;
    }
    pair.assert_settled().await;
}

async fn last_error(client: &rowstream_client::Client, way: Way, text: &str) -> rowstream_client::Error {
    let mut rows = match client.sql(text).strategy(way.strategy()).deadline(Duration::from_secs(2)).stream().await {
        Ok(rows) => rows,
        Err(error) => return error,
    };
    loop {
        match rows.next_batch().await {
            Ok(batch) => assert!(batch.is_some(), "the stream ended without an error"),
            Err(error) => return error,
        }
    }
}

/// Holds an ACCESS EXCLUSIVE lock on the table `locked` from a session of its own.
struct Locker(std::process::Child);

impl Locker {
    async fn start(pair: &Pair) -> Self {
        let sql = "begin; lock table locked; select pg_sleep(60) /* the locker */";
        let psql = rowstream_testkit::Postgres::shared().bin("psql");
        let mut command = std::process::Command::new(psql);
        command.args(["-X", "-q", "-c", sql, &pair.database.url()]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let child = command.spawn().expect("psql");
        pair.until_active("/* the locker */").await;
        Self(child)
    }

    async fn release(mut self, pair: &Pair) {
        pair.psql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%/* the locker */%' and datname = current_database() and pid <> pg_backend_pid()");
        self.0.wait().expect("psql ends");
    }
}
