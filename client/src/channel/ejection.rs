//! Whether one backend takes calls: it is left out for a while when it fails, and comes back when it is healthy again.
//!
//! Ejection from what calls experience, with a time that grows each time, is Envoy's outlier detection and gRPC's
//! (gRFC A50). Here it is by consecutive failures, as Envoy's, and a backend comes back only after a probe has found it
//! healthy (`probe.rs`), not by time alone. That a backend is slow beside others is found in `latency.rs`. What happens
//! when all are ejected is the choice's business (`pool.rs`).

use std::time::Duration;

use rowstream_contract::reason::Reason;
use tokio::time::Instant;
use tonic::Code;

use crate::Error;

/// UNAVAILABLE so many times in a row ejects.
const IN_A_ROW: u32 = 3;
/// The first ejection; each further one is twice as long, up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// So much time without an ejection takes one doubling back.
const DECAY: Duration = Duration::from_secs(10);
/// Between probes of a backend that is not healthy, at most. They cost little, and it may be back at any time.
const LONGEST_PROBE_PAUSE: Duration = Duration::from_secs(5);

/// A failure that speaks against the backend, not against the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection came about.
    Connect,
    /// It takes no further calls, and says so.
    Draining,
    /// UNAVAILABLE for any other reason, or the connection broke.
    Unavailable,
}

impl Failure {
    pub(super) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Connect { .. } => Some(Self::Connect),
            error if error.server().and_then(|server| server.reason()) == Some(Reason::Draining) => {
                Some(Self::Draining)
            }
            error => (error.code() == Code::Unavailable).then_some(Self::Unavailable),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Failing,
    Slow,
}

/// What is known of one backend.
#[derive(Debug)]
pub(super) struct Standing {
    ejected: Option<Ejected>,
    failures_in_a_row: u32,
    /// How many times the next ejection's time is doubled.
    doublings: u32,
    /// When it last came back.
    back_since: Option<Instant>,
}

