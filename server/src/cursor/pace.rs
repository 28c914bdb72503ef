//! When rows that have come are passed on although their batch is not full: as soon as no more come for a moment.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The first rows are on their way to the caller this soon.
const FIRST: Duration = Duration::from_millis(5);
/// The others wait longer for company.
const LINGER: Duration = Duration::from_millis(100);

/// Ticks each time rows should be passed on. To be waited for only while nothing comes: a row costs no look at it.
pub(super) fn pace() -> Interval {
    let mut interval = interval_at(Instant::now() + FIRST, LINGER);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
