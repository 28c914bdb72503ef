//! Where the calls of a run tell what happens to them, and the display and the report ask. What is made of it is in
//! `recorded`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rowstream_client::{Error, Header, Summary};
use tokio::{sync::Notify, time::Instant};

use super::recorded::Recorded;

/// Where calls are counted. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    recorded: Arc<Mutex<Recorded>>,
    hopeless: Arc<Notify>,
}

/// When a call was due and when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// In a closed loop the moment it began.
    pub(super) due: Instant,
    pub(super) at: Instant,
    pub(super) measured: bool,
    pub(super) step: usize,
    /// Why it began later than it was due: because as many as may be were under way.
    pub(super) held: bool,
}

/// What the display shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Glance {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) rows: u64,
    pub(super) in_flight: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

impl Recorder {
    /// For a measured time that begins then, in so many steps; `open` for an open loop.
    pub(super) fn new(start: Instant, open: bool, steps: usize) -> Self {
        let recorded = Recorded::new(start, open, steps);
        Self { recorded: Arc::new(Mutex::new(recorded)), hopeless: Arc::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that begins now.
    pub(super) fn begin(&self, begun: Begun) -> Watch {
        self.lock().begin(&begun);
        Watch { recorder: self.clone(), begun, previous: begun.at, rows: 0, bytes: 0, ended: false }
    }

    /// Waits until it is clear that no call will ever succeed.
    pub(super) async fn hopeless(&self) {
        self.hopeless.notified().await;
    }

    pub(super) fn glance(&self) -> Glance {
        let recorded = self.lock();
        let latency = recorded.main();
        Glance {
            calls: recorded.throughput.calls,
            failed: recorded.calls.failed,
            rows: recorded.throughput.rows,
            in_flight: recorded.in_flight,
            p50_us: latency.percentile(50.0),
            p99_us: latency.percentile(99.0),
        }
    }
}

/// A call under way. Dropped before its end, it is one that we have given up.
#[derive(Debug)]
pub(super) struct Watch {
    recorder: Recorder,
    begun: Begun,
    /// When the last message was here.
    previous: Instant,
    rows: u64,
    bytes: u64,
    ended: bool,
}

impl Watch {
    /// The header is here.
    pub(super) fn header(&mut self, header: &Header) {
        let mut recorded = self.recorder.lock();
        if self.begun.measured {
            recorded.latencies.header.record(self.begun.due.elapsed());
        }
        if recorded.server.strategy.is_none() {
            recorded.server.strategy = header.strategy;
        }
    }

    /// A batch is here; rows and bytes of the call so far.
    pub(super) fn batch(&mut self, rows: u64, bytes: u64) {
        let now = Instant::now();
        let mut recorded = self.recorder.lock();
        if self.begun.measured {
            match self.rows {
                0 => recorded.latencies.first_row.record(now - self.begun.due),
                _ => recorded.latencies.gap.record(now - self.previous),
            }
        }
        recorded.arrived(now, rows - self.rows, bytes - self.bytes);
        (self.previous, self.rows, self.bytes) = (now, rows, bytes);
    }

    pub(super) fn end(mut self, outcome: Result<Summary, Error>) {
        self.ended = true;
        let (now, mut recorded) = (Instant::now(), self.recorder.lock());
        match outcome {
            Ok(summary) => recorded.succeeded(&self.begun, now, &summary),
            Err(error) => recorded.failed(&self.begun, now, error),
        }
        if recorded.nothing_succeeded() && recorded.failures.are_hopeless() {
            self.recorder.hopeless.notify_one();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.ended {
            self.recorder.lock().given_up(&self.begun, Instant::now());
        }
    }
}
