//! The ways to read from PostgreSQL: they give the same rows, and end as a cursor does, whatever ends them.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use rowstream_contract::v1::{
    self, CancelQueryRequest, Strategy, StreamQueryRequest, StreamQueryResponse, stream_query_response::Event,
};
use rowstream_testkit::eventually;
use tonic::{Code, Status, Streaming};

use crate::harness::{PATIENCE, Pair, SETTLE, Way, error_of, fact, reason, sql, text, within};

const WHOLE: [Strategy; 2] = [Strategy::Portal, Strategy::Copy];
/// 200 MB: far more than all buffers between PostgreSQL and a consumer hold.
const LARGE: &str = "select i, repeat('x', 1000) from generate_series(1, 200000) i /* large */";
/// Many rows at once, then slowly more.
const SLOWER: &str =
    "select i, pg_sleep(case when i > 5000 then 0.02 else 0 end), repeat('x', 100) from generate_series(1, 1000000) i";

fn by(strategy: Strategy, text: &str) -> StreamQueryRequest {
    StreamQueryRequest { strategy: strategy.into(), ..sql(text) }
}

async fn open(pair: &Pair, request: StreamQueryRequest) -> Streaming<StreamQueryResponse> {
    pair.raw().await.stream_query(request).await.expect("headers").into_inner()
}

/// All events of a call, or what it failed with.
async fn events(pair: &Pair, request: impl tonic::IntoRequest<StreamQueryRequest>) -> Result<Vec<Event>, Status> {
    let stream = pair.raw().await.stream_query(request).await?.into_inner();
    stream.map_ok(|message| message.event.expect("an event")).try_collect().await
}

fn ends(events: &[Event]) -> (v1::Header, v1::Summary) {
    let (Some(Event::Header(header)), Some(Event::Summary(summary))) = (events.first(), events.last()) else {
        panic!("no header or no summary")
    };
    (header.clone(), *summary)
}

async fn until_batch(stream: &mut Streaming<StreamQueryResponse>) {
    while !matches!(stream.message().await.expect("a message").expect("not the end").event, Some(Event::Batch(_))) {}
}

/// The backend behind a pool of one.
async fn backend(pair: &Pair) -> i32 {
    let row = pair.client().sql("select pg_backend_pid()").deadline(PATIENCE).query_row().await.expect("a row");
    row.get(0).expect("a number")
}

#[tokio::test]
async fn every_strategy_gives_the_same_rows_and_tells_of_itself() {
    let pair = Pair::start().await;
    pair.psql("create type mood as enum ('calm', 'wild'); create domain small as int4");
    let many = "select i, i::text as t, nullif(i % 7, 0)::numeric / 3 as n, array[i, null] as a, i % 2 = 0 as b,
        (array['calm', 'wild'])[i % 2 + 1]::mood as m, i::small as s, now()::date + i % 1000 as d,
        int4range(i, i + 1) as r, null::jsonb as nothing, '10.0.0.1'::inet as address, i as i
        from generate_series(1, 100000) i; -- the end";
    let (_, expected) = ends(&events(&pair, by(Strategy::Cursor, many)).await.expect("rows"));
    for strategy in WHOLE {
        // The second time along a plan that is known.
        for _ in 0..2 {
            let (header, summary) = ends(&events(&pair, by(strategy, many)).await.expect("rows"));
            assert_eq!(header.strategy(), strategy);
            assert_eq!(header.strategy_reason, "the caller asked for it");
            assert_eq!((summary.row_count, summary.checksum), (100_000, expected.checksum), "{strategy:?}");
        }
    }
    let (header, _) = ends(&events(&pair, sql("select 1")).await.expect("rows"));
    assert_eq!(header.strategy(), Strategy::Cursor);
    assert_eq!(header.strategy_reason, "rows may be taken slowly; a cursor can wait at no cost");
    pair.assert_settled().await;
}

