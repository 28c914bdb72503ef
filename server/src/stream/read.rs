//! The work of one call: transaction, plan, cursor, fetches, end. Runs in a task that is never
//! dropped, and gives its connection back before it answers how it went.

use std::sync::Arc;

use rowstream_contract::v1;
use tokio::time::{Duration, Instant};

use super::{
    bookmark::Bookmark,
    calls::Call,
    engine::Engine,
    outbox::Outbox,
    pipeline::{Pipeline, Sent},
    plans::Plan,
    ways::Reader,
};
use crate::{
    cursor::{bind::bind, describe::describe, session::Session},
    error::{Error, SqlErrorKind},
    metrics::calls,
    plan::{
        self, Argument, Column, Described, Source,
        keyset::{self, Keyset},
        named::BadFile,
        options::{Encoding, ReadOptions},
        request::Statement,
        resume::Resume,
        strategy::{Chosen, Way, choose},
    },
    stop::Phase,
};

/// What a read took, for the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measures {
    /// How it was read, once that was chosen, and how it was sent.
    pub(crate) way: Option<Way>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) sent: Sent,
    pub(crate) queued: Duration,
    pub(crate) database: Duration,
    pub(crate) encode: Duration,
    pub(crate) client_wait: Duration,
}

/// How often a call is tried in all, where nothing has been sent and another attempt may go better.
const ATTEMPTS: usize = 3;

/// An attempt that failed; `again` says that another one may go better.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) again: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, again: false }
    }
}

/// What is to be read.
pub(super) struct Work<'p> {
    pub(super) plan: &'p Plan,
    pub(super) arguments: Result<Vec<Argument>, Error>,
    /// The order that the plan's statement gives its rows in, if the stream can be resumed by it.
    pub(super) keyset: Option<Keyset>,
    pub(super) from_cache: bool,
}

pub(crate) struct Read<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) call: &'a Call,
    pub(crate) statement: &'a Statement,
    pub(crate) options: &'a ReadOptions,
    pub(crate) resume: &'a Resume,
    pub(crate) one_row: bool,
    pub(crate) outbox: &'a mut Outbox,
    /// The part of the time in the queue that passed before the call was admitted.
    pub(crate) admission_wait: Duration,
    pub(crate) measures: Measures,
}

