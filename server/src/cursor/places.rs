//! Where the rows of a table lie: the tables that hold them, and how many pages each has.

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};

use super::session::Session;
use crate::{
    error::{CallerText, Error},
    plan::{partition::ctid::Leaf, table::Table},
    stop::Stop,
};

/// The most tables that one may consist of for its pages to be divided: each is one part of a statement's text.
const MOST_LEAVES: usize = 2_000;

/// What is known of where a table's rows lie.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    Known(Vec<Leaf>),
    /// Why its pages cannot be read one range after the other.
    None(String),
}

/// The tables that a table consists of: itself, and all that inherit from it.
const LEAVES: &str = "WITH RECURSIVE tree AS (
    SELECT $1::int8::oid AS oid
    UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
)
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind, COALESCE(am.amname::text, '') AS method,
       c.oid::int8 = $1 AS root, row_security_active(c.oid) AS policies,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
       COALESCE(pg_relation_size(c.oid) / current_setting('block_size')::int8, 0) AS pages
FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
ORDER BY n.nspname, c.relname";

/// Finds out where the rows of a table lie.
pub(crate) async fn of(session: &mut Session, stop: &Stop, table: &Table) -> Result<Places, Error> {
    let (connection, guard) = session.split();
    let query = sqlx::query(AssertSqlSafe(LEAVES)).bind(i64::from(table.oid));
    let rows = guard.run(stop, CallerText::NONE, query.fetch_all(&mut connection.sql)).await?;
    places(&rows).map_err(|error| Error::Internal(format!("the catalog's answer: {error}")))
}

fn places(rows: &[PgRow]) -> Result<Places, sqlx::Error> {
    let several = rows.len() > 1;
    let mut leaves = Vec::new();
    for row in rows {
        let (kind, method): (&str, &str) = (row.try_get("kind")?, row.try_get("method")?);
        let (schema, name): (String, String) = (row.try_get("schema")?, row.try_get("name")?);
        let none = |why: &str| Ok(Places::None(format!("{schema}.{name} {why}")));
        if several && row.try_get("policies")? {
            // They are those of the table that is named in the statement.
            return none("has row-level security");
        }
        match kind {
            "p" => continue,
            "r" | "m" => {}
            "v" => return none("is a view"),
            _ => return none("is a foreign table"),
        }
        if method != "heap" {
            return none("is not stored as a heap");
        }
        if !row.try_get::<bool, _>("root")? && !row.try_get::<bool, _>("readable")? {
            return none("may be read through its parent only");
        }
        let pages = u32::try_from(row.try_get::<i64, _>("pages")?).unwrap_or(u32::MAX);
        leaves.push(Leaf { schema, name, pages });
    }
    Ok(match leaves.len() {
        0 => Places::None("the table has no partition".to_owned()),
        1..=MOST_LEAVES => Places::Known(leaves),
        more => Places::None(format!("the table consists of {more} tables")),
    })
}
