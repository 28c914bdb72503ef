//! What PostgreSQL does not go on with: the statements of a program that was killed, and of a call
//! whose deadline has passed.

use std::time::Duration;

use rowstream_testkit::eventually;
use tonic::Code;

use crate::harness::{ENDLESS, PATIENCE, Server, is, open, outcome, read, row_of, stream_of, within};

const ASLEEP: &str = "select pg_sleep(60)";

#[tokio::test]
async fn a_killed_program_leaves_no_backend_and_its_callers_an_error() {
    let mut server = Server::start(&[]).await;
    let mut client = server.client();
    let mut events = open(&client, ENDLESS).await;
    for _ in 0..3 {
        events.message().await.expect("a message").expect("not the end");
    }
    // One backend sends rows; another one sleeps, and learns only by looking that nobody waits for it.
    let asleep = tokio::spawn(async move { client.query_row(row_of(ASLEEP)).await });
    eventually("the statement runs", PATIENCE, async || server.active(ASLEEP) > 0).await;

    server.program.signal("KILL");
    read(events).await.expect_err("cut off");
    asleep.await.expect("no panic").expect_err("cut off");
    eventually("the program has ended", PATIENCE, async || server.program.has_ended()).await;
    server.assert_no_backend().await;
}

#[tokio::test]
async fn a_callers_deadline_ends_the_backends_statement() {
    let server = Server::start(&[]).await;
    let timeout = Duration::from_millis(300);
    let row = server.client().query_row(within(timeout, row_of(ASLEEP))).await;
    assert_eq!(outcome(&row.expect_err("too late")), is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    let stream = server.client().stream_query(within(timeout, stream_of(ASLEEP))).await;
    assert_eq!(outcome(&stream.expect_err("too late")), is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    server.assert_idle().await;
    server.client().query_row(row_of("select 1")).await.expect("it goes on serving");
}
