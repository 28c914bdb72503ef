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
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{Instant, timeout};

use crate::{
    db::{
        Database,
        control::Control,
        pool::{self, Connection, Lease},
    },
    error::{CallerText, Error},
    plan::sql::literal,
    stop::{Cause, Phase, Stop},
};

/// How long a cancelled statement may take to end before it is cancelled once more: a cancel that
/// arrives before the statement does is lost.
const CANCEL_AGAIN: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// How long a terminated backend may take to end.
const TERMINATE: Duration = Duration::from_secs(1);
/// How long the final ROLLBACK may take before the connection is given up.
const ROLLBACK: Duration = Duration::from_secs(2);

/// An open READ ONLY transaction. Must be [finished](Self::finish), never dropped.
#[derive(Debug)]
pub(crate) struct Session {
    /// Taken when the session ends.
    lease: Option<Lease>,
    guard: Guard,
    /// When the connection was had: what came before is time in the queue.
    acquired: Instant,
}

/// What watches over the steps of a session.
#[derive(Debug)]
pub(crate) struct Guard {
    control: Control,
    /// The backend's process id, once it is known.
    pid: Option<i32>,
    /// The connection cannot be used again.
    broken: bool,
}

impl Session {
    /// Opens the transaction: one round trip. `application_name` tells a DBA whose statement runs.
    pub(crate) async fn begin(database: &Database, stop: &Stop, application_name: &str) -> Result<Self, Error> {
        let mut tries_left = 2;
        loop {
            stop.enter(Phase::Queue)?;
            let lease = database.acquire(stop).await?;
            stop.enter(Phase::Plan)?;
            let reused = Object::metrics(&lease).recycle_count > 0;
            let guard = Guard { control: database.control.clone(), pid: None, broken: false };
            let mut session = Self { lease: Some(lease), guard, acquired: Instant::now() };
            match session.open(stop, application_name).await {
                Ok(()) => return Ok(session),
                // The connection died while it was idle; the others probably did, too.
                Err(error) if reused && tries_left > 0 && session.guard.broken && stop.now().is_none() => {
                    tracing::debug!(%error, "an idle connection was dead");
                    session.finish().await;
                    database.forget_idle();
                    tries_left -= 1;
                }
                Err(error) => {
                    session.finish().await;
                    return Err(error);
                }
            }
        }
    }

    async fn open(&mut self, stop: &Stop, application_name: &str) -> Result<(), Error> {
        let sql = format!(
            "BEGIN READ ONLY; {}; SET LOCAL application_name = {}; SELECT pg_backend_pid()",
            statement_timeout(stop),
            literal(application_name),
        );
        let (connection, guard) = self.split();
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        let row = guard.run(stop, CallerText::NONE, query.fetch_one(&mut connection.sql)).await?;
        guard.pid = pool::text(&row, 0).and_then(|pid| pid.parse().ok());
        Ok(())
    }

    /// The connection, and the guard that its statements run under.
    pub(crate) fn split(&mut self) -> (&mut Connection, &mut Guard) {
        (self.lease.as_mut().expect("a session that has not ended has its connection"), &mut self.guard)
    }

    pub(crate) fn acquired(&self) -> Instant {
        self.acquired
    }

    /// Ends the transaction and gives the connection back, or discards it.
    pub(crate) async fn finish(mut self) {
        let (connection, guard) = self.split();
        guard.broken = guard.broken || !roll_back(&mut connection.sql).await;
        self.release().await;
    }

    /// As [`finish`](Self::finish), for a transaction that has ended with its last fetch.
    pub(crate) async fn finish_ended(mut self) {
        self.release().await;
    }

    async fn release(&mut self) {
        if self.guard.broken {
            if let Some(pid) = self.guard.pid {
                self.guard.control.terminate(pid).await;
            }
            self.lease.take().map(Object::take);
        }
        drop(self.lease.take());
    }
}

impl Drop for Session {
    /// A session that did not come to its end (a panic) must not give its transaction to another call.
    fn drop(&mut self) {
        self.lease.take().map(Object::take);
    }
}

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
            result = &mut step => result,
        };
        result.map_err(|error| {
            self.broken |= breaks_connection(&error);
            match (stop.now(), Error::from_database(&error, text)) {
                (Some(stopped), _) => stopped.into(),
                // statement_timeout fires when our own timer does; whichever is first, it is the deadline.
                (None, Error::Sql(sql)) if sql.sqlstate == QUERY_CANCELED && stop.remaining().as_millis() < 2 => {
                    stop.stop(Cause::Deadline);
                    stop.now().map_or(Error::Sql(sql), Error::from)
                }
                (None, error) => error,
            }
        })
    }

    /// Cancels until the step has ended and the cancel call has returned; then terminates.
    async fn interrupt<T>(&mut self, mut step: Pin<&mut impl Future<Output = Result<T, sqlx::Error>>>) {
        let Some(pid) = self.pid else {
            // No statement of the caller's has begun; the first round trip is all there can be.
            self.broken = !matches!(timeout(CANCEL_AGAIN[4], step).await, Ok(Ok(_)));
            return;
        };
        for limit in CANCEL_AGAIN {
            let (asked, ended) = tokio::join!(self.control.cancel(pid), timeout(limit, &mut step));
            // Without an answer the cancel may still be on its way, to whatever runs there next.
            self.broken |= !asked;
            if let Ok(result) = ended {
                self.broken |= result.is_err_and(|error| breaks_connection(&error));
                return;
            }
        }
        tracing::warn!(pid, "a cancelled statement did not end; terminating its backend");
        self.broken = true;
        let terminate = self.control.terminate(pid);
        tokio::join!(terminate, timeout(TERMINATE, &mut step)).1.ok();
    }
}

const QUERY_CANCELED: &str = "57014";

/// Whether the connection is of no further use: anything but an ordinary error of a statement.
fn breaks_connection(error: &sqlx::Error) -> bool {
    let Some(report) = error.as_database_error() else {
        // A type that sqlx does not know is met after PostgreSQL has answered in full.
        return !matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::TypeNotFound { .. });
    };
    let code = report.code().unwrap_or_default();
    code.starts_with("08") || (code.starts_with("57P") && code != "57P04") || code.starts_with("58")
}
