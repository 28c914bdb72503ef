//! The client's fan-out over three servers: each input answered once whatever happens to a server, load kept off
//! those that fail or are slow, and nothing left behind when it ends before its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use rowstream_client::{
    Client,
    fanout::{Monitor, OneRow, Rate, Report},
};
use rowstream_testkit::{PATIENCE, Postgres, eventually};
use tokio::time::sleep;

use crate::{fleet::Fleet, size::Size};

const AT_ONCE: usize = 48;

/// A call that takes a few milliseconds and brings twice its number.
fn double(client: &Client, number: i64) -> OneRow {
    client.sql("select $1::int8 * 2 from pg_sleep(0.003)").bind(number).one_row()
}

/// A call that is not going to end.
fn asleep(client: &Client) -> OneRow {
    client.sql("select pg_sleep(3600)").one_row()
}

/// A call that takes as long as this, and fails then.
fn failing(client: &Client, seconds: f64) -> OneRow {
    // Divides by zero when it runs, not when it is planned.
    let sql = "select 1 / (extract(epoch from clock_timestamp()) * 0)::int from pg_sleep($1::float8)";
    client.sql(sql).bind(seconds).one_row()
}

/// Waits until what the fan-out has done fulfils a condition.
async fn until(monitor: &Monitor, told: &str, condition: impl Fn(&Report) -> bool) -> Report {
    // The size for every day takes seconds, the full one minutes.
    eventually(told, PATIENCE * 10, async || condition(&monitor.report())).await;
    monitor.report()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_restarted_costs_no_input() {
    let calls = Size::asked().count(3_000, 100_000);
    let mut fleet = Fleet::start().await;
    let (client, victim) = (fleet.client(), fleet.url(1));
    let inputs = (0_i64..).take(calls).map({
        let client = client.clone();
        move |number| double(&client, number)
    });
    let begun = Instant::now();
    let mut outcomes = client.fanout().concurrency(AT_ONCE).deadline(PATIENCE).stream(inputs);
    let monitor = outcomes.monitor();
    let killing = async {
        let third = u64::try_from(calls).expect("a count") / 3;
        until(&monitor, "a third is done", |report| report.succeeded >= third).await;
        fleet.kill(1).await;
        until(&monitor, "the other servers go on", |report| report.succeeded >= third + 500).await;
        fleet.restart(1).await;
    };
    let reading = async {
        let mut answers = vec![0; calls];
        while let Some(outcome) = outcomes.next().await {
            let index = usize::try_from(outcome.index).expect("an index");
            let row = outcome.result.unwrap_or_else(|error| panic!("call {index}: {error}"));
            assert_eq!(row.get::<i64>(0).expect("a number"), i64::try_from(index).expect("a number") * 2);
            answers[index] += 1;
        }
        answers
    };
    let ((), answers) = tokio::join!(killing, reading);
    assert!(answers.iter().all(|count| *count == 1), "every input is answered once");
    let report = monitor.report();
    assert!(report.retries > 0, "calls were lost with the server, and made again: {report:?}");
    assert_eq!(report.retries_refused, 0);
    println!(
        "fan-out: {calls} calls over three servers in {:.1?}, one killed and restarted: each answered once, {} attempts",
        begun.elapsed(),
        report.attempts
    );
    eventually("the restarted server gets calls again", PATIENCE, async || {
        let calls: Vec<_> = (0..60).map(|number| double(&client, number)).collect();
        let results = client.fanout().collect(calls).await;
        results.outcomes.iter().any(|outcome| outcome.endpoint.as_deref() == Some(&victim))
    })
    .await;
    fleet.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_left_out() {
    /// With so many outcomes between two looks, every call of the first look has ended, and a hundred have begun.
    const BETWEEN: usize = AT_ONCE + 100;
    let slow_database = Postgres::shared().create_database().expect("a database");
    slow_database.psql(&format!("alter database {} set app.takes = '1'", slow_database.name())).expect("set");
    let mut fleet = Fleet::start().await;
    let slow = fleet.add(&slow_database).await;
    let client = fleet.client();
    let sql = "select pg_sleep(coalesce(current_setting('app.takes', true), '0.003')::float8)";
    let call = client.sql(sql).one_row();
    let calls = std::iter::repeat_with(move || call.clone());
    let mut outcomes = client.fanout().concurrency(AT_ONCE).deadline(PATIENCE).stream(calls);
    let begun = Instant::now();
    let (mut by_slow, mut quiet_looks) = (0, 0);
    // A server with nothing to do that still takes calls would have got some of the next hundred.
    while by_slow == 0 || quiet_looks < 2 {
        assert!(begun.elapsed() < PATIENCE * 4, "the slow server still gets calls after {by_slow}");
        let before = by_slow;
        for _ in 0..BETWEEN {
            let outcome = outcomes.next().await.expect("endless");
            outcome.result.as_ref().expect("an answer, if a late one");
            by_slow += usize::from(outcome.endpoint.as_deref() == Some(&slow));
        }
        let quiet = by_slow == before && fleet.in_flight(3).await == 0;
        quiet_looks = if quiet { quiet_looks + 1 } else { 0 };
    }
    println!(
        "fan-out: a server that takes 1 s instead of 3 ms was left out after {by_slow} calls and {:.1?}",
        begun.elapsed()
    );
    drop(outcomes);
    fleet.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_all_servers_is_not_made_worse_by_retries() {
    let mut fleet = Fleet::start().await;
    let client = fleet.client();
    let enough = Arc::new(AtomicBool::new(false));
    let calls = (0..).map_while({
        let (client, enough) = (client.clone(), enough.clone());
        move |number| (!enough.load(Ordering::Relaxed)).then(|| double(&client, number))
    });
    let rate = Rate::per_second(500.0).expect("a rate");
    let mut outcomes = client.fanout().rate(rate).concurrency(AT_ONCE).deadline(PATIENCE).stream(calls);
    let monitor = outcomes.monitor();
    let outage = async {
        until(&monitor, "calls succeed", |report| report.succeeded >= 200).await;
        for index in 0..3 {
            fleet.kill(index).await;
        }
        // The first second is what the budget is for.
        sleep(Duration::from_secs(1)).await;
        let before = monitor.report();
        let after = until(&monitor, "calls begin", |report| report.started >= before.started + 1_000).await;
        for index in 0..3 {
            fleet.restart(index).await;
        }
        until(&monitor, "calls succeed again", |report| report.succeeded >= after.succeeded + 200).await;
        enough.store(true, Ordering::Relaxed);
        (before, after)
    };
    let reading = async { while outcomes.next().await.is_some() {} };
    let ((before, after), ()) = tokio::join!(outage, reading);
    let (calls, attempts) = (after.started - before.started, after.attempts - before.attempts);
    println!("fan-out: {attempts} attempts at {calls} calls in an outage, after its first second");
    assert!(attempts * 10 <= calls * 11, "{attempts} attempts at {calls} calls");
    assert_eq!(after.succeeded, before.succeeded, "it was an outage");
    let report = monitor.report();
    assert_eq!(report.started, report.succeeded + report.failed, "every call is accounted for");
    fleet.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_success_cancels_all_other_calls_on_every_server() {
    const CALLS: usize = 100;
    let rounds = Size::asked().count(5, 100);
    let fleet = Fleet::start().await;
    let client = fleet.client();
    for round in 0..rounds {
        // There are more than the servers' pools hold. All but one take long; if that one has to wait for them, they fail.
        let quick = round % 20;
        let call = |number| if number == quick { double(&client, 21) } else { failing(&client, 3.0) };
        let calls: Vec<_> = (0..CALLS).map(call).collect();
        let first = client.fanout().concurrency(CALLS).deadline(PATIENCE).first(calls).await;
        let first = first.unwrap_or_else(|failed| panic!("round {round}: {failed}"));
        assert_eq!(first.result.expect("the first success").get::<i64>(0).expect("a number"), 42);
    }
    let idle = fleet.watch().await.until_idle(PATIENCE).await;
    println!("fan-out: {} calls in mode first: no backend is busy {idle:.1?} after the last", rounds * CALLS);
    fleet.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fanout_that_ends_before_its_end_leaves_nothing_behind() {
    let fleet = Fleet::start().await;
    let client = fleet.client();
    let mut watch = fleet.watch().await;
    let fanout = client.fanout().concurrency(20).deadline(PATIENCE * 10);

    // Dropped.
    let calls: Vec<_> = (0..40).map(|_| asleep(&client)).collect();
    let mut outcomes = fanout.stream(calls);
    tokio::select! {
        _ = outcomes.next() => panic!("a call that takes an hour has ended"),
        _ = eventually("calls run", PATIENCE, async || watch.count("state = 'active'").await == 20) => {}
    }
    drop(outcomes);
    let dropped = watch.until_idle(PATIENCE).await;
    fleet.assert_settled().await;

    // Its time is over.
    let calls: Vec<_> = (0..40).map(|_| asleep(&client)).collect();
    let results = fanout.clone().total_deadline(Duration::from_secs(1)).collect(calls).await;
    assert!(results.outcomes.iter().all(|outcome| outcome.result.is_err()));
    let timed_out = watch.until_idle(PATIENCE).await;
    fleet.assert_settled().await;

    // The first failure ends it.
    let calls: Vec<_> =
        (0..40).map(|number| if number == 7 { failing(&client, 0.5) } else { asleep(&client) }).collect();
    let failed = fanout.try_collect(calls).await.expect_err("a division by zero");
    assert_eq!(failed.index, 7);
    let cancelled = watch.until_idle(PATIENCE).await;
    println!(
        "fan-out: idle {dropped:.1?} after a drop, {timed_out:.1?} after the deadline, {cancelled:.1?} after a failure"
    );
    fleet.assert_settled().await;
}