#[tokio::test]
async fn an_empty_result_and_a_result_without_columns_are_read_by_every_strategy() {
    let pair = Pair::start().await;
    for strategy in WHOLE {
        for _ in 0..2 {
            let empty = events(&pair, by(strategy, "select 1 as one, 'x'::text as x where false")).await.expect("none");
            let (header, summary) = ends(&empty);
            assert_eq!((header.columns.len(), summary.row_count, empty.len()), (2, 0, 2));
        }
        let (_, summary) = ends(&events(&pair, by(strategy, "select from generate_series(1, 3)")).await.expect("rows"));
        assert_eq!(summary.row_count, 3, "{strategy:?}");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn whatever_a_cursor_reads_the_others_read_too() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql("create table things as select i, i::text as t from generate_series(1, 2000) i");
    let table = |strategy: Strategy| {
        let read = v1::TableRead { table: "things".to_owned(), ..v1::TableRead::default() };
        let source = Some(v1::statement::Source::Table(read));
        let statement = Some(v1::Statement { source, ..v1::Statement::default() });
        StreamQueryRequest { strategy: strategy.into(), statement, ..StreamQueryRequest::default() }
    };
    let texts = [
        "values (1, 'a'), (2, null)",
        "table things",
        "with a as (select i from things) select * from a order by i desc",
        "(select 1 as x) union all (select 2) -- the end",
        "select ';' as semicolon; /* ) to program */",
    ];
    for number in 0..=texts.len() {
        let request = |strategy: Strategy| texts.get(number).map_or_else(|| table(strategy), |text| by(strategy, text));
        let (_, expected) = ends(&events(&pair, request(Strategy::Cursor)).await.expect("rows"));
        for strategy in WHOLE {
            let (header, summary) = ends(&events(&pair, request(strategy)).await.expect("rows"));
            let read = (header.strategy(), summary.row_count, summary.checksum);
            assert_eq!(read, (strategy, expected.row_count, expected.checksum), "{:?}", texts.get(number));
        }
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_limit_on_rows_ends_the_statement_and_keeps_its_connection() {
    let pair = Pair::with(&["--pool-max", "1"]).await;
    let before = backend(&pair).await;
    for strategy in WHOLE {
        for (max_rows, rows, truncated) in
            [(10, 10, true), (4999, 4999, true), (5000, 5000, false), (6000, 5000, false)]
        {
            let numbers = "select i from generate_series(1, 5000) i";
            let request = StreamQueryRequest { max_rows, ..by(strategy, numbers) };
            let (_, summary) = ends(&events(&pair, request).await.expect("rows"));
            assert_eq!((summary.row_count, summary.truncated), (rows, truncated), "{strategy:?} {max_rows}");
        }
        let request = StreamQueryRequest { max_rows: 10, ..by(strategy, "select generate_series(1, 2000000000)") };
        let (_, summary) = ends(&events(&pair, request).await.expect("rows"));
        assert_eq!((summary.row_count, summary.truncated), (10, true), "{strategy:?}");
    }
    assert_eq!(backend(&pair).await, before);
    pair.assert_settled().await;
}

#[tokio::test]
async fn values_are_bound_by_a_portal_and_refused_by_a_copy() {
    let pair = Pair::start().await;
    let with_value = |strategy, value: &str| {
        let mut request = by(strategy, "select i + $1::int8 as sum, $1 as same from generate_series(1, 1000) i");
        request.statement.as_mut().expect("given").parameters = vec![text(value)];
        request
    };
    for value in ["1", "41"] {
        let (_, expected) = ends(&events(&pair, with_value(Strategy::Cursor, value)).await.expect("rows"));
        let (_, summary) = ends(&events(&pair, with_value(Strategy::Portal, value)).await.expect("rows"));
        assert_eq!((summary.row_count, summary.checksum), (1000, expected.checksum));
    }
    let status = events(&pair, with_value(Strategy::Copy, "1")).await.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    assert!(status.message().starts_with("strategy: ") && status.message().contains("STRATEGY_PORTAL"), "{status:?}");
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_deadline_in_mid_stream_ends_the_statement() {
    let pair = Pair::with(&["--pool-max", "2"]).await;
    for strategy in WHOLE {
        let status = events(&pair, within(Duration::from_secs(1), by(strategy, SLOWER))).await.expect_err("too slow");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        assert_eq!(fact(&status, "phase").as_deref(), Some("FETCH"), "{strategy:?}");
        pair.assert_settled().await;
    }
}

#[tokio::test]
async fn a_caller_that_drops_its_stream_ends_the_statement_and_leaves_its_connection_usable() {
    let pair = Pair::with(&["--pool-max", "1"]).await;
    let before = backend(&pair).await;
    for strategy in WHOLE {
        for statement in [SLOWER, LARGE] {
            let mut stream = open(&pair, by(strategy, statement)).await;
            until_batch(&mut stream).await;
            drop(stream);
            eventually("the statement ends", SETTLE, async || pair.active("generate_series") == 0).await;
            assert_eq!(backend(&pair).await, before, "{strategy:?}");
        }
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_consumer_that_stalls_loses_its_connection_in_time_and_is_told_when_it_returns() {
    let pair = Pair::with(&["--pool-max", "1", "--stall-timeout", "300ms"]).await;
    for strategy in WHOLE {
        let stream = open(&pair, by(strategy, LARGE)).await;
        // The pool's only connection serves others although the stream is still open.
        pair.client().sql("select 1").deadline(PATIENCE).query_row().await.expect("the connection is free again");
        pair.assert_settled().await;
        let status = error_of(stream).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "CONSUMER_STALLED"), "{strategy:?}");
    }
}

#[tokio::test]
async fn cancel_query_ends_a_read_before_its_first_row_and_in_the_middle() {
    let pair = Pair::start().await;
    for strategy in WHOLE {
        let cancel = async || {
            let request = CancelQueryRequest { query_id: "mine".to_owned() };
            assert!(pair.raw().await.cancel_query(request).await.expect("answered").into_inner().running);
        };
        let before = "select i from generate_series(1, 100000000) i order by i % 7, i";
        let mut raw = pair.raw().await;
        let request = StreamQueryRequest { query_id: "mine".to_owned(), ..by(strategy, before) };
        let call = tokio::spawn(async move { raw.stream_query(request).await });
        pair.until_active("generate_series").await;
        cancel().await;
        let status = call.await.expect("no panic").expect_err("cancelled");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Cancelled, "CANCEL_REQUESTED"), "{strategy:?}");
        pair.assert_settled().await;

        let request = StreamQueryRequest { query_id: "mine".to_owned(), ..by(strategy, SLOWER) };
        let mut stream = open(&pair, request).await;
        until_batch(&mut stream).await;
        cancel().await;
        let status = error_of(stream).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Cancelled, "CANCEL_REQUESTED"), "{strategy:?}");
        pair.assert_settled().await;
    }
}