impl Read<'_> {
    pub(crate) async fn run(&mut self) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            self.measures = Measures { encoding: Some(self.options.encoding), ..Measures::default() };
            match self.attempt().await {
                Ok(()) => return Ok(()),
                Err(Failed { again: true, .. }) if attempt < ATTEMPTS && self.call.stop.now().is_none() => attempt += 1,
                Err(Failed { error, .. }) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self) -> Result<(), Failed> {
        let (engine, stop, source) = (self.engine, &self.call.stop, &self.statement.source);
        if let Some(partition) = &self.statement.partition {
            return self.attempt_partition(partition).await;
        }
        if let Source::Table(read) = source {
            return self.attempt_table(read).await;
        }
        let name = application_name(&self.call.id, source.label());
        // Behind names of our own, the first row would not show that the columns have changed.
        let cached = engine.plans.get(source).filter(|_| self.resume.key.is_empty());
        // Nor does any row show the names of a record's fields.
        let cached = cached.filter(|plan| plan.is_fresh() || self.with_records(&plan.described).is_none());
        let from_cache = cached.is_some();
        let session;
        let plan = match cached {
            // All of it goes in one round trip with the first fetch.
            Some(plan) if plan.described.parameters.is_empty() => {
                session = self.had(Session::take(&engine.database, stop, &name).await)?;
                plan
            }
            cached => {
                let mut begun = self.had(Session::begin(&engine.database, stop, &name).await)?;
                let plan = match cached {
                    Some(plan) => plan,
                    None => match describe(&mut begun, stop, source).await {
                        Ok(described) => engine.plans.insert(source, described),
                        Err(error) => {
                            self.measures.database = begun.acquired().elapsed();
                            self.call.count.phase(calls::Phase::Plan, self.measures.database);
                            begun.finish().await;
                            return Err(of_named_query(source, error).into());
                        }
                    },
                };
                session = begun;
                plan
            }
        };
        let plan = match self.with_records(&plan.described) {
            Some(described) => plan.with(described),
            None => plan,
        };
        let count = plan.described.parameters.len();
        let arguments = plan::arrange(source, &self.statement.arguments, count);
        let (plan, keyset) = match keyset::of_statement(&plan.described, source.sql(), self.resume) {
            Ok(None) => (plan, None),
            Ok(Some((described, keyset))) => (plan.with(described), Some(keyset)),
            Err(error) => {
                self.measures.database = session.acquired().elapsed();
                session.finish().await;
                return Err(error.into());
            }
        };
        self.read(session, Work { plan: &plan, arguments, keyset, from_cache }).await
    }

    /// The statement as it is read for an encoding that has composites; `None` where that is no other.
    fn with_records(&self, described: &Described) -> Option<Described> {
        described.with(self.options.encoding.into(), self.statement.source.sql(), &self.resume.key)
    }

    /// A described statement, as it is read for the encoding.
    pub(super) fn encoded(&self, described: Described) -> Described {
        self.with_records(&described).unwrap_or(described)
    }

    /// Notes how long it took to have a session, or to fail to.
    pub(super) fn had(&mut self, session: Result<Session, Error>) -> Result<Session, Error> {
        let until = session.as_ref().map_or_else(|_| Instant::now(), Session::acquired);
        self.measures.queued = until - self.call.started;
        self.call.count.phase(calls::Phase::Connection, self.measures.queued.saturating_sub(self.admission_wait));
        session
    }

    /// Reads along a plan.
    pub(super) async fn read(&mut self, session: Session, work: Work<'_>) -> Result<(), Failed> {
        let Work { plan, arguments, mut keyset, from_cache } = work;
        let started = session.acquired();
        let (engine, stop, source) = (self.engine, &self.call.stop, &self.statement.source);
        let outdated = |error: &Error| {
            let outdated = from_cache && may_be_outdated(error);
            match source {
                Source::Table(read) if outdated => engine.tables.forget(&read.table),
                _ if outdated => engine.plans.forget(source),
                _ => {}
            }
            outdated
        };
        let behind = keyset.as_mut().map(|keyset| std::mem::take(&mut keyset.behind)).unwrap_or_default();
        let part = self.statement.partition.is_some();
        let chosen = match choose(self.options, part, plan.described.parameters.len(), behind.len()) {
            Ok(chosen) => chosen,
            Err(error) => {
                self.measures.database = started.elapsed();
                session.finish().await;
                return Err(error.into());
            }
        };
        self.measures.way = Some(chosen.way);
        self.call.count.read(chosen.way.as_str(), self.options.encoding.as_str());
        let opened = self.open(session, chosen.way, &plan.described, arguments, behind).await;
        let planning = started.elapsed();
        self.call.count.phase(calls::Phase::Plan, planning);
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => {
                self.measures.database = started.elapsed();
                return Err(Failed { again: outdated(&error), error });
            }
        };
        let header = header(self.call, &plan.described.columns, self.options.encoding, chosen);
        let described = plan.described.clone();
        let mut bookmark = Bookmark::new(&engine.token_keys, self.resume, keyset);
        if let Some(partition) = &self.statement.partition {
            if partition.snapshot.is_some() {
                bookmark = bookmark.in_snapshot();
            }
            if let Some(form) = described.places {
                bookmark = bookmark.by_place(form, &partition.shape);
            }
        }
        let (admission, outbox) = (&engine.admission, &mut *self.outbox);
        let mut pipeline = Pipeline::new(described, header, self.options, admission, self.call, outbox, bookmark);
        let mut result = reader.read(&mut pipeline, self.call, self.one_row).await;
        let untouched = pipeline.untouched();
        let is_table = matches!(source, Source::Table(_));
        if untouched && result.is_ok() && pipeline.error.is_none() && from_cache && !plan.is_fresh() && !is_table {
            // No row has shown that the plan still holds, as a table's version does.
            let (encoding, key) = (self.options.encoding, &self.resume.key);
            let with_records = |now: &Described| now.with(encoding.into(), source.sql(), key);
            result = Self::verify(&mut reader, self.call, engine, source, plan, with_records).await;
        }
        let result = match (pipeline.error.take(), result) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => {
                let queued = self.measures.queued.try_into().ok();
                let summary = v1::Summary { queued, ..v1::Summary::default() };
                match pipeline.finish(summary, started).await {
                    true => Ok(()),
                    // The last rows may have been encoded only now.
                    false => match pipeline.error.take() {
                        Some(error) => Err(error),
                        None => stop.now().map_or(Ok(()), |stopped| Err(stopped.into())),
                    },
                }
            }
            (None, failed) => failed,
        };
        let (sent, encode, database) = (pipeline.sent, pipeline.encoding(), pipeline.database_time(started));
        let dead = reader.was_dead();
        reader.finish().await;
        let client_wait = self.outbox.waited;
        self.measures = Measures { sent, encode, database, client_wait, ..self.measures };
        self.count_phases(planning);
        result.map_err(|error| {
            let dead = dead && untouched && error.is_database_unavailable();
            if dead {
                engine.database.forget_idle();
            }
            // Forgets a plan that no longer holds, whether or not this call can still make use of that.
            let outdated = outdated(&error);
            Failed { again: dead || (untouched && outdated), error }
        })
    }

    fn count_phases(&self, planning: Duration) {
        let (count, measures) = (&self.call.count, &self.measures);
        count.phase(calls::Phase::Database, measures.database.saturating_sub(planning));
        count.phase(calls::Phase::Encode, measures.encode);
        count.phase(calls::Phase::Client, measures.client_wait);
    }

    async fn open(
        &self,
        mut session: Session,
        way: Way,
        described: &Arc<Described>,
        arguments: Result<Vec<Argument>, Error>,
        behind: Vec<Vec<u8>>,
    ) -> Result<Reader, Error> {
        let stop = &self.call.stop;
        let opened = async { bind(&mut session, stop, described, &arguments?, behind).await };
        match opened.await {
            Ok(arguments) => {
                let batch_bytes = self.options.limits.bytes;
                match Reader::open(way, session, stop, described, arguments, batch_bytes).await {
                    Ok(reader) => Ok(reader),
                    Err((session, error)) => {
                        session.finish().await;
                        Err(error)
                    }
                }
            }
            Err(error) => {
                session.finish().await;
                Err(error)
            }
        }
    }

    async fn verify(
        reader: &mut Reader,
        call: &Call,
        engine: &Engine,
        source: &Source,
        plan: &Plan,
        with_records: impl Fn(&Described) -> Option<Described>,
    ) -> Result<(), Error> {
        call.stop.enter(Phase::Plan)?;
        let now = describe(reader.session(), &call.stop, source).await?;
        let now = engine.plans.insert(source, now).described;
        let same = with_records(&now).as_ref().unwrap_or(&now).columns == plan.described.columns;
        if same { Ok(()) } else { Err(Error::SchemaChanged) }
    }
}

