//! Asking an ejected backend whether it takes calls again, by the standard health service.
//!
//! One task for each ejected backend, which ends when the backend is back or gone, or the client is: it holds the client
//! only while it looks something up in it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;
use tonic::{Code, Request};

use super::{Inner, backend::BackendId, connection::Connecting};
use crate::health::{self, Health};

/// How long a probe may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Probes until the backend is back.
pub(super) async fn run(inner: Weak<Inner>, id: BackendId) {
    while let Some(at) = next(&inner, id) {
        tokio::time::sleep_until(at).await;
        let Some(connection) = connection(&inner, id) else { return };
        let healthy = tokio::time::timeout(TIMEOUT, is_healthy(connection)).await.unwrap_or(false);
        let Some(inner) = inner.upgrade() else { return };
        if inner.with(|pool, now| pool.probed(id, healthy, now)) {
            return;
        }
    }
}

fn next(inner: &Weak<Inner>, id: BackendId) -> Option<Instant> {
    inner.upgrade()?.with(|pool, _| pool.get(id)?.standing.next_probe())
}

/// A connection that counts as no load, if the backend is still ejected.
fn connection(inner: &Weak<Inner>, id: BackendId) -> Option<Connecting> {
    next(inner, id)?;
    let inner: Arc<Inner> = inner.upgrade()?;
    let (slot, connection) = inner.take_slot(id)?;
    inner.with(|pool, _| pool.get(id).map(|backend| backend.slots.leave(slot)));
    Some(connection)
}

async fn is_healthy(connection: Connecting) -> bool {
    let Ok(channel) = connection.await else { return false };
    match health::check(channel, Request::new).await {
        Ok(health) => health != Health::NotServing,
        // A server without a health service tells by answering that it is there.
        Err(status) => status.code() == Code::Unimplemented,
    }
}
