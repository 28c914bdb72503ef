//! Which failed attempts are made again, and when: gRFC A6's policy.
//!
//! Decides only; the loop that waits and tries again is in `fanout`. An attempt whose first row has arrived is not made
//! again, unless the policy says that nobody has seen that row.

mod budget;

use std::time::Duration;

use tonic::Code;

pub(crate) use self::budget::Budget;
use crate::{Error, error::Pushback};

/// Which failed attempts of a call are made again, how often, and after what wait.
///
/// The wait before the n-th retry is a random part of `base * 2^(n-1)`, at most `most` (full jitter: a crowd that
/// failed together does not return together). A server that says when to come back is obeyed.
///
/// # Why a budget, and not retries alone?
///
/// Three retries a call are four times the load at the moment a server is down already. The budget is shared by a whole
/// fan-out: every failure that could be retried takes a token, every success gives a part of one back, and below half
/// of the tokens nothing is retried. So a rare failure is always retried, and an outage costs its first moments only.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct RetryPolicy {
    max_retries: u32,
    codes: Vec<Code>,
    base: Duration,
    most: Duration,
    max_pushback: Duration,
    after_rows: bool,
    pub(crate) tokens: Option<f64>,
    pub(crate) token_ratio: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            codes: vec![Code::Unavailable],
            base: Duration::from_millis(50),
            most: Duration::from_secs(5),
            max_pushback: Duration::from_secs(30),
            after_rows: false,
            tokens: None,
            token_ratio: 0.1,
        }
    }
}

impl RetryPolicy {
    /// Nothing is made again.
    pub fn none() -> Self {
        Self { max_retries: 0, ..Self::default() }
    }

    /// How often a call is made again at most. Default 3.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// The codes that are made again. Default: UNAVAILABLE alone.
    pub fn codes(mut self, codes: impl IntoIterator<Item = Code>) -> Self {
        self.codes = codes.into_iter().collect();
        self
    }

    /// The longest wait before the first retry, and before any. Default 50 ms and 5 s.
    pub fn backoff(mut self, base: Duration, most: Duration) -> Self {
        (self.base, self.most) = (base.min(most), most);
        self
    }

    /// Whether a call is made again, too, whose first row has come. Only for calls that hand out nothing before they
    /// have everything, as [`Call`](crate::Call) does in a fan-out: else rows would come twice. Default false, as gRPC
    /// has it.
    pub fn after_rows(mut self, again: bool) -> Self {
        self.after_rows = again;
        self
    }

    /// Whether an attempt that has brought rows may be made again.
    pub(crate) fn covers_rows(&self) -> bool {
        self.after_rows
    }

    /// A server's wish to wait is cut to this. Default 30 s.
    pub fn max_pushback(mut self, wait: Duration) -> Self {
        self.max_pushback = wait;
        self
    }

    /// The budget: how many tokens there are, and what part of one a success gives back. Default: twice the
    /// concurrency, at least 20, and 0.1.
    pub fn budget(mut self, tokens: u32, ratio: f64) -> Self {
        (self.tokens, self.token_ratio) = (Some(f64::from(tokens)), ratio.clamp(0.0, 1.0));
        self
    }

    /// Whether an attempt that failed so could be made again by another one.
    pub(crate) fn covers(&self, error: &Error) -> bool {
        self.codes.contains(&error.code()) && !matches!(error, Error::DeadlineExceeded { .. })
    }

    /// How long to wait before the n-th retry (from 1); `None` if there is none.
    pub(crate) fn wait(&self, error: &Error, retry: u32, rng: &mut fastrand::Rng) -> Option<Duration> {
        if self.covers(error) { self.delay(error, retry, rng) } else { None }
    }

    /// As [`wait`](Self::wait), for an error that is to be retried whatever its code.
    pub(crate) fn delay(&self, error: &Error, retry: u32, rng: &mut fastrand::Rng) -> Option<Duration> {
        if retry > self.max_retries {
            return None;
        }
        match error.pushback() {
            Some(Pushback::Never) => None,
            Some(Pushback::After(wait)) => Some(wait.min(self.max_pushback)),
            None => Some(self.backoff_of(retry).mul_f64(rng.f64())),
        }
    }

    fn backoff_of(&self, retry: u32) -> Duration {
        let factor = 2_u32.saturating_pow(retry.saturating_sub(1));
        self.base.saturating_mul(factor).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Status, metadata::MetadataValue};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn error(code: Code) -> Error {
        Error::from_status(Status::new(code, "no"), "http://h", None)
    }

    fn pushed_back(text: &'static str) -> Error {
        let mut status = Status::unavailable("later");
        status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from_static(text));
        Error::from_status(status, "http://h", None)
    }

    #[test]
    fn only_the_codes_of_the_policy_are_made_again_and_only_so_often() {
        let (policy, mut rng) = (RetryPolicy::default(), fastrand::Rng::with_seed(1));
        for (code, again) in [(Code::Unavailable, true), (Code::ResourceExhausted, false), (Code::Internal, false)] {
            assert_eq!(policy.wait(&error(code), 1, &mut rng).is_some(), again, "{code:?}");
        }
        assert!(policy.wait(&error(Code::Unavailable), 3, &mut rng).is_some());
        assert!(policy.wait(&error(Code::Unavailable), 4, &mut rng).is_none());
        let wider = RetryPolicy::default().codes([Code::Aborted]);
        assert!(wider.wait(&error(Code::Aborted), 1, &mut rng).is_some());
        assert!(wider.wait(&error(Code::Unavailable), 1, &mut rng).is_none());
        assert!(RetryPolicy::none().wait(&error(Code::Unavailable), 1, &mut rng).is_none());
    }

    #[test]
    fn the_wait_is_any_part_of_a_doubling_time() {
        let policy =
            RetryPolicy::default().backoff(Duration::from_millis(100), Duration::from_millis(250)).max_retries(9);
        let mut rng = fastrand::Rng::with_seed(3);
        for (retry, most_ms) in [(1, 100), (2, 200), (3, 250), (9, 250)] {
            let most = Duration::from_millis(most_ms);
            let mut waits = Vec::new();
            for _ in 0..1_000 {
                waits.push(policy.wait(&error(Code::Unavailable), retry, &mut rng).unwrap());
            }
            let (least, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*longest <= most && *longest > most.mul_f64(0.95), "{longest:?}");
            assert!(*least < most.mul_f64(0.05), "{least:?}");
        }
    }

    #[test]
    fn what_the_server_wishes_is_done_within_the_bound() {
        let (policy, mut rng) = (RetryPolicy::default(), fastrand::Rng::with_seed(1));
        for (text, wait) in [
            ("0", Some(Duration::ZERO)),
            ("1500", Some(Duration::from_millis(1500))),
            ("99999999", Some(Duration::from_secs(30))),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(policy.wait(&pushed_back(text), 1, &mut rng), wait, "{text}");
        }
        let mut details = ErrorDetails::new();
        details.set_retry_info(Some(Duration::from_millis(250)));
        let status = Status::with_error_details(Code::Unavailable, "later", details);
        let told = Error::from_status(status, "http://h", None);
        assert_eq!(policy.wait(&told, 1, &mut rng), Some(Duration::from_millis(250)));
    }
}