fn header(call: &Call, columns: &[Column], encoding: Encoding, chosen: Chosen) -> v1::Header {
    let encoding = match encoding {
        Encoding::Rows => v1::Encoding::Rows,
        Encoding::Arrow(_) => v1::Encoding::Arrow,
    };
    v1::Header {
        query_id: call.id.clone(),
        columns: columns.iter().map(wire_column).collect(),
        deadline: Some(call.deadline.into()),
        encoding: encoding.into(),
        strategy: chosen.way.wire().into(),
        strategy_reason: chosen.reason.to_owned(),
        ..v1::Header::default()
    }
}

/// A column as the contract announces it.
pub(crate) fn wire_column(column: &Column) -> v1::Column {
    v1::Column {
        name: column.name.clone(),
        type_name: column.type_name.short.clone(),
        type_oid: column.type_name.oid,
        nullable: column.nullable,
    }
}

/// What a DBA sees in `pg_stat_activity`; PostgreSQL cuts it at 63 bytes.
pub(super) fn application_name(id: &str, label: &str) -> String {
    let mut name = format!("rowstream {id} {label}");
    name.truncate(name.floor_char_boundary(63));
    name
}

/// Errors that a plan from the cache may owe to DDL since.
fn may_be_outdated(error: &Error) -> bool {
    match error {
        Error::SchemaChanged | Error::InvalidParameter { .. } | Error::InvalidValue { .. } => true,
        Error::Sql(sql) => {
            matches!(sql.kind, SqlErrorKind::Statement | SqlErrorKind::Unsupported | SqlErrorKind::Privilege)
        }
        _ => false,
    }
}

/// A named query that does not parse is the operator's mistake, not the caller's.
pub(super) fn of_named_query(source: &Source, error: Error) -> Error {
    let Source::Named(query) = source else { return error };
    let (message, position) = match error {
        Error::Sql(sql) if sql.kind == SqlErrorKind::Statement => (sql.message, sql.position),
        Error::StatementRefused { message, position, .. } => (message, position),
        error => return error,
    };
    let bad = match position {
        Some(position) => BadFile::at_position(&query.sql, position, message),
        None => BadFile::at_line(query.statement_line(), message),
    };
    Error::QueryBroken { name: query.name.clone(), bad }
}

/// The moment that a duration is measured to, in milliseconds with a fraction, for the log.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Time since a call began, for the log.
pub(crate) fn since(start: Instant) -> f64 {
    millis(start.elapsed())
}
