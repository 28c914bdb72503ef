//! A second attempt beside one that is slow: when it begins, and which of the two decides the call.
//!
//! After Dean and Barroso, "The Tail at Scale" (2013): few calls are hedged, those that take longer than most do, and
//! the first message decides. Who loses is dropped, which cancels it down to PostgreSQL. What both attempts do is in
//! `fanout`.

use std::{
    fmt,
    pin::Pin,
    str::FromStr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hdrhistogram::Histogram;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::Error;

/// Before so many calls have shown how long they take, none is hedged at a percentile.
const LEAST_SAMPLES: u64 = 50;
/// A percentile is of the last one to two thousand calls.
const GENERATION: u64 = 1_000;

/// When a second attempt begins beside one that has not answered yet.
///
/// As text `50ms`, or `p95`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgePolicy(When);

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    After(Duration),
    Percentile(f64),
}

impl HedgePolicy {
    /// After so long without a first message.
    #[must_use]
    pub const fn after(wait: Duration) -> Self {
        Self(When::After(wait))
    }

    /// When it takes longer than such a part of the calls of this fan-out, in percent: 95.0.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if that is not between 50 and 99.99.
    pub fn percentile(percent: f64) -> Result<Self, Error> {
        if (50.0..=99.99).contains(&percent) {
            Ok(Self(When::Percentile(percent)))
        } else {
            Err(invalid(format!("p{percent}")))
        }
    }
}

fn invalid(given: impl fmt::Display) -> Error {
    let problem = format!("{given:.60} is none: write a time, such as 50ms, or p50 to p99.99");
    Error::InvalidSetting { setting: "hedge", problem }
}

impl FromStr for HedgePolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(percent) = text.strip_prefix('p') {
            return percent.parse().map_err(|_| invalid(text)).and_then(Self::percentile);
        }
        humantime::parse_duration(text).map(Self::after).map_err(|_| invalid(text))
    }
}

/// Knows when to hedge, from the policy and from how long the first messages of this fan-out take.
#[derive(Debug)]
pub(crate) struct Hedging {
    when: When,
    latencies: Mutex<Latencies>,
}

/// Microseconds to the first message, of the calls now and of those before.
#[derive(Debug)]
struct Latencies {
    current: Histogram<u64>,
    previous: Histogram<u64>,
}

impl Hedging {
    pub(crate) fn new(policy: HedgePolicy) -> Self {
        let histogram = || Histogram::new(2).unwrap_or_else(|_| unreachable!("2 digits are within 0 to 5"));
        let latencies = Mutex::new(Latencies { current: histogram(), previous: histogram() });
        Self { when: policy.0, latencies }
    }

    /// How long to wait for the first message before a second attempt; `None` while nothing is known.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let percent = match self.when {
            When::After(wait) => return Some(wait),
            When::Percentile(percent) => percent,
        };
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, previous) = (&latencies.current, &latencies.previous);
        if current.len() + previous.len() < LEAST_SAMPLES {
            return None;
        }
        let fuller = if current.len() >= previous.len() { current } else { previous };
        Some(Duration::from_micros(fuller.value_at_percentile(percent)))
    }

    /// A first message came after so long; or none has come so far, and the call is given up.
    pub(crate) fn learn(&self, latency: Duration) {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        // It grows as needed, up to any u64 within its memory.
        let _ = latencies.current.record(latency.as_micros().try_into().unwrap_or(u64::MAX));
        if latencies.current.len() >= GENERATION {
            let Latencies { current, previous } = &mut *latencies;
            std::mem::swap(current, previous);
            current.reset();
        }
    }
}

/// Which attempt's first message has come first.
#[derive(Debug, Default)]
pub(crate) struct Race {
    /// 0 while none has; the attempt's lane plus one.
    winner: AtomicUsize,
    first_message: OnceLock<Instant>,
}

impl Race {
    /// A first message has come in this lane. Answers whether the call is decided by it.
    pub(crate) fn claim(&self, lane: usize) -> bool {
        self.first_message.get_or_init(Instant::now);
        match self.winner.compare_exchange(0, lane + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(winner) => winner == lane + 1,
        }
    }

