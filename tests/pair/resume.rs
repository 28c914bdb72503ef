//! Streams that are cut and go on: every row once, in order, whatever cuts them and however they are read; tokens that
//! lead where they were given and nowhere else.

use std::time::Duration;

use arrow_array::{Array as _, cast::AsArray as _};
use rowstream_client::{Call, Client, Code, Error, Reason, ResumeGuarantee, RetryPolicy, Strategy, col};
use rowstream_contract::v1::{StreamQueryRequest, StreamQueryResponse, stream_query_response::Event};
use rowstream_testkit::Proxy;
use tonic::Status;

use crate::harness::{PATIENCE, Pair, TokenKeys, reason, sql};

/// Keys of many kinds: few values and many, NULLs, negative numbers, text under the database's collation, equal numbers
/// that are written differently, a type that is read as text.
const TABLE: &str = "
    create type mood as enum ('sad', 'fair', 'happy');
    create table t (id bigint primary key, few int, name text not null, n numeric, mood mood, at timestamptz, line text);
    insert into t select i * 7919 % 5003 - 2500, nullif(i % 8, 0), chr(97 + i % 26) || chr(65 + i % 20),
        case i % 3 when 0 then (i % 40)::numeric when 1 then (i % 40)::numeric(9, 2) end,
        (enum_range(null::mood))[nullif(i % 4, 0)], '2020-01-01'::timestamptz + i * interval '1 hour' from generate_series(1, 4000) i;
    update t set line = md5(id::text) || ' ' || id || repeat('.', (id % 60)::int + 60);
    create table pair (a int, b text collate \"C\", line text, primary key (a, b));
    insert into pair select i % 50, 'k' || i, 'pair ' || i || repeat('-', 80) from generate_series(1, 3000) i;
    create table same (n numeric, line text);
    insert into same select (i / 4)::numeric(20, 6)::text::numeric, i::text from generate_series(0, 999, 4) i;
    insert into same select i / 4, i::text || repeat('~', 90) from generate_series(1, 999, 4) i;
    insert into same select (i / 4)::numeric(20, 2), i::text || repeat('~', 90) from generate_series(2, 999, 4) i";

/// A call, and psql's statement for what it gives, in one column.
struct Case {
    name: &'static str,
    call: fn(&Client) -> Call,
    oracle: &'static str,
    /// Values are bound, so that COPY is not to be had.
    has_values: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "a table in the order of its primary key",
        call: |client| client.table("t").order_by(["id"]).call(),
        oracle: "select line from t order by id",
        has_values: false,
    },
    Case {
        name: "the same backwards",
        call: |client| client.table("t").order_by(["id desc"]).columns(["line", "id"]).call(),
        oracle: "select line from t order by id desc",
        has_values: false,
    },
    Case {
        name: "a table by the sign for its primary key, with a filter and a limit",
        call: |client| client.table("pair").filter(col("a").ge(3)).limit(2500).call().resume_key(["*"]),
        oracle: "select line from pair where a >= 3 order by a, b limit 2500",
        has_values: true,
    },
    Case {
        name: "a composite key of two directions",
        call: |client| client.table("pair").order_by(["b desc", "a"]).call(),
        oracle: "select line from pair order by b desc, a",
        has_values: false,
    },
    Case {
        name: "NULLs first of what descends, made whole by the key",
        call: |client| client.table("t").order_by(["few desc"]).call().resume_key(["id"]),
        oracle: "select line from t order by few desc, id",
        has_values: false,
    },
    Case {
        name: "NULLs first of what ascends",
        call: |client| client.table("t").order_by(["few nulls first", "mood desc nulls last", "id"]).call(),
        oracle: "select line from t order by few nulls first, mood desc nulls last, id",
        has_values: false,
    },
    Case {
        name: "SQL by a number",
        call: |client| client.sql("select * from t").resume_key(["id"]),
        oracle: "select line from t order by id",
        has_values: false,
    },
    Case {
        name: "SQL by a key with NULLs, with values",
        call: |client| client.sql("select line, few, id from t where id > $1;").bind(-2000).resume_key(["few", "id"]),
        oracle: "select line from t where id > -2000 order by few, id",
        has_values: true,
    },
    Case {
        name: "SQL by text, an enum, a time",
        call: |client| client.sql("select * from t -- all").resume_key(["mood", "name", "at"]),
        oracle: "select line from t order by mood, name, at",
        has_values: false,
    },
    Case {
        name: "numbers that are equal and look different",
        call: |client| client.sql("select n, line from same").resume_key(["n"]),
        oracle: "select line from same order by n, n::text collate \"C\"",
        has_values: false,
    },
    Case {
        name: "a table by such numbers",
        call: |client| client.table("same").call().resume_key(["n"]),
        oracle: "select line from same order by n, n::text collate \"C\"",
        has_values: false,
    },
];

