//! The connections of one backend: which one a call takes, and when another is opened.
//!
//! A connection is opened when those that are open are busy, which is when each carries a stream. A call takes the one
//! with the fewest. What a connection is stands in `connection.rs`.

use std::time::Duration;

use futures_util::future::Shared;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::connection::{Cause, Connecting};

/// After a further connection failed, those that are open serve alone for this long: the server may have reached its
/// bound on connections.
const PAUSE: Duration = Duration::from_secs(1);

/// Which of a backend's connections; a connection that replaced it is not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotId {
    index: usize,
    generation: u64,
}

#[derive(Debug)]
pub(super) struct Slots(Vec<Slot>);

/// The place of one connection.
#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connecting>,
    generation: u64,
    streams: usize,
    not_before: Option<Instant>,
}

impl Slot {
    fn outcome(&self) -> Option<&Result<Channel, Cause>> {
        self.connection.as_ref().and_then(Shared::peek)
    }

    fn is_open(&self) -> bool {
        matches!(self.outcome(), Some(Ok(_)))
    }

    fn close(&mut self) {
        self.connection = None;
        self.generation += 1;
    }
}

impl Slots {
    pub(super) fn new(connections: usize) -> Self {
        Self((0..connections.max(1)).map(|_| Slot::default()).collect())
    }

    /// Takes the connection with the fewest streams, opening it if it is not open.
    pub(super) fn take(&mut self, now: Instant, open: impl FnOnce() -> Connecting) -> (SlotId, Connecting) {
        // One that failed while nobody waited for it any more tells nothing about now.
        for slot in &mut self.0 {
            if matches!(slot.outcome(), Some(Err(_))) {
                slot.close();
            }
        }
        let paused = |slot: &Slot| slot.connection.is_none() && slot.not_before.is_some_and(|until| now < until);
        let order = |slot: &Slot| (paused(slot), slot.streams, !slot.is_open());
        let index = (0..self.0.len()).min_by_key(|index| order(&self.0[*index])).unwrap_or_default();
        let slot = &mut self.0[index];
        slot.streams += 1;
        let connection = slot.connection.get_or_insert_with(open).clone();
        (SlotId { index, generation: slot.generation }, connection)
    }

    /// A stream has ended.
    pub(super) fn leave(&mut self, id: SlotId) {
        if let Some(slot) = self.0.get_mut(id.index) {
            slot.streams = slot.streams.saturating_sub(1);
        }
    }

    /// This connection could not be opened, or not again: the next call opens a new one. Says whether another is open.
    pub(super) fn failed(&mut self, id: SlotId, now: Instant) -> bool {
        if let Some(slot) = self.0.get_mut(id.index)
            && slot.generation == id.generation
        {
            slot.close();
            slot.not_before = Some(now + PAUSE);
        }
        self.0.iter().any(Slot::is_open)
    }
}

#[cfg(test)]
mod tests {
    use std::{future, io};

    use futures_util::FutureExt as _;
    use tonic::transport::Endpoint;

    use super::*;

    fn open() -> Connecting {
        let connecting = future::ready(Ok(Endpoint::from_static("http://h").connect_lazy())).boxed().shared();
        connecting.clone().now_or_never().unwrap().unwrap();
        connecting
    }

    fn refused() -> Connecting {
        future::ready(Err(Cause::new(io::Error::from(io::ErrorKind::ConnectionRefused)))).boxed().shared()
    }

    fn indices(slots: &mut Slots, count: usize) -> Vec<usize> {
        (0..count).map(|_| slots.take(Instant::now(), open).0.index).collect()
    }

    #[tokio::test]
    async fn a_further_connection_is_opened_when_the_open_ones_are_busy_and_the_least_busy_is_taken() {
        let mut slots = Slots::new(3);
        let (first, _) = slots.take(Instant::now(), open);
        slots.leave(first);
        assert_eq!(slots.take(Instant::now(), || panic!("one is open and idle")).0, first);
        assert_eq!(indices(&mut slots, 5), [1, 2, 0, 1, 2]);
        slots.leave(SlotId { index: 1, generation: 0 });
        assert_eq!(indices(&mut slots, 1), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_further_connection_failed_the_open_ones_serve_alone_for_a_second() {
        let mut slots = Slots::new(2);
        let (_, _open) = slots.take(Instant::now(), open);
        let (further, connecting) = slots.take(Instant::now(), refused);
        connecting.await.unwrap_err();
        assert!(slots.failed(further, Instant::now()), "another is open");
        slots.leave(further);
        assert_eq!(indices(&mut slots, 2), [0, 0]);
        tokio::time::advance(PAUSE).await;
        assert_eq!(indices(&mut slots, 1), [1]);
    }

    #[tokio::test]
    async fn a_failure_that_nobody_waited_for_is_forgotten_and_an_old_one_closes_nothing_new() {
        let mut slots = Slots::new(1);
        let (old, connecting) = slots.take(Instant::now(), refused);
        connecting.await.unwrap_err();
        let (new, connecting) = slots.take(Instant::now(), open);
        assert_ne!(new, old);
        connecting.await.unwrap();
        assert!(slots.failed(old, Instant::now()), "the new one is open");
        assert!(!slots.failed(new, Instant::now()));
    }
}
