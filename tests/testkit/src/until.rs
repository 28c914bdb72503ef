//! Waits for what must become true. Nothing else in the tests sleeps and looks again.

use std::time::{Duration, Instant};

/// The first pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// Asks again and again until the answer is true, and returns how long that took.
///
/// # Panics
///
/// With `description`, if the answer is still false after `limit`.
pub async fn eventually(description: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if holds().await {
            return start.elapsed();
        }
        assert!(start.elapsed() < limit, "not true within {limit:?}: {description}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