const STRATEGIES: [Strategy; 4] = [Strategy::Auto, Strategy::Cursor, Strategy::Portal, Strategy::Copy];

/// How rows are asked for.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Rows,
    Arrow,
    Ipc,
}

/// What a call gave: its lines (of Arrow's messages only their count), and how often it was resumed.
struct Given {
    lines: Vec<String>,
    rows: u64,
    resumed: u32,
}

/// Reads all, and has `between` look on after each batch.
async fn read(call: &Call, taken: Taken, mut between: impl FnMut(u32)) -> Result<Given, Error> {
    let mut lines = Vec::new();
    let (summary, resumed) = match taken {
        Taken::Rows => {
            let mut stream = call.stream().await?;
            while let Some(batch) = stream.next_batch().await? {
                lines.extend(batch.iter().map(|row| row.get::<&str>("line").expect("text").to_owned()));
                between(stream.resumed());
            }
            (stream.summary().cloned(), stream.resumed())
        }
        Taken::Arrow => {
            let mut stream = call.record_batches().await?;
            while let Some(batch) = stream.next_batch().await? {
                let column = batch.column_by_name("line").expect("the column").as_string::<i32>();
                lines.extend((0..column.len()).map(|row| column.value(row).to_owned()));
                between(stream.resumed());
            }
            (stream.summary().cloned(), stream.resumed())
        }
        Taken::Ipc => {
            let mut stream = call.arrow_ipc().await?;
            while stream.next_message().await?.is_some() {
                between(stream.resumed());
            }
            (stream.summary().cloned(), stream.resumed())
        }
    };
    Ok(Given { lines, rows: summary.expect("a summary").row_count, resumed })
}

/// A server, and a proxy before it that clients use.
async fn behind_proxy() -> (Pair, Proxy, Client) {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let proxy =
        Proxy::start(pair.url.trim_start_matches("http://").parse().expect("an address")).await.expect("a proxy");
    let client = Client::builder([format!("http://{}", proxy.address())]).build().expect("a valid endpoint");
    (pair, proxy, client)
}

/// Patient enough for a test that cuts more often than anything real.
fn patient() -> RetryPolicy {
    let quick = Duration::from_millis(20);
    RetryPolicy::default()
        .codes([Code::Unavailable, Code::Aborted])
        .max_retries(30)
        .backoff(quick / 4, quick)
        .max_pushback(quick)
        .budget(10_000, 1.0)
}

