//! The pool of connections, over `deadpool`.
//!
//! Not sqlx's own pool: there, a connection that is given back takes one more round trip without a
//! time limit, so that a silent peer leaks its permit for ever (sqlx #4349). Here, giving back is
//! immediate: whoever held the connection has ended its transaction already, within a limit of its
//! own, or takes it out of the pool (`cursor::session`).

use std::time::{Duration, Instant};

use deadpool::{
    Runtime,
    managed::{self, Metrics, Object, PoolConfig, QueueMode, RecycleError, RecycleResult, Timeouts},
};
use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgRow},
};

use super::DatabaseConfig;

/// A connection that has been idle this long is asked whether it lives before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection older than this is replaced when it is next taken.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

pub(crate) type Pool = managed::Pool<Connector>;
/// A connection on loan from the pool.
pub(crate) type Lease = Object<Connector>;

/// Settings that every session starts with (a database of no encoding keeps its bytes, so that a column
/// that is not UTF-8 can be named): how values look as text where PostgreSQL makes the text; a
/// backstop against transactions that this program would leave open if it froze; keepalives, so that a
/// backend whose client's machine has vanished ends within a minute instead of two hours; and no JIT,
/// because a compilation delays the first row and does not hear a cancel.
const SESSION: &str = "
    SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';
    SET bytea_output = 'hex'; SET extra_float_digits = 1;
    SET standard_conforming_strings = on; SET client_min_messages = error; SET default_transaction_read_only = on;
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
    SET cursor_tuple_fraction = 1; SET jit = off;
    SELECT pg_size_bytes(current_setting('work_mem')), pg_backend_pid(),
           set_config('client_encoding', CASE current_setting('server_encoding')
                      WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false)";

/// A backend whose client has vanished notices within a second. Not on every platform.
const VANISHED_CLIENT: &str = "SET client_connection_check_interval = '1s'";

/// An open connection and what is known of its session.
pub(crate) struct Connection {
    pub(crate) sql: PgConnection,
    /// `work_mem` in bytes: a fetch that is larger spills to disk.
    pub(crate) work_mem: usize,
    /// The backend's process id, which a cancel aims at.
    pub(crate) pid: i32,
    opened: Instant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("work_mem", &self.work_mem).finish_non_exhaustive()
    }
}

/// Opens connections for the pool.
#[derive(Debug)]
pub(crate) struct Connector {
    options: PgConnectOptions,
    /// How long a transaction may wait for its next statement: longer than any caller may stall.
    idle_limit: Duration,
}

impl managed::Manager for Connector {
    type Type = Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Connection, sqlx::Error> {
        let mut sql = PgConnection::connect_with(&self.options).await?;
        let idle = self.idle_limit.as_millis().min(2_000_000_000);
        let session = format!("SET idle_in_transaction_session_timeout = {idle}; {SESSION}");
        let row: PgRow = sqlx::raw_sql(AssertSqlSafe(session)).fetch_one(&mut sql).await?;
        let work_mem = text(&row, 0).and_then(|text| text.parse().ok()).unwrap_or(64 * 1024);
        let pid = text(&row, 1).and_then(|text| text.parse().ok()).unwrap_or(0);
        if let Err(error) = sqlx::raw_sql(VANISHED_CLIENT).execute(&mut sql).await
            && error.as_database_error().is_none()
        {
            return Err(error);
        }
        Ok(Connection { sql, work_mem, pid, opened: Instant::now() })
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if connection.opened.elapsed() > MAX_LIFETIME {
            return Err(RecycleError::message("older than the maximum lifetime"));
        }
        if metrics.last_used() > PING_AFTER_IDLE {
            connection.sql.ping().await?;
        }
        Ok(())
    }
}

/// A pool of at most `size` connections, the most recently used first.
pub(crate) fn new(config: &DatabaseConfig, size: usize) -> Pool {
    let timeouts = Timeouts { wait: None, create: Some(config.connect_timeout), recycle: Some(PING_TIMEOUT) };
    managed::Pool::builder(Connector { options: config.options.clone(), idle_limit: config.idle_limit })
        .config(PoolConfig { max_size: size, timeouts, queue_mode: QueueMode::Lifo })
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool with a runtime can always be built")
}

/// A value of a simple query's row, which is text whatever its type.
pub(crate) fn text(row: &PgRow, column: usize) -> Option<&str> {
    row.try_get_raw(column).ok()?.as_str().ok()
}
