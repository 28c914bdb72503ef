//! One transaction on one connection, and the one way every early end of it goes.
//!
//! A cancel aims at a backend, not at a statement: one that comes late would hit the next borrower.
//! So an interrupted step is never dropped. It is polled on until its statement has ended *and* the
//! call to `pg_cancel_backend` has returned; only then the transaction is rolled back and the
//! connection given back. A backend that does not end in time is terminated and its connection
//! discarded.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use deadpool::managed::Object;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgRow};
use tokio::time::{Instant, timeout};

use super::{
    catalog::version_of,
    snapshot::{self, SnapshotName},
};
use crate::{
    db::{
        Database,
        control::Control,
        pool::{self, Connection, Lease},
    },
    error::{CallerText, Error},
    metrics::database::Discard,
    plan::sql::literal,
    stop::{Cause, Phase, Stop},
};

/// How long a cancelled statement may take to end before it is cancelled once more: a cancel that
/// arrives before the statement does is lost.
const CANCEL_AGAIN: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(250), Duration::from_millis(500)];
/// A connection that was dead before is found so this soon.
const DEAD_WITHIN: Duration = Duration::from_millis(500);
/// How long a terminated backend may take to end.
const TERMINATE: Duration = Duration::from_secs(1);
/// How long the final ROLLBACK may take before the connection is given up.
const ROLLBACK: Duration = Duration::from_secs(2);

/// A READ ONLY transaction on a connection. Must be [finished](Self::finish), never dropped.
#[derive(Debug)]
pub(crate) struct Session {
    /// Taken when the session ends.
    lease: Option<Lease>,
    guard: Guard,
    /// What the transaction is called in `pg_stat_activity`.
    application_name: String,
    beginning: Beginning,
    begun: bool,
    /// The connection has served before: it may have died since.
    reused: bool,
    /// When the connection was had: what came before is time in the queue.
    acquired: Instant,
}

/// A table whose version must still be this one when the transaction is opened.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) oid: u32,
    pub(crate) version: String,
}

impl Watched {
    /// Whether the answer to the beginning of the transaction tells of the same version.
    pub(super) fn holds(&self, row: &PgRow) -> bool {
        pool::text(row, 1) == Some(self.version.as_str())
    }
}

/// What a transaction sees.
#[derive(Clone, Debug, Default)]
pub(crate) enum Beginning {
    /// Each statement, the database as it is then.
    #[default]
    Now,
    /// All statements, the database as it is at the first.
    Snapshot,
    /// All statements, the database as another transaction sees it.
    Imported(SnapshotName),
}

/// What watches over the steps of a session.
#[derive(Debug)]
pub(crate) struct Guard {
    control: Control,
    pid: i32,
    pub(super) watched: Option<Watched>,
    /// What the snapshot must hold, where one is imported.
    imported: Option<String>,
    /// The connection cannot be used again.
    broken: bool,
}

/// What goes before a statement in the same round trip, and how many statements it is.
#[derive(Debug)]
pub(crate) struct Prelude {
    pub(crate) sql: String,
    pub(crate) statements: i64,
}

impl Session {
    /// Takes a connection. The transaction is opened with the first statement, in the same round trip.
    /// `application_name` tells a DBA whose statement runs.
    pub(crate) async fn take(database: &Database, stop: &Stop, application_name: &str) -> Result<Self, Error> {
        stop.enter(Phase::Queue)?;
        let lease = database.acquire(stop).await?;
        stop.enter(Phase::Plan)?;
        Ok(Self::over(lease, database, application_name))
    }

    fn over(lease: Lease, database: &Database, application_name: &str) -> Self {
        let control = database.control.clone();
        Self {
            guard: Guard { control, pid: lease.pid, watched: None, imported: None, broken: false },
            reused: Object::metrics(&lease).recycle_count > 0,
            lease: Some(lease),
            application_name: application_name.to_owned(),
            beginning: Beginning::Now,
            begun: false,
            acquired: Instant::now(),
        }
    }

    /// Has the opening of the transaction fail with SCHEMA_CHANGED if the table is not what it was.
    pub(crate) fn watching(mut self, watched: Watched) -> Self {
        self.guard.watched = Some(watched);
        self
    }

