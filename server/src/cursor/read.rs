//! Declares the cursor and fetches from it.

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Column as _, Either, Row as _,
    postgres::{PgArguments, PgColumn, PgRow},
};

use super::{
    session::{END, Prelude, Session},
    sizing::FetchSize,
};
use crate::{
    encode::row::RawRow,
    error::{CallerText, Error},
    plan::{
        Described, Expected,
        sql::{self, CURSOR, Wrapped},
    },
    stop::{Phase, Stop},
};

/// How many FETCHes go into one round trip: while the rows of one are encoded, PostgreSQL works on the
/// next.
const FETCHES_A_TRIP: i64 = 4;
/// What each of them is to bring at least: below that, round trips cost more than rows.
const FETCH_BYTES: usize = 512 * 1024;

/// Where rows go as they arrive.
pub(crate) trait RowSink {
    /// Takes one row; answers whether [`drain`](Self::drain) has something to do.
    fn push(&mut self, row: &impl RawRow) -> bool;
    /// Passes on what is ready, waiting until there is room for it. Returns at once when the call
    /// has been stopped.
    fn drain(&mut self) -> impl Future<Output = ()> + Send;
    /// Passes on all that is there, if it has waited for long or is the first.
    fn flush(&mut self) -> impl Future<Output = ()> + Send;
    /// Whether further rows are of no use.
    fn has_enough(&self) -> bool;
    /// Bytes taken so far.
    fn bytes(&self) -> i64;
}

/// A cursor and what is known of how to read from it.
#[derive(Debug)]
pub(crate) struct Cursor {
    session: Session,
    /// The `DECLARE`, until the first fetch has carried it.
    declare: Option<Wrapped>,
    /// What the first row must look like.
    expected: Option<Vec<Expected>>,
    size: FetchSize,
    ended: bool,
}

/// What a round trip brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) rows: i64,
    /// By how many FETCHes.
    pub(crate) fetches: i64,
    /// There are no more.
    pub(crate) done: bool,
}

impl Cursor {
    /// Readies the cursor. A statement with parameters is declared now, with its values bound; one
    /// without goes together with the first fetch.
    pub(crate) async fn open(
        mut session: Session,
        stop: &Stop,
        described: &Described,
        arguments: PgArguments,
        batch_bytes: usize,
    ) -> Result<Self, (Session, Error)> {
        let parameters = described.parameter_oids();
        let declare = sql::declare(&described.query, &parameters);
        let (connection, guard) = session.split();
        let size = FetchSize::new(FETCH_BYTES.max(batch_bytes / 2), connection.work_mem);
        let mut pending = Some(declare);
        if let Some(declare) = pending.take_if(|_| !parameters.is_empty()) {
            let text = declare.text;
            let query = sqlx::query_with(AssertSqlSafe(declare.sql), arguments);
            if let Err(error) = guard.run(stop, text, query.execute(&mut connection.sql)).await {
                return Err((session, error));
            }
        }
        Ok(Self { session, declare: pending, expected: Some(described.expected()), size, ended: false })
    }

    /// One round trip: fetches at most `limit` rows into the sink.
    pub(crate) async fn fetch(
        &mut self,
        stop: &Stop,
        limit: Option<i64>,
        sink: &mut impl RowSink,
    ) -> Result<Fetched, Error> {
        stop.enter(Phase::Fetch)?;
        let rows = self.size.rows().min(limit.unwrap_or(i64::MAX));
        let first = self.expected.is_some();
        let fetches = if first || limit.is_some_and(|limit| limit <= rows) { 1 } else { FETCHES_A_TRIP };
        let rows = limit.map_or(rows, |limit| rows.min(limit / fetches).max(1));
        self.trip(stop, rows, fetches, false, sink).await
    }

    /// The only fetch of a call that takes a single row: the transaction ends in the same round trip.
    pub(crate) async fn fetch_one(&mut self, stop: &Stop, sink: &mut impl RowSink) -> Result<Fetched, Error> {
        stop.enter(Phase::Fetch)?;
        let fetched = self.trip(stop, 1, 1, true, sink).await?;
        self.ended = true;
        Ok(fetched)
    }

    async fn trip(
        &mut self,
        stop: &Stop,
        rows: i64,
        fetches: i64,
        end: bool,
        sink: &mut impl RowSink,
    ) -> Result<Fetched, Error> {
        let prelude = self.session.prelude(stop);
        let statement = self.statement(&prelude, rows, fetches, end);
        let first = prelude.statements + i64::from(self.declare.take().is_some());
        let last = first + fetches;
        let expected = self.expected.take();
        let bytes_before = sink.bytes();
        let (mut schema_changed, mut backend) = (false, None);

        let (connection, guard) = self.session.split();
        let watched = guard.watched.clone();
        let query = sqlx::raw_sql(AssertSqlSafe(statement.sql));
        let reading = async {
            let mut results = query.fetch_many(&mut connection.sql);
            let (mut finished, mut count) = (0, 0);
            while let Some(result) = results.try_next().await? {
                match result {
                    Either::Left(_) => finished += 1,
                    Either::Right(row) if finished < first => {
                        schema_changed = watched.as_ref().is_some_and(|table| !table.holds(&row));
                        backend = Some(row);
                    }
                    Either::Right(row) if finished < last => {
                        if count == 0 {
                            schema_changed |= expected.as_ref().is_some_and(|expected| !looks_like(&row, expected));
                        }
                        count += 1;
                        if !schema_changed && sink.push(&row) {
                            sink.drain().await;
                        }
                    }
                    Either::Right(_) => {}
                }
            }
            Ok(count)
        };
        let result = guard.run(stop, statement.text, reading).await;
        if let (Ok(_), Some(backend)) = (&result, backend) {
            guard.check(&backend)?;
        }
        if schema_changed {
            return Err(Error::SchemaChanged);
        }
        let count = result?;
        self.size.learn(count, sink.bytes() - bytes_before);
        Ok(Fetched { rows: count, fetches, done: count < rows * fetches })
    }

    fn statement(&self, prelude: &Prelude, rows: i64, fetches: i64, end: bool) -> Wrapped {
        let fetch = format!("FETCH FORWARD {rows} FROM {CURSOR};");
        let fetches: String = (0..fetches).map(|_| fetch.as_str()).collect();
        let tail = if end { [&fetches, END].concat() } else { fetches };
        match &self.declare {
            Some(declare) => {
                let declare = declare.after(&prelude.sql);
                Wrapped { sql: [&declare.sql, ";", &tail].concat(), text: declare.text }
            }
            None => Wrapped { sql: [&prelude.sql, tail.as_str()].concat(), text: CallerText::NONE },
        }
    }

    /// Whether the connection turns out to have died while it was idle.
    pub(crate) fn was_dead(&self) -> bool {
        self.session.was_dead()
    }

    /// The session, to ask something else in the same transaction.
    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Ends the transaction and gives the connection back.
    pub(crate) async fn finish(self) {
        if self.ended {
            self.session.finish_ended().await;
        } else {
            self.session.finish().await;
        }
    }
}

pub(super) fn looks_like(row: &PgRow, expected: &[Expected]) -> bool {
    columns_look_like(row.columns(), expected)
}

pub(super) fn columns_look_like(columns: &[PgColumn], expected: &[Expected]) -> bool {
    let matches = |(column, expected): (&PgColumn, &Expected)| {
        column.type_info().oid().is_some_and(|oid| oid.0 == expected.wire_oid)
            && expected.name.as_ref().is_none_or(|name| name == column.name())
    };
    columns.len() == expected.len() && columns.iter().zip(expected).all(matches)
}
