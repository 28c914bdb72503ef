//! Reads a statement as `COPY (...) TO STDOUT (FORMAT binary)`: run to its end like a [portal](super::portal), with
//! the least work per row on both sides.
//!
//! COPY takes no values and tells nothing of its columns. So the columns are asked for in the same transaction, which
//! locks what the statement reads, and every row must have as many. A COPY that does not come to its end leaves the
//! connection to be discarded where it is not certain that PostgreSQL's last word on it has been read.

use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _, Statement as _};
use tokio_util::sync::CancellationToken;

use super::{
    describe::unique,
    pace::Pace,
    read::{RowSink, columns_look_like},
    session::Session,
    tuples::{Broken, Tuples},
};
use crate::{
    error::Error,
    plan::{
        Described, Expected,
        sql::{self, Wrapped},
    },
    stop::{Phase, Stop},
};

/// A statement without parameters that is going to be copied.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) session: Session,
    query: Wrapped,
    expected: Vec<Expected>,
}

impl Copy {
    pub(crate) fn new(session: Session, described: &Described) -> Self {
        Self { session, query: described.query.clone(), expected: described.expected() }
    }

    /// Copies, and passes the rows on, until there are no more or the sink has enough.
    pub(crate) async fn read(&mut self, stop: &Stop, sink: &mut impl RowSink) -> Result<(), Error> {
        self.session.ready(stop).await?;
        self.verify(stop).await?;
        stop.enter(Phase::Fetch)?;
        self.rehearse(stop).await?;
        self.run(stop, sink).await?;
        sink.flush().await;
        Ok(())
    }

    /// Whether the columns are still what the plan says. From here on they stay so: PostgreSQL holds locks on what
    /// the statement names until the transaction ends.
    async fn verify(&mut self, stop: &Stop) -> Result<(), Error> {
        let text = self.query.after(&unique());
        let (connection, guard) = self.session.split();
        let prepare = connection.sql.prepare(AssertSqlSafe(text.sql).into_sql_str());
        let statement = guard.run(stop, text.text, prepare).await?;
        if columns_look_like(statement.columns(), &self.expected) { Ok(()) } else { Err(Error::SchemaChanged) }
    }

    /// Has PostgreSQL plan the statement and check privileges. What is wrong there is told by an ordinary error, while
    /// sqlx leaves a connection unusable whose COPY is refused before it begins.
    async fn rehearse(&mut self, stop: &Stop) -> Result<(), Error> {
        let prelude = self.session.prelude(stop);
        let explain = self.query.after(&format!("{}EXPLAIN\n", prelude.sql));
        let (connection, guard) = self.session.split();
        let explaining = sqlx::raw_sql(AssertSqlSafe(explain.sql)).execute(&mut connection.sql);
        guard.run(stop, explain.text, explaining).await.map(drop)
    }

    async fn run(&mut self, stop: &Stop, sink: &mut impl RowSink) -> Result<(), Error> {
        let copy = sql::copy(&self.query);
        let mut tuples = Tuples::new(self.expected.len());
        let enough = CancellationToken::new();
        let (mut begun, mut ended, mut broken) = (false, false, None);
        let (connection, guard) = self.session.split();
        let reading = async {
            let mut data = connection.sql.copy_out_raw(&copy.sql).await?;
            begun = true;
            let mut pace = Pace::new();
            while let Some(data) = pace.next(&mut data, sink).await? {
                if ended || stop.now().is_some() {
                    continue;
                }
                match tuples.read(&data) {
                    Ok(Some(tuple)) if sink.push(&tuple) => sink.drain().await,
                    Ok(_) => {}
                    Err(what) => broken = Some(what),
                }
                if broken.is_some() || sink.has_enough() {
                    ended = true;
                    enough.cancel();
                }
            }
            Ok(())
        };
        let result = guard.run_until(stop, copy.text, enough.cancelled(), reading).await;
        let stopped = ended || stop.now().is_some();
        if broken.is_none() && result.is_ok() && !stopped {
            broken = tuples.finish().err();
        }
        if !begun || broken.is_some() {
            guard.discard();
        }
        match broken {
            Some(Broken(what)) => Err(Error::Internal(format!("COPY sent {what}"))),
            None => result,
        }
    }
}