    /// Takes a connection and opens the transaction: one round trip.
    pub(crate) async fn begin(database: &Database, stop: &Stop, application_name: &str) -> Result<Self, Error> {
        Self::begin_watching(database, stop, application_name, None).await
    }

    /// As [`begin`](Self::begin), watching a table.
    pub(crate) async fn begin_watching(
        database: &Database,
        stop: &Stop,
        application_name: &str,
        watched: Option<Watched>,
    ) -> Result<Self, Error> {
        Self::begin_as(database, stop, application_name, watched, Beginning::Now).await
    }

    /// As [`begin`](Self::begin), in the snapshot of another transaction.
    pub(crate) async fn begin_importing(
        database: &Database,
        stop: &Stop,
        application_name: &str,
        snapshot: &SnapshotName,
    ) -> Result<Self, Error> {
        Self::begin_as(database, stop, application_name, None, Beginning::Imported(snapshot.clone())).await
    }

    async fn begin_as(
        database: &Database,
        stop: &Stop,
        application_name: &str,
        watched: Option<Watched>,
        beginning: Beginning,
    ) -> Result<Self, Error> {
        let mut tries_left = 2;
        loop {
            let mut session = Self::take(database, stop, application_name).await?;
            session.guard.watched.clone_from(&watched);
            match session.begun_with(stop, beginning.clone()).await {
                Err((_, true)) if tries_left > 0 => database.forget_idle(),
                begun => return begun.map_err(|(error, _)| error),
            }
            tries_left -= 1;
        }
    }

    /// Takes one of the connections that hold snapshots, and opens a transaction that keeps to one.
    pub(crate) async fn begin_holding(
        database: &Database,
        stop: &Stop,
        application_name: &str,
        beginning: Beginning,
    ) -> Result<Self, Error> {
        stop.enter(Phase::Queue)?;
        let lease = database.acquire_holder(stop).await?;
        stop.enter(Phase::Plan)?;
        Self::over(lease, database, application_name).begun_with(stop, beginning).await.map_err(|(error, _)| error)
    }

    /// Opens the transaction. An error comes with whether the connection had died while it was idle.
    async fn begun_with(mut self, stop: &Stop, beginning: Beginning) -> Result<Self, (Error, bool)> {
        let imports = matches!(beginning, Beginning::Imported(_));
        self.guard.imported = match &beginning {
            Beginning::Imported(snapshot) => Some(snapshot.state.clone()),
            Beginning::Now | Beginning::Snapshot => None,
        };
        self.beginning = beginning;
        match self.open(stop).await {
            Ok(()) => Ok(self),
            Err(error) => {
                let dead = self.was_dead();
                self.finish().await;
                Err((if imports { snapshot::gone(error) } else { error }, dead))
            }
        }
    }

    /// Has the transaction called something else in `pg_stat_activity`.
    pub(crate) async fn rename(&mut self, stop: &Stop, name: &str) -> Result<(), Error> {
        self.execute(stop, format!("SET LOCAL application_name = {}", literal(name))).await
    }

    /// Runs statements of ours that give nothing.
    pub(crate) async fn execute(&mut self, stop: &Stop, sql: String) -> Result<(), Error> {
        let (connection, guard) = self.split();
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        guard.run(stop, CallerText::NONE, query.execute(&mut connection.sql)).await.map(drop)
    }

    /// Opens the transaction, if that has not been done, or tells it the time that is left: one round trip.
    pub(crate) async fn ready(&mut self, stop: &Stop) -> Result<(), Error> {
        if !self.begun {
            return self.open(stop).await;
        }
        let prelude = self.prelude(stop);
        self.execute(stop, prelude.sql).await
    }

    async fn open(&mut self, stop: &Stop) -> Result<(), Error> {
        let prelude = self.prelude(stop);
        let (connection, guard) = self.split();
        let query = sqlx::raw_sql(AssertSqlSafe(prelude.sql));
        let row = guard.run(stop, CallerText::NONE, query.fetch_one(&mut connection.sql)).await?;
        guard.check(&row)
    }

