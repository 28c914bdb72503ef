//! Which backends are slow beside the others, by the time from sending an attempt to its first message.
//!
//! gRFC A50 and Envoy compare rates of success; the same idea for time, in a form that a mix of fast and slow queries
//! does not deceive: what is compared are the quartiles, and all three must be far from the others'. A slow server
//! shifts them all; chance in a mix of queries shifts one. An attempt that still waits, or was given up, counts with the
//! time that it has waited: a server that answers nothing would otherwise never be slow.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How often backends are compared.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// What is looked at: so much time, and so many attempts at most.
const WINDOW: Duration = Duration::from_secs(10);
const MOST_SAMPLES: usize = 100;
/// With fewer than this nothing is said of a backend.
const ENOUGH_SAMPLES: usize = 20;
/// So many times slower than the others is slow,
const RATIO: u32 = 3;
/// if the median is at least this: of less nobody need be relieved.
pub(super) const FLOOR: Duration = Duration::from_millis(20);

/// What one backend's attempts of late have waited.
#[derive(Debug, Default)]
pub(super) struct Latencies(VecDeque<(Instant, Duration)>);

impl Latencies {
    pub(super) fn add(&mut self, waited: Duration, now: Instant) {
        if self.0.len() == MOST_SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((now, waited));
    }

    /// The quartiles, together with the attempts that are still waiting since then. `None` if that is too little.
    pub(super) fn quartiles(&mut self, waiting: impl Iterator<Item = Instant>, now: Instant) -> Option<Quartiles> {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
        let waiting = waiting.map(|since| now.saturating_duration_since(since)).filter(|waited| *waited >= FLOOR);
        let mut samples: Vec<_> = self.0.iter().map(|(_, waited)| *waited).chain(waiting).collect();
        samples.sort_unstable();
        (samples.len() >= ENOUGH_SAMPLES).then(|| [1, 2, 3].map(|quarter| samples[samples.len() * quarter / 4]))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// A quarter, half and three quarters of the attempts waited no longer.
pub(super) type Quartiles = [Duration; 3];

/// The backends that are far slower than the others, the slowest first.
pub(super) fn slow<T: Copy>(backends: &[(T, Quartiles)]) -> Vec<T> {
    let mut slow: Vec<_> = (0..backends.len()).filter(|index| is_slow(*index, backends)).collect();
    slow.sort_by_key(|index| std::cmp::Reverse(backends[*index].1));
    slow.into_iter().map(|index| backends[index].0).collect()
}

fn is_slow<T>(index: usize, backends: &[(T, Quartiles)]) -> bool {
    let own = backends[index].1;
    let of_others = |quarter: usize| {
        let others = backends.iter().enumerate().filter(|(other, _)| *other != index);
        let mut others: Vec<_> = others.map(|(_, (_, quartiles))| quartiles[quarter]).collect();
        others.sort_unstable();
        others.get(others.len().saturating_sub(1) / 2).copied()
    };
    own[1] >= FLOOR && (0..3).all(|quarter| of_others(quarter).is_some_and(|others| own[quarter] >= others * RATIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Option<Quartiles> {
        let now = Instant::now();
        let mut latencies = Latencies::default();
        millis.into_iter().for_each(|millis| latencies.add(Duration::from_millis(millis), now));
        latencies.quartiles([].into_iter(), now)
    }

    fn slow_of(backends: &[Quartiles]) -> Vec<usize> {
        slow(&backends.iter().copied().enumerate().collect::<Vec<_>>())
    }

    #[test]
    fn three_times_the_others_is_slow_from_a_floor_on_and_with_enough_samples() {
        let steady = |millis: u64| of([millis; 20]).unwrap();
        assert_eq!(slow_of(&[steady(10), steady(11), steady(30)]), [2]);
        assert_eq!(slow_of(&[steady(10), steady(11), steady(29)]), [0; 0]);
        assert_eq!(slow_of(&[steady(10), steady(300), steady(30), steady(10), steady(10)]), [1, 2]);
        assert_eq!(slow_of(&[steady(1), steady(19)]), [0; 0], "19 ms hurt nobody");
        assert_eq!(slow_of(&[steady(900)]), [0; 0], "beside nothing nothing is slow");
        assert_eq!(of([500; 19]), None);
    }

    #[test]
    fn a_mix_of_fast_and_slow_queries_makes_no_backend_slow() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut mix = || of((0..100).map(|_| if rng.bool() { 1 } else { 1000 })).unwrap();
            assert_eq!(slow_of(&[mix(), mix(), mix()]), [0; 0], "seed {seed}");
        }
    }

    #[test]
    fn what_still_waits_counts_with_its_wait_and_what_is_old_does_not_count() {
        let start = Instant::now();
        let mut latencies = Latencies::default();
        (0..20).for_each(|_| latencies.add(Duration::from_millis(1), start));
        let now = start + Duration::from_millis(200);
        let waiting = || [start; 60].into_iter();
        assert_eq!(latencies.quartiles(waiting(), now).unwrap()[1], Duration::from_millis(200));
        assert_eq!(latencies.quartiles([now; 60].into_iter(), now).unwrap()[1], Duration::from_millis(1));
        assert_eq!(latencies.quartiles([].into_iter(), start + WINDOW + INTERVAL), None);
    }
}
