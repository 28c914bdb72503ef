//! Watches whether PostgreSQL answers, and keeps the pool's minimum of connections open.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::Database;

/// Between two checks while PostgreSQL answers.
const INTERVAL: Duration = Duration::from_secs(2);
/// Between two attempts while it does not: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// An idle connection beyond the minimum is closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Checks until `end`, telling `healthy` each change.
pub(crate) async fn watch(database: Database, pool_min: usize, healthy: watch::Sender<bool>, end: CancellationToken) {
    let mut backoff = BACKOFF.0;
    loop {
        let answer = database.control.ping().await;
        let answers = answer.is_ok();
        if database.control.lost_one() {
            database.forget_idle();
        }
        let changed = healthy.send_if_modified(|now| std::mem::replace(now, answers) != answers);
        if changed && answers {
            tracing::info!("PostgreSQL answers");
        } else if let Err(cause) = answer
            && (changed || backoff == BACKOFF.0)
        {
            tracing::warn!(cause, "PostgreSQL does not answer; trying again");
        }
        let pause = if answers {
            backoff = BACKOFF.0;
            database.tend(pool_min).await;
            INTERVAL
        } else {
            backoff = (backoff * 2).min(BACKOFF.1);
            backoff.mul_f64(0.5 + fastrand::f64() / 2.0)
        };
        tokio::select! {
            () = end.cancelled() => return,
            () = sleep(pause) => {}
            // A call has found PostgreSQL unavailable: look now, unless we know already.
            () = database.suspect.notified(), if answers => {}
        }
    }
}

impl Database {
    /// Closes what has been idle for long and opens what is missing to the minimum.
    async fn tend(&self, pool_min: usize) {
        let mut spare = self.pool.status().size.saturating_sub(pool_min);
        self.pool.retain(|_, metrics| {
            let close = spare > 0 && metrics.last_used() > IDLE_TIMEOUT;
            spare -= usize::from(close);
            !close
        });
        let mut opened = Vec::new();
        while self.pool.status().size < pool_min {
            match self.pool.get().await {
                Ok(lease) => opened.push(lease),
                Err(_) => break,
            }
        }
    }
}
