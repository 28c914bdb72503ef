//! The work of CreateReadSession: takes a snapshot on a connection of its own, finds out what the statement is and how
//! its result can be divided, and leaves the connection to `snapshot`, which holds it from then on.

use std::{sync::Arc, time::SystemTime};

use tokio::time::Duration;
use uuid::Uuid;

use super::{
    calls::Call,
    divide::{self, Divided},
    engine::Engine,
    read::{application_name, of_named_query},
};
use crate::{
    cursor::{
        bind::{Bound, bind},
        describe::describe,
        estimate,
        session::{Beginning, Session},
        snapshot::{self, Exported, SnapshotName, holder_name, holder_prefix},
    },
    error::Error,
    metrics::calls::Phase,
    plan::{
        self, Argument, Column, Described, Source,
        composite::Composites,
        estimate::Estimate,
        partition::{Wish, shape},
        request::Statement,
        resume::Resume,
        table::{Table, read::TableRead, render::render, slice::render_part},
    },
};

/// How often in all a snapshot is taken where a table is rewritten at the same moment.
const ATTEMPTS: usize = 3;

/// A session that has begun.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) id: Uuid,
    pub(crate) snapshot: SnapshotName,
    /// When the snapshot was taken, by PostgreSQL's clock.
    pub(crate) taken: SystemTime,
    pub(crate) expires: SystemTime,
    /// When it ends, however often it is renewed.
    pub(crate) latest: SystemTime,
    pub(crate) columns: Vec<Column>,
    pub(crate) shape: Vec<u8>,
    pub(crate) divided: Divided,
    /// The result is divided by columns of the table's primary key.
    pub(crate) by_primary_key: bool,
    /// The parts can be resumed.
    pub(crate) resumable: bool,
    pub(crate) estimate: Estimate,
}

/// What was found out in the snapshot.
struct Found {
    exported: Exported,
    described: Arc<Described>,
    estimate: Estimate,
    divided: Divided,
    by_primary_key: bool,
    resumable: bool,
}

/// Creates a session that lives for `live` unless it is renewed.
pub(super) async fn create(
    engine: &Engine,
    call: &Call,
    statement: &Statement,
    wish: &Wish,
    live: Duration,
) -> Result<Created, Error> {
    let slot = engine.snapshots.reserve()?;
    let id = Uuid::now_v7();
    let most = engine.snapshots.limits().age;
    let latest = SystemTime::now() + most;
    let (session, found) = begin(engine, call, statement, wish, id).await?;
    let Found { exported: Exported { name, taken }, described, estimate, divided, by_primary_key, resumable } = found;
    let expires = engine.snapshots.hold(id, session, name.clone(), slot, live, most);
    let shape = shape(&statement.source, &described.columns);
    let columns = described.columns.clone();
    Ok(Created {
        id,
        snapshot: name,
        taken,
        expires,
        latest,
        columns,
        shape,
        divided,
        by_primary_key,
        resumable,
        estimate,
    })
}

async fn begin(
    engine: &Engine,
    call: &Call,
    statement: &Statement,
    wish: &Wish,
    id: Uuid,
) -> Result<(Session, Found), Error> {
    let name = application_name(&format!("session {}", id.simple()), statement.source.label());
    let mut attempt = 1;
    loop {
        let started = tokio::time::Instant::now();
        let session = Session::begin_holding(&engine.database, &call.stop, &name, Beginning::Snapshot).await;
        call.count.phase(Phase::Connection, started.elapsed());
        let mut session = session?;
        let found = Finding { engine, call, statement, session: &mut session }.find(id, wish).await;
        call.count.phase(Phase::Plan, session.acquired().elapsed());
        match found {
            Ok(found) => return Ok((session, found)),
            Err(error) => {
                session.finish().await;
                engine.database.close_idle_holders();
                if attempt == ATTEMPTS || !matches!(error, Error::SchemaChanged) {
                    return Err(error);
                }
                attempt += 1;
            }
        }
    }
}

/// Has this server hold a session's snapshot as well, which another one holds: it then lives as long as either does.
/// Answers when this one lets go of it.
pub(super) async fn adopt(
    engine: &Engine,
    call: &Call,
    id: Uuid,
    snapshot: &SnapshotName,
    live: Duration,
    most: Duration,
) -> Result<SystemTime, Error> {
    let slot = engine.snapshots.reserve()?;
    let mut session = import(engine, call, id, snapshot, None).await?;
    let exported = async {
        let exported = snapshot::export(&mut session, &call.stop).await?;
        session.rename(&call.stop, &holder_name(id, &exported.name.id)).await?;
        Ok(exported.name)
    };
    match exported.await {
        Ok(name) => Ok(engine.snapshots.hold(id, session, name, slot, live, most)),
        Err(error) => {
            session.finish().await;
            engine.database.close_idle_holders();
            Err(error)
        }
    }
}

