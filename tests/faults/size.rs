//! How much of a test is run, and how what it measured is told.

use std::{fmt, time::Duration};

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// For every day: seconds, beside other tests. Times are printed, not asserted.
    Ci,
    /// As the figures ask: one test at a time on a machine with nothing else to do. Times are asserted.
    Full,
}

impl Size {
    /// What this run was asked for: `ROWSTREAM_FAULTS=full`, or else the size for every day.
    pub(crate) fn asked() -> Self {
        match std::env::var("ROWSTREAM_FAULTS").as_deref() {
            Ok("full") => Self::Full,
            Ok("ci") | Err(_) => Self::Ci,
            Ok(other) => panic!("ROWSTREAM_FAULTS is {other:?}; it can be ci or full"),
        }
    }

    /// One of two counts.
    pub(crate) fn count(self, ci: usize, full: usize) -> usize {
        match self {
            Self::Ci => ci,
            Self::Full => full,
        }
    }
}

/// Prints one line of a figure, as `figure 3: ...`, and at full size holds it against its bar.
pub(crate) fn figure(number: u8, holds: bool, told: impl fmt::Display) {
    println!("figure {number}: {told}");
    assert!(holds || Size::asked() == Size::Ci, "figure {number} does not reach its bar: {told}");
}

/// Measured times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, times: Self) {
        self.0.extend(times.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that `percent` of a hundred do not pass; zero if there is none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn most(&self) -> Duration {
        self.percentile(100)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [50, 99].map(|percent| self.percentile(percent));
        write!(f, "p50 {p50:.1?}, p99 {p99:.1?}, most {:.1?}", self.most())
    }
}
