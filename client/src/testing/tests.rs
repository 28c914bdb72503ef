//! The fake server, as the code under test sees it.

use std::{error::Error as _, time::Duration};

use futures_util::TryStreamExt as _;
use rowstream_contract::v1::{QueryRowRequest, Statement, query_service_client::QueryServiceClient, statement::Source};
use tokio::time::{Instant, timeout};
use tonic::transport::Endpoint;

use super::{Answer, Damage, End, FakeServer};
use crate::{Client, Code, Error, Health, Reason, Value};

const COLUMNS: [(&str, &str); 2] = [("id", "int8"), ("name", "text")];

fn three_rows() -> Answer {
    Answer::rows(COLUMNS, [(1, Some("a")), (2, Some("b")), (3, None)])
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The ids that a query gives.
async fn ids(client: &Client, query: &str) -> Result<Vec<i64>, Error> {
    let rows = client.query(query).deadline(Duration::from_secs(60)).stream().await?;
    rows.and_then(|row| std::future::ready(row.get::<i64>("id").map_err(Error::from))).try_collect().await
}

#[tokio::test(start_paused = true)]
async fn answers_come_one_after_the_other_and_the_last_one_stays() {
    let server = FakeServer::start().await;
    let client = server.client();
    let down = Answer::error(Code::Unavailable, Reason::DatabaseUnavailable).retry_after(ms(250));
    server.on("q", [down, three_rows()]);
    let error = ids(&client, "q").await.unwrap_err();
    let told = error.server().unwrap();
    assert_eq!((told.code(), told.reason()), (Code::Unavailable, Some(Reason::DatabaseUnavailable)));
    assert_eq!((told.retry_delay(), told.query_id()), (Some(ms(250)), Some("fake-0")));
    for _ in 0..2 {
        assert_eq!(ids(&client, "q").await.unwrap(), [1, 2, 3]);
    }
    let error = ids(&client, "other").await.unwrap_err();
    assert_eq!(error.server().unwrap().reason(), Some(Reason::UnknownQuery));
    server.otherwise(Answer::rows(COLUMNS, [(9, "x")]));
    assert_eq!(ids(&client, "other").await.unwrap(), [9]);
    server.on("q", Answer::rows(COLUMNS, [(4, "new")]));
    assert_eq!(ids(&client, "q").await.unwrap(), [4], "what is scripted anew counts");
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_depend_on_the_call() {
    let server = FakeServer::start().await;
    server.on_request("SELECT $1", |request| match request.parameter("1").and_then(Value::as_i64) {
        Some(id) => Answer::rows([("id", "int8")], [[id * 2]]),
        None => Answer::error(Code::InvalidArgument, Reason::InvalidParameter).message("$1 is no integer"),
    });
    let call = server.client().sql("SELECT $1");
    let row = call.clone().bind(21).query_row().await.unwrap();
    assert_eq!(row.get::<i64>("id").unwrap(), 42);
    let error = call.bind("x").query_row().await.unwrap_err();
    assert_eq!(error.to_string(), "$1 is no integer (INVALID_ARGUMENT)");
}

#[tokio::test(start_paused = true)]
async fn delays_are_exact_on_a_paused_clock() {
    let server = FakeServer::start().await;
    let client = server.client();
    server.on("q", three_rows().after(Duration::from_secs(30)).batch_rows(1).every(ms(1_250)));
    let start = Instant::now();
    let mut rows = client.query("q").stream().await.unwrap();
    let mut arrivals = Vec::new();
    while rows.next_batch().await.unwrap().is_some() {
        arrivals.push(start.elapsed().as_millis());
    }
    assert_eq!(arrivals, [30_000, 31_250, 32_500]);
    assert_eq!(server.calls()[0].batches, 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_recorded_with_its_deadline_its_values_and_its_end() {
    let server = FakeServer::start().await;
    server.on("q", three_rows().after(ms(700)));
    let start = Instant::now();
    let call = server.client().query("q").bind_named("user", "ada").deadline(Duration::from_secs(5)).query_id("mine");
    call.query_row().await.unwrap();
    let calls = server.calls();
    let request = &calls[0].request;
    assert_eq!((request.query.as_str(), request.query_id.as_str(), request.previous_attempts), ("q", "mine", 0));
    assert_eq!(request.parameter("user").and_then(Value::as_text), Some("ada"));
    assert_eq!((request.timeout, request.at, request.connection), (Some(Duration::from_secs(5)), start, 1));
    assert_eq!(calls[0].end, Some((End::Answered, start + ms(700))));
    assert_eq!(server.take_calls().len(), 1);
    assert_eq!(server.calls().len(), 0);
    call.query_row().await.unwrap();
    assert_eq!(server.calls()[0].request.number, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_counts_as_cancelled_and_leaves_nothing() {
    let server = FakeServer::start().await;
    let client = server.client();
    server.on("never", Answer::hang()).on("then_silent", three_rows().batch_rows(1).hang_after(1));
    let call = client.query("never").deadline(ms(100));
    let start = Instant::now();
    assert!(matches!(call.stream().await.unwrap_err(), Error::DeadlineExceeded { .. }));
    assert_eq!(start.elapsed(), ms(100));
    server.until_idle().await;

    let mut rows = client.query("then_silent").stream().await.unwrap();
    assert_eq!(rows.next_batch().await.unwrap().unwrap().len(), 1);
    assert!(timeout(Duration::from_secs(3600), rows.next_batch()).await.is_err());
    assert_eq!(server.in_flight(), 1);
    drop(rows);
    server.until_idle().await;
    assert_eq!((server.cancelled(), server.most_in_flight()), (2, 1));
    assert!(server.calls().iter().all(|call| matches!(call.end, Some((End::Cancelled, _)))));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_end_is_asked_for() {
    let server = FakeServer::start().await;
    let client = server.client();
    server.on("q", three_rows().hang_after(0));
    let mut rows = client.query("q").query_id("mine").stream().await.unwrap();
    assert!(client.cancel("mine").await.unwrap());
    let error = rows.next_batch().await.unwrap_err();
    assert_eq!(error.server().unwrap().reason(), Some(Reason::CancelRequested));
    assert!(!client.cancel("mine").await.unwrap(), "it is over");
    assert_eq!(server.cancel_requests(), ["mine", "mine"]);
}

#[tokio::test(start_paused = true)]
async fn every_damage_is_an_error_and_never_a_result() {
    let server = FakeServer::start().await;
    let client = server.client();
    for (damage, told) in [
        (Damage::Empty, "cut off after 0 rows"),
        (Damage::NoHeader, "does not begin with a header"),
        (Damage::SecondHeader, "a second header"),
        (Damage::RowGap, "a batch begins at row 7, where 0 comes next"),
        (Damage::MalformedRows, "malformed rows"),
        (Damage::NoSummary, "cut off after 3 rows"),
        (Damage::RowCount, "summary says row count 4, but 3"),
        (Damage::ByteCount, "summary says byte count"),
        (Damage::Checksum, "summary says checksum"),
        (Damage::AfterSummary, "a message after the summary"),
    ] {
        server.on("q", three_rows().batch_rows(2).damaged(damage));
        let error = ids(&client, "q").await.unwrap_err().to_string();
        assert!(error.contains(told), "{damage:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_stops_where_the_script_says() {
    let server = FakeServer::start().await;
    let client = server.client();
    let answer = three_rows().batch_rows(1);
    for (batches, rows) in [(0, 0), (2, 2), (9, 3)] {
        server.on("q", answer.clone().error_after(batches, Code::Internal, None).message("boom"));
        let mut stream = client.query("q").stream().await.unwrap();
        while let Ok(Some(_)) = stream.next_batch().await {}
        assert_eq!(stream.rows_received(), rows);
        assert!(stream.summary().is_none());
    }
    server.on("q", answer.cut_after(1));
    let error = ids(&client, "q").await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    server.until_idle().await;
    assert!(matches!(server.calls()[3].end, Some((End::Cut, _))));
    assert_eq!(server.cancelled(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_callers_limit_on_rows_is_obeyed_and_told() {
    let server = FakeServer::start().await;
    let client = server.client();
    server.on("q", three_rows()).on("endless", three_rows().batch_rows(2).endless());
    for (query, limit, rows, truncated) in [("q", 2, 2, true), ("q", 3, 3, false), ("endless", 1_001, 1_001, true)] {
        let mut stream = client.query(query).max_rows(limit).stream().await.unwrap();
        while stream.next_batch().await.unwrap().is_some() {}
        let summary = stream.summary().unwrap();
        assert_eq!((summary.row_count, summary.truncated), (rows, truncated), "{query} {limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_refuses_and_comes_back_on_its_port() {
    let server = FakeServer::start().await;
    let client = server.client();
    server.on("q", three_rows()).on("never", Answer::hang());
    let waiting = client.query("never");
    let (lost, ()) = tokio::join!(waiting.stream(), async {
        server.until(|server| server.in_flight() == 1).await;
        server.stop().await;
    });
    assert!(matches!(lost.unwrap_err(), Error::Transport { .. }));
    let error = ids(&client, "q").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    server.stop().await;
    server.restart().await;
    server.restart().await;
    assert_eq!(ids(&client, "q").await.unwrap(), [1, 2, 3]);

    server.cut_connections();
    assert_eq!(ids(&server.client(), "q").await.unwrap(), [1, 2, 3]);
    let url = server.url().to_owned();
    drop(server);
    let error = ids(&Client::builder([url]).build().unwrap(), "q").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn its_health_is_what_the_test_says() {
    let server = FakeServer::start().await;
    let client = server.client();
    assert_eq!(client.health().await.unwrap(), Health::Serving);
    server.set_serving(false).await;
    assert_eq!(client.health().await.unwrap(), Health::NotServing);
    server.stop().await;
    server.restart().await;
    assert_eq!(server.client().health().await.unwrap(), Health::NotServing, "a restart changes nothing else");
}

#[tokio::test]
async fn another_client_reaches_it_over_tcp_and_sees_the_pushback() {
    let server = FakeServer::start().await;
    server.on("q", Answer::error(Code::Unavailable, None).pushback_ms(1_500));
    let channel = Endpoint::from_shared(server.url().to_owned()).unwrap().connect().await.unwrap();
    let mut service = QueryServiceClient::new(channel);
    let statement = Statement { source: Some(Source::Query("q".to_owned())), ..Statement::default() };
    let request = QueryRowRequest { statement: Some(statement), query_id: String::new() };
    let status = service.query_row(request.clone()).await.unwrap_err();
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1500");

    server.on("q", Answer::hang());
    let (lost, ()) = tokio::join!(service.query_row(request), async {
        server.until(|server| server.in_flight() == 1).await;
        server.cut_connections();
    });
    assert!(lost.unwrap_err().source().is_some(), "the transport failed");
    assert_eq!(server.calls()[1].request.timeout, None);
}
