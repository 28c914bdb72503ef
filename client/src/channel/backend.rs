//! One backend: an address of an endpoint, with its connections, its load and what is known of it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

use super::{
    connection::STREAMS,
    ejection::Standing,
    latency::{FLOOR, Latencies, Quartiles},
    slots::Slots,
    target::Target,
};

/// Which backend: the same for as long as its address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendId(pub(super) u64);

#[derive(Debug)]
pub(super) struct Backend {
    pub(super) id: BackendId,
    pub(super) target: Arc<Target>,
    pub(super) address: SocketAddr,
    /// Leases in flight, those that wait for a connection among them.
    pub(super) load: usize,
    /// A place for each stream that the connections may carry.
    pub(super) room: Arc<Semaphore>,
    pub(super) slots: Slots,
    pub(super) standing: Standing,
    pub(super) probe: Option<Probe>,
    latencies: Latencies,
    /// The attempts that wait for their first message, and since when.
    waiting: BTreeMap<u64, Instant>,
}

impl Backend {
    pub(super) fn new(id: BackendId, target: Arc<Target>, address: SocketAddr, connections: usize) -> Self {
        let connections = connections.max(1);
        Self {
            id,
            target,
            address,
            load: 0,
            room: Arc::new(Semaphore::new(connections.saturating_mul(STREAMS).min(Semaphore::MAX_PERMITS))),
            slots: Slots::new(connections),
            standing: Standing::new(),
            probe: None,
            latencies: Latencies::default(),
            waiting: BTreeMap::new(),
        }
    }

    /// An attempt is sent.
    pub(super) fn began(&mut self, attempt: u64, now: Instant) {
        self.waiting.insert(attempt, now);
    }

    /// Its first message is here.
    pub(super) fn first_message(&mut self, attempt: u64, now: Instant) {
        if let Some(began) = self.waiting.remove(&attempt) {
            self.latencies.add(now.saturating_duration_since(began), now);
            self.standing.succeeded(began, now);
        }
    }

    /// It is over. If no message came, it waited at least so long: of a short wait that says nothing.
    pub(super) fn ended(&mut self, attempt: u64, now: Instant) {
        if let Some(began) = self.waiting.remove(&attempt) {
            let waited = now.saturating_duration_since(began);
            if waited >= FLOOR {
                self.latencies.add(waited, now);
            }
        }
    }

    pub(super) fn quartiles(&mut self, now: Instant) -> Option<Quartiles> {
        self.latencies.quartiles(self.waiting.values().copied(), now)
    }

    /// It takes calls again, with nothing held against it.
    pub(super) fn readmit(&mut self, now: Instant) {
        self.standing.readmit(now);
        self.latencies.clear();
    }
}

/// A task that probes a backend; ends with this.
#[derive(Debug)]
pub(super) struct Probe(pub(super) JoinHandle<()>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.abort();
    }
}