fn lines(pair: &Pair, oracle: &str) -> Vec<String> {
    pair.psql(oracle).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn connections_cut_at_any_byte_lose_no_row_and_double_none() {
    let (pair, proxy, client) = behind_proxy().await;
    let mut rng = fastrand::Rng::with_seed(6);
    let mut resumed = 0;
    for (i, case) in CASES.iter().enumerate() {
        let expected = lines(&pair, case.oracle);
        for (j, strategy) in STRATEGIES.into_iter().enumerate() {
            let strategy = if case.has_values && strategy == Strategy::Copy { Strategy::Auto } else { strategy };
            let taken = [Taken::Rows, Taken::Arrow, Taken::Ipc][(i + j) % 3];
            let call = (case.call)(&client).strategy(strategy).max_batch_bytes(20_000);
            let call = call.deadline(PATIENCE).resume(patient());
            let (mut seen, most) = (0, expected.iter().map(|line| line.len() as u64).sum());
            proxy.cut_after(rng.u64(2_000..most));
            let given = read(&call, taken, |resumed| {
                if resumed > seen && resumed < 4 {
                    seen = resumed;
                    proxy.cut_after(rng.u64(2_000..most));
                }
            })
            .await;
            let context = format!("{}, {strategy}, {taken:?}", case.name);
            let given = given.unwrap_or_else(|error| panic!("{context}: {error}"));
            let same = matches!(taken, Taken::Ipc) || given.lines == expected;
            assert!(same, "{context}: {}", differs(&given.lines, &expected));
            assert_eq!(given.rows, expected.len() as u64, "{context}");
            resumed += given.resumed;
        }
    }
    assert!(resumed > 40, "resumed only {resumed} times");
    pair.assert_settled().await;
}

fn differs(given: &[String], expected: &[String]) -> String {
    let at = given.iter().zip(expected).position(|(given, expected)| given != expected);
    format!("{} lines for {}, first different: {at:?}", given.len(), expected.len())
}

#[tokio::test]
async fn backends_that_are_terminated_cost_no_row() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let mut resumed = 0;
    for case in CASES {
        let expected = lines(&pair, case.oracle);
        let call = (case.call)(&pair.client()).max_batch_bytes(4_000).deadline(PATIENCE).resume(patient());
        let (mut batches, mut killed) = (0, 0);
        let given = read(&call, Taken::Rows, |_| {
            batches += 1;
            if batches % 12 == 1 && killed < 4 {
                killed += 1;
                pair.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'rowstream %' and datname = current_database()");
            }
        })
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert!(given.lines == expected, "{}: {}", case.name, differs(&given.lines, &expected));
        resumed += given.resumed;
    }
    assert!(resumed > 0, "every stream was over before its backend was killed");
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_server_that_drains_leaves_its_streams_to_another_of_the_same_keys() {
    let keys = TokenKeys::new();
    let flags = ["--token-keys", keys.path(), "--grace-period", "100ms"];
    let first = Pair::with(&flags).await;
    let url = first.database.url();
    let second = Pair::beside(&url, &flags).await;
    let client = Client::builder([&first.url, &second.url]).build().expect("valid endpoints");
    let sql = "select i as id, repeat('x', 1000) from generate_series(1, 10000) i";
    let call = client.sql(sql).resume_key(["id"]).deadline(PATIENCE);
    let streams = futures_util::future::join_all((0..6).map(|_| async {
        let (mut stream, mut given) = (call.stream().await.expect("a header"), Vec::new());
        while let Some(batch) = stream.next_batch().await.expect("gone on") {
            given.extend(batch.iter().map(|row| row.get::<i32>("id").expect("a number")));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(given.into_iter().eq(1..=10_000));
        stream.resumed()
    }));
    let draining = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        first.shutdown.cancel();
    };
    let (resumed, ()) = tokio::join!(streams, draining);
    assert!(resumed.iter().sum::<u32>() > 0);
    second.assert_settled().await;
}

async fn messages(pair: &Pair, request: StreamQueryRequest) -> Result<Vec<StreamQueryResponse>, Status> {
    let mut stream = pair.raw().await.stream_query(request).await?.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

fn rows(messages: &[StreamQueryResponse]) -> (i64, i64) {
    let batches = messages.iter().filter_map(|message| match &message.event {
        Some(Event::Batch(batch)) => Some((batch.first_row, batch.row_count)),
        _ => None,
    });
    let (mut first, mut count) = (-1, 0);
    for (first_row, row_count) in batches {
        if first < 0 {
            first = first_row;
        }
        assert_eq!(first_row, first + count);
        count += row_count;
    }
    (first, count)
}

fn by_id(text: &str) -> StreamQueryRequest {
    StreamQueryRequest { resume_key: vec!["id".to_owned()], max_batch_rows: 100, ..sql(text) }
}

#[tokio::test]
async fn every_message_leads_to_the_rest_of_the_whole() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let request = StreamQueryRequest { max_rows: 1_050, ..by_id("select * from t") };
    let whole = messages(&pair, request.clone()).await.expect("complete");
    assert_eq!(rows(&whole), (0, 1_050));
    let mut before = 0;
    for message in &whole {
        if let Some(Event::Batch(batch)) = &message.event {
            before = batch.first_row + batch.row_count;
        }
        let rest = StreamQueryRequest { resume_token: message.resume_token.clone(), ..request.clone() };
        let rest = messages(&pair, rest).await.expect("complete");
        let expected = if before == 1_050 { (-1, 0) } else { (before, 1_050 - before) };
        assert_eq!(rows(&rest), expected);
        let Some(Event::Summary(summary)) = &rest.last().expect("the summary").event else { panic!("no summary") };
        assert_eq!((summary.row_count, summary.truncated), (1_050 - before, true));
    }
}

#[tokio::test]
async fn every_message_of_rows_that_grow_in_arrow_leads_to_the_rest() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    // Some bytes each as PostgreSQL sends them, and 100 kB as text: the rows that are encoded together have to be cut.
    let large = "select i as id, ('1e' || 100000 + i)::numeric as n from generate_series(0, 99) i";
    pair.psql(&format!("create table t as {large}"));
    for strategy in [1, 2, 3] {
        let request =
            StreamQueryRequest { encoding: 2, strategy, resume_key: vec!["id".to_owned()], ..sql("select * from t") };
        let whole = messages(&pair, request.clone()).await.expect("complete");
        assert_eq!(rows(&whole), (0, 100));
        assert!(whole.len() > 8, "{} messages", whole.len());
        for message in &whole {
            assert!(!message.resume_token.is_empty());
            let Some(Event::Batch(batch)) = &message.event else { continue };
            let rest = StreamQueryRequest { resume_token: message.resume_token.clone(), ..request.clone() };
            let before = batch.first_row + batch.row_count;
            let expected = if before == 100 { (-1, 0) } else { (before, 100 - before) };
            assert_eq!(rows(&messages(&pair, rest).await.expect("complete")), expected);
        }
    }
}