/// Begins a transaction in a session's snapshot: by the name that is known, or else by those that other servers have
/// given it. On a connection for calls, under the name of what `reads`; without that, on one that can hold it.
pub(super) async fn import(
    engine: &Engine,
    call: &Call,
    id: Uuid,
    snapshot: &SnapshotName,
    reads: Option<&str>,
) -> Result<Session, Error> {
    let lost = match begin_in(engine, call, id, snapshot.clone(), reads).await {
        Err(lost @ Error::SnapshotLost(_)) => lost,
        begun => return begun,
    };
    let others = engine.database.control.named(&holder_prefix(id)).await.unwrap_or_default();
    for other in others.into_iter().filter(|other| *other != snapshot.id) {
        // It must see what the other one saw: a name alone proves nothing.
        let other = SnapshotName { id: other, state: snapshot.state.clone() };
        match begin_in(engine, call, id, other, reads).await {
            Err(Error::SnapshotLost(_)) => {}
            begun => return begun,
        }
    }
    Err(engine.snapshots.ended_as(id).unwrap_or(lost))
}

async fn begin_in(
    engine: &Engine,
    call: &Call,
    id: Uuid,
    snapshot: SnapshotName,
    reads: Option<&str>,
) -> Result<Session, Error> {
    let (database, stop) = (&engine.database, &call.stop);
    match reads {
        Some(name) => Session::begin_importing(database, stop, name, &snapshot).await,
        None => Session::begin_holding(database, stop, &holder_prefix(id), Beginning::Imported(snapshot)).await,
    }
}

/// A statement in a snapshot.
pub(super) struct Finding<'a> {
    engine: &'a Engine,
    pub(super) call: &'a Call,
    pub(super) statement: &'a Statement,
    pub(super) session: &'a mut Session,
}

impl Finding<'_> {
    async fn find(&mut self, id: Uuid, wish: &Wish) -> Result<Found, Error> {
        let exported = snapshot::export(self.session, &self.call.stop).await?;
        self.session.rename(&self.call.stop, &holder_name(id, &exported.name.id)).await?;
        let (table, described, arguments) = match &self.statement.source {
            Source::Table(read) => {
                let (table, described, arguments) = self.table(read).await?;
                (Some(table), described, arguments)
            }
            source => {
                let described = describe(self.session, &self.call.stop, source).await;
                let described = described.map_err(|error| of_named_query(source, error))?;
                let described = self.engine.plans.insert(source, described).described;
                let count = described.parameters.len();
                let arguments = plan::arrange(source, &self.statement.arguments, count)?;
                (None, described, arguments)
            }
        };
        let bound = self.bind(&described, &arguments).await?;
        let estimate = estimate::bound(self.session, &self.call.stop, &described, bound).await?;
        // All that the statement reads is locked by now.
        snapshot::check_not_rewritten(self.session, &self.call.stop).await?;
        let known = divide::Known {
            table: table.as_deref(),
            described: &described,
            arguments: &arguments,
            estimate: &estimate,
        };
        let divided = divide::divide(self, &known, wish).await?;
        let key = table.as_ref().map(|table| table.primary_key.as_slice()).unwrap_or_default();
        let by_primary_key = !divided.by.is_empty() && divided.by.iter().all(|column| key.contains(column));
        let resumable = match (&self.statement.source, &table, divided.parts.first()) {
            (Source::Table(read), Some(table), Some(first)) => {
                let rendered = render_part(table, read, &first.part, &Resume::default(), Composites::Text)?;
                rendered.described.places.is_some() || rendered.keyset.is_some()
            }
            _ => false,
        };
        Ok(Found { exported, described, estimate, divided, by_primary_key, resumable })
    }

    async fn table(&mut self, read: &TableRead) -> Result<(Arc<Table>, Arc<Described>, Vec<Argument>), Error> {
        let stop = &self.call.stop;
        let table = self.engine.tables.look_up(self.session, stop, &read.table).await?;
        self.call.count.of_statement(&read.table.to_string());
        snapshot::lock(self.session, stop, &table).await?;
        let rendered = render(&table, read, None, &Resume::default(), Composites::Text)?;
        Ok((table, Arc::new(rendered.described), rendered.arguments))
    }

    /// The values of a statement, ready to go.
    pub(super) async fn bind(&mut self, described: &Described, arguments: &[Argument]) -> Result<Bound, Error> {
        bind(self.session, &self.call.stop, described, arguments, Vec::new()).await
    }
}
