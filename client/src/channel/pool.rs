//! All backends of a client, and every decision about them: which one an attempt goes to, which are ejected. Nothing
//! here waits or reads a clock; who calls says what time it is.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::Instant;

use super::{
    backend::{Backend, BackendId},
    choice::less_loaded,
    ejection::{Failure, Why},
    latency,
    target::Target,
};

#[derive(Debug)]
pub(super) struct Pool {
    backends: Vec<Backend>,
    connections_per_endpoint: usize,
    rng: fastrand::Rng,
    next_backend: u64,
    next_attempt: u64,
    /// When the latencies were last compared.
    compared: Option<Instant>,
    /// Ejected since somebody last asked.
    ejected: Vec<BackendId>,
}

impl Pool {
    pub(super) fn new(connections_per_endpoint: usize, rng: fastrand::Rng) -> Self {
        Self {
            backends: Vec::new(),
            connections_per_endpoint,
            rng,
            next_backend: 0,
            next_attempt: 0,
            compared: None,
            ejected: Vec::new(),
        }
    }

    /// These are a target's addresses now. Backends that remain keep all that is known of them; one that is gone takes
    /// no further calls, and those that it has go on.
    pub(super) fn set_addresses(&mut self, target: &Arc<Target>, addresses: &[SocketAddr]) {
        self.backends.retain(|backend| !Arc::ptr_eq(&backend.target, target) || addresses.contains(&backend.address));
        for address in addresses {
            let is_it = |backend: &Backend| Arc::ptr_eq(&backend.target, target) && backend.address == *address;
            if !self.backends.iter().any(is_it) {
                let id = BackendId(self.next_backend);
                self.next_backend += 1;
                self.backends.push(Backend::new(id, target.clone(), *address, self.connections_per_endpoint));
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter()
    }

    pub(super) fn get(&mut self, id: BackendId) -> Option<&mut Backend> {
        self.backends.iter_mut().find(|backend| backend.id == id)
    }

    /// The backend for the next attempt: none of those in `tried`; if it can be helped, none in `avoid`; and an ejected
    /// one only if all are (Envoy calls it panic: some answer may still come, and none will if nothing is sent).
    pub(super) fn choose(&mut self, avoid: &[BackendId], tried: &[BackendId]) -> Option<BackendId> {
        let available = |backend: &Backend| backend.standing.is_available();
        let fresh = |backend: &Backend| !avoid.contains(&backend.id);
        let preferences: [&dyn Fn(&Backend) -> bool; 4] =
            [&|backend| available(backend) && fresh(backend), &available, &fresh, &|_| true];
        preferences.into_iter().find_map(|preferred| {
            let left = self.backends.iter().filter(|backend| !tried.contains(&backend.id) && preferred(backend));
            let candidates: Vec<_> = left.map(|backend| (backend.id, backend.load)).collect();
            less_loaded(&candidates, &mut self.rng)
        })
    }

    /// An attempt is sent; gives its number.
    pub(super) fn began(&mut self, id: BackendId, now: Instant) -> u64 {
        self.next_attempt += 1;
        let attempt = self.next_attempt;
        if let Some(backend) = self.get(id) {
            backend.began(attempt, now);
        }
        attempt
    }

    /// An attempt's first message is here.
    pub(super) fn first_message(&mut self, id: BackendId, attempt: u64, now: Instant) {
        if let Some(backend) = self.get(id) {
            backend.first_message(attempt, now);
        }
        self.compare(now);
    }

    /// An attempt is over.
    pub(super) fn ended(&mut self, id: BackendId, attempt: u64, now: Instant) {
        if let Some(backend) = self.get(id) {
            backend.ended(attempt, now);
        }
        self.compare(now);
    }

    /// An attempt that began then failed, and that speaks against the backend.
    pub(super) fn failed(&mut self, id: BackendId, failure: Failure, began: Instant, now: Instant) {
        if self.get(id).is_some_and(|backend| backend.standing.failed(failure, began, now)) {
            self.ejected.push(id);
        }
    }

    /// What a probe found. Says whether the probing is over.
    pub(super) fn probed(&mut self, id: BackendId, healthy: bool, now: Instant) -> bool {
        let mut rng = self.rng.fork();
        let Some(backend) = self.get(id).filter(|backend| !backend.standing.is_available()) else { return true };
        if healthy {
            backend.readmit(now);
        } else {
            backend.standing.probe_failed(now, &mut rng);
        }
        healthy
    }

    /// The backends that were ejected since the last time.
    pub(super) fn take_ejected(&mut self) -> Vec<BackendId> {
        std::mem::take(&mut self.ejected)
    }

    /// Ejects who is slow beside the others, every interval: never more than half of all, and never the last that is
    /// available. Slow is better than nothing.
    fn compare(&mut self, now: Instant) {
        let compared = *self.compared.get_or_insert(now);
        if now.saturating_duration_since(compared) < latency::INTERVAL {
            return;
        }
        self.compared = Some(now);
        let available = self.backends.iter_mut().filter(|backend| backend.standing.is_available());
        let known: Vec<_> = available.filter_map(|backend| Some((backend.id, backend.quartiles(now)?))).collect();
        for id in latency::slow(&known) {
            let available = self.backends.iter().filter(|backend| backend.standing.is_available()).count();
            let slow = self.backends.iter().filter(|backend| backend.standing.is_slow()).count();
            if available < 2 || slow + 1 > self.backends.len() / 2 {
                return;
            }
            if let Some(backend) = self.get(id) {
                backend.standing.eject(Why::Slow, now);
                self.ejected.push(id);
            }
        }
    }
}
