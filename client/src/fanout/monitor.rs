//! What a fan-out has done so far, to be looked at while it runs and after.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use rowstream_contract::code;
use serde::{Serialize, Serializer};
use tokio::time::Instant;
use tonic::Code;

/// A view of a running fan-out, from any task or thread. Cheap to clone.
#[derive(Clone)]
pub struct Monitor(Arc<Mutex<Counts>>);

/// What a fan-out has done: of calls, unless it says attempts.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Calls that have begun.
    pub started: u64,
    /// Calls that brought what they were for.
    pub succeeded: u64,
    /// Calls that failed in the end.
    pub failed: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Attempts at all calls.
    pub attempts: u64,
    /// Attempts after one that had failed.
    pub retries: u64,
    /// Retries that the budget did not allow.
    pub retries_refused: u64,
    /// Second attempts beside a slow one.
    pub hedges: u64,
    /// Hedged calls that the second attempt decided.
    pub hedges_won: u64,
    /// How many calls may be under way now.
    pub limit: usize,
    /// Ended calls by the gRPC code's name, `OK` among them.
    pub by_code: BTreeMap<&'static str, u64>,
    /// How long the ended calls took.
    pub latency: Percentiles,
    /// Time since the beginning, to the end once that has come.
    #[serde(rename = "elapsed_ms", serialize_with = "as_millis")]
    pub elapsed: Duration,
    /// How it ended; `None` while it runs.
    pub ended: Option<Ended>,
}

/// How a fan-out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ended {
    /// Every call of the input has ended.
    Complete,
    /// The time for the whole was over: calls of the input have not begun.
    TotalDeadline,
    /// It was dropped before its end.
    Dropped,
}

/// A distribution of durations, within 0.1 %. All 0 if there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Percentiles {
    /// The shortest.
    #[serde(rename = "min_ms", serialize_with = "as_millis")]
    pub min: Duration,
    /// The mean.
    #[serde(rename = "mean_ms", serialize_with = "as_millis")]
    pub mean: Duration,
    /// Half of them are not longer.
    #[serde(rename = "p50_ms", serialize_with = "as_millis")]
    pub p50: Duration,
    /// 90 of 100 are not longer.
    #[serde(rename = "p90_ms", serialize_with = "as_millis")]
    pub p90: Duration,
    /// 95 of 100 are not longer.
    #[serde(rename = "p95_ms", serialize_with = "as_millis")]
    pub p95: Duration,
    /// 99 of 100 are not longer.
    #[serde(rename = "p99_ms", serialize_with = "as_millis")]
    pub p99: Duration,
    /// 999 of 1,000 are not longer.
    #[serde(rename = "p999_ms", serialize_with = "as_millis")]
    pub p999: Duration,
    /// The longest.
    #[serde(rename = "max_ms", serialize_with = "as_millis")]
    pub max: Duration,
}

/// Milliseconds with three digits.
fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

struct Counts {
    start: Instant,
    end: Option<Instant>,
    report: Report,
    /// Microseconds.
    latency: Histogram<u64>,
}

/// What happens to attempts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Attempt,
    Retry,
    RetryRefused,
    Hedge,
    HedgeWon,
}

impl Monitor {
    pub(super) fn new() -> Self {
        let latency = Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are within 0 to 5"));
        let report = Report {
            started: 0,
            succeeded: 0,
            failed: 0,
            in_flight: 0,
            attempts: 0,
            retries: 0,
            retries_refused: 0,
            hedges: 0,
            hedges_won: 0,
            limit: 0,
            by_code: BTreeMap::new(),
            latency: Percentiles::default(),
            elapsed: Duration::ZERO,
            ended: None,
        };
        Self(Arc::new(Mutex::new(Counts { start: Instant::now(), end: None, report, latency })))
    }

    /// What there is to tell now.
    #[must_use]
    pub fn report(&self) -> Report {
        let counts = self.counts();
        let mut report = counts.report.clone();
        report.elapsed = counts.end.unwrap_or_else(Instant::now) - counts.start;
        report.latency = Percentiles::of(&counts.latency);
        report
    }

    pub(super) fn begun(&self) {
        let mut counts = self.counts();
        counts.report.started += 1;
        counts.report.in_flight += 1;
    }

    pub(super) fn count(&self, event: Event) {
        let mut counts = self.counts();
        *match event {
            Event::Attempt => &mut counts.report.attempts,
            Event::Retry => &mut counts.report.retries,
            Event::RetryRefused => &mut counts.report.retries_refused,
            Event::Hedge => &mut counts.report.hedges,
            Event::HedgeWon => &mut counts.report.hedges_won,
        } += 1;
    }

    pub(super) fn call_ended(&self, code: Code, latency: Duration) {
        let mut counts = self.counts();
        // It grows as needed, up to any u64 within its memory.
        let _ = counts.latency.record(latency.as_micros().try_into().unwrap_or(u64::MAX));
        let report = &mut counts.report;
        report.in_flight -= 1;
        *if code == Code::Ok { &mut report.succeeded } else { &mut report.failed } += 1;
        *report.by_code.entry(code::name(code)).or_default() += 1;
    }

    pub(super) fn limit(&self, limit: usize) {
        self.counts().report.limit = limit;
    }

    /// The fan-out has ended; the first to say so is right.
    pub(super) fn end(&self, ended: Ended) {
        let mut counts = self.counts();
        if counts.report.ended.is_none() {
            counts.report.ended = Some(ended);
            counts.report.in_flight = 0;
            counts.end = Some(Instant::now());
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Monitor").field(&self.report()).finish()
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |percent| Duration::from_micros(histogram.value_at_percentile(percent));
        Self {
            min: Duration::from_micros(histogram.min()),
            mean: Duration::from_secs_f64(histogram.mean() / 1e6),
            p50: at(50.0),
            p90: at(90.0),
            p95: at(95.0),
            p99: at(99.0),
            p999: at(99.9),
            max: Duration::from_micros(histogram.max()),
        }
    }
}
