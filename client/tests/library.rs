//! Fan-outs over the wire, on a paused clock: what servers see of attempts, deadlines, hedges and endings. The layers by
//! themselves are tested beside their code, real servers and PostgreSQL by the pair at the root.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rowstream_client::{
    Call, Client, Code,
    fanout::{HedgePolicy, Rate, RetryPolicy},
    testing::{Answer, End, FakeServer},
};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

fn one() -> Answer {
    Answer::rows([("id", "int8")], [[1]])
}

fn down() -> Answer {
    Answer::error(Code::Unavailable, None)
}

async fn servers<const N: usize>() -> ([FakeServer; N], Client) {
    let mut started = Vec::new();
    for _ in 0..N {
        started.push(FakeServer::start().await);
    }
    let client = Client::builder(started.iter().map(FakeServer::url)).build().unwrap();
    (started.try_into().unwrap(), client)
}

fn calls(client: &Client, count: usize) -> impl Iterator<Item = Call> + use<> {
    let client = client.clone();
    (0..count).map(move |_| client.query("q"))
}

#[tokio::test(start_paused = true)]
async fn every_attempt_tells_what_remains_of_the_deadline_and_how_many_there_were_before() {
    let ([server], client) = servers().await;
    server.on("q", [down(), down(), one()]);
    let policy = RetryPolicy::default().backoff(MS * 400, MS * 400);
    let start = Instant::now();
    let fanout = client.fanout().deadline(MS * 1000).retry(policy).seed(1);
    let outcome = fanout.first(calls(&client, 1)).await.unwrap();
    assert_eq!((outcome.attempts, outcome.result.unwrap().len()), (3, 1));
    assert_eq!(outcome.endpoint.as_deref(), Some(server.url()));
    let seen = server.calls();
    assert_eq!(seen.iter().map(|call| call.request.previous_attempts).collect::<Vec<_>>(), [0, 1, 2]);
    for call in &seen {
        let (told, remains) = (call.request.timeout.unwrap(), MS * 1000 - (call.request.at - start));
        assert!(told <= remains + MS && told + MS * 2 >= remains, "{told:?} of {remains:?}");
    }
    assert!(seen[2].request.at > seen[0].request.at, "there was a wait");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_pushes_back_is_obeyed_to_the_millisecond() {
    for (answer, waits) in [
        (down().pushback_ms(1234), Some(MS * 1234)),
        (down().retry_after(MS * 700), Some(MS * 700)),
        (down().pushback_ms(99_999_999), Some(MS * 2000)),
        (down().pushback_ms(-1), None),
    ] {
        let ([server], client) = servers().await;
        server.on("q", [answer, one()]);
        let fanout = client.fanout().retry(RetryPolicy::default().max_pushback(MS * 2000));
        let done = fanout.collect(calls(&client, 1)).await;
        let at: Vec<_> = server.calls().iter().map(|call| call.request.at).collect();
        match waits {
            Some(wait) => {
                let waited = at[1] - at[0];
                assert!(waited >= wait && waited <= wait + MS, "{waited:?} for {wait:?}");
            }
            None => assert_eq!((at.len(), done.report.failed), (1, 1)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_first_row_nothing_is_made_again_and_before_it_everything() {
    let ([server], client) = servers().await;
    let broken = |batches| one().error_after(batches, Code::Unavailable, None);
    server.on("q", [broken(0), broken(1), one()]);
    let results = client.fanout().concurrency(1).collect(calls(&client, 2)).await;
    let outcomes: Vec<_> = results
        .outcomes
        .iter()
        .map(|outcome| (outcome.attempts, outcome.result.as_ref().err().map(|e| e.code())))
        .collect();
    assert_eq!(outcomes, [(2, Some(Code::Unavailable)), (1, None)]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_may_make_again_what_nobody_has_seen_rows_of() {
    let ([server], client) = servers().await;
    server.on("q", [one().error_after(1, Code::Unavailable, None), one()]);
    let policy = RetryPolicy::default().after_rows(true);
    let outcome = client.fanout().retry(policy).first(calls(&client, 1)).await.unwrap();
    assert_eq!((outcome.attempts, outcome.result.unwrap().len()), (2, 1), "each row once");
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_to_another_server() {
    let ([a, b], client) = servers().await;
    a.otherwise(down());
    b.otherwise(one());
    let report = client.fanout().collect(calls(&client, 50)).await.report;
    assert_eq!((report.succeeded, report.failed), (50, 0));
    assert!(!a.calls().is_empty(), "it was tried");
    assert_eq!(usize::try_from(report.attempts).unwrap(), a.calls().len() + b.calls().len());
}

#[tokio::test(start_paused = true)]
async fn a_hedge_goes_to_another_server_and_the_loser_is_cancelled_there() {
    for slow_first_message in [true, false] {
        let ([a, b], client) = servers().await;
        // Whichever is asked first is the slow one: it says nothing, or its rows come late.
        let slow = if slow_first_message { Answer::hang() } else { one().hang_after(0) };
        a.otherwise(slow.clone());
        b.otherwise(slow);
        let fanout = client.fanout().hedge(HedgePolicy::after(MS * 50)).deadline(MS * 200);
        let start = Instant::now();
        let results = fanout.collect(calls(&client, 1)).await;
        assert_eq!(results.outcomes[0].result.as_ref().unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(start.elapsed(), MS * 200);
        let asked = (a.calls().len(), b.calls().len());
        if slow_first_message {
            assert_eq!(asked, (1, 1), "each is asked once");
        } else {
            assert_eq!(asked.0 + asked.1, 1, "a first message has come: there is nothing to hedge");
        }
        for server in [&a, &b] {
            server.until_idle().await;
        }
    }

    let ([a, b], client) = servers().await;
    for server in [&a, &b] {
        server.on("q", [one().after(MS * 400), one()]);
    }
    let results = client.fanout().hedge(HedgePolicy::after(MS * 50)).collect(calls(&client, 1)).await;
    let outcome = &results.outcomes[0];
    assert!(outcome.result.is_ok() && outcome.hedged);
    for server in [&a, &b] {
        server.until_idle().await;
    }
    let ends: Vec<_> = [&a, &b].iter().flat_map(|server| server.calls()).map(|call| call.end.unwrap().0).collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(outcome.latency.as_millis(), 400, "both take their time here; the one that began first answers first");
    assert_eq!(ends.iter().filter(|end| **end == End::Cancelled).count(), 1, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_on_a_server_however_a_fan_out_ends() {
    let ([a, b], client) = servers().await;
    for server in [&a, &b] {
        server.otherwise(Answer::hang());
        server.on("fails", Answer::error(Code::NotFound, None).after(MS * 20));
        server.on("succeeds", one().after(MS * 20));
    }
    let settled = async |began: usize| {
        for server in [&a, &b] {
            server.until_idle().await;
        }
        assert_eq!(a.take_calls().len() + b.take_calls().len(), began);
    };
    let fanout = client.fanout().concurrency(40);
    let with = |name| calls(&client, 39).chain([client.query(name)]).chain(calls(&client, 10_000));

    let failed = fanout.try_collect(with("fails")).await.unwrap_err();
    assert_eq!((failed.index, failed.error.code()), (39, Code::NotFound));
    settled(40).await;

    let first = fanout.first(with("succeeds")).await.unwrap();
    assert_eq!(first.index, 39);
    settled(40).await;

    let mut stream = fanout.stream(calls(&client, 10_000));
    tokio::time::timeout(
        MS * 20,
        std::future::poll_fn(|context| {
            use tokio_stream::Stream as _;
            std::pin::Pin::new(&mut stream).poll_next(context)
        }),
    )
    .await
    .unwrap_err();
    drop(stream);
    settled(40).await;

    let results = fanout.clone().total_deadline(MS * 50).collect(calls(&client, 10_000)).await;
    assert_eq!(results.outcomes.len(), 40);
    settled(40).await;
}

#[tokio::test(start_paused = true)]
async fn each_server_has_limits_of_its_own() {
    let ([a, b], client) = servers().await;
    for server in [&a, &b] {
        server.otherwise(one().after(MS * 100));
    }
    let start = Instant::now();
    let fanout = client.fanout().concurrency(40).concurrency_per_endpoint(5);
    let report = fanout.collect(calls(&client, 100)).await.report;
    assert_eq!(report.succeeded, 100);
    assert_eq!((a.most_in_flight(), b.most_in_flight()), (5, 5));
    assert!(start.elapsed() >= MS * 1000, "{:?}", start.elapsed());

    let (start, before) = (Instant::now(), a.calls().len());
    let fanout = client.fanout().concurrency(40).rate_per_endpoint(Rate::per_second(100.0).unwrap().burst(1));
    fanout.collect(calls(&client, 200)).await;
    let began = a.calls().len() - before;
    let least = MS * 10 * u32::try_from(began - 1).unwrap();
    assert!(start.elapsed() >= least, "{began} calls in {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_made_worse() {
    let ([server], client) = servers().await;
    server.otherwise(down());
    let fanout = client.fanout().concurrency(50).rate(Rate::per_second(1_000.0).unwrap());
    let start = Instant::now();
    let report = fanout.collect(calls(&client, 5_000)).await.report;
    assert_eq!(report.failed, 5_000);
    let seen = server.calls();
    let after_a_second = seen.iter().filter(|call| call.request.at - start > MS * 1000);
    let (mut attempts, mut calls) = (0, 0);
    for call in after_a_second {
        attempts += 1;
        calls += usize::from(call.request.previous_attempts == 0);
    }
    assert!(calls > 3_000 && attempts * 10 <= calls * 11, "{attempts} attempts at {calls} calls");
}
