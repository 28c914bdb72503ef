//! A concurrency that is found while calls run: as many as make them no slower.
//!
//! After TCP Vegas (Brakmo and Peterson, 1995), as Netflix's concurrency-limits brought it to calls: what a call takes
//! beyond the least that was seen, it spent waiting in a queue behind others of ours. `limit * (1 - least / now)` of
//! them wait. Few: allow more; many: allow fewer. A refusal (RESOURCE_EXHAUSTED), a server that is gone or a deadline
//! takes a tenth away at once, as TCP does with a loss.
//!
//! Queries differ more than packets, so that medians of windows are compared, and not single calls. From time to time
//! a window runs at half of the limit, to learn anew what calls take without a queue (TCP BBR drains for the same
//! reason): a database that has become slower for good must not look like a queue for ever.
//!
//! Pure: what is measured comes in as a [`Sample`], the limit goes out.

use std::time::Duration;

/// Bounds of a concurrency that is found while calls run.
#[derive(Clone, Debug, PartialEq)]
pub struct Adaptive {
    least: usize,
    most: usize,
    initial: usize,
}

impl Adaptive {
    /// Between 1 and so many at once, from 4 on; 0 counts as 1.
    #[must_use]
    pub fn up_to(most: usize) -> Self {
        let most = most.max(1);
        Self { least: 1, most, initial: most.min(4) }
    }

    /// How many at once to begin with. Default 4. Kept within the bounds.
    #[must_use]
    pub fn initial(mut self, calls: usize) -> Self {
        self.initial = calls.clamp(self.least, self.most);
        self
    }

    /// Never fewer than so many at once. Default 1. Kept between 1 and the most.
    #[must_use]
    pub fn at_least(mut self, calls: usize) -> Self {
        self.least = calls.clamp(1, self.most);
        self.initial = self.initial.max(self.least);
        self
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }
}

/// How a call went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// How long its first message took.
    pub(crate) latency: Duration,
    /// How many calls were under way when it began, with itself.
    pub(crate) in_flight: usize,
    /// Whether it says that there were too many.
    pub(crate) overloaded: bool,
}

/// Overload takes so much away.
const DECREASE: f64 = 0.9;
/// A window has so many samples at least, and as many as the limit.
const LEAST_WINDOW: usize = 16;
/// So many windows between two that learn the latency without a queue.
const PROBE_EVERY: u32 = 50;

/// The limit, as it is now.
#[derive(Debug)]
pub(crate) struct AdaptiveLimit {
    bounds: Adaptive,
    limit: f64,
    /// The least median of a window.
    least: Option<Duration>,
    window: Vec<Duration>,
    /// Windows until the next probe.
    until_probe: u32,
    probing: bool,
}

impl AdaptiveLimit {
    pub(crate) fn new(bounds: Adaptive) -> Self {
        let limit = as_f64(bounds.initial);
        Self { bounds, limit, least: None, window: Vec::new(), until_probe: PROBE_EVERY, probing: false }
    }

    pub(crate) fn now(&self) -> usize {
        let limit = if self.probing { self.limit / 2.0 } else { self.limit };
        let limit = limit.floor().clamp(as_f64(self.bounds.least), as_f64(self.bounds.most));
        // Within the bounds, which are numbers of calls.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let limit = limit as usize;
        limit
    }

    pub(crate) fn record(&mut self, sample: Sample) {
        if sample.overloaded {
            self.set(self.limit * DECREASE);
            return;
        }
        let used = if self.probing {
            // Those from before the probe stood in the queue.
            sample.in_flight <= self.now()
        } else {
            // A limit that is not used says nothing about a higher one.
            sample.in_flight * 2 >= self.now()
        };
        if !used {
            return;
        }
        self.window.push(sample.latency);
        if self.window.len() >= self.now().max(LEAST_WINDOW) {
            let middle = self.window.len() / 2;
            let median = *self.window.select_nth_unstable(middle).1;
            self.window.clear();
            self.end_window(median);
        }
    }

    fn end_window(&mut self, median: Duration) {
        if std::mem::take(&mut self.probing) {
            self.least = Some(median);
            self.until_probe = PROBE_EVERY;
            return;
        }
        let least = self.least.map_or(median, |least| least.min(median));
        self.least = Some(least);
        let queued = self.limit * (1.0 - least.as_secs_f64() / median.as_secs_f64().max(1e-9)).max(0.0);
        // The thresholds grow with the limit's magnitude: 3 and 6 waiting at 10, 6 and 12 at 100.
        let magnitude = self.limit.log10().max(1.0);
        if queued < 3.0 * magnitude {
            self.set(self.limit + magnitude);
        } else if queued > 6.0 * magnitude {
            self.set(self.limit - magnitude);
        }
        self.until_probe = self.until_probe.saturating_sub(1);
        self.probing = self.until_probe == 0;
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(as_f64(self.bounds.least), as_f64(self.bounds.most));
    }
}

fn as_f64(calls: usize) -> f64 {
    // Far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let calls = calls as f64;
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that works on `capacity` calls at once, each for 10 ms: what is beyond them waits.
    fn run(limit: &mut AdaptiveLimit, capacity: usize, calls: usize, rng: &mut fastrand::Rng) {
        for _ in 0..calls {
            let in_flight = limit.now();
            let wait = as_f64(in_flight).max(as_f64(capacity)) / as_f64(capacity);
            let latency = Duration::from_secs_f64(0.010 * wait * (1.0 + rng.f64() * 0.1));
            limit.record(Sample { latency, in_flight, overloaded: false });
        }
    }

    #[test]
    fn it_finds_about_what_the_server_works_on_at_once() {
        for capacity in [2, 10, 40] {
            let mut limit = AdaptiveLimit::new(Adaptive::up_to(500));
            run(&mut limit, capacity, 20_000, &mut fastrand::Rng::with_seed(7));
            let found = limit.now();
            assert!((capacity..=capacity * 2 + 10).contains(&found), "{found} at once for {capacity}");
        }
    }

    #[test]
    fn it_follows_a_server_that_changes() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut limit = AdaptiveLimit::new(Adaptive::up_to(500));
        run(&mut limit, 40, 20_000, &mut rng);
        let wide = limit.now();
        run(&mut limit, 10, 40_000, &mut rng);
        let narrow = limit.now();
        assert!(narrow < wide, "from {wide} to {narrow}");
        run(&mut limit, 40, 40_000, &mut rng);
        assert!(limit.now() > narrow);
    }

    #[test]
    fn a_refusal_takes_a_tenth_away_and_the_bounds_hold() {
        let mut limit = AdaptiveLimit::new(Adaptive::up_to(100).initial(50).at_least(5));
        let refused = Sample { latency: Duration::from_millis(1), in_flight: 50, overloaded: true };
        limit.record(refused);
        assert_eq!(limit.now(), 45);
        for _ in 0..100 {
            limit.record(refused);
        }
        assert_eq!(limit.now(), 5);
        for _ in 0..100_000 {
            let in_flight = limit.now();
            limit.record(Sample { latency: Duration::from_millis(1), in_flight, overloaded: false });
        }
        assert_eq!(limit.now(), 100);
    }

    #[test]
    fn a_limit_that_is_not_used_does_not_grow() {
        let mut limit = AdaptiveLimit::new(Adaptive::up_to(100).initial(20));
        for _ in 0..1_000 {
            limit.record(Sample { latency: Duration::from_millis(1), in_flight: 3, overloaded: false });
        }
        assert_eq!(limit.now(), 20);
    }
}
