//! How the rows of a statement that runs as a whole are waited for: those that have come are passed on although their
//! batch is not full, as soon as no more come for a moment.

use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
use tokio::{
    task::coop::consume_budget,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::read::RowSink;

/// The first rows are on their way to the caller this soon.
const FIRST: Duration = Duration::from_millis(5);
/// The others wait longer for company.
const LINGER: Duration = Duration::from_millis(100);

/// Ticks each time rows should be passed on. Waited for only while nothing comes: a row costs no look at it.
#[derive(Debug)]
pub(super) struct Pace(Interval);

impl Pace {
    pub(super) fn new() -> Self {
        let mut interval = interval_at(Instant::now() + FIRST, LINGER);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(interval)
    }

    /// What sqlx gives next; meanwhile, has the sink pass on what it has.
    pub(super) async fn next<T>(
        &mut self,
        items: &mut (impl Stream<Item = Result<T, sqlx::Error>> + Unpin),
        sink: &mut impl RowSink,
    ) -> Result<Option<T>, sqlx::Error> {
        loop {
            tokio::select! {
                biased;
                item = items.try_next() => {
                    // sqlx does not yield while there is something to read, and a stop must be noticed.
                    consume_budget().await;
                    return item;
                }
                _ = self.0.tick() => sink.flush().await,
            }
        }
    }
}
