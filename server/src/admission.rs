//! Who may start: a bound on open streams, a bounded queue before it, and a server-wide budget of
//! bytes that rows in memory may take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{error::Error, metrics::gauges::Used, stop::Stop};

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionConfig {
    pub(crate) max_streams: usize,
    pub(crate) max_queue: usize,
    pub(crate) queue_timeout: Duration,
    pub(crate) max_buffered_bytes: usize,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    config: AdmissionConfig,
    streams: Arc<Semaphore>,
    queued: Arc<AtomicUsize>,
    budget: Arc<Semaphore>,
}

/// Leave to run one call. Lives as long as its stream.
#[derive(Debug)]
pub(crate) struct Permit(#[allow(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

/// Memory for rows, given back when dropped.
#[derive(Debug)]
pub(crate) struct Memory(#[allow(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

/// The budget is counted in units of this many bytes.
const UNIT: usize = 1024;

impl Admission {
    pub(crate) fn new(config: AdmissionConfig) -> Self {
        Self {
            config,
            streams: Arc::new(Semaphore::new(config.max_streams)),
            queued: Arc::default(),
            budget: Arc::new(Semaphore::new(config.max_buffered_bytes / UNIT)),
        }
    }

    /// Waits for leave to run; not at all if the queue is full, and no longer than the queue timeout.
    pub(crate) async fn enter(&self, stop: &Stop) -> Result<Permit, Error> {
        if let Ok(permit) = self.streams.clone().try_acquire_owned() {
            return Ok(Permit(permit));
        }
        let AdmissionConfig { max_streams, max_queue, queue_timeout, .. } = self.config;
        let _place =
            Place::take(&self.queued, max_queue).ok_or(Error::QueueFull { limit: max_streams, queued: max_queue })?;
        let waiting = timeout(queue_timeout, self.streams.clone().acquire_owned());
        match stop.unless_stopped(waiting).await? {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) => Err(Error::Draining),
            Err(_) => Err(Error::QueueTimeout(queue_timeout)),
        }
    }

    /// Streams, calls in the queue, and bytes of memory for rows: how much of each bound is taken.
    pub(crate) fn used(&self) -> [Used; 3] {
        let AdmissionConfig { max_streams, max_queue, max_buffered_bytes, .. } = self.config;
        let budget = max_buffered_bytes / UNIT;
        [
            Used { used: max_streams - self.streams.available_permits(), limit: max_streams },
            Used { used: self.queued.load(Ordering::Relaxed).min(max_queue), limit: max_queue },
            Used { used: (budget - self.budget.available_permits()) * UNIT, limit: budget * UNIT },
        ]
    }

    /// Waits for memory for `bytes` of rows. A single row larger than the whole budget takes all of it.
    pub(crate) async fn memory(&self, bytes: usize) -> Option<Memory> {
        let units = bytes.min(self.config.max_buffered_bytes) / UNIT;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.budget.clone().acquire_many_owned(units).await.ok().map(Memory)
    }
}

/// A place in the queue.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(queued: &'a AtomicUsize, max: usize) -> Option<Self> {
        let place = Self(queued);
        // Counted first, so that two callers cannot both see the last place free.
        (queued.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn admission(max_queue: usize) -> Admission {
        let queue_timeout = Duration::from_secs(5);
        Admission::new(AdmissionConfig { max_streams: 1, max_queue, queue_timeout, max_buffered_bytes: 1 << 20 })
    }

    fn stop(millis: u64) -> Stop {
        Stop::new(Instant::now() + Duration::from_millis(millis))
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_a_slow_one_in_time() {
        let admission = admission(1);
        let held = admission.enter(&stop(60_000)).await.expect("a stream is free");
        let start = Instant::now();
        let (first, second) = (stop(60_000), stop(60_000));
        let (waited, refused) = tokio::join!(admission.enter(&first), admission.enter(&second));
        assert!(matches!(refused, Err(Error::QueueFull { limit: 1, queued: 1 })));
        assert!(matches!(waited, Err(Error::QueueTimeout(_))));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        drop(held);
        admission.enter(&stop(60_000)).await.expect("the permit and the place are back");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_covers_the_queue() {
        let admission = admission(1);
        let _held = admission.enter(&stop(60_000)).await.expect("a stream is free");
        let start = Instant::now();
        let stopped = admission.enter(&stop(700)).await;
        assert!(matches!(stopped, Err(Error::Stopped(_))));
        assert_eq!(start.elapsed(), Duration::from_millis(700));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_beyond_the_budget_waits_and_a_giant_row_is_not_stuck() {
        let admission = admission(0);
        let held = admission.memory(1 << 20).await;
        assert!(timeout(Duration::from_secs(1), admission.memory(1024)).await.is_err());
        drop(held);
        assert!(admission.memory(1 << 30).await.is_some());
    }
}