#[tokio::test]
async fn an_error_of_the_statement_is_told_whenever_it_comes_and_costs_no_connection() {
    let pair = Pair::with(&["--pool-max", "1"]).await;
    let before = backend(&pair).await;
    let late = "select 1 / (5000 - i) from generate_series(1, 10000) i";
    for strategy in WHOLE {
        for statement in [late, "select 1 / (i - 1) from generate_series(1, 10) i", "select 1 / 0"] {
            let status = events(&pair, by(strategy, statement)).await.expect_err("a division by zero");
            let told = (status.code(), fact(&status, "sqlstate"));
            assert_eq!(told, (Code::InvalidArgument, Some("22012".to_owned())), "{strategy:?} {statement}");
        }
        let status = events(&pair, by(strategy, "select 1; select 2")).await.expect_err("two statements");
        assert_eq!(reason(&status), "STATEMENT_REFUSED");
    }
    assert_eq!(backend(&pair).await, before);
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_backend_that_is_terminated_ends_its_call_alone() {
    let pair = Pair::with(&["--pool-max", "2"]).await;
    for strategy in WHOLE {
        let mut stream = open(&pair, by(strategy, SLOWER)).await;
        until_batch(&mut stream).await;
        pair.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rowstream % sql' and datname = current_database()");
        let status = error_of(stream).await;
        let told = (status.code(), reason(&status));
        assert_eq!(told, (Code::Unavailable, "DATABASE_UNAVAILABLE".to_owned()), "{strategy:?}");
        pair.assert_settled().await;
    }
}

#[tokio::test]
async fn an_idle_connection_that_died_is_replaced_without_the_caller_noticing() {
    let pair = Pair::with(&["--pool-max", "3"]).await;
    for strategy in WHOLE {
        events(&pair, by(strategy, "select 1")).await.expect("a plan that is known");
        pair.assert_settled().await;
        pair.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()");
        for _ in 0..5 {
            events(&pair, by(strategy, "select 1")).await.expect("a new connection serves");
        }
    }
    pair.assert_settled().await;
}

/// The plan is known; it must be noticed that the columns are others by now.
#[tokio::test]
async fn a_statement_whose_columns_changed_is_described_anew() {
    let pair = Pair::start().await;
    for (strategy, table) in [(Strategy::Portal, "a"), (Strategy::Copy, "b")] {
        pair.psql(&format!("create table {table} as select i, i as j from generate_series(1, 100000) i"));
        let columns = async || {
            let (header, summary) =
                ends(&events(&pair, by(strategy, &format!("select * from {table}"))).await.expect("rows"));
            assert_eq!(summary.row_count, 100_000);
            header.columns.iter().map(|c| format!("{} {}", c.name, c.type_name)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(columns().await, "i int4, j int4");
        pair.psql(&format!("alter table {table} alter j type float4"));
        assert_eq!(columns().await, "i int4, j float4", "{strategy:?}");
        pair.psql(&format!("alter table {table} drop i"));
        assert_eq!(columns().await, "j float4", "{strategy:?}");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn rows_that_come_slowly_are_passed_on_before_a_batch_is_full() {
    let pair = Pair::start().await;
    let slow = "select i, pg_sleep(case when i > 3 then 60 else 0 end) from generate_series(1, 10) i";
    for strategy in WHOLE {
        // A COPY's rows come when PostgreSQL's buffer of 8 KiB is full; what a portal sends, too.
        let wide = slow.replace("select i", "select i, repeat('x', 9000)");
        let mut stream = open(&pair, by(strategy, &wide)).await;
        tokio::time::timeout(PATIENCE, until_batch(&mut stream)).await.expect("before the sleep is over");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn only_a_cursor_has_no_parallel_workers() {
    let pair = Pair::start().await;
    // Not to be inlined: pg_backend_pid() itself is kept away from workers.
    pair.psql(
        "create table big as select i from generate_series(1, 50000) i; analyze big;
         create function who() returns int language plpgsql volatile parallel safe
         as $$ begin return pg_backend_pid(); end $$",
    );
    let name = pair.psql("select quote_ident(current_database())");
    pair.psql(&format!(
        "alter database {name} set min_parallel_table_scan_size = 0;
         alter database {name} set parallel_setup_cost = 0;
         alter database {name} set parallel_tuple_cost = 0;
         alter database {name} set parallel_leader_participation = off"
    ));
    // Backends have read their settings when they began.
    pair.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()");
    // One row if another process than the leader has seen any.
    let query = "select 1 from (select min(who()) as least, max(who()) as most from big offset 0) s
         where least <> pg_backend_pid() or most <> pg_backend_pid()";
    for (strategy, helped) in [(Strategy::Cursor, 0), (Strategy::Portal, 1), (Strategy::Copy, 1)] {
        let (_, summary) = ends(&events(&pair, by(strategy, query)).await.expect("an answer"));
        assert_eq!(summary.row_count, helped, "{strategy:?}");
    }
    pair.assert_settled().await;
}

/// Types that are made into text beside those that are not, every one of them NULL, with and without a value bound.
#[tokio::test]
async fn nulls_of_an_enum_are_nulls_by_every_strategy() {
    let pair = Pair::start().await;
    pair.psql("create type mood as enum ('sad', 'happy'); create domain feeling as mood");
    pair.psql("create table m (i int, m mood, f feeling, a mood[]); insert into m values (1, null, null, null)");
    pair.psql("insert into m values (2, 'happy', 'sad', array['sad', null]::mood[])");
    let null = v1::Value { kind: None };
    for strategy in [Strategy::Cursor, Strategy::Portal, Strategy::Copy] {
        let client = Way::rows(strategy).strategy();
        // The second time along a plan that is known.
        for _ in 0..2 {
            let mut rows =
                pair.client().sql("select m, f, a, i from m order by i").strategy(client).stream().await.expect("rows");
            let batch = rows.next_batch().await.expect("no error").expect("rows");
            let values: Vec<[Option<String>; 2]> =
                batch.iter().map(|row| [0, 1].map(|column| row.get(column).expect("text or NULL"))).collect();
            let given = |text: &str| Some(text.to_owned());
            assert_eq!(values, [[None, None], [given("happy"), given("sad")]], "{strategy:?}");
            assert!(batch.iter().next().expect("a row").get::<Option<Vec<Option<String>>>>(2).expect("NULL").is_none());
        }
    }
    let mut bound = by(Strategy::Portal, "select i from m where m = $1::mood or ($1::mood is null and m is null)");
    bound.statement.as_mut().expect("given").parameters = vec![null];
    let (_, summary) = ends(&events(&pair, bound).await.expect("rows"));
    assert_eq!(summary.row_count, 1, "a NULL is bound as one");
    pair.assert_settled().await;
}
