//! A call's one absolute deadline, on this side.
//!
//! It is set when the call starts and covers connecting, waiting for headers and every message.
//! `grpc-timeout` is computed from what remains right before each attempt; the wire format itself is
//! tonic's.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep};
use tonic::{Request, Status};

use crate::Error;

/// The longest time worth telling a server; more is as good as no deadline.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// When a call must be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    /// The time that the call was given, for the error message.
    timeout: Option<Duration>,
    at: Option<Instant>,
}

impl Deadline {
    /// The deadline of a call that starts now; without a timeout the server's default applies.
    pub(crate) fn starting_now(timeout: Option<Duration>) -> Self {
        let timeout = timeout.map(|timeout| timeout.min(LONGEST));
        Self { timeout, at: timeout.map(|timeout| Instant::now() + timeout) }
    }

    /// This one, or another that comes earlier: after `timeout`, at that moment.
    pub(crate) fn or_earlier(self, timeout: Duration, at: Instant) -> Self {
        if self.at.is_some_and(|own| own <= at) { self } else { Self { timeout: Some(timeout), at: Some(at) } }
    }

    /// The earlier of the two.
    pub(crate) fn min(self, other: Self) -> Self {
        match (other.timeout, other.at) {
            (Some(timeout), Some(at)) => self.or_earlier(timeout, at),
            _ => self,
        }
    }

    /// Whether there is time left after such a wait.
    pub(crate) fn leaves(&self, wait: Duration) -> bool {
        self.at.is_none_or(|at| Instant::now() + wait < at)
    }

    /// A request that tells the server the time that remains.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(at) = self.at {
            request.set_timeout(at.saturating_duration_since(Instant::now()));
        }
        request
    }

    /// Waits for one attempt, but no longer than the deadline.
    pub(crate) async fn run<T>(
        &self,
        endpoint: &str,
        attempt: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        self.cover(attempt).await?.map_err(|status| self.error(status, endpoint))
    }

    /// Waits for work that comes before an attempt or after it, but no longer than the deadline.
    pub(crate) async fn cover<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        match self.at {
            Some(at) => tokio::time::timeout_at(at, work).await.map_err(|_| self.exceeded()),
            None => Ok(work.await),
        }
    }

    /// The error that a status amounts to under this deadline.
    pub(crate) fn error(&self, status: Status, endpoint: &str) -> Error {
        Error::from_status(status, endpoint, self.timeout)
    }

    /// A timer for whoever polls by hand.
    pub(crate) fn timer(&self) -> Option<Pin<Box<Sleep>>> {
        self.at.map(|at| Box::pin(tokio::time::sleep_until(at)))
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
    }

    pub(crate) fn exceeded(&self) -> Error {
        Error::DeadlineExceeded { timeout: self.timeout.unwrap_or_default(), resume_token: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_attempt_that_never_ends_is_ended() {
        let deadline = Deadline::starting_now(Some(Duration::from_millis(5)));
        let outcome: Result<(), _> = deadline.run("http://h", std::future::pending()).await;
        assert!(matches!(outcome, Err(Error::DeadlineExceeded { .. })));
        assert!(deadline.has_passed());
    }

    #[tokio::test]
    async fn the_server_is_told_what_remains_and_not_more_than_was_given() {
        let told = |timeout| {
            let request = Deadline::starting_now(timeout).request(());
            let value = request.metadata().get(rowstream_contract::deadline::GRPC_TIMEOUT)?.to_str().ok()?.to_owned();
            rowstream_contract::deadline::parse(&value).ok()
        };
        assert_eq!(told(None), None);
        assert!(told(Some(Duration::from_secs(5))).is_some_and(|left| left <= Duration::from_secs(5)));
        assert!(told(Some(Duration::MAX)).is_some_and(|left| left <= LONGEST));
    }
}
