//! What happened in each second, for the plots over time.
//!
//! Bounded, however long the run is: when there are too many slices, pairs of them are joined, and each counts for twice
//! the time from then on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::latency::Latency;

/// How many slices there are at most: an hour of seconds.
const MOST: usize = 3_600;

/// What happened in a slice of the time. Calls count where they end, but for those that begin.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slice {
    pub(super) begun: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// The most calls under way at once.
    pub(super) in_flight: u64,
    /// Of the calls that are measured: the response time in an open loop, the service time in a closed one.
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

impl Slice {
    /// Both as one. Percentiles cannot be joined: the worse ones stay.
    fn join(&mut self, later: &Self) {
        self.begun += later.begun;
        self.succeeded += later.succeeded;
        self.failed += later.failed;
        self.rows += later.rows;
        self.bytes += later.bytes;
        for (own, other) in [
            (&mut self.in_flight, later.in_flight),
            (&mut self.p50_us, later.p50_us),
            (&mut self.p90_us, later.p90_us),
            (&mut self.p99_us, later.p99_us),
            (&mut self.max_us, later.max_us),
        ] {
            *own = (*own).max(other);
        }
    }
}

/// The slices of a run, as they are written into a report.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slices {
    pub(super) width_s: u64,
    pub(super) slices: Vec<Slice>,
}

/// The slices of a run under way.
#[derive(Debug)]
pub(super) struct Slicer {
    done: Slices,
    current: Slice,
    latency: Latency,
}

impl Default for Slicer {
    fn default() -> Self {
        let done = Slices { width_s: 1, slices: Vec::new() };
        Self { done, current: Slice::default(), latency: Latency::default() }
    }
}

impl Slicer {
    /// The slice of that time, which is never earlier than the last one asked for.
    pub(super) fn at(&mut self, time: Duration) -> &mut Slice {
        while time.as_secs() / self.done.width_s > self.done.slices.len() as u64 {
            self.close();
        }
        &mut self.current
    }

    /// The time that a call took, which has ended now.
    pub(super) fn record(&mut self, now: Duration, took: Duration) {
        self.at(now);
        self.latency.record(took);
    }

    fn close(&mut self) {
        let mut slice = std::mem::take(&mut self.current);
        [slice.p50_us, slice.p90_us, slice.p99_us] = [50.0, 90.0, 99.0].map(|percent| self.latency.percentile(percent));
        slice.max_us = self.latency.max();
        self.latency.clear();
        self.done.slices.push(slice);
        if self.done.slices.len() >= MOST {
            self.done.width_s *= 2;
            let joined = self.done.slices.chunks(2).map(|pair| {
                let mut slice = pair[0].clone();
                pair[1..].iter().for_each(|later| slice.join(later));
                slice
            });
            self.done.slices = joined.collect();
        }
    }

    /// All of them, with what has come of the last.
    pub(super) fn finish(mut self) -> Slices {
        if self.current != Slice::default() || !self.latency.is_empty() {
            self.close();
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_in_the_slice_of_its_time_and_empty_ones_are_kept() {
        let mut slicer = Slicer::default();
        for (time, took) in [(100, 5), (900, 7), (3_500, 11)] {
            slicer.at(Duration::from_millis(time)).succeeded += 1;
            slicer.record(Duration::from_millis(time), Duration::from_millis(took));
        }
        let slices = slicer.finish().slices;
        let shown: Vec<_> = slices.iter().map(|slice| (slice.succeeded, slice.max_us / 1000)).collect();
        assert_eq!(shown, [(2, 7), (0, 0), (0, 0), (1, 11)]);
    }

    #[test]
    fn a_run_of_any_length_has_a_bounded_number_of_slices_and_loses_no_count() {
        let mut slicer = Slicer::default();
        let seconds = 100_000;
        for second in 0..seconds {
            let slice = slicer.at(Duration::from_secs(second));
            slice.rows += 3;
            slice.in_flight = slice.in_flight.max(second % 7);
        }
        let Slices { width_s, slices } = slicer.finish();
        assert!(slices.len() <= MOST && width_s >= seconds / MOST as u64, "{} of {width_s} s", slices.len());
        assert_eq!(slices.iter().map(|slice| slice.rows).sum::<u64>(), 3 * seconds);
        assert!(slices[..slices.len() - 1].iter().all(|slice| slice.rows == 3 * width_s && slice.in_flight == 6));
    }
}
