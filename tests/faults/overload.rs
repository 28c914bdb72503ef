//! More calls than there is room for, and clients that fall silent.

use futures_util::future::join_all;
use rowstream_testkit::PATIENCE;
use tonic::Code;

use crate::{
    calls::{endless, is, open, outcome, row_of, stream_of},
    frames::{Raw, STREAM_QUERY, message},
    harness::Server,
};

#[tokio::test]
async fn calls_beyond_every_bound_are_refused_at_once_and_those_within_are_served() {
    // One runs, one waits; 258 in all may be on their way to an answer.
    let flags = ["--max-streams", "1", "--max-queue", "1", "--pool-max", "1", "--max-connection-streams", "1000"];
    let server = Server::start(&flags).await;
    let held = open(&server.new_client(), &endless()).await;
    let calls = (0..600).map(|_| {
        let mut client = server.client();
        async move { client.query_row(row_of("select 1")).await.map(drop).map_err(|status| outcome(&status)) }
    });
    let mut calls = std::pin::pin!(join_all(calls));
    let outcomes = tokio::select! {
        outcomes = &mut calls => outcomes,
        () = tokio::time::sleep(PATIENCE) => panic!("a refusal does not wait"),
    };
    let count =
        |reason: &str| outcomes.iter().filter(|outcome| **outcome == Err(is(Code::ResourceExhausted, reason))).count();
    let (full, shed, waited) = (count("QUEUE_FULL"), count("OVERLOADED"), count("QUEUE_TIMEOUT"));
    println!("{full} found the queue full, {shed} were shed, {waited} waited in vain");
    assert_eq!(full + shed + waited, 600, "nothing else: {outcomes:?}");
    assert_eq!(waited, 1, "the one place in the queue");
    drop(held);
    server.assert_settled().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_loses_its_connection_and_frees_its_backend() {
    let flags = ["--keepalive-interval", "2s", "--keepalive-timeout", "2s", "--stall-timeout", "10m"];
    let server = Server::start(&flags).await;
    let mut silent = Raw::connect(server.address).await.expect("a connection");
    silent.send_call(1, STREAM_QUERY, &message(&stream_of(&endless()))).await.expect("sent");
    // It reads, but as if its process were stopped it answers nothing: no PING, and no batch with room for more.
    silent.until_closed(PATIENCE).await;
    drop(silent);
    server.watch().await.until_idle(PATIENCE).await;
    server.assert_settled().await;
}
