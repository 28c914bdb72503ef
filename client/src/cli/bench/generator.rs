//! The load itself: calls begin when they are due, or when there is room for one more, until the end; and however it
//! ends, each of them is accounted for.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    call::Work,
    machine::cpu_time,
    pacer::Pacer,
    recorder::{Begun, Recorder},
    schedule::{Extent, Schedule},
};
use crate::cli::interrupt::Signal;

/// How often the display is renewed.
const TICK: Duration = Duration::from_millis(200);
/// How late a call may begin that was due just before the end.
const SLACK: Duration = Duration::from_millis(10);

/// Who decides when the next call begins.
#[derive(Debug)]
pub(super) enum Load {
    /// The clock: calls begin when they are due, whatever became of those before them.
    Open(Open),
    /// The calls: so many under way at all times, each of which begins when the one before it has ended.
    Closed { concurrency: usize },
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) schedule: Schedule,
    /// The bound on calls under way at once; what is due then waits.
    pub(super) max_in_flight: usize,
    pub(super) pacer: Pacer,
}

/// A run, with nothing left to decide.
#[derive(Debug)]
pub(super) struct Generator {
    pub(super) work: Arc<Work>,
    pub(super) load: Load,
    pub(super) warmup: Duration,
    pub(super) extent: Extent,
    /// How long calls may still take when the time is over.
    pub(super) grace: Duration,
    pub(super) recorder: Recorder,
    /// When the warm-up begins.
    pub(super) begin: Instant,
}

/// Why no more calls begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    Interrupted(Signal),
    /// No call will ever succeed.
    Hopeless,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ending: Ending,
    /// The CPU time of this process in the measured time.
    pub(super) cpu: Duration,
}

impl Generator {
    /// Runs to the end, or until a signal comes; a further one ends the wait for what is under way, too.
    pub(super) async fn run(&self, mut signal: impl AsyncFnMut() -> Signal, show: impl FnMut()) -> Ended {
        let mut calls = JoinSet::new();
        let mut next = 0;
        let (mut ending, cpu) = self.load(&mut calls, &mut next, &mut signal, show).await;
        let now = Instant::now();
        let end = self.end().map_or(now, |end| end.min(now));
        self.recorder.lock().close(end);
        self.count_never_begun(next, end);
        if ending == Ending::Complete {
            tokio::select! {
                biased;
                signal = signal() => ending = Ending::Interrupted(signal),
                () = drained(&mut calls) => {}
                () = sleep_until(now + self.grace) => {}
            }
        }
        // Each of them says of itself that it was not finished.
        calls.shutdown().await;
        Ended { ending, cpu }
    }

    /// Applies the load until its end, and answers what it has cost in the measured time.
    async fn load(
        &self,
        calls: &mut JoinSet<()>,
        next: &mut u64,
        signal: &mut impl AsyncFnMut() -> Signal,
        mut show: impl FnMut(),
    ) -> (Ending, Duration) {
        let (mut cpu, mut warm) = (cpu_time(), false);
        let mut load = pin!(self.apply(calls, next));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let ending = loop {
            tokio::select! {
                biased;
                signal = signal() => break Ending::Interrupted(signal),
                () = self.recorder.hopeless() => break Ending::Hopeless,
                () = sleep_until(self.begin + self.warmup), if !warm => (cpu, warm) = (cpu_time(), true),
                () = &mut load => break Ending::Complete,
                _ = ticks.tick() => show(),
            }
        };
        (ending, cpu_time().saturating_sub(cpu))
    }

    /// When no more calls begin, if that is a matter of time.
    fn end(&self) -> Option<Instant> {
        match self.extent {
            Extent::Duration(duration) => Some(self.begin + self.warmup + duration),
            Extent::Count(_) => None,
        }
    }

    /// Begins calls until no more are to begin; with a count, until the last has ended.
    async fn apply(&self, calls: &mut JoinSet<()>, next: &mut u64) {
        match &self.load {
            Load::Open(open) => self.apply_open(open, calls, next).await,
            Load::Closed { concurrency } => self.apply_closed(*concurrency, calls),
        }
        match self.end() {
            Some(end) => sleep_until(end).await,
            None => drained(calls).await,
        }
    }

    /// Begins each call when it is due; `next` is the number of the next one.
    async fn apply_open(&self, open: &Open, calls: &mut JoinSet<()>, next: &mut u64) {
        let mut full_until = self.begin;
        while let Some(arrival) = open.schedule.due(*next) {
            let due = self.begin + arrival.after;
            while calls.try_join_next().is_some() {}
            while calls.len() >= open.max_in_flight {
                tokio::select! {
                    _ = calls.join_next() => full_until = Instant::now(),
                    () = self.over() => return,
                }
            }
            open.pacer.until(due).await;
            let at = Instant::now();
            if self.end().is_some_and(|end| at >= end + SLACK) {
                return;
            }
            let (measured, step) = (arrival.measured, arrival.step);
            self.spawn(calls, Begun { due, at, measured, step, held: due < full_until });
            *next += 1;
        }
    }

    fn spawn(&self, calls: &mut JoinSet<()>, begun: Begun) {
        calls.spawn(self.work.clone().run(self.recorder.clone(), begun));
    }

    /// Waits until no more calls are to begin.
    async fn over(&self) {
        match self.end() {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// Starts those who each make a call after the other.
    fn apply_closed(&self, concurrency: usize, calls: &mut JoinSet<()>) {
        let left = match self.extent {
            Extent::Count(count) => count,
            Extent::Duration(_) => u64::MAX,
        };
        let left = Arc::new(AtomicU64::new(left));
        for _ in 0..concurrency {
            let (work, recorder) = (self.work.clone(), self.recorder.clone());
            let (start, end, left) = (self.begin + self.warmup, self.end(), left.clone());
            calls.spawn(async move {
                loop {
                    let now = Instant::now();
                    let measured = now >= start;
                    let take = |left: u64| left.checked_sub(1);
                    let more = !measured || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
                    if !more || end.is_some_and(|end| now >= end) {
                        return;
                    }
                    let begun = Begun { due: now, at: now, measured, step: 0, held: false };
                    work.clone().run(recorder.clone(), begun).await;
                    // A call that fails at once must not keep the others from running.
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    /// Counts the arrivals that were due by the end, beginning with that number, and have not begun.
    fn count_never_begun(&self, mut next: u64, end: Instant) {
        let Load::Open(Open { schedule, .. }) = &self.load else { return };
        while let Some(arrival) = schedule.due(next) {
            let due = self.begin + arrival.after;
            if due >= end {
                return;
            }
            if arrival.measured {
                self.recorder.lock().never_begun(due, arrival.step, end);
            }
            next += 1;
        }
    }
}

/// Waits until none is under way.
async fn drained(calls: &mut JoinSet<()>) {
    while calls.join_next().await.is_some() {}
}
