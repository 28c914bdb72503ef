//! Where an attempt goes: from the endpoints that the user wrote to a connection.
//!
//! ```text
//! endpoint    what the user wrote                                       target.rs
//!   address   one for a literal, all that a name resolves to            resolve.rs, names.rs
//!     backend an address with its load, its latency, its standing       backend.rs, latency.rs, ejection.rs, probe.rs
//!       slot  one HTTP/2 connection, opened when the others are busy    slots.rs, connection.rs
//! ```
//!
//! [`Channels::lease`] makes the way down once for each attempt: `pool.rs` chooses among the backends that take calls
//! the less loaded of two (`choice.rs`), and the connection with the fewest streams is taken. What comes of the attempt
//! is told to the [`Lease`], and so reaches the backend's standing.
//!
//! A connection that cannot be opened costs a call nothing but time: nothing was sent, so the other backends are tried
//! at once (gRFC A6 calls that a transparent retry). Every other failure is the caller's to judge; there is no waiting,
//! no count of retries and no budget here.

mod backend;
mod choice;
mod connection;
mod ejection;
mod latency;
mod lease;
mod names;
mod pool;
mod probe;
mod resolve;
mod slots;
mod target;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Notify, time::Instant};

pub(crate) use self::{backend::BackendId, lease::Lease, target::Target};
use self::{
    backend::Probe, connection::Connecting, lease::Place, names::Names, pool::Pool, resolve::Resolver, slots::SlotId,
};
use crate::Error;

/// At first use, how long to wait for further names when the addresses of one are known.
const PATIENCE: Duration = Duration::from_millis(250);

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connections_per_endpoint: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) stream_window_bytes: u32,
    pub(crate) seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_per_endpoint: 2,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(20),
            // Holds several batches, so that the server writes the next one while we read this one.
            stream_window_bytes: 2 << 20,
            seed: None,
        }
    }
}

/// All connections of a client.
#[derive(Debug)]
pub(crate) struct Channels {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Mutex<Pool>,
    names: Mutex<Names>,
    /// A name has been answered.
    answered: Notify,
    resolver: Resolver,
    settings: Settings,
    first_use: OnceLock<Instant>,
    /// Where probes run, also when it is outside of it that a lease is dropped.
    runtime: OnceLock<Handle>,
}

impl Channels {
    /// Connections to these endpoints. None is opened before it is used.
    pub(crate) fn new(targets: Vec<Target>, settings: &Settings) -> Self {
        Self::with_resolver(targets, settings, Resolver::system())
    }

