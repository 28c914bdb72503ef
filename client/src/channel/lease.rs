//! A place on a connection for one attempt: load of its backend for as long as it is held.

use std::{fmt, sync::Arc};

use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tonic::{Code, transport::Channel};

use super::{Inner, backend::BackendId, connection::Cause, ejection::Failure, slots::SlotId, target::Target};
use crate::Error;

/// One attempt on one connection, counted as load until it is dropped: a stream keeps it to its end.
#[derive(Debug)]
pub(crate) struct Lease {
    place: Place,
    channel: Channel,
    began: Instant,
}

impl Lease {
    /// The connection.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The endpoint's URL as the user wrote it, for messages.
    pub(crate) fn endpoint(&self) -> &Arc<str> {
        &self.place.target.name
    }

    pub(crate) fn backend(&self) -> BackendId {
        self.place.backend
    }

    /// The attempt is sent now: its latency counts from here, not from what it waited for on this side.
    pub(crate) fn sent(&mut self) {
        let backend = self.place.backend;
        (self.place.attempt, self.began) = self.place.inner.with(|pool, now| (Some(pool.began(backend, now)), now));
    }

    /// The first message is here: a sample of the backend's latency, and a sign of its health.
    pub(crate) fn first_message(&mut self) {
        if let Some(attempt) = self.place.attempt.take() {
            self.place.inner.with(|pool, now| pool.first_message(self.place.backend, attempt, now));
        }
    }

    /// The attempt failed. Dropping a lease without it says that it ended well, or was given up.
    pub(crate) fn failed(&mut self, error: &Error) {
        match Failure::of(error) {
            Some(failure) => self.place.failed(failure, self.began),
            // An answer, if not the one that was hoped for; a deadline may have passed for want of one.
            None if error.server().is_some() && error.code() != Code::DeadlineExceeded => {
                let (id, began) = (self.place.backend, self.began);
                self.place.inner.with(|pool, now| pool.get(id).map(|backend| backend.standing.succeeded(began, now)));
            }
            None => {}
        }
    }
}

/// A backend that was chosen, and what is taken of it so far.
pub(super) struct Place {
    inner: Arc<Inner>,
    backend: BackendId,
    target: Arc<Target>,
    slot: Option<SlotId>,
    attempt: Option<u64>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Counts as load of the backend from now on. `None` if there is no such backend any more.
    pub(super) fn take(inner: &Arc<Inner>, id: BackendId) -> Option<Self> {
        let target = inner.with(|pool, _| {
            let backend = pool.get(id)?;
            backend.load += 1;
            Some(backend.target.clone())
        })?;
        Some(Self { inner: inner.clone(), backend: id, target, slot: None, attempt: None, permit: None })
    }

    pub(super) fn backend(&self) -> BackendId {
        self.backend
    }

    /// Waits for room on the backend's connections and for the connection itself.
    pub(super) async fn connect(mut self) -> Result<Lease, Error> {
        let room = self.inner.with(|pool, _| pool.get(self.backend).map(|backend| backend.room.clone()));
        if let Some(room) = room {
            self.permit = room.acquire_owned().await.ok();
        }
        loop {
            let Some((slot, connection)) = self.inner.take_slot(self.backend) else {
                return Err(self.no_connection(Cause::new(std::io::Error::other("its name has other addresses now"))));
            };
            self.slot = Some(slot);
            match connection.await {
                Ok(channel) => return Ok(Lease { place: self, channel, began: Instant::now() }),
                Err(cause) => {
                    let others_are_open = self.leave_failed_slot(slot);
                    if !others_are_open {
                        self.failed(Failure::Connect, Instant::now());
                        return Err(self.no_connection(cause));
                    }
                }
            }
        }
    }

    fn leave_failed_slot(&mut self, slot: SlotId) -> bool {
        self.slot = None;
        self.inner.with(|pool, now| {
            pool.get(self.backend).is_some_and(|backend| {
                backend.slots.leave(slot);
                backend.slots.failed(slot, now)
            })
        })
    }

    fn failed(&self, failure: Failure, began: Instant) {
        self.inner.with(|pool, now| {
            if failure == Failure::Connect
                && let (Some(backend), Some(slot)) = (pool.get(self.backend), self.slot)
            {
                backend.slots.failed(slot, now);
            }
            pool.failed(self.backend, failure, began, now);
        });
        if failure == Failure::Connect {
            self.inner.look_up_again(&self.target);
        }
    }

    fn no_connection(&self, cause: Cause) -> Error {
        Error::Connect { endpoint: self.target.name.to_string(), source: Box::new(cause), resume_token: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.with(|pool, now| {
            if let Some(attempt) = self.attempt {
                pool.ended(self.backend, attempt, now);
            }
            if let Some(backend) = pool.get(self.backend) {
                backend.load = backend.load.saturating_sub(1);
                if let Some(slot) = self.slot {
                    backend.slots.leave(slot);
                }
            }
        });
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, slot, .. } = self;
        f.debug_struct("Place").field("backend", backend).field("slot", slot).finish_non_exhaustive()
    }
}
