//! Figures 4 and 5: callers that give up by the thousand, by RST_STREAM and by TCP reset. PostgreSQL stops working
//! for each of them at once, and no other call is harmed.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowstream_contract::v1::{QueryRowRequest, StreamQueryRequest};
use rowstream_testkit::PATIENCE;
use tokio::time::{sleep, timeout};

use crate::{
    calls::{Client, MARKER, endless, row_of, rows, stream_of},
    direct::Direct,
    harness::Server,
    size::{Size, Times, figure},
    watch::Watch,
};

/// How many callers at a time.
const CALLERS: usize = 4;
const STOPPED_WITHIN: Duration = Duration::from_millis(250);
const ENDED_WITHIN: Duration = Duration::from_secs(1);

/// When a backend stopped working, and when its transaction had ended, counted from the caller's end.
#[derive(Default)]
struct Measured {
    stopped: Times,
    ended: Times,
}

/// How a caller goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It resets its stream and keeps its connection.
    Rst,
    /// Its connection is reset.
    Reset,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_ends_its_statement_whichever_way_it_goes() {
    let count = Size::asked().count(40, 5_000);
    let server = Server::start(&["--pool-max", "4", "--max-streams", "4"]).await;
    for way in [Way::Rst, Way::Reset] {
        let each = (0..CALLERS).map(|caller| callers(&server, way, caller, count / CALLERS));
        let mut measured = Measured::default();
        for one in join_all(each).await {
            measured.stopped.extend(one.stopped);
            measured.ended.extend(one.ended);
        }
        let Measured { stopped, ended } = measured;
        figure(
            4,
            stopped.percentile(99) <= STOPPED_WITHIN,
            format!("{way:?}: {}, not active after {stopped}", stopped.len()),
        );
        figure(4, ended.most() <= ENDED_WITHIN, format!("{way:?}: {}, no transaction after {ended}", ended.len()));
    }
    server.assert_settled().await;
}

/// One caller after another.
async fn callers(server: &Server, way: Way, caller: usize, count: usize) -> Measured {
    let (mut measured, mut watch) = (Measured::default(), server.watch().await);
    for number in 0..count {
        let id = format!("{way:?}-{caller}-{number}");
        let gone = match way {
            Way::Rst => go_by_rst(server.client(), &mut watch, request(&id, number)).await,
            Way::Reset => go_by_reset(server, &mut watch, request(&id, number)).await,
        };
        let theirs = format!("application_name like 'rowstream {id} %'");
        measured.stopped.push(until_none(&mut watch, gone, &format!("{theirs} and state = 'active'")).await);
        measured.ended.push(until_none(&mut watch, gone, &format!("{theirs} and state <> 'idle'")).await);
    }
    measured
}

/// Before the first row, between rows, in the middle of many, and with nobody reading.
fn request(id: &str, number: usize) -> StreamQueryRequest {
    let sql = match number % 3 {
        0 => format!("select i, '{MARKER}' from generate_series(1, 100000000) i order by i % 7, i"),
        1 => endless(),
        _ => rows(100_000_000),
    };
    StreamQueryRequest { query_id: id.to_owned(), ..stream_of(&sql) }
}

async fn go_by_rst(mut client: Client, watch: &mut Watch, request: StreamQueryRequest) -> Instant {
    let id = request.query_id.clone();
    let call = tokio::spawn(async move {
        let mut events = client.stream_query(request).await?.into_inner();
        while events.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    });
    until_begun(watch, &id).await;
    call.abort();
    let gone = Instant::now();
    assert!(call.await.is_err_and(|error| error.is_cancelled()), "the call has no end of its own");
    gone
}

async fn go_by_reset(server: &Server, watch: &mut Watch, request: StreamQueryRequest) -> Instant {
    let id = request.query_id.clone();
    let direct = Direct::connect(server.address).await;
    let mut client = direct.client.clone();
    // Takes nothing: before its end it may be stalled.
    let call = tokio::spawn(async move {
        let events = client.stream_query(request).await?.into_inner();
        std::future::pending::<()>().await;
        drop(events);
        Ok::<_, tonic::Status>(())
    });
    until_begun(watch, &id).await;
    let gone = Instant::now();
    direct.reset().await;
    call.abort();
    gone
}

/// Waits for a call's transaction, and a little at random.
async fn until_begun(watch: &mut Watch, id: &str) {
    let begun = format!("application_name like 'rowstream {id} %' and state <> 'idle'");
    let start = Instant::now();
    while watch.count(&begun).await == 0 {
        assert!(start.elapsed() < PATIENCE, "{id} does not begin");
    }
    sleep(Duration::from_micros(fastrand::u64(0..8_000))).await;
}

/// Asks until there is no such backend.
async fn until_none(watch: &mut Watch, since: Instant, backend: &str) -> Duration {
    while watch.count(backend).await > 0 {
        assert!(since.elapsed() < PATIENCE, "there still is a backend where {backend}");
    }
    since.elapsed()
}

/// The race that other pools have had: a cancel that comes late ends the next borrower's statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_on_a_pool_of_one_harms_no_other_call() {
    let count = Size::asked().count(300, 10_000);
    let server = Server::start(&["--pool-max", "1"]).await;
    let mut client = server.client();
    for number in 0..count {
        let mut cancelled = client.clone();
        let sql = if number % 2 == 0 { "select pg_sleep(5)".to_owned() } else { endless() };
        let call = async move {
            let mut events = cancelled.stream_query(stream_of(&sql)).await?.into_inner();
            while events.message().await?.is_some() {}
            Ok::<_, tonic::Status>(())
        };
        // From before the statement has begun until well into it.
        let wait = Duration::from_micros(fastrand::u64(0..4_000));
        // The next caller comes after the cancel, or waits for the connection already.
        if number % 3 == 0 {
            let next = tokio::spawn(victim(client.clone(), number));
            assert!(timeout(wait, call).await.is_err(), "the statement sleeps for longer");
            next.await.expect("unharmed");
        } else {
            assert!(timeout(wait, call).await.is_err(), "the statement sleeps for longer");
            victim(client.clone(), number).await;
        }
    }
    figure(5, true, format!("{count} cancels on a pool of one, each with another call at once: none harmed"));
    client.query_row(row_of("select 1")).await.expect("a row");
    server.assert_settled().await;
}

/// A call that must not be harmed.
async fn victim(mut client: Client, number: usize) {
    let request = QueryRowRequest { ..row_of(&format!("select {number}::int8 from pg_sleep(0.0005)")) };
    let answer = client.query_row(request).await.expect("unharmed").into_inner();
    let expected = rowstream_contract::rows::Row(expected_row(number).into());
    assert_eq!(answer.row, Some(expected));
}

/// A row of one int8, encoded.
fn expected_row(number: usize) -> Vec<u8> {
    use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
    use rowstream_contract::rows::tag;
    let mut row = Vec::new();
    encode_key(tag::VALUES, WireType::LengthDelimited, &mut row);
    encode_varint(1 + encoded_len_varint(number as u64) as u64, &mut row);
    encode_key(tag::INT64, WireType::Varint, &mut row);
    encode_varint(number as u64, &mut row);
    row
}
