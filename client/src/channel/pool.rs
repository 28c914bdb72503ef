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

    /// Ejects who is slow beside the others that are available, every interval, but never more than half of all. One
    /// always stays: the fastest is slow beside nobody.
    fn compare(&mut self, now: Instant) {
        let compared = *self.compared.get_or_insert(now);
        if now.saturating_duration_since(compared) < latency::INTERVAL {
            return;
        }
        self.compared = Some(now);
        let available = self.backends.iter_mut().filter(|backend| backend.standing.is_available());
        let known: Vec<_> = available.filter_map(|backend| Some((backend.id, backend.quartiles(now)?))).collect();
        for id in latency::slow(&known) {
            let slow = self.backends.iter().filter(|backend| backend.standing.is_slow()).count();
            if slow + 1 > self.backends.len() / 2 {
                return;
            }
            if let Some(backend) = self.get(id) {
                backend.standing.eject(Why::Slow, now);
                self.ejected.push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::transport::Endpoint;

    use super::*;

    struct Bench {
        pool: Pool,
        ids: Vec<BackendId>,
        now: Instant,
    }

    impl Bench {
        fn of(count: u16) -> Self {
            let mut pool = Pool::new(1, fastrand::Rng::with_seed(9));
            let target = Arc::new(Target::new("http://h", Endpoint::from_static("http://h")));
            pool.set_addresses(&target, &(0..count).map(address).collect::<Vec<_>>());
            let ids = pool.iter().map(|backend| backend.id).collect();
            Self { pool, ids, now: Instant::now() }
        }

        /// Attempts on each backend, one a millisecond, whose first messages take so many milliseconds.
        fn attempts(&mut self, count: usize, millis: &[u64]) {
            for _ in 0..count {
                let began: Vec<_> = self.ids.iter().map(|id| self.pool.began(*id, self.now)).collect();
                for ((id, attempt), millis) in self.ids.iter().zip(began).zip(millis) {
                    self.pool.first_message(*id, attempt, self.now + Duration::from_millis(*millis));
                }
                self.now += Duration::from_millis(1);
            }
        }

        /// What is available, by index.
        fn available(&mut self) -> Vec<usize> {
            let is = |index: &usize| self.pool.get(self.ids[*index]).unwrap().standing.is_available();
            (0..self.ids.len()).filter(is).collect()
        }

        fn fails(&mut self, index: usize) {
            self.pool.failed(self.ids[index], Failure::Connect, self.now, self.now);
        }

        /// Which backends are ever chosen.
        fn chosen(&mut self, avoid: &[usize], tried: &[usize]) -> Vec<usize> {
            let of = |indices: &[usize]| indices.iter().map(|index| self.ids[*index]).collect::<Vec<_>>();
            let (avoid, tried) = (of(avoid), of(tried));
            let mut chosen: Vec<_> = (0..100).filter_map(|_| self.pool.choose(&avoid, &tried)).collect();
            chosen.sort_by_key(|id| id.0);
            chosen.dedup();
            chosen.iter().filter_map(|id| self.ids.iter().position(|other| other == id)).collect()
        }
    }

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn an_ejected_backend_is_chosen_only_if_all_are_and_an_avoided_one_only_before_those() {
        let mut bench = Bench::of(3);
        assert_eq!(bench.chosen(&[], &[]), [0, 1, 2]);
        assert_eq!(bench.chosen(&[1], &[]), [0, 2]);
        bench.fails(0);
        assert_eq!(bench.pool.take_ejected(), [bench.ids[0]]);
        assert_eq!(bench.chosen(&[], &[]), [1, 2]);
        assert_eq!(bench.chosen(&[1, 2], &[]), [1, 2], "a tried one is better than an ejected one");
        assert_eq!(bench.chosen(&[], &[1, 2]), [0], "but not twice in one attempt");
        assert_eq!(bench.chosen(&[], &[0, 1, 2]), [0; 0]);
        bench.fails(1);
        bench.fails(2);
        assert_eq!(bench.chosen(&[], &[]), [0, 1, 2]);
        assert_eq!(bench.chosen(&[0], &[]), [1, 2]);
    }

    #[test]
    fn slow_ones_are_ejected_up_to_half_and_another_chance_starts_from_nothing() {
        let mut bench = Bench::of(5);
        bench.attempts(1100, &[5, 200, 5, 100, 5]);
        assert_eq!(bench.available(), [0, 2, 4]);
        bench.pool.probed(bench.ids[1], true, bench.now);
        bench.attempts(1100, &[5, 5, 5, 100, 5]);
        assert_eq!(bench.available(), [0, 1, 2, 4], "what it was before counts no more");
        let mut bench = Bench::of(5);
        bench.attempts(1100, &[300, 100, 100, 5, 5]);
        assert_eq!(bench.available(), [2, 3, 4], "three are slow, and two of five are ejected");
    }

    #[test]
    fn the_last_available_backend_is_never_too_slow() {
        let mut bench = Bench::of(2);
        bench.attempts(1100, &[5, 300]);
        assert_eq!(bench.available(), [0]);
        let mut bench = Bench::of(3);
        bench.fails(0);
        let all = bench.ids.split_off(0);
        bench.ids = all[1..].to_vec();
        bench.attempts(1100, &[5, 300]);
        bench.ids = all;
        assert_eq!(bench.available(), [1]);
    }

    #[test]
    fn a_server_that_answers_nothing_is_slow_too() {
        let mut bench = Bench::of(2);
        for _ in 0..30 {
            bench.pool.began(bench.ids[1], bench.now);
        }
        let both = std::mem::take(&mut bench.ids);
        bench.ids = vec![both[0]];
        bench.attempts(1100, &[2]);
        bench.ids = both;
        assert_eq!(bench.available(), [0]);
    }

    #[test]
    fn an_address_that_stays_keeps_what_is_known_and_one_that_is_gone_is_forgotten() {
        let mut bench = Bench::of(3);
        bench.fails(0);
        let target = bench.pool.get(bench.ids[0]).unwrap().target.clone();
        bench.pool.set_addresses(&target, &[address(0), address(2), address(7)]);
        let ids: Vec<_> = bench.pool.iter().map(|backend| backend.id).collect();
        assert_eq!(ids, [bench.ids[0], bench.ids[2], BackendId(3)]);
        assert!(!bench.pool.get(bench.ids[0]).unwrap().standing.is_available());
        bench.pool.failed(bench.ids[1], Failure::Connect, bench.now, bench.now);
        assert_eq!(bench.pool.take_ejected(), [bench.ids[0]], "who is gone is nobody's concern");
    }
}