#[tokio::test]
async fn what_has_no_order_to_go_by_says_so_and_gives_no_token() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let client = pair.client();
    for (call, expected) in [
        (client.sql("select * from t"), ResumeGuarantee::None),
        (client.table("t").call(), ResumeGuarantee::None),
        (client.table("pair").order_by(["a"]).call(), ResumeGuarantee::None),
        (client.table("t").columns(["line"]).order_by(["id"]).call(), ResumeGuarantee::None),
        (client.table("pair").order_by(["b", "a"]).call(), ResumeGuarantee::KeysetLive),
        (client.table("t").call().resume_key(["*"]), ResumeGuarantee::KeysetLive),
    ] {
        let stream = call.stream().await.expect("a header");
        assert_eq!(stream.header().resume_guarantee, expected, "{call:?}");
        assert_eq!(stream.resume_token().is_some(), expected != ResumeGuarantee::None);
    }
}

#[tokio::test]
async fn a_key_that_cannot_serve_is_refused_by_name() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let client = pair.client();
    for (call, told) in [
        (client.sql("select 1 as a").resume_key(["b"]), "the result has no column \"b\"; it has: a"),
        (client.sql("select 1 as a, 2 as a").resume_key(["a"]), "several columns \"a\""),
        (client.sql("select 1 as a").resume_key(["a", "a"]), "twice"),
        (client.sql("select 1 as a").resume_key(["*"]), "a table's primary key"),
        (client.table("same").call().resume_key(["*"]), "has no primary key"),
        (client.table("t").columns(["line"]).call().resume_key(["*"]), "\"id\" is not among those read"),
        (
            client.table("t").columns(["id"]).order_by(["few"]).call().resume_key(["id"]),
            "\"few\" is not among those read",
        ),
        (client.sql("select '{}'::json as a").resume_key(["a"]), "ordering operator"),
    ] {
        let error = call.stream().await.expect_err("refused");
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn rows_of_one_key_are_an_error_when_they_are_met_even_across_a_seam() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql("create table d (k int, i int); insert into d select i / 2, i from generate_series(0, 9) i; update d set k = -i where k < 3");
    let request = StreamQueryRequest { resume_key: vec!["k".to_owned()], max_batch_rows: 1, ..sql("select * from d") };
    let mut stream = pair.raw().await.stream_query(request.clone()).await.expect("headers").into_inner();
    let mut tokens = Vec::new();
    let status = loop {
        match stream.message().await {
            Ok(message) => tokens.push(message.expect("not the end").resume_token),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "RESUME_KEY_NOT_UNIQUE"));
    let last = tokens.last().expect("a token").clone();
    assert_eq!(
        status.metadata().get_bin("rowstream-resume-token-bin").expect("the trailer").to_bytes().expect("bytes"),
        last
    );
    // Behind the first of the two: the second is not taken for what was sent before.
    let rest = StreamQueryRequest { resume_token: last, ..request };
    let status = messages(&pair, rest).await.expect_err("the same");
    assert_eq!(reason(&status), "RESUME_KEY_NOT_UNIQUE");
    pair.assert_settled().await;
}

