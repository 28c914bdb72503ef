//! The log: JSON where nobody looks at a terminal, one line a call, and never a secret or a row.

use std::time::Duration;

use rowstream_contract::v1::{
    DescribeQueryRequest, Encoding, QueryRowRequest, Statement, Strategy, StreamQueryRequest, statement::Source,
};
use tempfile::tempdir;
use tonic::Code;

use crate::{
    harness::{Server, client, outcome, read, row_of, statement, statement_with, stream_of, until_serving, within},
    process::{Ended, Line, Program},
};

/// What every value and text of these tests contains, and no line of the log may.
const SECRET: &str = "secret-text-123";
const NAMED: &str = "-- description: One text\nselect 'secret-text-123' as one";

/// The one `call` line of a call.
fn call_line(log: &[Line], query_id: &str) -> usize {
    let is_it = |line: &Line| line.message() == "call" && line.text("query_id") == query_id;
    let lines: Vec<usize> = (0..log.len()).filter(|&i| is_it(&log[i])).collect();
    assert_eq!(lines.len(), 1, "one line for {query_id}: {lines:?}");
    lines[0]
}

fn streaming(query_id: &str, statement: Statement) -> StreamQueryRequest {
    StreamQueryRequest { query_id: query_id.to_owned(), statement: Some(statement), ..StreamQueryRequest::default() }
}

fn one_row(query_id: &str, statement: Statement) -> QueryRowRequest {
    QueryRowRequest { query_id: query_id.to_owned(), statement: Some(statement) }
}

#[tokio::test]
async fn every_call_has_one_line_that_tells_what_it_took() {
    let folder = tempdir().expect("a folder");
    std::fs::write(folder.path().join("one.sql"), NAMED).expect("written");
    let mut server = Server::start(&["--queries", folder.path().to_str().expect("UTF-8")]).await;
    let mut client = server.client();

    let rows = statement("select i, repeat('x', 100) from generate_series(1, 5000) i");
    let stream = client.stream_query(streaming("stream", rows)).await.expect("headers").into_inner();
    let summary = read(stream).await.expect("a summary");
    let arrow = StreamQueryRequest {
        encoding: Encoding::Arrow.into(),
        ..streaming("arrow", statement_with("select $1::text", SECRET))
    };
    read(client.stream_query(arrow).await.expect("headers").into_inner()).await.expect("a summary");
    let copy = streaming("copy", statement("select 1"));
    let copy = StreamQueryRequest { encoding: Encoding::Arrow.into(), strategy: Strategy::Copy.into(), ..copy };
    read(client.stream_query(copy).await.expect("headers").into_inner()).await.expect("a summary");
    client.query_row(one_row("row", statement("select 1"))).await.expect("a row");
    let named = Statement { source: Some(Source::Query("one".to_owned())), ..Statement::default() };
    client.query_row(one_row("named", named)).await.expect("a row");
    client.query_row(one_row("none", statement("select 1 where false"))).await.expect_err("no row");
    client.stream_query(streaming("wrong", statement("select 1 / 0"))).await.expect_err("an error");
    let late = within(Duration::from_millis(100), one_row("late", statement("select pg_sleep(60)")));
    client.query_row(late).await.expect_err("too late");
    let mut left = client.stream_query(streaming("left", statement(crate::harness::ENDLESS))).await.expect("headers");
    left.get_mut().message().await.expect("a message");
    drop(left);
    client
        .describe_query(DescribeQueryRequest { statement: Some(statement("select 2")), plan_estimate: false })
        .await
        .expect("a description");

    server.assert_idle().await;
    let log = server.program.terminate().await.log();
    for (query_id, kind, statement, outcome, strategy, encoding) in [
        ("stream", "stream", "sql", "OK", "cursor", "rows"),
        ("arrow", "stream", "sql", "OK", "portal", "arrow"),
        ("copy", "stream", "sql", "OK", "copy", "arrow"),
        ("row", "row", "sql", "OK", "cursor", "rows"),
        ("named", "row", "one", "OK", "cursor", "rows"),
        ("none", "row", "sql", "NO_ROW", "cursor", "rows"),
        ("wrong", "stream", "sql", "SQL_ERROR", "cursor", "rows"),
        ("late", "row", "sql", "DEADLINE_EXCEEDED", "cursor", "rows"),
        ("left", "stream", "sql", "CALLER_GONE", "cursor", "rows"),
    ] {
        let line = &log[call_line(&log, query_id)];
        let told = ["kind", "statement", "outcome", "strategy", "encoding"].map(|field| line.text(field));
        assert_eq!(told, [kind, statement, outcome, strategy, encoding], "{query_id}");
        let times = ["queued_ms", "database_ms", "encode_ms", "client_wait_ms"].map(|field| line.number(field));
        assert!(times.iter().all(|part| *part <= line.number("total_ms") + 1.0), "{line:?}");
    }
    let line = &log[call_line(&log, "stream")];
    assert_eq!([line.count("rows"), line.count("bytes")], [summary.row_count, summary.byte_count]);
    let calls = log.iter().filter(|line| line.message() == "call");
    let described: Vec<_> = calls.clone().filter(|line| line.text("kind") == "describe").collect();
    assert_eq!(calls.count() - described.len(), 9, "no other calls");
    // The named query's check at the start, and the call.
    let described: Vec<_> = described.iter().map(|line| line.text("statement")).collect();
    assert_eq!(described, ["one", "sql"]);
}

