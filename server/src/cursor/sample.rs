//! Samples of a key: which values there are and how often, in the key's order; and whether bounds made of them are in
//! that order.

use sqlx::{
    AssertSqlSafe, Row as _,
    postgres::{PgArguments, PgRow},
};

use super::session::Session;
use crate::{
    error::{CallerText, Error},
    plan::{
        Described,
        partition::key_range::{Key, Seen},
        sql,
    },
    stop::Stop,
};

/// The longest text of a value that may be a bound: bounds travel in tokens.
const LONGEST: usize = 512;

/// What a sample has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) seen: Vec<Seen>,
    pub(crate) nulls: f64,
}

/// Takes the values of a query of one column.
pub(crate) async fn of(
    session: &mut Session,
    stop: &Stop,
    described: &Described,
    arguments: PgArguments,
) -> Result<Sample, Error> {
    let text = described.query.after(&format!(
        "SELECT CASE WHEN octet_length(s.k::text) <= {LONGEST} THEN s.k::text END, s.k IS NULL, count(*)::float8 FROM (\n"
    ));
    let text = sql::Wrapped { sql: format!("{}) AS s(k) GROUP BY s.k ORDER BY s.k", text.sql), text: text.text };
    let text = sql::whole(&text, &described.parameter_oids());
    let (connection, guard) = session.split();
    let query = sqlx::query_with(AssertSqlSafe(text.sql), arguments).persistent(false);
    let rows = guard.run(stop, text.text, query.fetch_all(&mut connection.sql)).await?;
    let mut sample = Sample::default();
    for row in &rows {
        let read = || Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let (text, null, weight): (Option<String>, bool, f64) =
            read().map_err(|error| Error::Internal(format!("a sample's answer: {error}")))?;
        if null {
            sample.nulls += weight;
        } else {
            sample.seen.push(Seen { text, weight });
        }
    }
    Ok(sample)
}

/// Whether PostgreSQL puts the bounds in this order, as it compares them with the key of a query of one column and no
/// row.
pub(crate) async fn ascends(
    session: &mut Session,
    stop: &Stop,
    none: &Described,
    key: &Key,
    bounds: &[String],
    arguments: PgArguments,
) -> Result<bool, Error> {
    let text = none.query.after(&format!("SELECT {} FROM (SELECT (SELECT s.k FROM (\n", key.ascending(bounds, "n.k")));
    let text = sql::Wrapped { sql: format!("{}) AS s(k) LIMIT 0) AS k) AS n", text.sql), text: text.text };
    let text = sql::whole(&text, &none.parameter_oids());
    let (connection, guard) = session.split();
    let query = sqlx::query_with(AssertSqlSafe(text.sql), arguments).persistent(false);
    let row: PgRow = guard.run(stop, text.text, query.fetch_one(&mut connection.sql)).await?;
    row.try_get::<Option<bool>, _>(0)
        .map(|ascend| ascend == Some(true))
        .map_err(|error| Error::Internal(error.to_string()))
}

/// Those of the types whose values have an order.
pub(crate) async fn ordered(session: &mut Session, stop: &Stop, types: &[u32]) -> Result<Vec<u32>, Error> {
    const ORDERED: &str = "SELECT t.oid::int8 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_type e
          ON e.oid = CASE WHEN t.typoutput = 'array_out'::regproc THEN t.typelem ELSE t.oid END
        WHERE t.oid::int8 = ANY ($1) AND (e.typtype IN ('e', 'r', 'm') OR EXISTS (
            SELECT FROM pg_catalog.pg_opclass oc JOIN pg_catalog.pg_am am ON am.oid = oc.opcmethod AND am.amname = 'btree'
            WHERE oc.opcdefault AND (oc.opcintype = e.oid OR oc.opcintype IN (SELECT c.casttarget
                FROM pg_catalog.pg_cast c WHERE c.castsource = e.oid AND c.castmethod = 'b' AND c.castcontext = 'i'))))";
    let types: Vec<i64> = types.iter().map(|oid| i64::from(*oid)).collect();
    let (connection, guard) = session.split();
    let query = sqlx::query(AssertSqlSafe(ORDERED)).bind(types);
    let rows = guard.run(stop, CallerText::NONE, query.fetch_all(&mut connection.sql)).await?;
    let oid = |row: &PgRow| row.try_get::<i64, _>(0).ok().and_then(|oid| u32::try_from(oid).ok());
    Ok(rows.iter().filter_map(oid).collect())
}
