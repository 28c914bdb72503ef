//! Why and when a call ends before its rows do: the deadline and every kind of cancellation, as one
//! signal that each step of the call waits on.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Where in its life a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting for admission or for a connection.
    Queue,
    /// Opening the transaction, checking the statement, declaring the cursor.
    Plan,
    /// PostgreSQL works on a fetch.
    Fetch,
    /// Waiting for the caller to take a batch.
    Send,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Queue, Self::Plan, Self::Fetch, Self::Send];

    /// The name in an error's metadata.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "QUEUE",
            Self::Plan => "PLAN",
            Self::Fetch => "FETCH",
            Self::Send => "SEND",
        }
    }
}

/// Why a call was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The caller dropped the call, or its connection is gone.
    CallerGone,
    /// The deadline passed.
    Deadline,
    /// CancelQuery named this call.
    CancelRequested,
    /// The caller took no batch within the stall timeout.
    Stalled,
    /// The server is shutting down and the grace period is over.
    Draining,
    /// A row could not be sent; the error is on its way and the rest of the rows is of no use.
    Failed,
}

/// A call that was stopped: why, and where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) cause: Cause,
    pub(crate) phase: Phase,
}

/// The one signal that ends a call early. Cheap to clone; all clones are the same signal.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Inner>);

struct Inner {
    deadline: Instant,
    token: CancellationToken,
    /// Set once: the first cause wins.
    stopped: OnceLock<Stopped>,
    phase: AtomicU8,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.now()).finish_non_exhaustive()
    }
}

impl Stop {
    pub(crate) fn new(deadline: Instant) -> Self {
        let token = CancellationToken::new();
        Self(Arc::new(Inner { deadline, token, stopped: OnceLock::new(), phase: AtomicU8::new(0) }))
    }

    /// Stops the call, unless something else has.
    pub(crate) fn stop(&self, cause: Cause) {
        self.0.stopped.get_or_init(|| Stopped { cause, phase: self.phase() });
        self.0.token.cancel();
    }

    /// Whether the call has been stopped.
    pub(crate) fn now(&self) -> Option<Stopped> {
        self.0.stopped.get().copied()
    }

    /// Waits until the call is stopped or its deadline passes.
    pub(crate) async fn stopped(&self) -> Stopped {
        tokio::select! {
            biased;
            () = self.0.token.cancelled() => {}
            () = sleep_until(self.0.deadline) => self.stop(Cause::Deadline),
        }
        self.now().unwrap_or(Stopped { cause: Cause::Deadline, phase: self.phase() })
    }

    /// Runs `step` unless the call is stopped first; `step` is then dropped.
    pub(crate) async fn unless_stopped<T>(&self, step: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            stopped = self.stopped() => Err(stopped),
            done = step => Ok(done),
        }
    }

    /// Notes where the call is, and fails if it has been stopped already.
    pub(crate) fn enter(&self, phase: Phase) -> Result<(), Stopped> {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
        if self.remaining().is_zero() {
            self.stop(Cause::Deadline);
        }
        self.now().map_or(Ok(()), Err)
    }

    /// Time since the deadline passed.
    pub(crate) fn overshoot(&self) -> Duration {
        Instant::now().saturating_duration_since(self.0.deadline)
    }

    /// Time left until the deadline.
    pub(crate) fn remaining(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.0.phase.load(Ordering::Relaxed)) % Phase::ALL.len()]
    }
}

/// Stops a call when dropped: what a caller's going away looks like from inside a tonic handler.
#[derive(Debug)]
pub(crate) struct StopOnDrop(pub(crate) Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(Cause::CallerGone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_stops_a_call_at_its_instant_and_names_the_phase() {
        let start = Instant::now();
        let stop = Stop::new(start + Duration::from_millis(700));
        stop.enter(Phase::Fetch).expect("not stopped yet");
        let stopped = stop.unless_stopped(std::future::pending::<()>()).await;
        assert_eq!(stopped, Err(Stopped { cause: Cause::Deadline, phase: Phase::Fetch }));
        assert_eq!(start.elapsed(), Duration::from_millis(700));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_cause_wins_and_keeps_its_phase() {
        let stop = Stop::new(Instant::now() + Duration::from_secs(1));
        stop.enter(Phase::Send).expect("not stopped yet");
        stop.stop(Cause::Stalled);
        drop(StopOnDrop(stop.clone()));
        let expected = Stopped { cause: Cause::Stalled, phase: Phase::Send };
        assert_eq!(stop.enter(Phase::Fetch), Err(expected));
        assert_eq!(stop.stopped().await, expected);
    }
}
