//! Waiting for a moment, to a twentieth of a millisecond or so.
//!
//! tokio's timers count in milliseconds and round up, and a call that begins a millisecond late by no fault of the
//! server's would have that in its latency. So the last stretch is waited out by a thread that sleeps in the kernel.

use std::{io, sync::mpsc, thread, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

/// How long before the moment the thread takes over.
const LAST_STRETCH: Duration = Duration::from_millis(3);

/// What waits.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Without it tokio's clock is obeyed alone, which a test can pause.
    thread: Option<mpsc::Sender<Alarm>>,
}

#[derive(Debug)]
struct Alarm {
    at: std::time::Instant,
    ring: oneshot::Sender<()>,
}

impl Pacer {
    pub(super) fn precise() -> io::Result<Self> {
        let (thread, alarms) = mpsc::channel::<Alarm>();
        thread::Builder::new().name("pacer".to_owned()).spawn(move || {
            for Alarm { at, ring } in alarms {
                thread::sleep(at.saturating_duration_since(std::time::Instant::now()));
                // Whoever waited may have been told to end.
                let _ = ring.send(());
            }
        })?;
        Ok(Self { thread: Some(thread) })
    }

    /// On tokio's clock alone, to the millisecond.
    #[cfg(test)]
    pub(super) fn of_tokio() -> Self {
        Self { thread: None }
    }

    /// Waits until then; not at all if that has passed.
    pub(super) async fn until(&self, at: Instant) {
        let now = Instant::now();
        if at <= now {
            // Whoever is late has many to begin at once; those that have begun need a turn as well.
            return tokio::task::yield_now().await;
        }
        let Some(thread) = &self.thread else { return sleep_until(at).await };
        if at > now + LAST_STRETCH {
            sleep_until(at - LAST_STRETCH).await;
        }
        let (ring, rung) = oneshot::channel();
        // The thread lives as long as we do.
        let _ = thread.send(Alarm { at: at.into_std(), ring });
        let _ = rung.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_wakes_early_and_a_moment_that_has_passed_is_not_waited_for() {
        let pacer = Pacer::precise().unwrap();
        for micros in [0, 50, 500, 2_500, 5_000] {
            let at = Instant::now() + Duration::from_micros(micros);
            pacer.until(at).await;
            assert!(Instant::now() >= at, "{micros}");
        }
        let dropped = pacer.until(Instant::now() + Duration::from_millis(1));
        drop(dropped);
        pacer.until(Instant::now().checked_sub(Duration::from_secs(1)).unwrap()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn with_tokios_clock_alone_a_test_can_pause_it() {
        let at = Instant::now() + Duration::from_secs(1000);
        Pacer::of_tokio().until(at).await;
        assert_eq!(Instant::now(), at);
    }
}