#[tokio::test]
async fn neither_sql_nor_values_nor_what_postgresql_says_of_them_are_logged() {
    let mut server = Server::start(&[]).await;
    let mut client = server.client();
    // Whatever class a function says its error is of.
    let raise = "create function raise(class text) returns int language plpgsql as \
                 $$ begin raise exception 'secret-text-123' using errcode = class; end $$";
    server.database.psql(raise).expect("psql");
    // Everything comes back to the caller, and only there.
    client.query_row(row_of("select 'secret-text-123'")).await.expect("a row");
    let parameter = QueryRowRequest { statement: Some(statement_with("select $1::text", SECRET)), ..row_of("") };
    client.query_row(parameter).await.expect("a row");
    let wrong = QueryRowRequest { statement: Some(statement_with("select $1::int", SECRET)), ..row_of("") };
    let mut statuses = vec![client.query_row(wrong).await.expect_err("not a number")];
    for sql in [
        "select 'secret-text-123'::int",
        "select ('secret-text-' || i)::int from generate_series(123, 130) i",
        "select \"secret-text-123\" from pg_class",
        "select 1 from 'secret-text-123'",
        "select pg_read_file('secret-text-123')",
        "select * from generate_series(1, 10) i where i > 5 and (i::text || 'secret-text-123')::date is null",
        "delete from pg_class where relname = 'secret-text-123'",
        "select raise('P0001')",
        "select raise('XX000')",
        "select raise('58030')",
        "select raise('53100')",
        "select raise('57014')",
        "select raise('08006')",
        "select raise('34000')",
        "do $$ begin raise exception 'secret-text-123'; end $$",
    ] {
        statuses.push(client.query_row(row_of(sql)).await.expect_err(sql));
        statuses.push(client.stream_query(stream_of(sql)).await.expect_err(sql));
    }
    assert!(statuses.iter().any(|status| status.message().contains(SECRET)), "the caller reads what is wrong");

    assert_silent(&server.program.terminate().await, SECRET);
}

#[tokio::test]
async fn the_databases_password_is_never_logged() {
    for (reachable, log) in [(true, "trace"), (false, "trace"), (false, "info")] {
        let postgres = rowstream_testkit::Postgres::shared();
        let port = if reachable { postgres.port() } else { 1 };
        let url = format!("postgres://postgres:hush-hush@127.0.0.1:{port}/postgres");
        let args = ["--listen", "127.0.0.1:0", "--allow-sql", "--log", log, "--database-url", &url];
        let mut program = Program::spawn(Program::command().args(args));
        let address = program.address().await;
        if reachable {
            until_serving(address).await;
        }
        let row = client(address).query_row(row_of("select 1")).await;
        assert_eq!(row.map_err(|status| outcome(&status).0).err(), (!reachable).then_some(Code::Unavailable));
        assert_silent(&program.terminate().await, "hush-hush");
    }
}

/// Asserts that the log, which is all there is, does not contain a text.
fn assert_silent(ended: &Ended, text: &str) {
    assert_eq!(ended.status, Some(0));
    assert!(!ended.log().is_empty());
    assert_eq!(ended.stdout, "");
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.contains(text)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test]
async fn the_log_can_be_for_people() {
    let args = ["--listen", "127.0.0.1:0", "--log-format", "text", "--database-url", "postgres://u@127.0.0.1:1/d"];
    let mut program = Program::spawn(Program::command().args(args));
    rowstream_testkit::eventually("it listens", crate::harness::PATIENCE, async || program.has_written("listening"))
        .await;
    let ended = program.terminate().await;
    assert!(!ended.stderr.contains('{') && !ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}
