//! The reserved control connections: they cancel and terminate the backends that calls run on, and
//! tell whether PostgreSQL answers. They never run a caller's statement, so one is always free soon.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{
    DatabaseConfig,
    pool::{self, Lease, Pool},
};
use crate::metrics::{
    database::{self, CONTROL, DatabaseCounts, Discard},
    gauges::PoolUse,
};
use crate::plan::sql::literal;

/// How many: enough that a burst of cancels does not queue behind one slow answer.
pub(super) const CONNECTIONS: usize = 2;
/// The longest a control statement may take, waiting for a connection included.
const LIMIT: Duration = Duration::from_secs(3);
/// A connection that is silent this long is given up: whatever lies between may have forgotten it.
const SILENT: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    pool: Pool,
    /// A connection was found dead or silent; those of the calls' pool may be, too.
    lost: Arc<AtomicBool>,
    pub(crate) counts: DatabaseCounts,
}

impl Control {
    pub(super) fn new(config: &DatabaseConfig, counts: DatabaseCounts) -> Self {
        Self { pool: pool::new(config, CONNECTIONS, counts.pool(CONTROL)), lost: Arc::default(), counts }
    }

    pub(super) fn used(&self) -> PoolUse {
        pool::used(&self.pool)
    }

    /// Cancels what the backend is running; harmless if it runs nothing. Answers whether PostgreSQL
    /// has done so, and no further cancel can be on its way.
    pub(crate) async fn cancel(&self, pid: i32) -> bool {
        self.run(database::Control::Cancel, format!("SELECT pg_cancel_backend({pid})")).await == Ok(Attempts::One)
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
        self.run(database::Control::Ping, "SELECT 1".to_owned()).await.map(drop)
    }

    /// How many transactions have begun since the oldest one that a backend still has to see; `None` if the backend is
    /// gone, or holds nothing.
    pub(crate) async fn transactions_since(&self, pid: i32) -> Result<Option<i64>, String> {
        let sql = format!("SELECT age(backend_xmin) FROM pg_stat_activity WHERE pid = {pid}");
        self.ask(sql).await.map(|answer| answer.first().and_then(|age| age.parse().ok()))
    }

    /// The ends of the names of all transactions in this database whose names begin so.
    pub(crate) async fn named(&self, prefix: &str) -> Result<Vec<String>, String> {
        let prefix = literal(prefix);
        self.ask(format!(
            "SELECT substr(application_name, length({prefix}) + 1) FROM pg_stat_activity
             WHERE datname = current_database() AND starts_with(application_name, {prefix}) ORDER BY xact_start"
        ))
        .await
    }

    /// Ends the backends of all transactions in this database whose names begin so, but for one; answers how many.
    pub(crate) async fn end_named(&self, prefix: &str, but: Option<&str>) -> Result<usize, String> {
        let prefix = literal(prefix);
        let but = but.map(|but| format!("AND application_name <> {prefix} || {}", literal(but))).unwrap_or_default();
        let ended = self.ask(format!(
            "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database()
             AND starts_with(application_name, {prefix}) {but} AND pg_terminate_backend(pid)"
        ));
        ended.await.map(|ended| ended.len())
    }

    /// The first column of a statement of ours.
    async fn ask(&self, sql: String) -> Result<Vec<String>, String> {
        let asked = async {
            let mut used = InUse(self.pool.get().await.map_err(|error| error.to_string())?.into());
            let answer = used.texts(&sql).await.map_err(|error| error.to_string())?;
            used.give_back();
            Ok(answer)
        };
        let result = timeout(LIMIT, asked).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        self.counts.control(database::Control::Snapshot, result.is_ok());
        result
    }

    /// Whether a connection was lost since this was last asked.
    pub(super) fn lost_one(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }

    /// Runs a statement of ours; again on another connection if the first one turns out dead or silent.
    async fn run(&self, kind: database::Control, sql: String) -> Result<Attempts, String> {
        let attempts = async {
            let mut cause = String::new();
            for attempt in 0..=CONNECTIONS {
                let mut used = InUse(self.pool.get().await.map_err(|error| error.to_string())?.into());
                cause = match timeout(SILENT, used.execute(&sql)).await {
                    Ok(Ok(())) => {
                        used.give_back();
                        return Ok(if attempt == 0 { Attempts::One } else { Attempts::More });
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("no answer within {SILENT:?}"),
                };
                self.lost.store(true, Ordering::Relaxed);
            }
            Err(cause)
        };
        let result = timeout(LIMIT, attempts).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        self.counts.control(kind, result.is_ok());
        result
    }
}

/// How often a statement was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempts {
    One,
    /// The first ones were not answered: they may still arrive.
    More,
}

/// A connection whose answer is still to come: dropped before, it must not serve again.
struct InUse(Option<Lease>);

impl InUse {
    async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let Some(lease) = &mut self.0 else { return Ok(()) };
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut lease.sql).await.map(drop)
    }

    /// The first value of each row, where it is not NULL.
    async fn texts(&mut self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        let Some(lease) = &mut self.0 else { return Ok(Vec::new()) };
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&mut lease.sql).await?;
        Ok(rows.iter().filter_map(|row| pool::text(row, 0).map(str::to_owned)).collect())
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            pool::discard(lease, Discard::Broken);
        }
    }
}