    /// The lane that has the call.
    pub(crate) fn winner(&self) -> Option<usize> {
        self.winner.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(crate) fn first_message(&self) -> Option<Instant> {
        self.first_message.get().copied()
    }
}

type Lane<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Runs the first lane, and a second one beside it if nothing has come by `at`. `second` is asked then, and may
/// decline. The lane with the first message goes on alone; before that, a lane that fails leaves the call to the other.
pub(crate) struct Hedged<'a, T, F> {
    race: &'a Race,
    lanes: [Option<Lane<'a, T>>; 2],
    second: Option<(Pin<Box<Sleep>>, F)>,
    failure: Option<Error>,
}

impl<'a, T, F> Hedged<'a, T, F>
where
    F: FnOnce() -> Option<Lane<'a, T>>,
{
    pub(crate) fn new(race: &'a Race, first: Lane<'a, T>, at: Instant, second: F) -> Self {
        let second = Some((Box::pin(sleep_until(at)), second));
        Self { race, lanes: [Some(first), None], second, failure: None }
    }

    /// The lane's outcome, if it decides the call.
    fn poll_lane(&mut self, lane: usize, context: &mut Context<'_>) -> Option<Result<T, Error>> {
        let Poll::Ready(outcome) = self.lanes[lane].as_mut()?.as_mut().poll(context) else { return None };
        self.lanes[lane] = None;
        match outcome {
            Err(error) if self.race.winner() != Some(lane) && self.lanes[1 - lane].is_some() => {
                self.failure.get_or_insert(error);
                None
            }
            outcome => Some(outcome),
        }
    }

    fn poll_start(&mut self, context: &mut Context<'_>) {
        if self.race.winner().is_some() {
            self.second = None;
        }
        let Some((timer, _)) = &mut self.second else { return };
        if timer.as_mut().poll(context).is_ready() {
            self.lanes[1] = self.second.take().and_then(|(_, start)| start());
        }
    }
}

impl<'a, T, F> Future for Hedged<'a, T, F>
where
    F: FnOnce() -> Option<Lane<'a, T>> + Unpin,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        for lane in 0..2 {
            if lane == 1 {
                this.poll_start(context);
            }
            if let Some(outcome) = this.poll_lane(lane, context) {
                return Poll::Ready(outcome);
            }
            if let Some(winner) = this.race.winner() {
                this.lanes[1 - winner] = None;
            }
        }
        match (&this.lanes, this.failure.take()) {
            ([None, None], failure) => Poll::Ready(Err(failure.unwrap_or(Error::Superseded))),
            (_, failure) => {
                this.failure = failure;
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(text: &str) -> HedgePolicy {
        text.parse().unwrap()
    }

    #[test]
    fn a_policy_is_a_time_or_a_percentile() {
        assert_eq!(policy("50ms"), HedgePolicy::after(Duration::from_millis(50)));
        assert_eq!(policy("p95"), HedgePolicy::percentile(95.0).unwrap());
        for text in ["", "p", "p100", "p49", "95", "pNaN", "soon", "-1s"] {
            let error = text.parse::<HedgePolicy>().unwrap_err().to_string();
            assert!(error.contains("50ms") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_percentile_is_learned_and_follows() {
        let hedging = Hedging::new(policy("p90"));
        for millis in 1..=49 {
            hedging.learn(Duration::from_millis(millis));
        }
        assert_eq!(hedging.wait(), None, "too little is known");
        for millis in 50..=100 {
            hedging.learn(Duration::from_millis(millis));
        }
        let wait = hedging.wait().unwrap();
        assert!((Duration::from_millis(89)..Duration::from_millis(92)).contains(&wait), "{wait:?}");
        for _ in 0..3_000 {
            hedging.learn(SECOND);
        }
        assert!(hedging.wait().unwrap() > SECOND.mul_f64(0.98));
    }

    /// A lane whose first message comes after `message`, and its end after `rest` more.
    fn lane(
        race: &Race,
        number: usize,
        message: Duration,
        rest: Duration,
        outcome: Result<usize, Error>,
    ) -> Lane<'_, usize> {
        Box::pin(async move {
            sleep(message).await;
            if outcome.is_ok() && !race.claim(number) {
                return Err(Error::Superseded);
            }
            sleep(rest).await;
            outcome
        })
    }

    async fn run(
        first: (u32, u32, Result<usize, Error>),
        second: (u32, u32, Result<usize, Error>),
    ) -> (Result<usize, Error>, u64) {
        let (race, start) = (Race::default(), Instant::now());
        let a = lane(&race, 0, SECOND * first.0, SECOND * first.1, first.2);
        let b = lane(&race, 1, SECOND * second.0, SECOND * second.1, second.2);
        let outcome = Hedged::new(&race, a, start + SECOND * 2, || Some(b)).await;
        (outcome, start.elapsed().as_secs())
    }

    fn failed() -> Result<usize, Error> {
        Err(Error::Truncated { rows: 0, resume_token: None })
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_message_decides_and_not_the_first_end() {
        for (first, second, decided, seconds) in [
            // In time: there is no second attempt.
            ((1, 5, Ok(0)), (0, 0, Ok(1)), 0, 6),
            // The second one is faster, and then the first one's message is too late.
            ((4, 0, Ok(0)), (1, 9, Ok(1)), 1, 12),
            // The first one's message comes while the second one waits for its own.
            ((3, 9, Ok(0)), (2, 0, Ok(1)), 0, 12),
            // A failure leaves the call to the other, whichever it is.
            ((3, 0, failed()), (4, 1, Ok(1)), 1, 7),
            ((5, 1, Ok(0)), (1, 0, failed()), 0, 6),
        ] {
            let (outcome, took) = run(first, second).await;
            assert_eq!((outcome.unwrap(), took), (decided, seconds));
        }
        let (outcome, took) = run((3, 0, failed()), (9, 0, failed())).await;
        assert!(matches!(outcome, Err(Error::Truncated { .. })));
        assert_eq!(took, 11, "the call fails when both have");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_before_the_second_attempt_is_the_calls() {
        let (outcome, took) = run((1, 0, failed()), (0, 0, Ok(1))).await;
        assert!(outcome.is_err());
        assert_eq!(took, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_attempt_may_be_declined() {
        let race = Race::default();
        let first = lane(&race, 0, SECOND * 5, SECOND, Ok(0));
        let outcome = Hedged::new(&race, first, Instant::now() + SECOND, || None).await;
        assert_eq!(outcome.unwrap(), 0);
    }
}
