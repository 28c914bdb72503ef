//! PostgreSQL connections: the pool that calls read through, the control connections that cancel
//! them, those that hold snapshots, and the watch over whether PostgreSQL answers.
//!
//! What runs *on* a connection is `cursor`.

pub(crate) mod control;
pub(crate) mod health;
pub(crate) mod limits;
pub(crate) mod pool;

use std::{str::FromStr as _, sync::Arc, time::Duration};

use deadpool::managed::{PoolError, TimeoutType, Timeouts};
use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio::sync::Notify;

use self::{control::Control, pool::Lease};
use crate::{
    error::{CallerText, Error},
    metrics::{
        database::{CALLS, DatabaseCounts, Discard, HOLDERS},
        gauges::PoolUse,
    },
    stop::Stop,
};

/// How to connect: a checked database URL.
pub(crate) type ConnectOptions = PgConnectOptions;

/// A log directive: what a statement raises as a notice may be row data.
pub(crate) const NO_NOTICES: &str = "sqlx::postgres::notice=off";

/// Statements that sqlx keeps prepared on a connection.
const PREPARED: usize = 128;

/// Reads a database URL. `None` if it is not one: sqlx's message would quote it, and with it a password.
pub(crate) fn connect_options(url: &str) -> Option<ConnectOptions> {
    let scheme = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let options = PgConnectOptions::from_str(url).ok().filter(|_| scheme)?;
    // What callers run belongs in no log of sqlx's.
    Some(options.application_name("rowstream").statement_cache_capacity(PREPARED).disable_statement_logging())
}

/// How connections are made and kept.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseConfig {
    pub(crate) options: ConnectOptions,
    pub(crate) pool_max: usize,
    /// Those that hold snapshots, beside the others.
    pub(crate) holders: usize,
    /// The longest wait for a free connection.
    pub(crate) wait_timeout: Duration,
    /// The longest time to open one.
    pub(crate) connect_timeout: Duration,
    /// The longest time that a transaction may wait for its next statement.
    pub(crate) idle_limit: Duration,
}

/// The database, as the calls see it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pool: pool::Pool,
    /// Connections whose transactions stay open: each holds a snapshot.
    holders: pool::Pool,
    pub(crate) control: Control,
    wait_timeout: Duration,
    /// Wakes the health watch when a call has found PostgreSQL unavailable.
    suspect: Arc<Notify>,
}

impl Database {
    /// Makes the pools; opens no connection yet.
    pub(crate) fn new(config: &DatabaseConfig, counts: &DatabaseCounts) -> Self {
        Self {
            pool: pool::new(config, config.pool_max, counts.pool(CALLS)),
            // PostgreSQL must not end a transaction that is only there.
            holders: pool::new(
                &DatabaseConfig { idle_limit: Duration::ZERO, ..config.clone() },
                config.holders,
                counts.pool(HOLDERS),
            ),
            control: Control::new(config, counts.clone()),
            wait_timeout: config.wait_timeout,
            suspect: Arc::default(),
        }
    }

    /// Waits for a connection, no longer than the call may.
    pub(crate) async fn acquire(&self, stop: &Stop) -> Result<Lease, Error> {
        self.acquire_from(&self.pool, stop).await
    }

    /// The same for a connection that is to hold a snapshot.
    pub(crate) async fn acquire_holder(&self, stop: &Stop) -> Result<Lease, Error> {
        self.acquire_from(&self.holders, stop).await
    }

    /// Closes the connections that hold no snapshot at present: sessions are few, and rarely follow each other.
    pub(crate) fn close_idle_holders(&self) {
        let closed = self.holders.retain(|_, _| false).removed;
        closed.iter().for_each(|_| self.holders.manager().counts.discarded(Discard::Idle));
    }

    async fn acquire_from(&self, pool: &pool::Pool, stop: &Stop) -> Result<Lease, Error> {
        let timeouts = Timeouts { wait: Some(self.wait_timeout), ..pool.timeouts() };
        let error = match stop.unless_stopped(pool.timeout_get(&timeouts)).await? {
            Ok(lease) => return Ok(lease),
            Err(PoolError::Timeout(TimeoutType::Wait)) => return Err(Error::PoolTimeout(self.wait_timeout)),
            Err(PoolError::Backend(error)) => Error::from_connect(&error),
            Err(error) => Error::DatabaseUnavailable { sqlstate: None, cause: error.to_string() },
        };
        Err(error)
    }

    /// Has the health watch look now.
    pub(crate) fn suspect(&self) {
        self.suspect.notify_one();
    }

    /// Forgets all idle connections: one of them was found dead, so the others probably are.
    pub(crate) fn forget_idle(&self) {
        let forgotten = self.pool.retain(|_, _| false).removed;
        forgotten.iter().for_each(|_| self.pool.manager().counts.discarded(Discard::Suspect));
        self.suspect();
    }

    /// The connections for calls, those for control, and those that hold snapshots.
    pub(crate) fn used(&self) -> [PoolUse; 3] {
        [pool::used(&self.pool), self.control.used(), pool::used(&self.holders)]
    }
}

impl Error {
    /// Whatever kept a connection from being opened, PostgreSQL is of no use to the caller now.
    fn from_connect(error: &sqlx::Error) -> Self {
        match Self::from_database(error, CallerText::NONE) {
            unavailable @ Self::DatabaseUnavailable { .. } => unavailable,
            other => Self::DatabaseUnavailable { sqlstate: None, cause: other.to_string() },
        }
    }
}
