//! Table reads and the list of tables: which are open, what is known of each, and the first steps of a call
//! that reads one.
//!
//! What the catalog told of a table is kept. Whoever uses it has the table's version compared in the round
//! trip that opens the transaction (`Session::watch`), so that a known table costs no round trip, and a
//! changed one is read again before a row is sent.

use std::{sync::Arc, time::Duration};

use quick_cache::{Weighter, sync::Cache};
use tokio::time::Instant;

use super::{
    about,
    calls::Call,
    engine::Engine,
    plans::Plan,
    read::{Failed, Read, Work, application_name},
};
use crate::{
    cursor::{
        bind::bind,
        catalog, estimate,
        session::{Session, Watched},
    },
    error::Error,
    metrics::calls::Phase,
    plan::composite::Composites,
    plan::estimate::Estimate,
    plan::resume::Resume,
    plan::table::{
        Table,
        name::{Pattern, TableName},
        read::TableRead,
        render::{Rendered, render},
    },
    stop::Stop,
};

/// All entries together, in bytes by estimate.
const CAPACITY: u64 = 16 << 20;
const TABLE_BYTES: usize = 2048;
const COLUMN_BYTES: usize = 2048;
/// How long an entry is used: a table's version tells nothing of changes to the types of its columns.
const MAX_AGE: Duration = Duration::from_secs(60);

/// What the catalog told, and when.
#[derive(Clone)]
struct Known {
    table: Arc<Table>,
    at: Instant,
}

#[derive(Clone)]
struct ByColumns;

impl Weighter<TableName, Known> for ByColumns {
    fn weight(&self, _: &TableName, known: &Known) -> u64 {
        (TABLE_BYTES + known.table.columns.len() * COLUMN_BYTES) as u64
    }
}

/// The tables that are open, and what is known of them. Bounded by weight and age.
pub(crate) struct Tables {
    open: Vec<Pattern>,
    known: Cache<TableName, Known, ByColumns>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("open", &self.open).field("known", &self.known.len()).finish()
    }
}

impl Tables {
    /// None is open that no pattern opens.
    pub(crate) fn new(open: Vec<Pattern>) -> Self {
        Self { open, known: Cache::with_weighter(1024, CAPACITY, ByColumns) }
    }

    fn get(&self, name: &TableName) -> Option<Arc<Table>> {
        let known = self.known.get(name)?;
        (known.at.elapsed() < MAX_AGE).then_some(known.table)
    }

    /// Asks the catalog. A table that is not open is the same as one that does not exist.
    pub(super) async fn look_up(
        &self,
        session: &mut Session,
        stop: &Stop,
        name: &TableName,
    ) -> Result<Arc<Table>, Error> {
        let table = Arc::new(self.look_at(session, stop, name).await?);
        self.known.insert(name.clone(), Known { table: table.clone(), at: Instant::now() });
        Ok(table)
    }

    /// The same, and keeps nothing of it: a transaction in a snapshot sees the catalog of that time.
    pub(super) async fn look_at(&self, session: &mut Session, stop: &Stop, name: &TableName) -> Result<Table, Error> {
        let table = catalog::table(session, stop, &self.open, name).await?;
        table.ok_or_else(|| Error::UnknownTable(name.to_string()))
    }

    pub(super) fn forget(&self, name: &TableName) {
        self.known.remove(name);
    }
}

impl Read<'_> {
    /// As `attempt`, for a table.
    pub(super) async fn attempt_table(&mut self, read: &TableRead) -> Result<(), Failed> {
        let (engine, name) = (self.engine, application_name(&self.call.id, &read.label));
        let most = if self.one_row { Some(1) } else { self.options.max_rows.map(|rows| rows.saturating_add(1)) };
        let known = engine.tables.get(&read.table);
        let from_cache = known.is_some();
        let (session, rendered) = match known {
            Some(table) => {
                self.call.count.of_statement(&read.table.to_string());
                let opened = self.open_known(&table, read, most, &name).await;
                opened.map_err(|error| {
                    // What fails may fail because the table is another by now.
                    let again = matches!(error, Error::SchemaChanged | Error::InvalidField { .. });
                    if again {
                        engine.tables.forget(&read.table);
                    }
                    Failed { error, again }
                })?
            }
            None => self.open_unknown(read, most, &name).await?,
        };
        let plan = Plan::new(rendered.described);
        let work = Work { plan: &plan, arguments: Ok(rendered.arguments), keyset: rendered.keyset, from_cache };
        self.read(session, work).await
    }

    async fn open_known(
        &mut self,
        table: &Table,
        read: &TableRead,
        most: Option<i64>,
        name: &str,
    ) -> Result<(Session, Rendered), Error> {
        let rendered = render(table, read, most, self.resume, self.options.encoding.into())?;
        let (database, stop) = (&self.engine.database, &self.call.stop);
        let watched = Watched { oid: table.oid, version: table.version.clone() };
        let session = if rendered.described.parameters.is_empty() {
            // All of it goes in one round trip with the first fetch.
            Session::take(database, stop, name).await.map(|session| session.watching(watched))
        } else {
            Session::begin_watching(database, stop, name, Some(watched)).await
        };
        Ok((self.had(session)?, rendered))
    }

    async fn open_unknown(
        &mut self,
        read: &TableRead,
        most: Option<i64>,
        name: &str,
    ) -> Result<(Session, Rendered), Error> {
        let stop = &self.call.stop;
        let mut session = self.had(Session::begin(&self.engine.database, stop, name).await)?;
        let table = self.engine.tables.look_up(&mut session, stop, &read.table).await;
        if table.is_ok() {
            self.call.count.of_statement(&read.table.to_string());
        }
        match table.and_then(|table| render(&table, read, most, self.resume, self.options.encoding.into())) {
            Ok(rendered) => Ok((session, rendered)),
            Err(error) => {
                self.measures.database = session.acquired().elapsed();
                self.call.count.phase(Phase::Plan, self.measures.database);
                session.finish().await;
                Err(error)
            }
        }
    }
}

/// Describes a table read for its own sake: the statement is made and thrown away.
pub(super) async fn describe(
    engine: &Engine,
    call: &Call,
    read: &TableRead,
    estimated: bool,
) -> Result<(Arc<Table>, Rendered, Option<Estimate>), Error> {
    let mut session = about::begin(engine, call, &read.label).await?;
    let asked = async {
        let table = engine.tables.look_up(&mut session, &call.stop, &read.table).await?;
        call.count.of_statement(&read.table.to_string());
        let rendered = render(&table, read, None, &Resume::default(), Composites::Text)?;
        let estimate = match estimated {
            true => {
                let bound =
                    bind(&mut session, &call.stop, &rendered.described, &rendered.arguments, Vec::new()).await?;
                Some(estimate::bound(&mut session, &call.stop, &rendered.described, bound).await?)
            }
            false => None,
        };
        Ok((table, rendered, estimate))
    };
    let described = asked.await;
    about::finish(session, call).await;
    described
}

/// At most `count` open tables behind that name.
pub(super) async fn list(engine: &Engine, call: &Call, after: &TableName, count: usize) -> Result<Vec<Table>, Error> {
    let open = &engine.tables.open;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = about::begin(engine, call, "tables").await?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let page = catalog::page(&mut session, &call.stop, open, after, count).await;
    about::finish(session, call).await;
    page
}
