//! What a run has come to so far.
//!
//! Two rules that the figures rest on:
//!
//! - Latencies are those of the calls that were due after the warm-up, whenever they end. Throughput is what arrives in
//!   the measured time, of whichever call: so neither a long call at its beginning nor one at its end falsifies it.
//! - A call that ran out of time has no latency, but it is known to be longer than what it had; that is what counts for
//!   it. Without it, the slowest calls would be missing from the latencies, which would look the better for it. A call
//!   that was refused has no latency at all.

use std::time::Duration;

use rowstream_client::{Code, Error, Strategy, Summary};
use tokio::time::Instant;

use super::{failures::Failures, latency::Latency, recorder::Begun, slices::Slicer};

/// All that is counted.
#[derive(Debug)]
pub(super) struct Recorded {
    /// When the measured time begins, and when it has ended.
    start: Instant,
    end: Option<Instant>,
    open: bool,
    pub(super) calls: Calls,
    pub(super) failures: Failures,
    pub(super) latencies: Latencies,
    pub(super) steps: Vec<Step>,
    pub(super) slicer: Slicer,
    pub(super) throughput: Throughput,
    pub(super) server: Server,
    pub(super) in_flight: u64,
    /// Some call has succeeded, in the warm-up or after.
    any_success: bool,
}

/// Calls that were due after the warm-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    pub(super) begun: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// Given up by us at the end of the run.
    pub(super) unfinished: u64,
    /// Due, and not begun by the end.
    pub(super) never_begun: u64,
    /// Begun late for that reason.
    pub(super) held: u64,
    /// Those whose time is known to be longer than what is counted.
    pub(super) at_least: u64,
    pub(super) most_in_flight: u64,
}

/// The times of a run. `response`, `header` and `first_row` are from when the call was due.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    pub(super) response: Latency,
    pub(super) service: Latency,
    pub(super) header: Latency,
    pub(super) first_row: Latency,
    pub(super) gap: Latency,
    /// To the end of calls that failed otherwise than by running out of time.
    pub(super) failure: Latency,
    /// How late the generator itself began calls that nothing held.
    pub(super) lag: Latency,
}

/// What the calls of a step came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub(super) due: u64,
    pub(super) succeeded: u64,
    pub(super) response: Latency,
}

/// What arrived in the measured time.
#[derive(Clone, Debug, Default)]
pub(super) struct Throughput {
    pub(super) calls: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// The server's own account of the calls that succeeded.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) calls: u64,
    pub(super) queued: Duration,
    pub(super) database: Duration,
    pub(super) encode: Duration,
    pub(super) client_wait: Duration,
    /// How it read, as the first header says that does.
    pub(super) strategy: Option<Strategy>,
}

impl Recorded {
    pub(super) fn new(start: Instant, open: bool, steps: usize) -> Self {
        Self {
            start,
            end: None,
            open,
            calls: Calls::default(),
            failures: Failures::default(),
            latencies: Latencies::default(),
            steps: vec![Step::default(); steps],
            slicer: Slicer::default(),
            throughput: Throughput::default(),
            server: Server::default(),
            in_flight: 0,
            any_success: false,
        }
    }

    /// Throughput is counted until now.
    pub(super) fn close(&mut self, now: Instant) {
        self.end = Some(now);
    }

    /// How long the measured time was, or is so far.
    pub(super) fn measured(&self, now: Instant) -> Duration {
        self.end.unwrap_or(now).saturating_duration_since(self.start)
    }

    /// Whether no call has succeeded, in the warm-up neither.
    pub(super) fn nothing_succeeded(&self) -> bool {
        !self.any_success
    }

    /// An arrival that was due after the warm-up, and never began; it had waited until then.
    pub(super) fn never_begun(&mut self, due: Instant, step: usize, until: Instant) {
        self.calls.never_begun += 1;
        self.calls.at_least += 1;
        let waited = until.saturating_duration_since(due);
        self.latencies.response.record(waited);
        if let Some(step) = self.steps.get_mut(step) {
            step.due += 1;
            step.response.record(waited);
        }
    }

    pub(super) fn main(&self) -> &Latency {
        if self.open { &self.latencies.response } else { &self.latencies.service }
    }

    /// Since when the measured time runs; `None` before it.
    fn clock(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(self.start)
    }

    fn counts(&self, now: Instant) -> bool {
        now >= self.start && self.end.is_none_or(|end| now <= end)
    }

    pub(super) fn begin(&mut self, begun: &Begun) {
        self.in_flight += 1;
        if let Some(clock) = self.clock(begun.at) {
            let in_flight = self.in_flight;
            let slice = self.slicer.at(clock);
            slice.begun += 1;
            slice.in_flight = slice.in_flight.max(in_flight);
        }
        if !begun.measured {
            return;
        }
        self.calls.begun += 1;
        self.calls.most_in_flight = self.calls.most_in_flight.max(self.in_flight);
        if begun.held {
            self.calls.held += 1;
        } else if self.open {
            self.latencies.lag.record(begun.at - begun.due);
        }
        if let Some(step) = self.steps.get_mut(begun.step) {
            step.due += 1;
        }
    }

    pub(super) fn arrived(&mut self, now: Instant, rows: u64, bytes: u64) {
        if self.counts(now) {
            self.throughput.rows += rows;
            self.throughput.bytes += bytes;
        }
        if let Some(clock) = self.clock(now) {
            let slice = self.slicer.at(clock);
            slice.rows += rows;
            slice.bytes += bytes;
        }
    }

    /// Takes the time of a call: all of it, or what is known of it.
    fn took(&mut self, begun: &Begun, now: Instant, all: bool) {
        if !begun.measured {
            return;
        }
        let (response, service) = (now - begun.due, now - begun.at);
        self.calls.at_least += u64::from(!all);
        self.latencies.service.record(service);
        let took = if self.open { response } else { service };
        if self.open {
            self.latencies.response.record(response);
        }
        if let Some(step) = self.steps.get_mut(begun.step) {
            step.response.record(took);
        }
        if let Some(clock) = self.clock(now) {
            self.slicer.record(clock, took);
        }
    }

    pub(super) fn succeeded(&mut self, begun: &Begun, now: Instant, summary: &Summary) {
        self.in_flight -= 1;
        self.any_success = true;
        self.throughput.calls += u64::from(self.counts(now));
        if let Some(clock) = self.clock(now) {
            self.slicer.at(clock).succeeded += 1;
        }
        if begun.measured {
            self.calls.succeeded += 1;
            if let Some(step) = self.steps.get_mut(begun.step) {
                step.succeeded += 1;
            }
            self.server.calls += 1;
            self.server.queued += summary.queued;
            self.server.database += summary.database;
            self.server.encode += summary.encode;
            self.server.client_wait += summary.client_wait;
        }
        self.took(begun, now, true);
    }

    pub(super) fn failed(&mut self, begun: &Begun, now: Instant, error: Error) {
        self.in_flight -= 1;
        if let Some(clock) = self.clock(now) {
            self.slicer.at(clock).failed += 1;
        }
        if begun.measured {
            self.calls.failed += 1;
        }
        let out_of_time = error.code() == Code::DeadlineExceeded;
        self.failures.note(error, begun.measured);
        if out_of_time {
            self.took(begun, now, false);
        } else if begun.measured {
            self.latencies.failure.record(now - begun.due);
        }
    }

    /// A call that we ended.
    pub(super) fn given_up(&mut self, begun: &Begun, now: Instant) {
        self.in_flight -= 1;
        self.calls.unfinished += u64::from(begun.measured);
        self.took(begun, now, false);
    }
}
