//! What all calls share, and how each is started: admission first, then a task of its own.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    about::{About, about},
    calls::{Call, Calls},
    outbox::{self, Events, Outbox},
    plans::Plans,
    read::{Measures, Read, millis, since},
    sessions::{self, Created},
    tables::{self, Tables},
};
use crate::{
    admission::{Admission, Permit},
    cursor::snapshot::SnapshotName,
    db::Database,
    error::Error,
    metrics::calls::Phase,
    plan::{
        estimate::Estimate,
        options::{Encoding, ReadOptions},
        partition::Wish,
        request::Statement,
        resume::Resume,
        strategy::Way,
        table::{Table, name::TableName, read::TableRead, render::Rendered},
    },
    snapshot::Snapshots,
    stop::{Cause, StopOnDrop, Stopped},
    token::Keys,
};

/// How many events may wait between the reading task and the caller: one, while the task fills the
/// next. With that, it is at most two batches ahead.
const AHEAD: usize = 1;
/// Header, row and summary of a call that takes one row.
const ONE_ROW: usize = 3;

/// What all calls share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) database: Database,
    pub(crate) admission: Admission,
    pub(crate) plans: Plans,
    pub(crate) tables: Tables,
    pub(crate) calls: Calls,
    pub(crate) token_keys: Keys,
    /// Those that this server holds, each in a task of its own.
    pub(crate) snapshots: Snapshots,
    /// Every task that may hold a connection; the drain waits for them.
    pub(crate) tasks: TaskTracker,
    pub(crate) stall_timeout: Duration,
}

impl Engine {
    /// Starts a stream. Answers once the first event is there, so that an error before the first row
    /// is an error of the call itself.
    pub(crate) async fn stream(
        self: &Arc<Self>,
        call: Call,
        statement: Statement,
        options: ReadOptions,
        resume: Resume,
    ) -> Result<impl tokio_stream::Stream<Item = <Events as tokio_stream::Stream>::Item> + use<>, Error> {
        let mut events = self.start(call, statement, options, resume, false).await?;
        let first = events.next().await.unwrap_or_else(|| Err(Error::Internal("no event".to_owned())))?;
        Ok(tokio_stream::once(Ok(first)).chain(events))
    }

    /// Starts a call that takes one row.
    pub(crate) async fn one_row(
        self: &Arc<Self>,
        call: Call,
        statement: Statement,
        options: ReadOptions,
    ) -> Result<Events, Error> {
        self.start(call, statement, options, Resume::default(), true).await
    }

    /// Describes a statement, and has its plan estimated for its arguments if `estimated`.
    pub(crate) async fn describe(
        self: &Arc<Self>,
        call: Call,
        statement: Statement,
        estimated: bool,
    ) -> Result<About, Error> {
        let label = statement.source.label().to_owned();
        let ask = async move |engine: Arc<Self>, call: Arc<Call>| about(&engine, &call, &statement, estimated).await;
        self.ask("describe", label, call, ask).await
    }

    /// Describes the read of a table, and has its plan estimated if `estimated`.
    pub(crate) async fn describe_table(
        self: &Arc<Self>,
        call: Call,
        read: Arc<TableRead>,
        estimated: bool,
    ) -> Result<(Arc<Table>, Rendered, Option<Estimate>), Error> {
        let label = read.label.clone();
        let ask =
            async move |engine: Arc<Self>, call: Arc<Call>| tables::describe(&engine, &call, &read, estimated).await;
        self.ask("describe", label, call, ask).await
    }

    /// At most `count` of the tables that are open, behind the one of that name.
    pub(crate) async fn tables(
        self: &Arc<Self>,
        call: Call,
        after: TableName,
        count: usize,
    ) -> Result<Vec<Table>, Error> {
        let list = async move |engine: Arc<Self>, call: Arc<Call>| tables::list(&engine, &call, &after, count).await;
        self.ask("tables", String::new(), call, list).await
    }

    /// Takes a snapshot and divides a statement's result into parts.
    pub(crate) async fn create_session(
        self: &Arc<Self>,
        call: Call,
        statement: Statement,
        wish: Wish,
        live: Duration,
    ) -> Result<Created, Error> {
        let label = statement.source.label().to_owned();
        let create = async move |engine: Arc<Self>, call: Arc<Call>| {
            sessions::create(&engine, &call, &statement, &wish, live).await
        };
        self.ask("session", label, call, create).await
    }

