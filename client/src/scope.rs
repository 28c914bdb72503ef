//! What binds a client to one attempt at a fan-out's call: its deadline, how many attempts there were before, which
//! servers they tried, and what this one has shown so far.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    channel::{BackendId, Lease},
    deadline::Deadline,
    hedge::Race,
    limiter::{Rate, TokenBucket},
};

/// One attempt.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) deadline: Deadline,
    /// Attempts at the same call before this one.
    pub(crate) previous: u32,
    /// Servers that the call has tried already, or is trying in another lane.
    pub(crate) tried: Arc<Mutex<Vec<BackendId>>>,
    pub(crate) limits: Option<Arc<ServerLimits>>,
    pub(crate) race: Arc<Race>,
    pub(crate) lane: usize,
    pub(crate) seen: Mutex<Seen>,
}

/// What an attempt has shown so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    backend: Option<BackendId>,
    pub(crate) endpoint: Option<Arc<str>>,
    /// A row has arrived: the attempt is not made again.
    pub(crate) rows: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Scope {
    /// Servers to choose others than.
    pub(crate) fn avoid(&self) -> Vec<BackendId> {
        self.tried().clone()
    }

    /// The attempt is about to use this server: waits for its limits, unless it is there already.
    pub(crate) async fn enter(&self, lease: &Lease) {
        let backend = lease.backend();
        {
            let mut tried = self.tried();
            if !tried.contains(&backend) {
                tried.push(backend);
            }
        }
        let moved = {
            let mut seen = self.seen();
            seen.endpoint = Some(lease.endpoint().clone());
            seen.backend.replace(backend) != Some(backend)
        };
        if let (true, Some(limits)) = (moved, &self.limits) {
            self.seen().permit = None;
            let permit = limits.enter(backend).await;
            self.seen().permit = permit;
        }
    }

    fn tried(&self) -> MutexGuard<'_, Vec<BackendId>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A first message is here. Answers whether this attempt goes on.
    pub(crate) fn first_message(&self) -> bool {
        self.race.claim(self.lane)
    }

    /// Rows are here.
    pub(crate) fn rows(&self) {
        self.seen().rows = true;
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rate and concurrency for each server, over all attempts of a fan-out.
#[derive(Debug)]
pub(crate) struct ServerLimits {
    rate: Option<Rate>,
    concurrency: Option<usize>,
    servers: Mutex<HashMap<BackendId, Arc<ServerLimit>>>,
}

#[derive(Debug)]
struct ServerLimit {
    bucket: Option<TokenBucket>,
    permits: Option<Arc<Semaphore>>,
}

impl ServerLimits {
    /// `None` if there is no limit.
    pub(crate) fn new(rate: Option<Rate>, concurrency: Option<usize>) -> Option<Arc<Self>> {
        let limited = rate.is_some() || concurrency.is_some();
        limited.then(|| Arc::new(Self { rate, concurrency, servers: Mutex::default() }))
    }

    /// Waits for a token, and then for a permit.
    async fn enter(&self, backend: BackendId) -> Option<OwnedSemaphorePermit> {
        let limit = self.of(backend);
        if let Some(bucket) = &limit.bucket {
            bucket.taken().await;
        }
        match &limit.permits {
            // Never closed.
            Some(permits) => permits.clone().acquire_owned().await.ok(),
            None => None,
        }
    }

    fn of(&self, backend: BackendId) -> Arc<ServerLimit> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let permits = self.concurrency.map(|calls| Arc::new(Semaphore::new(calls.max(1))));
            Arc::new(ServerLimit { bucket: self.rate.as_ref().map(TokenBucket::new), permits })
        };
        servers.entry(backend).or_insert_with(made).clone()
    }
}