/// The token behind the first batch of a call, and the rows of that.
async fn token(pair: &Pair, request: &StreamQueryRequest) -> (Vec<u8>, i64) {
    let mut stream = pair.raw().await.stream_query(request.clone()).await.expect("headers").into_inner();
    loop {
        let message = stream.message().await.expect("a message").expect("not the end");
        if let Some(Event::Batch(batch)) = message.event {
            return (message.resume_token, batch.row_count);
        }
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_own_request_alone_and_unaltered() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let request = by_id("select id, line from t");
    let (good, sent) = token(&pair, &request).await;
    for at in (0..good.len()).step_by(3) {
        let mut altered = good.clone();
        altered[at] ^= 1;
        let altered = StreamQueryRequest { resume_token: altered, ..request.clone() };
        assert_eq!(reason(&messages(&pair, altered).await.expect_err("altered")), "INVALID_TOKEN", "byte {at}");
    }
    for other in [
        by_id("select id, line from t "),
        StreamQueryRequest { max_rows: 7, ..request.clone() },
        StreamQueryRequest { resume_key: vec!["line".to_owned()], ..request.clone() },
        StreamQueryRequest { resume_key: Vec::new(), ..request.clone() },
        StreamQueryRequest { encoding: 2, ..request.clone() },
    ] {
        let other = StreamQueryRequest { resume_token: good.clone(), ..other };
        let status = messages(&pair, other).await.expect_err("another request");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_TOKEN"));
    }
    let same = StreamQueryRequest {
        resume_token: good,
        strategy: 3,
        max_batch_rows: 7,
        max_batch_bytes: 5_000,
        query_id: "another".to_owned(),
        ..request
    };
    assert_eq!(rows(&messages(&pair, same).await.expect("the same request")), (sent, 4_000 - sent));
    let stranger = Pair::with(&["--tables", "public.*"]).await;
    stranger.psql(TABLE);
    let request = by_id("select id, line from t");
    let foreign = StreamQueryRequest { resume_token: token(&stranger, &request).await.0, ..request };
    assert_eq!(reason(&messages(&pair, foreign).await.expect_err("of another server")), "INVALID_TOKEN");
}

#[tokio::test]
async fn other_columns_end_a_stream_that_would_go_on() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let client = pair.client();
    for call in [
        client.sql("select * from t").resume_key(["id"]).max_batch_rows(10),
        client.table("t").order_by(["id"]).call().max_batch_rows(10),
    ] {
        let mut stream = call.stream().await.expect("a header");
        stream.next_batch().await.expect("a batch").expect("rows");
        let token = stream.resume_token().expect("a token").clone();
        drop(stream);
        // ALTER TABLE waits for whoever reads.
        pair.assert_idle().await;
        let column = format!("more{}", fastrand::u32(..));
        pair.psql(&format!("alter table t add column {column} int"));
        let error = call.clone().resume_from(token).stream().await.expect_err("another table");
        assert_eq!(error.server().and_then(|server| server.reason()), Some(Reason::SchemaChanged), "{error}");
        assert_eq!(error.code(), Code::Aborted);
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn what_comes_behind_the_key_is_seen_and_what_comes_before_it_is_not() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql("create table live as select i * 10 as id from generate_series(1, 100) i; alter table live add primary key (id)");
    let call = pair.client().table("live").order_by(["id"]).call().max_batch_rows(10);
    let mut stream = call.stream().await.expect("a header");
    let mut ids: Vec<i32> = Vec::new();
    let mut take =
        |batch: rowstream_client::RowBatch| ids.extend(batch.iter().map(|row| row.get::<i32>("id").expect("a number")));
    take(stream.next_batch().await.expect("a batch").expect("rows"));
    let token = stream.resume_token().expect("a token").clone();
    drop(stream);
    // The last row that was sent goes, one comes before the boundary, one behind it, one behind it goes.
    pair.psql("delete from live where id in (100, 200); insert into live values (55), (555)");
    let mut rest = call.resume_from(token).stream().await.expect("a header");
    while let Some(batch) = rest.next_batch().await.expect("a batch") {
        take(batch);
    }
    let mut expected: Vec<i32> = (1..=100).map(|i| i * 10).filter(|id| *id != 200).chain([555]).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_deadline_gives_the_token_to_go_on_under_another() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    let call = pair.client().table("t").order_by(["id"]).call().max_batch_rows(50);
    let (mut token, mut rows, mut pieces) = (None, Vec::new(), 0);
    loop {
        pieces += 1;
        let piece = call.clone().deadline(Duration::from_millis(500));
        let piece = match token.clone() {
            Some(token) => piece.resume_from(token),
            None => piece,
        };
        let error = match piece.stream().await {
            Ok(mut stream) => loop {
                match stream.next_batch().await {
                    Ok(Some(batch)) => {
                        rows.extend(batch.iter().map(|row| row.get::<i64>("id").expect("a number").to_string()));
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            },
            Err(error) => Some(error),
        };
        let Some(error) = error else { break };
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
        token = error.resume_token().cloned().or(token);
        assert!(pieces < 100);
    }
    assert!(pieces > 1);
    assert!(rows == lines(&pair, "select id from t order by id"), "{} rows", rows.len());
    pair.assert_settled().await;
}

#[tokio::test]
async fn resuming_can_be_turned_off() {
    let (pair, proxy, client) = behind_proxy().await;
    let call = client.table("t").order_by(["id"]).call().deadline(PATIENCE).resume(RetryPolicy::none());
    proxy.cut_after(100_000);
    let Err(error) = read(&call, Taken::Rows, |_| {}).await else { panic!("it was cut") };
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let token = error.resume_token().expect("a token").clone();
    let expected = lines(&pair, "select line from t order by id");
    let rest = read(&call.resume_from(token), Taken::Rows, |_| {}).await.expect("the rest");
    assert!(!rest.lines.is_empty() && expected.ends_with(&rest.lines));
}
