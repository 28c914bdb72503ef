//! SIGTERM: no new callers, time for the streams under way, and then the end, without a trace in
//! PostgreSQL.

use futures_util::future::join_all;
use rowstream_testkit::eventually;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    harness::{ENDLESS, PATIENCE, Server, health, is, open, outcome, read, watch_health},
    process::Program,
};

const STREAMS: usize = 20;
/// 5 MB: more than all buffers between the server and a caller who does not read.
const LARGE: &str = "select i, repeat('x', 1000) from generate_series(1, 5000) i";

#[tokio::test]
async fn sigterm_refuses_new_callers_and_lets_streams_end_well() {
    let mut server = Server::start(&["--pool-max", "20", "--grace-period", "10m"]).await;
    let client = server.client();
    let streams = join_all((0..STREAMS).map(|_| open(&client, LARGE))).await;
    let mut watch = watch_health(server.address).await;
    assert_eq!(watch.message().await.expect("health").expect("a first answer").status(), ServingStatus::Serving);

    server.program.signal("TERM");
    let told = watch.message().await.expect("health").expect("a second answer");
    assert_eq!(told.status(), ServingStatus::NotServing);
    eventually("new connections are refused", PATIENCE, async || TcpStream::connect(server.address).await.is_err())
        .await;
    health(server.address).await.expect_err("nobody listens");

    // None of them could end before, because nobody read.
    for summary in join_all(streams.into_iter().map(read)).await {
        assert_eq!(summary.expect("a stream under way ends well").row_count, 5000);
    }
    let ended = server.program.end().await;
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    server.assert_no_backend().await;
}

/// Nothing but calls is waited for: neither who is silent nor who watches.
#[tokio::test]
async fn connections_without_a_call_do_not_hold_up_the_end() {
    let mut server = Server::start(&["--grace-period", "10m"]).await;
    let _silent = TcpStream::connect(server.address).await.expect("connected");
    let mut watch = watch_health(server.address).await;
    watch.message().await.expect("health").expect("a first answer");
    server.program.signal("TERM");
    assert_eq!(server.program.end().await.status, Some(0));
}

#[tokio::test]
async fn after_the_grace_period_streams_are_told_and_nothing_is_left() {
    let mut server = Server::start(&["--pool-max", "20", "--grace-period", "200ms"]).await;
    let client = server.client();
    let streams = join_all((0..STREAMS).map(|_| open(&client, ENDLESS))).await;
    server.program.signal("TERM");
    for ended in join_all(streams.into_iter().map(read)).await {
        assert_eq!(outcome(&ended.expect_err("there is no end")), is(Code::Unavailable, "DRAINING"));
    }
    let ended = server.program.end().await;
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    server.assert_no_backend().await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let mut server = Server::start(&["--grace-period", "1h"]).await;
        let client = server.client();
        let stream = tokio::spawn(read(open(&client, ENDLESS).await));
        server.program.signal(first);
        server.program.until_logged("draining; a second signal ends at once").await;
        server.program.signal(second);
        assert_eq!(server.program.end().await.status, Some(1), "{first}, {second}");
        stream.await.expect("no panic").expect_err("cut off");
    }
}

#[tokio::test]
async fn signals_are_heard_when_nobody_reads_the_log_any_more() {
    let mut server = Server::spawn(Program::with_lost_stderr().args(["--grace-period", "10m"])).await;
    let client = server.client();
    let stream = open(&client, LARGE).await;
    server.program.signal("TERM");
    eventually("new connections are refused", PATIENCE, async || TcpStream::connect(server.address).await.is_err())
        .await;
    assert_eq!(read(stream).await.expect("a stream under way ends well").row_count, 5000);
    assert_eq!(server.program.end().await.status, Some(0));
    server.assert_no_backend().await;

    // The second signal is heard by whoever has logged the first.
    let mut server = Server::spawn(Program::with_lost_stderr().args(["--grace-period", "1h"])).await;
    let client = server.client();
    let stream = tokio::spawn(read(open(&client, ENDLESS).await));
    server.program.signal("TERM");
    eventually("new connections are refused", PATIENCE, async || TcpStream::connect(server.address).await.is_err())
        .await;
    server.program.signal("TERM");
    assert_eq!(server.program.end().await.status, Some(1));
    stream.await.expect("no panic").expect_err("cut off");
}
