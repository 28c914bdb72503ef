//! The reserved control connections: they cancel and terminate the backends that calls run on, and
//! tell whether PostgreSQL answers. They never run a caller's statement, so one is always free soon.

use tokio::time::{Duration, timeout};

use super::{
    DatabaseConfig,
    pool::{self, Pool},
};
use crate::metrics::{
    database::{self, CONTROL, DatabaseCounts, Discard},
    gauges::PoolUse,
};

/// How many: enough that a burst of cancels does not queue behind one slow answer.
const CONNECTIONS: usize = 2;
/// The longest a control statement may take, waiting for a connection included.
const LIMIT: Duration = Duration::from_secs(3);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pool: Pool,
    pub(crate) counts: DatabaseCounts,
}

impl Control {
    pub(super) fn new(config: &DatabaseConfig, counts: DatabaseCounts) -> Self {
        Self { pool: pool::new(config, CONNECTIONS, counts.pool(CONTROL)), counts }
    }

    pub(super) fn used(&self) -> PoolUse {
        pool::used(&self.pool)
    }

    /// Cancels what the backend is running; harmless if it runs nothing. Answers whether PostgreSQL
    /// has been asked.
    pub(crate) async fn cancel(&self, pid: i32) -> bool {
        self.run(database::Control::Cancel, format!("SELECT pg_cancel_backend({pid})")).await.is_ok()
    }

    /// Ends the backend, if it is still there.
    pub(crate) async fn terminate(&self, pid: i32) {
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {pid}");
        if let Err(cause) = self.run(database::Control::Terminate, sql).await {
            tracing::warn!(pid, cause, "cannot terminate a backend");
        }
    }

    /// Whether PostgreSQL answers; if not, why.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        self.run(database::Control::Ping, "SELECT 1".to_owned()).await
    }

    /// Runs a statement of ours; once more on another connection if the first one turns out dead.
    async fn run(&self, kind: database::Control, sql: String) -> Result<(), String> {
        let attempts = async {
            let mut cause = String::new();
            for _ in 0..=CONNECTIONS {
                let mut lease = self.pool.get().await.map_err(|error| error.to_string())?;
                match sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str())).execute(&mut lease.sql).await {
                    Ok(_) => return Ok(()),
                    Err(error) => {
                        pool::discard(lease, Discard::Broken);
                        cause = error.to_string();
                    }
                }
            }
            Err(cause)
        };
        let result = timeout(LIMIT, attempts).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        self.counts.control(kind, result.is_ok());
        result
    }
}