    /// What has to go before the next statement: the beginning of the transaction, or the time it has
    /// left.
    pub(crate) fn prelude(&mut self, stop: &Stop) -> Prelude {
        let timeout = statement_timeout(stop);
        if std::mem::replace(&mut self.begun, true) {
            return Prelude { sql: format!("{timeout};"), statements: 1 };
        }
        let name = literal(&self.application_name);
        let watched = self.guard.watched.as_ref();
        let version = watched.map_or_else(String::new, |table| format!(", {}", version_of(&table.oid.to_string())));
        let (begin, more, state) = match &self.beginning {
            Beginning::Now => ("BEGIN READ ONLY".to_owned(), 0, ""),
            Beginning::Snapshot => (REPEATABLE.to_owned(), 0, ""),
            Beginning::Imported(SnapshotName { id, .. }) => {
                (format!("{REPEATABLE}; SET TRANSACTION SNAPSHOT {}", literal(id)), 1, ", pg_current_snapshot()::text")
            }
        };
        let sql = format!(
            "{begin}; {timeout}; SET LOCAL application_name = {name}; SELECT pg_backend_pid(){version}{state};"
        );
        Prelude { sql, statements: 4 + more }
    }

    /// Whether the connection, asked just after it broke, turns out to have died while it was idle. One
    /// that broke later may have died of its statement, which is then not run again.
    pub(crate) fn was_dead(&self) -> bool {
        self.reused && self.guard.broken && self.acquired.elapsed() < DEAD_WITHIN
    }

    /// The connection, and the guard that its statements run under.
    pub(crate) fn split(&mut self) -> (&mut Connection, &mut Guard) {
        (self.lease.as_mut().expect("a session that has not ended has its connection"), &mut self.guard)
    }

    /// The backend's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.guard.pid
    }

    pub(crate) fn acquired(&self) -> Instant {
        self.acquired
    }

    /// Ends the transaction and gives the connection back, or discards it.
    pub(crate) async fn finish(mut self) {
        let begun = self.begun;
        let (connection, guard) = self.split();
        guard.broken = guard.broken || (begun && !roll_back(&mut connection.sql).await);
        self.release().await;
    }

    /// As [`finish`](Self::finish), for a transaction that has ended with its last fetch.
    pub(crate) async fn finish_ended(mut self) {
        self.release().await;
    }

    async fn release(&mut self) {
        if self.guard.broken {
            self.guard.control.terminate(self.guard.pid).await;
            self.discard();
        }
        if let Some(mut lease) = self.lease.take() {
            // A large row has made them as large.
            lease.sql.shrink_buffers();
        }
    }

    fn discard(&mut self) {
        if let Some(lease) = self.lease.take() {
            pool::discard(lease, Discard::Broken);
        }
    }
}

impl Drop for Session {
    /// A session that did not come to its end (a panic) must not give its transaction to another call.
    fn drop(&mut self) {
        self.discard();
    }
}

const REPEATABLE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// A caller's statement may have taken session-level advisory locks, which survive a rollback.
pub(crate) const END: &str = "ROLLBACK; SELECT pg_advisory_unlock_all()";

async fn roll_back(connection: &mut PgConnection) -> bool {
    let rollback = sqlx::raw_sql(END).execute(connection);
    match timeout(ROLLBACK, rollback).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "ROLLBACK failed");
            false
        }
        Err(_) => false,
    }
}

/// `SET LOCAL statement_timeout` to what is left of the call's time, at least a millisecond (0 would
/// be no limit).
pub(crate) fn statement_timeout(stop: &Stop) -> String {
    let millis = stop.remaining().as_millis().clamp(1, 2_000_000_000);
    format!("SET LOCAL statement_timeout = {millis}")
}