#[derive(Debug)]
struct Ejected {
    why: Why,
    since: Instant,
    next_probe: Instant,
    failed_probes: u32,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self { ejected: None, failures_in_a_row: 0, doublings: 0, back_since: None }
    }

    pub(super) fn is_available(&self) -> bool {
        self.ejected.is_none()
    }

    pub(super) fn is_slow(&self) -> bool {
        self.ejected.as_ref().is_some_and(|ejected| ejected.why == Why::Slow)
    }

    /// When an ejected one is to be probed: first when its time is over.
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.ejected.as_ref().map(|ejected| ejected.next_probe)
    }

    /// An attempt that began then has had its first message. If it was sent to an ejected backend, for want of others,
    /// that is as good as a probe.
    pub(super) fn succeeded(&mut self, began: Instant, now: Instant) {
        self.failures_in_a_row = 0;
        if self.ejected.as_ref().is_some_and(|ejected| ejected.why == Why::Failing && began > ejected.since) {
            self.readmit(now);
        }
    }

    /// An attempt that began then has failed. Says whether that ejects.
    pub(super) fn failed(&mut self, failure: Failure, began: Instant, now: Instant) -> bool {
        let is_old = self.back_since.is_some_and(|back| began < back);
        if self.ejected.is_some() || is_old {
            return false;
        }
        self.failures_in_a_row += 1;
        let ejects = failure != Failure::Unavailable || self.failures_in_a_row >= IN_A_ROW;
        if ejects {
            self.eject(Why::Failing, now);
        }
        ejects
    }

    pub(super) fn eject(&mut self, why: Why, now: Instant) {
        let quiet = self.back_since.map_or(Duration::ZERO, |back| now.saturating_duration_since(back));
        let forgiven = u32::try_from(quiet.as_secs() / DECAY.as_secs()).unwrap_or(u32::MAX);
        let doublings = self.doublings.saturating_sub(forgiven);
        let time = doubled(FIRST, doublings, LONGEST);
        self.doublings = doublings.saturating_add(1);
        self.ejected = Some(Ejected { why, since: now, next_probe: now + time, failed_probes: 0 });
    }

    /// A probe found it not healthy: there will be another, a little later each time. Jitter keeps many clients from
    /// asking at the same moment.
    pub(super) fn probe_failed(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        if let Some(ejected) = &mut self.ejected {
            let pause = doubled(FIRST, ejected.failed_probes, LONGEST_PROBE_PAUSE);
            ejected.failed_probes += 1;
            ejected.next_probe = now + pause.mul_f64(0.8 + 0.4 * rng.f64());
        }
    }

    /// It takes calls again.
    pub(super) fn readmit(&mut self, now: Instant) {
        self.ejected = None;
        self.failures_in_a_row = 0;
        self.back_since = Some(now);
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A standing and a clock of its own.
    struct Bench {
        standing: Standing,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { standing: Standing::new(), now: Instant::now() }
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
        }

        fn fails(&mut self, failure: Failure) -> bool {
            self.standing.failed(failure, self.now, self.now)
        }

        /// Ejects it, and tells for how long.
        fn eject(&mut self) -> Duration {
            assert!(self.fails(Failure::Connect));
            self.standing.next_probe().unwrap() - self.now
        }

        /// Ejects it, and takes it back when its time is over.
        fn round(&mut self) -> u64 {
            let time = self.eject();
            self.wait(time);
            self.standing.readmit(self.now);
            time.as_secs()
        }
    }

    #[test]
    fn a_failed_connect_and_a_draining_server_are_out_at_once_and_unavailable_the_third_time_in_a_row() {
        assert!(Bench::new().fails(Failure::Connect));
        assert!(Bench::new().fails(Failure::Draining));
        let mut bench = Bench::new();
        assert!(!bench.fails(Failure::Unavailable));
        assert!(!bench.fails(Failure::Unavailable));
        bench.standing.succeeded(bench.now, bench.now);
        assert!(!bench.fails(Failure::Unavailable));
        assert!(!bench.fails(Failure::Unavailable));
        assert!(bench.standing.is_available());
        assert!(bench.fails(Failure::Unavailable));
        assert!(!bench.standing.is_available());
    }

    #[test]
    fn each_ejection_is_twice_as_long_up_to_30_seconds() {
        let mut bench = Bench::new();
        let times: Vec<_> = (0..7).map(|_| bench.round()).collect();
        assert_eq!(times, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn good_behaviour_takes_the_doublings_back_one_by_one() {
        let mut bench = Bench::new();
        assert_eq!((0..4).map(|_| bench.round()).collect::<Vec<_>>(), [1, 2, 4, 8]);
        bench.wait(2 * DECAY);
        assert_eq!(bench.round(), 4, "two of four doublings are gone");
        bench.wait(Duration::from_secs(3600));
        assert_eq!(bench.round(), 1);
    }

    #[test]
    fn probes_of_an_unhealthy_backend_come_later_each_time_but_no_later_than_five_seconds() {
        let (mut bench, mut rng) = (Bench::new(), fastrand::Rng::with_seed(1));
        bench.eject();
        for expected in [1, 2, 4, 5, 5, 5] {
            bench.standing.probe_failed(bench.now, &mut rng);
            let pause = bench.standing.next_probe().unwrap() - bench.now;
            let expected = Duration::from_secs(expected);
            assert!(pause >= expected.mul_f64(0.8) && pause <= expected.mul_f64(1.2), "{pause:?} for {expected:?}");
            bench.wait(pause);
        }
    }

    #[test]
    fn a_call_that_was_sent_to_a_failing_backend_for_want_of_others_and_works_brings_it_back() {
        let mut bench = Bench::new();
        let before = bench.now;
        bench.wait(FIRST);
        bench.eject();
        bench.wait(FIRST);
        bench.standing.succeeded(before, bench.now);
        assert!(!bench.standing.is_available(), "it was sent before the failure");
        bench.standing.succeeded(bench.now, bench.now);
        assert!(bench.standing.is_available());
        assert!(!bench.standing.failed(Failure::Connect, before, bench.now), "what began before counts no more");
        bench.standing.eject(Why::Slow, bench.now);
        bench.wait(FIRST);
        bench.standing.succeeded(bench.now, bench.now);
        assert!(bench.standing.is_slow(), "one answer does not make it fast");
    }
}
