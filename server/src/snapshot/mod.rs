//! The read sessions whose snapshots this server holds: how many, how long, and how each ends.
//!
//! A snapshot lives as long as the transaction that holds it, so each session has a connection of its own and a task
//! ([`holder`]) that keeps it. What callers are given of a session, and any replica can read, is in [`payload`].

mod holder;
pub(crate) mod payload;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::holder::Holder;
use crate::{
    cursor::{
        session::Session,
        snapshot::{SnapshotName, holder_prefix},
    },
    db::Database,
    error::{Error, SessionEnd},
};

/// How many sessions that have ended are remembered, so that it can be told why.
const REMEMBERED: usize = 1_024;

/// What bounds the sessions of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotLimits {
    pub(crate) sessions: usize,
    /// From a session's beginning, however often it is renewed.
    pub(crate) age: Duration,
    /// How many transactions may have begun since the snapshot.
    pub(crate) transactions: i64,
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Expired,
    Aged,
    Deleted,
    /// Its snapshot held back too much.
    Revoked,
    /// Its transaction did not live on.
    Lost,
    /// This server shuts down.
    Draining,
}

impl Ended {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Aged => "aged",
            Self::Deleted => "deleted",
            Self::Revoked => "revoked",
            Self::Lost => "lost",
            Self::Draining => "draining",
        }
    }

    /// What the next one to use the session is told.
    pub(crate) const fn error(self) -> Error {
        match self {
            Self::Expired => Error::SessionExpired(SessionEnd::NotRenewed),
            Self::Aged => Error::SessionExpired(SessionEnd::Aged),
            Self::Deleted => Error::SessionExpired(SessionEnd::Deleted),
            Self::Revoked => {
                Error::SnapshotLost("it was revoked, because it reached the server's --max-snapshot-transactions")
            }
            Self::Lost => Error::SnapshotLost("the connection that held it broke"),
            Self::Draining => Error::SnapshotLost("the server that held it has shut down"),
        }
    }
}

/// A session of which this server holds the snapshot.
#[derive(Debug)]
struct Held {
    snapshot: SnapshotName,
    orders: watch::Sender<Orders>,
    /// When it ends, renewed or not.
    latest: Instant,
}

/// What a holder is to do.
#[derive(Clone, Copy, Debug)]
struct Orders {
    until: Instant,
    end: Option<Ended>,
}

#[derive(Debug, Default)]
struct Known {
    held: HashMap<Uuid, Held>,
    ended: VecDeque<(Uuid, Ended)>,
}

impl Known {
    fn ended(&self, id: Uuid) -> Option<Ended> {
        self.ended.iter().rev().find(|(ended, _)| *ended == id).map(|(_, why)| *why)
    }
}

/// The sessions. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: SnapshotLimits,
    slots: Arc<Semaphore>,
    known: Mutex<Known>,
    database: Database,
    tasks: TaskTracker,
}

/// Room for a session.
pub(crate) type Slot = OwnedSemaphorePermit;

impl Snapshots {
    pub(crate) fn new(limits: SnapshotLimits, database: Database) -> Self {
        let slots = Arc::new(Semaphore::new(limits.sessions));
        Self(Arc::new(Inner { limits, slots, known: Mutex::default(), database, tasks: TaskTracker::new() }))
    }

    pub(crate) fn limits(&self) -> SnapshotLimits {
        self.0.limits
    }

    /// Room for one more session, until dropped or used.
    ///
    /// # Errors
    /// TOO_MANY_SESSIONS.
    pub(crate) fn reserve(&self) -> Result<Slot, Error> {
        let slot = self.0.slots.clone().try_acquire_owned();
        slot.map_err(|_| Error::TooManySessions { limit: self.0.limits.sessions })
    }

    /// Keeps a transaction and its snapshot: for `live` at first, and no longer than `most`. Answers when it ends.
    pub(crate) fn hold(
        &self,
        id: Uuid,
        session: Session,
        snapshot: SnapshotName,
        slot: Slot,
        live: Duration,
        most: Duration,
    ) -> SystemTime {
        let now = Instant::now();
        let latest = now + most;
        let until = (now + live).min(latest);
        let (orders, taken) = watch::channel(Orders { until, end: None });
        self.lock().held.insert(id, Held { snapshot, orders, latest });
        let holder = Holder { session, orders: taken, latest, transactions: self.0.limits.transactions };
        let sessions = self.clone();
        self.0.tasks.spawn(async move {
            let ended = holder.run(&sessions.0.database, |ended| sessions.ended(id, ended)).await;
            sessions.0.database.close_idle_holders();
            drop(slot);
            tracing::info!(session = %id.simple(), outcome = ended.as_str(), "read session ended");
        });
        wall_clock(until)
    }

    /// The name of the snapshot of a session, if this server holds it.
    ///
    /// # Errors
    /// The session was deleted here.
    pub(crate) fn snapshot(&self, id: Uuid) -> Result<Option<SnapshotName>, Error> {
        let known = self.lock();
        match known.held.get(&id) {
            Some(held) => Ok(Some(held.snapshot.clone())),
            None if known.ended(id) == Some(Ended::Deleted) => Err(Ended::Deleted.error()),
            None => Ok(None),
        }
    }

    /// Why a session has ended, if it was held here. Another server may hold it still.
    pub(crate) fn ended_as(&self, id: Uuid) -> Option<Error> {
        self.lock().ended(id).map(Ended::error)
    }

    /// Has a session live for that long from now on; answers when it ends. `None` if this server does not hold it.
    pub(crate) fn renew(&self, id: Uuid, live: Duration) -> Option<SystemTime> {
        let known = self.lock();
        let held = known.held.get(&id)?;
        let until = (Instant::now() + live).min(held.latest);
        held.orders.send_modify(|orders| orders.until = until);
        Some(wall_clock(until))
    }

    /// Ends a session, wherever it is held; answers whether it was.
    ///
    /// # Errors
    /// PostgreSQL did not say who else holds it: it is as it was here, and can be asked for again.
    pub(crate) async fn delete(&self, id: Uuid) -> Result<bool, Error> {
        let own = {
            let known = self.lock();
            // Its transaction may not have ended yet.
            if known.ended(id) == Some(Ended::Deleted) {
                return Ok(false);
            }
            known.held.get(&id).map(|held| held.snapshot.id.clone())
        };
        // Whoever else holds it finds its connection gone.
        let elsewhere = self.0.database.control.end_named(&holder_prefix(id), own.as_deref()).await;
        let elsewhere = elsewhere.map_err(|cause| Error::DatabaseUnavailable { sqlstate: None, cause })?;
        Ok(self.delete_here(id) || elsewhere > 0)
    }

    fn delete_here(&self, id: Uuid) -> bool {
        let order = |held: &Held| held.orders.send_modify(|orders| orders.end = Some(Ended::Deleted));
        let held = self.lock().held.get(&id).map(order).is_some();
        if held {
            self.ended(id, Ended::Deleted);
        }
        held
    }

    /// Ends all sessions, and waits until their connections are given back.
    pub(crate) async fn drain(&self) {
        for held in self.lock().held.values() {
            held.orders.send_modify(|orders| orders.end = Some(Ended::Draining));
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn ended(&self, id: Uuid, why: Ended) {
        let mut known = self.lock();
        if known.held.remove(&id).is_some() {
            known.ended.push_back((id, why));
        }
        if known.ended.len() > REMEMBERED {
            known.ended.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instant to come, as callers' clocks show it.
fn wall_clock(at: Instant) -> SystemTime {
    SystemTime::now() + at.saturating_duration_since(Instant::now())
}