    /// Has this server hold the snapshot of a session that another one holds.
    pub(crate) async fn adopt_session(
        self: &Arc<Self>,
        call: Call,
        id: Uuid,
        snapshot: SnapshotName,
        live: Duration,
        most: Duration,
    ) -> Result<SystemTime, Error> {
        let adopt = async move |engine: Arc<Self>, call: Arc<Call>| {
            sessions::adopt(&engine, &call, id, &snapshot, live, most).await
        };
        self.ask("session", String::new(), call, adopt).await
    }

    /// Asks PostgreSQL something, in a task that the caller's going does not drop.
    async fn ask<T, F>(
        self: &Arc<Self>,
        kind: &'static str,
        label: String,
        mut call: Call,
        question: impl FnOnce(Arc<Self>, Arc<Call>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let permit = self.admission.enter(&call.stop).await;
        call.count.phase(Phase::Queue, call.started.elapsed());
        let (answer, answered) = oneshot::channel();
        let _until_answered = call.known.take();
        let stop = StopOnDrop(call.stop.clone());
        let (engine, call) = (self.clone(), Arc::new(call));
        self.tasks.spawn(async move {
            let result = match permit {
                Ok(_permit) => question(engine, call.clone()).await,
                Err(error) => Err(error),
            };
            log(kind, &call, &label, &Measures::default(), result.as_ref().err());
            let _ = answer.send(result);
        });
        match stop.0.unless_stopped(answered).await? {
            Ok(result) => result,
            Err(_) => Err(Error::Internal("the asking task ended without an outcome".to_owned())),
        }
    }

    async fn start(
        self: &Arc<Self>,
        mut call: Call,
        statement: Statement,
        options: ReadOptions,
        resume: Resume,
        one_row: bool,
    ) -> Result<Events, Error> {
        let admitted = self.admission.enter(&call.stop).await;
        let queued = call.started.elapsed();
        call.count.phase(Phase::Queue, queued);
        let permit = match admitted {
            Ok(permit) => permit,
            Err(error) => {
                let measures = Measures { encoding: Some(options.encoding), queued, ..Measures::default() };
                log(kind(one_row), &call, statement.source.label(), &measures, Some(&error));
                return Err(error);
            }
        };
        let capacity = if one_row { ONE_ROW } else { AHEAD };
        let (outbox, events) = outbox::pair(&call.stop, call.known.take(), self.stall_timeout, capacity);
        let task = Task { engine: self.clone(), call, statement, options, resume, one_row, outbox, queued, permit };
        self.tasks.spawn(task.run());
        Ok(events)
    }
}

/// The task of one call.
struct Task {
    engine: Arc<Engine>,
    call: Call,
    statement: Statement,
    options: ReadOptions,
    resume: Resume,
    one_row: bool,
    outbox: Outbox,
    /// The time it took to be admitted.
    queued: Duration,
    permit: Permit,
}

impl Task {
    async fn run(self) {
        let Self { engine, call, statement, options, resume, one_row, mut outbox, queued, permit } = self;
        let mut read = Read {
            engine: &engine,
            call: &call,
            statement: &statement,
            options: &options,
            resume: &resume,
            one_row,
            outbox: &mut outbox,
            admission_wait: queued,
            measures: Measures::default(),
        };
        let mut result = read.run().await;
        let measures = read.measures;
        if one_row && result.is_ok() && measures.sent.rows == 0 {
            result = Err(Error::NoRow);
        }
        log(kind(one_row), &call, statement.source.label(), &measures, result.as_ref().err());
        if let Err(error) = result {
            if error.is_database_unavailable() {
                engine.database.suspect();
            }
            outbox.fail(error);
        }
        outbox.taken().await;
        drop(permit);
    }
}

const fn kind(one_row: bool) -> &'static str {
    if one_row { "row" } else { "stream" }
}

/// The one line of a call, and the one place that counts its end. No SQL text, no values.
fn log(kind: &str, call: &Call, statement: &str, measures: &Measures, error: Option<&Error>) {
    if matches!(error, Some(Error::Stopped(Stopped { cause: Cause::Deadline, .. }))) {
        call.count.overshoot(call.stop.overshoot());
    }
    call.count.end(error);
    let Measures { way, encoding, sent, queued, database, encode, client_wait } = measures;
    let outcome = error.map_or("OK", Error::reason_name);
    tracing::info!(
        kind,
        query_id = %call.id,
        request_id = %call.request_id,
        statement,
        outcome,
        strategy = way.map(Way::as_str),
        encoding = encoding.map(Encoding::as_str),
        rows = sent.rows,
        bytes = sent.bytes,
        queued_ms = millis(*queued),
        database_ms = millis(*database),
        encode_ms = millis(*encode),
        client_wait_ms = millis(*client_wait),
        total_ms = since(call.started),
        cause = error.and_then(Error::cause),
        "call"
    );
}