impl Guard {
    /// Holds the answer to `pg_backend_pid()` against what the connection is known to be: behind a
    /// pooler that changes backends between transactions a cancel would hit a stranger.
    pub(crate) fn check(&mut self, row: &PgRow) -> Result<(), Error> {
        if pool::text(row, 0).and_then(|pid| pid.parse().ok()) == Some(self.pid) {
            if self.imported.as_deref().is_some_and(|state| pool::text(row, 1) != Some(state)) {
                return Err(Error::SnapshotLost("its name is now that of another one"));
            }
            let changed = self.watched.as_ref().is_some_and(|table| !table.holds(row));
            return if changed { Err(Error::SchemaChanged) } else { Ok(()) };
        }
        self.broken = true;
        let cause = "the backend changed: connect directly, or through a pooler in session mode".to_owned();
        Err(Error::DatabaseUnavailable { sqlstate: None, cause })
    }

    /// Has the connection discarded at the end: something is left on it that the next call must not meet.
    pub(crate) fn discard(&mut self) {
        self.broken = true;
    }

    /// Runs one step on the connection. If the call is stopped meanwhile, cancels the step in
    /// PostgreSQL, sees it to its end, and answers why the call was stopped.
    ///
    /// `text` is where the caller's SQL lies in the step's statement.
    pub(crate) async fn run<T>(
        &mut self,
        stop: &Stop,
        text: CallerText,
        step: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        self.run_until(stop, text, std::future::pending(), step).await
    }

    /// As [`run`](Self::run), until `enough`: then cancels the step likewise, which is a good end of it.
    pub(crate) async fn run_until<T>(
        &mut self,
        stop: &Stop,
        text: CallerText,
        enough: impl Future<Output = T>,
        step: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        if let Some(stopped) = stop.now() {
            return Err(stopped.into());
        }
        let mut step = pin!(step);
        let result = tokio::select! {
            biased;
            stopped = stop.stopped() => {
                self.interrupt(step).await;
                return Err(stopped.into());
            }
            done = enough => {
                self.interrupt(step).await;
                return Ok(done);
            }
            result = &mut step => result,
        };
        result.map_err(|error| {
            self.broken |= breaks_connection(&error);
            match (stop.now(), Error::from_database(&error, text)) {
                (Some(stopped), _) => stopped.into(),
                // statement_timeout fires when our own timer does; whichever is first, it is the deadline.
                (None, Error::Sql(sql)) if sql.sqlstate == QUERY_CANCELED && stop.remaining() < TOLERANCE => {
                    stop.stop(Cause::Deadline);
                    stop.now().map_or(Error::Sql(sql), Error::from)
                }
                (None, error) => error,
            }
        })
    }

    /// Cancels until the step has ended and the cancel call has returned; then terminates.
    async fn interrupt<T>(&mut self, mut step: Pin<&mut impl Future<Output = Result<T, sqlx::Error>>>) {
        let started = Instant::now();
        for limit in CANCEL_AGAIN {
            let (asked, ended) = tokio::join!(self.control.cancel(self.pid), timeout(limit, &mut step));
            // Without an answer the cancel may still be on its way, to whatever runs there next.
            self.broken |= !asked;
            if let Ok(result) = ended {
                self.broken |= result.is_err_and(|error| breaks_connection(&error));
                self.control.counts.cancelled(started.elapsed(), false);
                return;
            }
        }
        tracing::warn!(pid = self.pid, "a cancelled statement did not end; terminating its backend");
        self.broken = true;
        let terminate = self.control.terminate(self.pid);
        tokio::join!(terminate, timeout(TERMINATE, &mut step)).1.ok();
        self.control.counts.cancelled(started.elapsed(), true);
    }
}

/// How much earlier than our own timer `statement_timeout` may fire: it counts whole milliseconds.
const TOLERANCE: Duration = Duration::from_millis(5);
const QUERY_CANCELED: &str = "57014";

/// Whether the connection is of no further use: anything but an ordinary error of a statement.
fn breaks_connection(error: &sqlx::Error) -> bool {
    let Some(report) = error.as_database_error() else {
        // A type that sqlx does not know is met after PostgreSQL has answered in full.
        return !matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::TypeNotFound { .. });
    };
    let code = report.code().unwrap_or_default();
    let ends_session = matches!(code.as_ref(), "25P03" | "25P04") || (code.starts_with("57P") && code != "57P04");
    ends_session || code.starts_with("08")
}
