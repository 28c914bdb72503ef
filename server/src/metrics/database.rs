//! PostgreSQL connections, control statements and cancels, and what is known of statements.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};
use tokio::time::Instant;

use super::names;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseCounts {
    opens: IntCounterVec,
    open_duration: HistogramVec,
    discards: IntCounterVec,
    control: IntCounterVec,
    cancel_duration: HistogramVec,
    pub(crate) plans: PlanCounts,
}

/// The pools there are.
pub(crate) const CALLS: &str = "calls";
pub(crate) const CONTROL: &str = "control";
pub(crate) const HOLDERS: &str = "snapshots";

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discard {
    /// Its session could not be brought to an end, or its peer broke it.
    Broken,
    /// It did not answer when it was to be used again.
    Dead,
    /// Another idle one was found dead.
    Suspect,
    /// It had reached its age.
    Aged,
    /// It was idle for long, beyond the minimum.
    Idle,
}

impl Discard {
    const ALL: [Self; 5] = [Self::Broken, Self::Dead, Self::Suspect, Self::Aged, Self::Idle];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Dead => "dead",
            Self::Suspect => "suspect",
            Self::Aged => "aged",
            Self::Idle => "idle",
        }
    }
}

/// What a control statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Cancel,
    Terminate,
    Ping,
    /// Looks after the transaction of a read session.
    Snapshot,
}

impl Control {
    const ALL: [Self; 4] = [Self::Cancel, Self::Terminate, Self::Ping, Self::Snapshot];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
            Self::Ping => "ping",
            Self::Snapshot => "snapshot",
        }
    }
}

impl DatabaseCounts {
    pub(super) fn new(registry: &Registry) -> Self {
        let counts = Self {
            opens: names::POOL_OPENS.counters(registry),
            open_duration: names::POOL_OPEN_DURATION.histograms(registry),
            discards: names::POOL_DISCARDS.counters(registry),
            control: names::CONTROL.counters(registry),
            cancel_duration: names::CANCEL_DURATION.histograms(registry),
            plans: PlanCounts::new(registry),
        };
        // Every series from the start: a rate needs the zero before the first event.
        for kind in Control::ALL {
            for outcome in OUTCOMES {
                counts.control.with_label_values(&[kind.as_str(), outcome]);
            }
        }
        for end in ENDS {
            counts.cancel_duration.with_label_values(&[end]);
        }
        counts
    }

    /// What is counted of one pool.
    pub(crate) fn pool(&self, pool: &'static str) -> PoolCounts {
        PoolCounts {
            opens: OUTCOMES.map(|outcome| self.opens.with_label_values(&[pool, outcome])),
            open_duration: self.open_duration.with_label_values(&[pool]),
            discards: Discard::ALL.map(|cause| self.discards.with_label_values(&[pool, cause.as_str()])),
        }
    }

    pub(crate) fn control(&self, kind: Control, ok: bool) {
        self.control.with_label_values(&[kind.as_str(), OUTCOMES[usize::from(!ok)]]).inc();
    }

    /// A running statement was cancelled, and has ended; or its backend had to be terminated.
    pub(crate) fn cancelled(&self, took: Duration, terminated: bool) {
        self.cancel_duration.with_label_values(&[ENDS[usize::from(terminated)]]).observe(took.as_secs_f64());
    }
}

const OUTCOMES: [&str; 2] = ["ok", "failed"];
const ENDS: [&str; 2] = ["cancelled", "terminated"];

/// What is counted of a pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolCounts {
    opens: [IntCounter; OUTCOMES.len()],
    open_duration: Histogram,
    discards: [IntCounter; Discard::ALL.len()],
}

/// A connection that is being opened. Dropped, it has failed.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    counts: &'a PoolCounts,
    started: Instant,
    opened: bool,
}

impl PoolCounts {
    pub(crate) fn opening(&self) -> Opening<'_> {
        Opening { counts: self, started: Instant::now(), opened: false }
    }

    pub(crate) fn discarded(&self, cause: Discard) {
        self.discards[cause as usize].inc();
    }

    pub(crate) fn pinging(&self) -> Pinging<'_> {
        Pinging { counts: self, answered: false }
    }
}

/// A connection that is asked whether it lives. Dropped without an answer, it does not.
#[derive(Debug)]
pub(crate) struct Pinging<'a> {
    counts: &'a PoolCounts,
    answered: bool,
}

impl Pinging<'_> {
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Pinging<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.counts.discarded(Discard::Dead);
        }
    }
}

impl Opening<'_> {
    pub(crate) fn opened(mut self) {
        self.opened = true;
        self.counts.open_duration.observe(self.started.elapsed().as_secs_f64());
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.counts.opens[usize::from(!self.opened)].inc();
    }
}

/// What is counted of the cache of plans.
#[derive(Clone, Debug)]
pub(crate) struct PlanCounts {
    pub(crate) hits: IntCounter,
    pub(crate) misses: IntCounter,
    pub(crate) forgotten: IntCounter,
}

impl PlanCounts {
    fn new(registry: &Registry) -> Self {
        let lookups = names::PLAN_LOOKUPS.counters(registry);
        Self {
            hits: lookups.with_label_values(&["hit"]),
            misses: lookups.with_label_values(&["miss"]),
            forgotten: names::PLAN_FORGOTTEN.counters(registry).with_label_values::<&str>(&[]),
        }
    }
}
