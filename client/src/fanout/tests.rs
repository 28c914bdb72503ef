//! The layers together, on a paused clock and without a network: calls are functions.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use super::*;
use crate::Error;

const MS: Duration = Duration::from_millis(1);

fn client() -> Client {
    Client::builder(["http://127.0.0.1:1"]).build().unwrap()
}

fn unavailable() -> Error {
    Error::from_status(Status::unavailable("down"), "http://h", None)
}

fn refused(code: Code) -> Error {
    Error::from_status(Status::new(code, "no"), "http://h", None)
}

/// Counts what runs: now, at most at once, and in all.
#[derive(Clone, Default)]
struct Gauge(Arc<[AtomicUsize; 3]>);

struct Running(Gauge);

impl Gauge {
    fn enter(&self) -> Running {
        let now = self.0[0].fetch_add(1, Ordering::Relaxed) + 1;
        self.0[1].fetch_max(now, Ordering::Relaxed);
        self.0[2].fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    fn now(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn most(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }

    fn all(&self) -> usize {
        self.0[2].load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0[0].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that takes so long, and brings its number.
fn slow(gauge: &Gauge, number: u64, took: Duration) -> impl FanoutCall<Output = u64> + use<> {
    let gauge = gauge.clone();
    move |_: Client| {
        let running = gauge.enter();
        async move {
            sleep(took).await;
            drop(running);
            Ok(number)
        }
    }
}

/// A call that fails so often, each time at once, before it succeeds.
fn failing(times: u32, error: fn() -> Error) -> impl FanoutCall<Output = Instant> {
    let attempts = Arc::new(AtomicUsize::new(0));
    move |_: Client| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        async move { if attempt < times as usize { Err(error()) } else { Ok(Instant::now()) } }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_run_together_and_no_more_than_allowed() {
    let gauge = Gauge::default();
    let start = Instant::now();
    let calls = (0..100).map(|number| slow(&gauge, number, MS * 100));
    let results = client().fanout().concurrency(10).collect(calls).await;
    assert_eq!((gauge.most(), gauge.now()), (10, 0));
    assert_eq!(start.elapsed(), MS * 1000);
    let numbers: Vec<_> = results.outcomes.iter().map(|outcome| *outcome.result.as_ref().unwrap()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "in the order of the input");
    let report = results.report;
    assert_eq!((report.started, report.succeeded, report.failed, report.in_flight), (100, 100, 0, 0));
    assert_eq!((report.ended, report.attempts, report.by_code["OK"]), (Some(Ended::Complete), 100, 100));
    assert!((MS * 99..=MS * 101).contains(&report.latency.p50), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endless_input_is_taken_as_there_is_room() {
    let (gauge, taken) = (Gauge::default(), Arc::new(AtomicUsize::new(0)));
    let (calls, counter) = (gauge.clone(), taken.clone());
    let endless = std::iter::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        slow(&calls, 0, MS)
    });
    let mut stream = client().fanout().concurrency(5).stream(endless);
    for outcomes in 1..=50 {
        stream.next().await.unwrap();
        assert!(taken.load(Ordering::Relaxed) <= outcomes + 5);
    }
    let monitor = stream.monitor();
    drop(stream);
    assert_eq!(gauge.now(), 0, "what was under way is dropped");
    assert_eq!(monitor.report().ended, Some(Ended::Dropped));
}

#[tokio::test(start_paused = true)]
async fn calls_begin_at_the_rate_after_the_burst() {
    let rate = Rate::per_second(100.0).unwrap().burst(3);
    let start = Instant::now();
    let calls = tokio_stream::iter((0..100).map(|_| Timed));
    let results = client().fanout().rate(rate).concurrency(50).collect(calls).await;
    for outcome in &results.outcomes {
        let due = MS * 10 * u32::try_from(outcome.index.saturating_sub(2)).unwrap();
        let late = (*outcome.result.as_ref().unwrap() - start).checked_sub(due).expect("not before its time");
        assert!(late <= MS, "call {} began {late:?} late", outcome.index);
    }
}

/// A type of one's own as a call.
struct Timed;

impl FanoutCall for Timed {
    type Output = Instant;

    async fn attempt(&self, _: Client) -> Result<Instant, Error> {
        Ok(Instant::now())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_a_value_and_stops_nothing() {
    let calls = (0..10_u32).map(|number| failing(if number == 3 { 9 } else { 0 }, || refused(Code::Internal)));
    let results = client().fanout().collect(calls).await;
    for outcome in &results.outcomes {
        assert_eq!(outcome.result.is_err(), outcome.index == 3);
        assert_eq!(outcome.attempts, 1, "INTERNAL is not made again");
    }
    assert_eq!((results.report.failed, results.report.by_code["INTERNAL"]), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn unavailable_is_made_again_after_a_part_of_a_doubling_wait() {
    let policy = RetryPolicy::default().max_retries(4).backoff(MS * 100, MS * 300).budget(100, 0.1);
    let fanout = client().fanout().retry(policy).seed(11);
    let waits = async || {
        let start = Instant::now();
        let outcome = fanout.first([failing(4, unavailable)]).await.unwrap();
        assert_eq!(outcome.attempts, 5);
        outcome.result.unwrap() - start
    };
    let waited = waits().await;
    assert!(waited <= MS * (100 + 200 + 300 + 300) && waited >= MS * 100, "{waited:?}");
    assert_eq!(waits().await, waited, "the same seed, the same waits");
    let failed = fanout.first([failing(9, unavailable)]).await.unwrap_err();
    assert_eq!((failed.failed, failed.last.unwrap().attempts), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_retries_for_all_calls() {
    let policy = RetryPolicy::default().budget(20, 0.1);
    let calls = (0..1000).map(|_| failing(99, unavailable));
    let report = client().fanout().retry(policy).concurrency(10).collect(calls).await.report;
    assert_eq!(report.failed, 1000);
    assert_eq!(report.retries, 9, "half of the tokens, and the tenth failure takes what is needed");
    assert_eq!(report.attempts, 1009);
    assert!(report.retries_refused > 900);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_covers_all_attempts_and_the_waits_between() {
    let policy = RetryPolicy::default().max_retries(1000).budget(1000, 1.0);
    let fanout = client().fanout().retry(policy).deadline(MS * 500);
    let start = Instant::now();
    let hanging = |_: Client| std::future::pending::<Result<(), Error>>();
    let failed = fanout.try_collect([hanging]).await.unwrap_err();
    assert!(matches!(failed.error, Error::DeadlineExceeded { timeout, .. } if timeout == MS * 500));
    assert_eq!(start.elapsed(), MS * 500);

    let failed = fanout.try_collect([failing(10_000, unavailable)]).await.unwrap_err();
    assert!(start.elapsed() <= MS * 1000, "{:?}", start.elapsed());
    assert_eq!(failed.error.code(), Code::Unavailable, "what is told is why it failed, when no wait fits any more");
    assert!(failed.attempts > 3);
}

#[tokio::test(start_paused = true)]
async fn after_the_time_for_the_whole_no_call_begins_and_none_is_left() {
    let gauge = Gauge::default();
    let endless = (0..).map(|number| slow(&gauge, number, MS * 30));
    let fanout = client().fanout().concurrency(4).total_deadline(MS * 100);
    let start = Instant::now();
    let results = fanout.collect(endless).await;
    assert_eq!(start.elapsed(), MS * 100);
    assert_eq!(results.report.ended, Some(Ended::TotalDeadline));
    let (good, late) = (results.report.succeeded, results.report.by_code["DEADLINE_EXCEEDED"]);
    assert_eq!((good, late, results.outcomes.len(), gauge.now()), (12, 4, 16, 0));

    let waiting = fanout.rate(Rate::per_second(1.0).unwrap().burst(1));
    let results = waiting.collect((0..5).map(|number| slow(&gauge, number, MS))).await;
    let attempts: Vec<_> = results.outcomes.iter().map(|outcome| outcome.attempts).collect();
    assert_eq!(attempts, [1, 0], "one had its token, one waited for it, three were never taken");
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_drops_the_rest() {
    let gauge = Gauge::default();
    let calls = (0..100_u64).map(|number| {
        let gauge = gauge.clone();
        move |_: Client| {
            let running = gauge.enter();
            async move {
                sleep(MS * if number == 7 { 50 } else { 100 }).await;
                drop(running);
                if number == 7 { Err(refused(Code::NotFound)) } else { Ok(number) }
            }
        }
    });
    let failed = client().fanout().concurrency(20).try_collect(calls).await.unwrap_err();
    assert_eq!((failed.index, failed.error.code()), (7, Code::NotFound));
    assert_eq!(gauge.now(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_success_is_enough() {
    let gauge = Gauge::default();
    let start = Instant::now();
    let calls = (0..10_000).map(|number| slow(&gauge, number, MS * 10 * u32::try_from(10 - number % 8).unwrap()));
    let outcome = client().fanout().concurrency(100).first(calls).await.unwrap();
    assert_eq!((outcome.result.unwrap() % 8, start.elapsed()), (7, MS * 30));
    assert_eq!((gauge.now(), gauge.all()), (0, 100), "no call has begun that had no chance");
    let none = client().fanout().first(Vec::<OneRow>::new()).await.unwrap_err();
    assert_eq!((none.failed, none.to_string().as_str()), (0, "there was no call"));
}

#[tokio::test(start_paused = true)]
async fn in_order_none_is_given_out_before_its_turn_and_few_wait() {
    let gauge = Gauge::default();
    let calls = (0..100).map(|number| slow(&gauge, number, if number == 10 { MS * 1000 } else { MS * 10 }));
    let mut stream = client().fanout().concurrency(8).in_order(20).stream(calls);
    let (mut next, start) = (0, Instant::now());
    while let Some(outcome) = stream.next().await {
        assert_eq!(outcome.index, next);
        next += 1;
        if next == 11 {
            assert!(start.elapsed() >= MS * 1000);
            assert_eq!(gauge.all(), 30, "the one that is late, 19 that wait for it, and those before");
        }
    }
    assert_eq!(next, 100);
}

#[tokio::test(start_paused = true)]
async fn while_a_sink_is_busy_calls_go_on_and_none_begins() {
    let gauge = Gauge::default();
    let calls = (0..20).map(|number| slow(&gauge, number, MS * 10));
    let mut taken = 0;
    let report = client()
        .fanout()
        .concurrency(4)
        .deadline(MS * 50)
        .for_each(calls, async |outcome| {
            assert!(outcome.result.is_ok(), "no deadline passes because the sink is slow: {outcome:?}");
            assert!(outcome.latency <= MS * 11, "{:?}", outcome.latency);
            taken += 1;
            sleep(MS * 100).await;
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    assert_eq!((taken, report.succeeded, gauge.most()), (20, 20, 4));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_ends_it() {
    let gauge = Gauge::default();
    let calls = (0..20).map(|number| slow(&gauge, number, MS * 10));
    let fanout = client().fanout().concurrency(4);
    let full = fanout.for_each(calls, async |outcome| if outcome.index < 5 { Ok(()) } else { Err("full") }).await;
    assert_eq!((full.unwrap_err(), gauge.now()), ("full", 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_hedged_and_the_faster_attempt_is_the_outcome() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let stalls_once = {
        let attempts = attempts.clone();
        move |client: Client| {
            let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                sleep(if first { MS * 1000 } else { MS * 10 }).await;
                assert!(client.scope().unwrap().first_message());
                Ok(first)
            }
        }
    };
    let start = Instant::now();
    let results = client().fanout().hedge(HedgePolicy::after(MS * 50)).collect([stalls_once]).await;
    let outcome = &results.outcomes[0];
    assert!(!outcome.result.as_ref().unwrap(), "the second attempt's");
    assert_eq!((outcome.attempts, outcome.hedged, start.elapsed()), (2, true, MS * 60));
    assert_eq!((results.report.hedges, results.report.hedges_won), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn hedges_stay_within_a_tenth_of_the_calls() {
    let gauge = Gauge::default();
    let calls = (0..1000).map(|number| slow(&gauge, number, MS * 100));
    let report = client().fanout().hedge(HedgePolicy::after(MS * 10)).collect(calls).await.report;
    assert!((90..=101).contains(&report.hedges), "{report:?}");
    assert_eq!(report.attempts, 1000 + report.hedges);
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_concurrency_grows_while_calls_get_no_slower() {
    let gauge = Gauge::default();
    let calls = (0..5000).map(|number| slow(&gauge, number, MS * 10));
    let report = client().fanout().concurrency(Concurrency::adaptive(64)).collect(calls).await.report;
    assert_eq!((report.limit, gauge.most()), (64, 64));
}
