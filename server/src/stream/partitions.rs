//! The first steps of a call that reads a part of a session's result: a transaction in the session's snapshot, and the
//! statement with the part's condition. From there on it is a read like any other.
//!
//! Nothing that is known of statements and tables is used: the snapshot's catalog is that of its time.

use super::{
    divide::{index_of, key_of},
    plans::Plan,
    read::{Failed, Read, Work, application_name, of_named_query},
    sessions::import,
};
use crate::{
    cursor::{bind::bind, describe::describe, estimate, session::Session, snapshot::check_not_rewritten},
    error::{Error, SqlErrorKind},
    plan::{
        self, Argument, Column, Described, Source,
        partition::{Part, Slice, shape},
        request::Partition,
        sql,
        table::{render::Rendered, slice::render_part},
    },
};

/// Pages are read one after the other, each once, and their rows in the order they lie in.
const IN_PLACE: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_indexonlyscan = off; SET LOCAL synchronize_seqscans = off;
    SET LOCAL max_parallel_workers_per_gather = 0";

impl Read<'_> {
    /// As `attempt`, for a part of a result in a snapshot.
    pub(super) async fn attempt_partition(&mut self, partition: &Partition) -> Result<(), Failed> {
        let (engine, stop, source) = (self.engine, &self.call.stop, &self.statement.source);
        let name = application_name(&self.call.id, source.label());
        let session = match &partition.snapshot {
            Some(snapshot) => import(engine, self.call, partition.session, snapshot, Some(&name)).await,
            None => Session::begin(&engine.database, stop, &name).await,
        };
        let mut session = self.had(session)?;
        let found = async {
            let rendered = self.render_slice(&mut session, partition).await?;
            if matches!(partition.part.slice, Some(Slice::Pages(_))) {
                session.execute(stop, IN_PLACE.to_owned()).await?;
            }
            // Planning it locks all that it reads.
            let Rendered { described, arguments, keyset } = &rendered;
            let behind = keyset.as_ref().map(|keyset| keyset.behind.clone()).unwrap_or_default();
            let bound = bind(&mut session, stop, described, arguments, behind).await?;
            estimate::bound(&mut session, stop, described, bound).await?;
            check_not_rewritten(&mut session, stop).await?;
            Ok(rendered)
        };
        match found.await {
            Ok(Rendered { described, arguments, keyset }) => {
                let plan = Plan::new(described);
                let work = Work { plan: &plan, arguments: Ok(arguments), keyset, from_cache: false };
                self.read(session, work).await
            }
            Err(error) => {
                self.measures.database = session.acquired().elapsed();
                session.finish().await;
                Err(changed(error).into())
            }
        }
    }

    async fn render_slice(&self, session: &mut Session, partition: &Partition) -> Result<Rendered, Error> {
        let (stop, source) = (&self.call.stop, &self.statement.source);
        let rendered = match source {
            Source::Table(read) => {
                let table = self.engine.tables.look_at(session, stop, &read.table).await?;
                self.call.count.of_statement(&read.table.to_string());
                render_part(&table, read, &partition.part, self.resume, self.options.encoding.into())?
            }
            // Nothing gives it an order.
            _ if self.resume.from.is_some() => return Err(Error::InvalidToken("resume_token")),
            source => {
                let described = describe(session, stop, source).await;
                let described = described.map_err(|error| of_named_query(source, error))?;
                let described = self.encoded(described);
                let arguments = plan::arrange(source, &self.statement.arguments, described.parameters.len())?;
                slice(source, described, arguments, &partition.part)?
            }
        };
        let same = shape(source, &rendered.described.columns) == partition.shape;
        if same { Ok(rendered) } else { Err(Error::SchemaChanged) }
    }
}

/// A statement with the condition of a part.
fn slice(source: &Source, described: Described, arguments: Vec<Argument>, part: &Part) -> Result<Rendered, Error> {
    let condition = match &part.slice {
        None => return Ok(Rendered { described, arguments, keyset: None }),
        Some(Slice::Pages(_)) => return Err(Error::Internal("a statement has no pages".to_owned())),
        Some(Slice::Range(range)) => range.condition(&key_of(&described, index_of(&described, &range.column)?)),
        Some(Slice::Share(share)) => {
            let named = share.columns.iter().map(|name| index_of(&described, name).map(sql::column));
            let named = named.collect::<Result<Vec<_>, _>>()?;
            let all = || (0..described.columns.len()).map(sql::column).collect();
            share.condition(&if named.is_empty() { all() } else { named })
        }
    };
    let shown: Vec<_> = described.columns.iter().map(Column::shown).collect();
    let query = sql::selecting(source.sql(), &shown, &format!("WHERE {condition}\n"));
    Ok(Rendered { described: Described { query, ..described }, arguments, keyset: None })
}

/// What has worked when the session was created fails now because something was changed.
fn changed(error: Error) -> Error {
    match error {
        Error::Sql(sql) if sql.kind == SqlErrorKind::Statement => Error::SchemaChanged,
        Error::UnknownTable(_) | Error::InvalidField { .. } | Error::InvalidRequest { .. } => Error::SchemaChanged,
        error => error,
    }
}
