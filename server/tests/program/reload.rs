//! SIGHUP: the named queries are read again, the server serves on, and the log says what is broken and where.

use std::fs;

use rowstream_contract::v1::{QueryRowRequest, Statement, statement::Source};
use rowstream_testkit::eventually;
use tempfile::tempdir;
use tonic::Code;

use crate::harness::{ENDLESS, PATIENCE, Server, is, open, outcome, row_of};

fn row_of_query(name: &str) -> QueryRowRequest {
    let statement = Statement { source: Some(Source::Query(name.to_owned())), ..Statement::default() };
    QueryRowRequest { statement: Some(statement), query_id: String::new() }
}

#[tokio::test]
async fn sighup_reads_the_queries_again_and_drops_no_call() {
    let folder = tempdir().expect("a folder");
    let (one, path) = (folder.path().join("one.sql"), folder.path().to_str().expect("UTF-8"));
    fs::write(&one, "select 'one'").expect("written");
    let server = Server::start(&["--queries", path, "--watch-queries", "false"]).await;
    let mut client = server.client();
    let mut stream = open(&client, ENDLESS).await;
    client.query_row(row_of_query("one")).await.expect("a row");

    fs::write(folder.path().join("two.sql"), "select 'two'").expect("written");
    fs::write(&one, "select 'one'\nfrom nowhere").expect("written");
    fs::write(folder.path().join("three.sql"), "-- description: x\n-- max_rows: 0\nselect 3").expect("written");
    server.program.signal("HUP");
    server.program.until_logged("named queries read again").await;
    client.query_row(row_of_query("one")).await.expect("the last good version serves");
    client.query_row(row_of_query("two")).await.expect("a new query");
    let status = client.query_row(row_of_query("three")).await.expect_err("broken");
    assert_eq!(outcome(&status), is(Code::FailedPrecondition, "QUERY_BROKEN"));

    let log = server.program.log();
    let line = |message: &str| log.iter().find(|line| line.message() == message).unwrap_or_else(|| panic!("{log:?}"));
    let kept = line("named query is broken; its last good version serves on");
    assert!(kept.text("file").ends_with("/one.sql"), "{kept:?}");
    assert_eq!((kept.count("line"), kept.count("column")), (2, 6));
    assert_eq!(kept.text("reason"), "relation \"nowhere\" does not exist");
    let broken = line("named query is broken");
    assert!(broken.text("file").ends_with("/three.sql") && broken.count("line") == 2, "{broken:?}");
    let summary = line("named queries read again");
    assert_eq!((summary.count("served"), summary.count("broken")), (2, 2));
    // The stream has lived through it.
    stream.message().await.expect("no error").expect("a message");
}

#[tokio::test]
async fn sighup_does_not_end_a_server_that_has_nothing_to_read_again() {
    let mut server = Server::start(&[]).await;
    server.program.signal("HUP");
    let client = server.client();
    for _ in 0..10 {
        client.clone().query_row(row_of("select 1")).await.expect("it serves");
    }
    assert!(!server.program.has_ended());
}

#[tokio::test]
async fn with_watching_off_a_change_waits_for_sighup() {
    let folder = tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let server = Server::start(&["--queries", path, "--watch-queries", "false"]).await;
    let watching = Server::start(&["--queries", path]).await;
    fs::write(folder.path().join("one.sql"), "select 'one'").expect("written");
    eventually("a server that watches has taken it up", PATIENCE, async || {
        watching.client().query_row(row_of_query("one")).await.is_ok()
    })
    .await;
    let status = server.client().query_row(row_of_query("one")).await.expect_err("not read yet");
    assert_eq!(outcome(&status), is(Code::NotFound, "UNKNOWN_QUERY"));
    server.program.signal("HUP");
    server.program.until_logged("named queries read again").await;
    server.client().query_row(row_of_query("one")).await.expect("read now");
}
