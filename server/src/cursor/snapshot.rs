//! Snapshots that several transactions share: taken and exported by one, which must live on, and imported by others.

use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;

use super::session::Session;
use crate::{
    db::pool,
    error::{CallerText, Error, SqlError},
    plan::table::{Kind, Table, name::quoted},
    stop::Stop,
};

/// What others import a snapshot by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotName {
    /// PostgreSQL's name for it. After a restart of PostgreSQL the same name may be given again.
    pub(crate) id: String,
    /// The transactions that it sees, which tells it from another one of the same name.
    pub(crate) state: String,
}

/// A snapshot that has been exported, and when.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    pub(crate) name: SnapshotName,
    /// By PostgreSQL's clock.
    pub(crate) taken: SystemTime,
}

/// Takes the transaction's snapshot, and exports it.
pub(crate) async fn export(session: &mut Session, stop: &Stop) -> Result<Exported, Error> {
    const EXPORT: &str = "SELECT pg_export_snapshot(), pg_current_snapshot()::text,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let (connection, guard) = session.split();
    let row = guard.run(stop, CallerText::NONE, sqlx::raw_sql(EXPORT).fetch_one(&mut connection.sql)).await?;
    let text = |column| pool::text(&row, column).map(str::to_owned);
    let read = || {
        let micros = text(2)?.parse().ok()?;
        let name = SnapshotName { id: text(0)?, state: text(1)? };
        Some(Exported { name, taken: SystemTime::UNIX_EPOCH + Duration::from_micros(micros) })
    };
    read().ok_or_else(|| Error::Internal("pg_export_snapshot answered nothing".to_owned()))
}

/// What the transaction that holds a session's snapshot is called in `pg_stat_activity`, where other servers find it.
pub(crate) fn holder_name(session: Uuid, snapshot: &str) -> String {
    format!("{}{snapshot}", holder_prefix(session))
}

/// What the names of all transactions that hold a session's snapshot begin with. With the snapshot's, no name is longer
/// than the 63 bytes that PostgreSQL keeps.
pub(crate) fn holder_prefix(session: Uuid) -> String {
    format!("rowstream session {} ", BASE64URL_NOPAD.encode(session.as_bytes()))
}

/// Keeps a table, and what it consists of, from being rewritten as long as the transaction lives: in a rewritten table a
/// snapshot of before sees no row.
pub(crate) async fn lock(session: &mut Session, stop: &Stop, table: &Table) -> Result<(), Error> {
    // What else there is is locked as it is planned.
    if !matches!(table.kind, Kind::Table | Kind::Partitioned) {
        return Ok(());
    }
    let name = format!("{}.{}", quoted(&table.name.schema), quoted(&table.name.name));
    session.execute(stop, format!("LOCK TABLE {name} IN ACCESS SHARE MODE")).await
}

/// Fails if a table that the transaction has locked was rewritten between the snapshot and the lock: what a snapshot of
/// before sees of it is nothing.
pub(crate) async fn check_not_rewritten(session: &mut Session, stop: &Stop) -> Result<(), Error> {
    // The table shows what the snapshot sees; the function, what is so now.
    const REWRITTEN: &str =
        "SELECT count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relfilenode <> 0
          AND pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode";
    let (connection, guard) = session.split();
    let row = guard.run(stop, CallerText::NONE, sqlx::raw_sql(REWRITTEN).fetch_one(&mut connection.sql)).await?;
    if pool::text(&row, 0) == Some("0") { Ok(()) } else { Err(Error::SchemaChanged) }
}

/// What it means that a transaction could not begin in another one's snapshot. PostgreSQL's words for it differ from
/// version to version.
pub(super) fn gone(error: Error) -> Error {
    match error {
        Error::Sql(SqlError { sqlstate, .. }) if matches!(sqlstate.as_str(), "22023" | "42704" | "55000" | "0A000") => {
            Error::SnapshotLost("the transaction that held it has ended")
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_holder_fits_postgresqls_limit_and_tells_session_and_snapshot() {
        let name = holder_name(Uuid::max(), "FFFFFFFF-FFFFFFFF-1");
        assert!(name.len() <= 63, "{}", name.len());
        assert_eq!(name.strip_prefix(&holder_prefix(Uuid::max())), Some("FFFFFFFF-FFFFFFFF-1"));
    }
}