    fn with_resolver(targets: Vec<Target>, settings: &Settings, resolver: Resolver) -> Self {
        let tuned = |target: Target| Arc::new(target.map(|endpoint| connection::tune(endpoint, settings)));
        let targets: Vec<_> = targets.into_iter().map(tuned).collect();
        let rng = settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let mut pool = Pool::new(settings.connections_per_endpoint, rng);
        for target in &targets {
            pool.set_addresses(target, target.literal().as_slice());
        }
        let inner = Inner {
            pool: Mutex::new(pool),
            names: Mutex::new(Names::new(&targets)),
            answered: Notify::new(),
            resolver,
            settings: settings.clone(),
            first_use: OnceLock::new(),
            runtime: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A connection for the next attempt. `avoid`: backends that the call has tried already; one of them is taken all
    /// the same if there is no other. Waits for names, for room and for the connection; needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Connect`] if there is no backend that a connection can be opened to; the last failure.
    pub(crate) async fn lease(&self, avoid: &[BackendId]) -> Result<Lease, Error> {
        self.inner.resolve().await;
        let (mut tried, mut failure) = (Vec::new(), None);
        while let Some(place) = self.inner.choose(avoid, &tried) {
            tried.push(place.backend());
            match place.connect().await {
                Ok(lease) => return Ok(lease),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| self.inner.nowhere()))
    }

    /// A connection to this backend.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub(crate) async fn lease_of(&self, id: BackendId) -> Result<Lease, Error> {
        match Place::take(&self.inner, id) {
            Some(place) => place.connect().await,
            None => Err(self.inner.nowhere()),
        }
    }

    /// All backends, the ejected ones among them.
    pub(crate) async fn backends(&self) -> Vec<BackendId> {
        self.inner.resolve().await;
        self.inner.with(|pool, _| pool.iter().map(|backend| backend.id).collect())
    }

    /// Whether an attempt that failed so is to be made again at once, elsewhere: nothing was sent, and there is a
    /// backend that was not tried.
    pub(crate) fn may_go_elsewhere(&self, error: &Error, tried: &[BackendId]) -> bool {
        matches!(error, Error::Connect { .. })
            && self.inner.with(|pool, _| pool.iter().any(|backend| !tried.contains(&backend.id)))
    }
}

impl Inner {
    /// Works on the pool, and sees to it that whatever was ejected by that is probed.
    fn with<T>(self: &Arc<Self>, work: impl FnOnce(&mut Pool, Instant) -> T) -> T {
        let mut pool = lock(&self.pool);
        let outcome = work(&mut pool, Instant::now());
        for id in pool.take_ejected() {
            if let (Some(runtime), Some(backend)) = (self.runtime.get(), pool.get(id)) {
                backend.probe = Some(Probe(runtime.spawn(probe::run(Arc::downgrade(self), id))));
            }
        }
        outcome
    }

    fn choose(self: &Arc<Self>, avoid: &[BackendId], tried: &[BackendId]) -> Option<Place> {
        loop {
            let id = self.with(|pool, _| pool.choose(avoid, tried))?;
            // It may be gone again: names are answered meanwhile.
            if let Some(place) = Place::take(self, id) {
                return Some(place);
            }
        }
    }

    /// The backend's connection with the fewest streams.
    fn take_slot(self: &Arc<Self>, id: BackendId) -> Option<(SlotId, Connecting)> {
        self.with(|pool, now| {
            let backend = pool.get(id)?;
            let open = || connection::open(&backend.target.endpoint, backend.address, &self.settings);
            Some(backend.slots.take(now, open))
        })
    }

    /// Has names looked up where that is due, and waits for the answers if nothing is known yet.
    async fn resolve(self: &Arc<Self>) {
        self.runtime.get_or_init(Handle::current);
        let patience = *self.first_use.get_or_init(Instant::now) + PATIENCE;
        loop {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            self.look_up();
            if lock(&self.names).all_answered() {
                return;
            }
            if self.with(|pool, _| pool.iter().next().is_none()) {
                answered.await;
            } else if tokio::time::timeout_at(patience, answered).await.is_err() {
                return;
            }
        }
    }

    fn look_up(self: &Arc<Self>) {
        let due = lock(&self.names).due(Instant::now());
        for question in due {
            let (inner, resolver, timeout) =
                (Arc::downgrade(self), self.resolver.clone(), self.settings.connect_timeout);
            tokio::spawn(async move {
                let answer = resolver.addresses(question.name.clone(), timeout).await;
                let Some(inner) = inner.upgrade() else { return };
                let mut names = lock(&inner.names);
                if let Some((target, addresses)) = names.answered(&question, answer) {
                    inner.with(|pool, _| pool.set_addresses(&target, &addresses));
                }
                drop(names);
                inner.answered.notify_waiters();
            });
        }
    }

    fn look_up_again(&self, target: &Arc<Target>) {
        lock(&self.names).want(target);
    }

    fn nowhere(&self) -> Error {
        let unknown = || ("".into(), connection::Cause::new(std::io::Error::other("no address is known")));
        let (endpoint, cause) = lock(&self.names).failure().unwrap_or_else(unknown);
        Error::Connect { endpoint: endpoint.to_string(), source: Box::new(cause), resume_token: None }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
