//! Reads a statement by running it as it is, to its end, in one step: PostgreSQL plans it for all of its rows and may
//! use parallel workers, which it never does for a cursor.
//!
//! The rows come as fast as they are taken. A caller that does not take them leaves PostgreSQL waiting in the middle
//! of the statement. A read that ends early is cancelled, and what still comes is dropped.

use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _, postgres::PgArguments};
use tokio_util::sync::CancellationToken;

use super::{
    describe::{type_infos, unless_unknown_type},
    pace::Pace,
    read::{RowSink, looks_like},
    session::Session,
};
use crate::{
    encode::codec::Codec,
    error::{CallerText, Error},
    plan::{Described, Expected, partition::ctid::PlaceForm, sql},
    stop::{Phase, Stop},
};

/// A statement that is going to be run as it is.
#[derive(Debug)]
pub(crate) struct Portal {
    pub(crate) session: Session,
    query: sql::Wrapped,
    /// Something to prepare first, where a parameter is of a type that sqlx may have to look up.
    declare: Option<sql::Wrapped>,
    /// The same, where a row's place is.
    place: bool,
    parameters: Vec<u32>,
    /// Until the statement is run.
    arguments: PgArguments,
    expected: Vec<Expected>,
}

impl Portal {
    pub(crate) fn new(session: Session, described: &Described, arguments: PgArguments) -> Self {
        let parameters = described.parameter_oids();
        let query = sql::whole(&described.query, &parameters);
        let looked_up = parameters.iter().any(|oid| Codec::of(*oid).is_none());
        let declare = looked_up.then(|| sql::declare(&described.query, &parameters));
        let place = matches!(described.places, Some(PlaceForm::InRun(_)));
        Self { session, query, declare, place, parameters, arguments, expected: described.expected() }
    }

    /// Has the connection know all types. Looking one up while the statement is being bound would take away the unnamed
    /// statement that it is.
    async fn look_up_types(&mut self, stop: &Stop) -> Result<(), Error> {
        if self.place {
            let (connection, guard) = self.session.split();
            let prepare = connection.sql.prepare(AssertSqlSafe("SELECT NULL::pg_catalog.tid").into_sql_str());
            guard.run(stop, CallerText::NONE, prepare).await?;
        }
        let Some(declare) = self.declare.take() else { return Ok(()) };
        let types = type_infos(&self.parameters);
        let (connection, guard) = self.session.split();
        let prepare = connection.sql.prepare_with(AssertSqlSafe(declare.sql).into_sql_str(), &types);
        guard.run(stop, declare.text, unless_unknown_type(prepare)).await.map(drop)
    }

    /// Runs it and passes its rows on, until there are no more or the sink has enough.
    pub(crate) async fn read(&mut self, stop: &Stop, sink: &mut impl RowSink) -> Result<(), Error> {
        self.session.ready(stop).await?;
        self.look_up_types(stop).await?;
        stop.enter(Phase::Fetch)?;
        let expected = &self.expected;
        let arguments = std::mem::take(&mut self.arguments);
        let (connection, guard) = self.session.split();
        let enough = CancellationToken::new();
        let mut schema_changed = false;
        // Not kept prepared: one plan, for these values, and nothing that DDL could make stale.
        let query = sqlx::query_with(AssertSqlSafe(self.query.sql.clone()), arguments).persistent(false);
        let reading = async {
            let mut rows = query.fetch(&mut connection.sql);
            let mut pace = Pace::new();
            let (mut first, mut ended) = (true, false);
            while let Some(row) = pace.next(&mut rows, sink).await? {
                if std::mem::take(&mut first) {
                    schema_changed = !looks_like(&row, expected);
                }
                if ended {
                    continue;
                }
                if !schema_changed && sink.push(&row) {
                    sink.drain().await;
                }
                if schema_changed || sink.has_enough() {
                    ended = true;
                    enough.cancel();
                }
            }
            Ok(())
        };
        let result = guard.run_until(stop, self.query.text, enough.cancelled(), reading).await;
        if schema_changed {
            return Err(Error::SchemaChanged);
        }
        result?;
        sink.flush().await;
        Ok(())
    }
}
