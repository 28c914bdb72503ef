//! A token bucket: so many calls a second, and a burst of some at once.
//!
//! The bucket is governor's (GCRA, as in ATM's traffic management). governor's own waiting uses a timer and a clock of
//! its own, so that only its decision is used here, with tokio's clock.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference as _},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

use crate::Error;

/// Timers fire once a millisecond; what a rate allows in the time of some of them has to go at once, or the rate is
/// never reached.
const BURST_TIME: Duration = Duration::from_millis(10);
const LEAST_BURST: u32 = 2;

/// So many calls in a time, and how many of them at once.
///
/// As text `200/s`, `10/min`, `1000/h`, `0.5/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The time between two calls.
    interval: Duration,
    burst: Option<NonZeroU32>,
}

impl Rate {
    /// So many calls a second.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if that is not a number above 0, or more than 1,000,000 a second, or less than one a
    /// day.
    pub fn per_second(calls: f64) -> Result<Self, Error> {
        Self::per(calls, Duration::from_secs(1))
    }

    /// So many calls in such a time.
    ///
    /// # Errors
    /// As [`per_second`](Self::per_second).
    pub fn per(calls: f64, time: Duration) -> Result<Self, Error> {
        let invalid = || invalid(format!("{calls} in {}", humantime::format_duration(time)));
        if !(calls.is_finite() && calls > 0.0) {
            return Err(invalid());
        }
        let interval = Duration::try_from_secs_f64(time.as_secs_f64() / calls).map_err(|_| invalid())?;
        if interval < Duration::from_micros(1) || interval > Duration::from_secs(24 * 3600) {
            return Err(invalid());
        }
        Ok(Self { interval, burst: None })
    }

    /// How many calls may begin at once, after a pause as long as they take at this rate. Default: what the rate allows
    /// in 10 ms, at least 2. 0 counts as 1.
    #[must_use]
    pub fn burst(mut self, calls: u32) -> Self {
        self.burst = Some(NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// Calls a second.
    #[must_use]
    pub fn calls_per_second(&self) -> f64 {
        1.0 / self.interval.as_secs_f64()
    }

    fn burst_size(&self) -> NonZeroU32 {
        self.burst.unwrap_or_else(|| {
            let calls = BURST_TIME.as_nanos() / self.interval.as_nanos().max(1);
            let calls = u32::try_from(calls).unwrap_or(u32::MAX).max(LEAST_BURST);
            NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN)
        })
    }
}

fn invalid(given: impl fmt::Display) -> Error {
    let problem = format!("{given:.60} is none: write N/s, N/min or N/h, from one a day to 1000000/s, such as 200/s");
    Error::InvalidSetting { setting: "rate", problem }
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (calls, unit) = text.split_once('/').ok_or_else(|| invalid(format!("{text:?}")))?;
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3600,
            _ => return Err(invalid(format!("{text:?}"))),
        };
        let calls = calls.trim().parse().map_err(|_| invalid(format!("{text:?}")))?;
        Self::per(calls, Duration::from_secs(seconds)).map_err(|_| invalid(format!("{text:?}")))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls_per_second();
        match calls {
            _ if calls >= 0.1 => write!(f, "{}/s", (calls * 1e3).round() / 1e3),
            _ => write!(f, "{}/h", (calls * 3.6e6).round() / 1e3),
        }
    }
}

/// tokio's clock, which a test can pause, as time since the bucket was made.
#[derive(Clone, Copy, Debug)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.start.elapsed().into()
    }
}

/// The tokens of one rate: full at first.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
}

impl TokenBucket {
    pub(crate) fn new(rate: &Rate) -> Self {
        let clock = TokioClock { start: Instant::now() };
        // An interval of zero cannot come out of `Rate::per`.
        let quota = Quota::with_period(rate.interval).unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX));
        Self { limiter: RateLimiter::direct_with_clock(quota.allow_burst(rate.burst_size()), clock), clock }
    }

    /// Takes a token, or says when there will be one.
    pub(crate) fn take(&self) -> Result<(), Instant> {
        self.limiter.check().map_err(|not_until| {
            let wait = not_until.earliest_possible().duration_since(self.clock.now());
            Instant::now() + Duration::from(wait)
        })
    }

    /// Waits for a token.
    pub(crate) async fn taken(&self) {
        while let Err(at) = self.take() {
            tokio::time::sleep_until(at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_people_write_it() {
        for (text, calls) in
            [("200/s", 200.0), ("0.5/s", 0.5), ("30/min", 0.5), ("3600/h", 1.0), (" 10 / min ", 10.0 / 60.0)]
        {
            let rate: Rate = text.parse().unwrap();
            assert!((rate.calls_per_second() - calls).abs() < 1e-6, "{text}: {rate:?}");
        }
        for text in ["", "200", "/s", "200/day", "-1/s", "0/s", "nan/s", "inf/s", "2000000/s", "0.5/h/s", "0.01/h"] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains("200/s") && error.contains(text), "{text}: {error}");
        }
        assert_eq!("200/s".parse::<Rate>().unwrap().to_string(), "200/s");
        assert_eq!("10/h".parse::<Rate>().unwrap().to_string(), "10/h");
    }

    #[test]
    fn the_burst_is_what_the_rate_allows_in_ten_milliseconds_or_what_was_asked_for() {
        for (rate, burst) in [(1.0, 2), (150.0, 2), (1_000.0, 10), (10_000.0, 100)] {
            assert_eq!(Rate::per_second(rate).unwrap().burst_size().get(), burst);
        }
        assert_eq!(Rate::per_second(10_000.0).unwrap().burst(0).burst_size().get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_burst_every_token_comes_at_its_time() {
        for (rate, interval_us) in [(10.0, 100_000), (200.0, 5_000), (1_000.0, 1_000)] {
            let bucket = TokenBucket::new(&Rate::per_second(rate).unwrap().burst(3));
            let start = Instant::now();
            for token in 0..50_u64 {
                bucket.taken().await;
                let due = Duration::from_micros(interval_us * token.saturating_sub(2));
                let late = start.elapsed().checked_sub(due).expect("not before its time");
                assert!(late <= Duration::from_millis(1), "token {token} at {rate}/s is {late:?} late");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_faster_than_the_timer_is_reached() {
        let bucket = TokenBucket::new(&Rate::per_second(10_000.0).unwrap());
        let start = Instant::now();
        for _ in 0..10_100 {
            bucket.taken().await;
        }
        let off = start.elapsed().as_secs_f64() - 1.0;
        assert!(off.abs() < 0.002, "10,000 tokens after the burst took {off} s more than a second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_no_more_than_the_burst() {
        let bucket = TokenBucket::new(&Rate::per_second(10.0).unwrap().burst(4));
        tokio::time::sleep(Duration::from_secs(100)).await;
        let taken = (0..10).take_while(|_| bucket.take().is_ok()).count();
        assert_eq!(taken, 4);
    }
}
