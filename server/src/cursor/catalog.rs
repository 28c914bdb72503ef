//! What PostgreSQL's catalog tells of the tables that are open to reading, with the eyes of the server's own
//! database role: what it may not SELECT is not there.

use sqlx::{AssertSqlSafe, Postgres, Row as _, postgres::PgRow, query::Query};

use super::{composites, describe, session::Session};
use crate::{
    error::{CallerText, Error},
    plan::{
        TypeName,
        table::{
            Kind, Operator, Operators, Relation, Table, TableColumn,
            name::{Pattern, TableName},
        },
    },
    stop::Stop,
};

/// The table of that name, if it is open.
pub(crate) async fn table(
    session: &mut Session,
    stop: &Stop,
    open: &[Pattern],
    name: &TableName,
) -> Result<Option<Table>, Error> {
    let sql = sql(&format!("{OPEN} AND n.nspname = $4 AND c.relname = $5"));
    let query = with_patterns(sqlx::query(AssertSqlSafe(sql)), open).bind(name.schema.clone()).bind(name.name.clone());
    let Some(mut table) = tables(session, stop, query).await?.pop() else { return Ok(None) };
    let mut oids: Vec<u32> = table.composites().map(|column| column.type_name.oid).collect();
    oids.sort_unstable();
    oids.dedup();
    let (connection, guard) = session.split();
    let composites = composites::of(&mut connection.sql, guard, stop, &oids).await?;
    for column in &mut table.columns {
        column.composite = composites.get(&column.type_name.oid).cloned();
    }
    Ok(Some(table))
}

/// How many columns end a page: what is asked for at once has a bound.
pub(crate) const PAGE_COLUMNS: i64 = 10_000;

/// The open tables behind that name, in order: at most `count`, and none behind [`PAGE_COLUMNS`] columns.
pub(crate) async fn page(
    session: &mut Session,
    stop: &Stop,
    open: &[Pattern],
    after: &TableName,
    count: i64,
) -> Result<Vec<Table>, Error> {
    let sql = sql(&format!(
        "SELECT * FROM ({OPEN} AND (n.nspname, c.relname) > ($4::name, $5::name)) AS w
         WHERE w.attributes_before <= {PAGE_COLUMNS} ORDER BY w.nspname, w.relname LIMIT $6"
    ));
    let query = with_patterns(sqlx::query(AssertSqlSafe(sql)), open);
    let query = query.bind(after.schema.clone()).bind(after.name.clone()).bind(count);
    tables(session, stop, query).await
}

/// An expression that changes with every change of the table or of its columns, and is NULL once it is gone.
pub(super) fn version_of(oid: &str) -> String {
    format!(
        "(SELECT v.xmin::text || ':' || COALESCE((SELECT sum(va.xmin::text::bigint) FROM pg_catalog.pg_attribute va
          WHERE va.attrelid = v.oid AND va.attnum > 0), 0) FROM pg_catalog.pg_class v WHERE v.oid = {oid})"
    )
}

type Arguments = sqlx::postgres::PgArguments;

fn with_patterns<'q>(query: Query<'q, Postgres, Arguments>, open: &[Pattern]) -> Query<'q, Postgres, Arguments> {
    let (schemas, names): (Vec<String>, Vec<String>) = open
        .iter()
        .map(|pattern| {
            let (schema, name) = pattern.likes();
            (schema.to_owned(), name.to_owned())
        })
        .unzip();
    let exact: Vec<bool> = open.iter().map(Pattern::is_exact).collect();
    query.bind(schemas).bind(names).bind(exact)
}

/// One row a column, the tables' columns together; a table without columns is one row.
async fn tables(
    session: &mut Session,
    stop: &Stop,
    query: Query<'_, Postgres, Arguments>,
) -> Result<Vec<Table>, Error> {
    let (connection, guard) = session.split();
    let rows = guard.run(stop, CallerText::NONE, query.fetch_all(&mut connection.sql)).await?;
    let mut tables: Vec<Table> = Vec::new();
    for row in &rows {
        let read = table_of(row).and_then(|table| Ok((table, column_of(row)?)));
        let (table, column) = read.map_err(|error| Error::Internal(format!("the catalog's answer: {error}")))?;
        if tables.last().is_none_or(|last| last.oid != table.oid) {
            tables.push(table);
        }
        if let Some(table) = tables.last_mut() {
            table.columns.extend(column);
        }
    }
    for table in &mut tables {
        let readable = table.primary_key.iter().all(|name| table.columns.iter().any(|column| column.name == *name));
        if !readable {
            table.primary_key.clear();
        }
    }
    Ok(tables)
}

fn table_of(row: &PgRow) -> Result<Table, sqlx::Error> {
    let kind = match row.try_get::<&str, _>("kind")? {
        "r" => Kind::Table,
        "p" => Kind::Partitioned,
        "v" => Kind::View,
        "m" => Kind::Materialized,
        _ => Kind::Foreign,
    };
    Ok(Table {
        oid: oid(row, "oid")?,
        version: row.try_get("version")?,
        name: TableName { schema: row.try_get("schema")?, name: row.try_get("name")? },
        kind,
        estimated_rows: row.try_get("rows")?,
        comment: row.try_get("comment")?,
        attributes: row.try_get("attributes")?,
        columns: Vec::new(),
        primary_key: row.try_get("primary_key")?,
    })
}

fn column_of(row: &PgRow) -> Result<Option<TableColumn>, sqlx::Error> {
    let Some(name) = row.try_get("column")? else { return Ok(None) };
    let type_name =
        TypeName { oid: oid(row, "type")?, short: row.try_get("short")?, qualified: row.try_get("qualified")? };
    Ok(Some(TableColumn {
        name,
        type_name,
        cast: describe::cast(row.try_get("cast")?),
        modifier: row.try_get("modifier")?,
        nullable: row.try_get("nullable")?,
        is_array: row.try_get("is_array")?,
        is_composite: row.try_get("is_composite")?,
        composite: None,
        from_text: row.try_get("from_text")?,
        operators: operators(row)?,
    }))
}

fn operators(row: &PgRow) -> Result<Operators, sqlx::Error> {
    let Some(relations) = row.try_get::<Option<Vec<String>>, _>("relations")? else { return Ok(Operators::new()) };
    let schemas: Vec<String> = row.try_get("schemas")?;
    let symbols: Vec<String> = row.try_get("symbols")?;
    let texts: Vec<bool> = row.try_get("texts")?;
    let parts = relations.into_iter().zip(schemas).zip(symbols).zip(texts);
    let operator = |(((relation, schema), symbol), takes_text): (((String, String), String), bool)| {
        let (_, relation) = Relation::ALL.iter().find(|(known, _)| *known == relation)?;
        Some((*relation, Operator { schema, symbol, takes_text }))
    };
    Ok(parts.filter_map(operator).collect())
}

fn oid(row: &PgRow, column: &str) -> Result<u32, sqlx::Error> {
    let oid: i64 = row.try_get(column)?;
    u32::try_from(oid).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The relations that are open.
const OPEN: &str = r"SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltuples, c.relhassubclass, c.relnatts,
           sum(c.relnatts) OVER (ORDER BY n.nspname, c.relname) - c.relnatts AS attributes_before
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND EXISTS (SELECT FROM unnest($1::text[], $2::text[], $3::bool[]) AS open(schema, name, exact)
          WHERE n.nspname LIKE open.schema AND c.relname LIKE open.name
            AND (open.exact OR NOT (n.nspname LIKE 'pg\_%' OR n.nspname = 'information_schema')))
      AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')";

/// The whole question; `chosen` is the relations it is about, as a SELECT.
///
/// What a type is compared with is what its default operator classes hold, found as PostgreSQL finds them
/// (`GetDefaultOpClass`): of the type itself, of the polymorphic type it belongs to, or of one that it is
/// binary-coercible to, a preferred type first.
fn sql(chosen: &str) -> String {
    format!(
        r"WITH RECURSIVE rel AS MATERIALIZED ({chosen}
), tab AS MATERIALIZED (
    SELECT r.*, {version} AS version, COALESCE(obj_description(r.oid, 'pg_class'), '') AS comment,
           CASE r.relkind WHEN 'r' THEN NOT r.relhassubclass
                WHEN 'p' THEN NOT EXISTS (SELECT FROM pg_partition_tree(r.oid) part
                     JOIN pg_catalog.pg_class f ON f.oid = part.relid WHERE f.relkind = 'f')
                ELSE false END AS proves,
           ARRAY(SELECT ka.attname::text FROM pg_catalog.pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
                 JOIN pg_catalog.pg_attribute ka ON ka.attrelid = r.oid AND ka.attnum = k.attnum
                 WHERE i.indrelid = r.oid AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place) AS primary_key
    FROM rel r
), att AS MATERIALIZED (
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,
           CASE WHEN r.relkind NOT IN ('r', 'p') THEN NULL
                WHEN NOT a.attnotnull THEN true
                WHEN NOT r.proves OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = r.oid
                     AND k.contype = 'n' AND NOT k.convalidated AND k.conkey[1] = a.attnum) THEN NULL
                ELSE false END AS nullable
    FROM tab r
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
     AND has_column_privilege(r.oid, a.attnum, 'SELECT')
), base AS (
    SELECT t.oid AS declared, t.oid, t.typtype, t.typbasetype FROM pg_catalog.pg_type t
    WHERE t.oid IN (SELECT att.atttypid FROM att)
    UNION ALL SELECT b.declared, t.oid, t.typtype, t.typbasetype FROM base b
    JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
), col AS MATERIALIZED (
    SELECT att.*, b.oid AS type FROM att JOIN base b ON b.declared = att.atttypid AND b.typtype <> 'd'
), typ AS MATERIALIZED (
    SELECT t.oid, t.typname, t.typnamespace, t.typelem, t.typtype, t.typoutput, t.typdelim,
           t.typoutput = 'array_out'::regproc AS is_array
    FROM pg_catalog.pg_type t WHERE t.oid IN (SELECT col.type FROM col)
), same AS MATERIALIZED (
    SELECT t.oid AS type, k.casttarget AS target FROM typ t JOIN pg_catalog.pg_cast k
      ON k.castsource = t.oid AND k.castmethod = 'b' AND k.castcontext = 'i'
    UNION SELECT t.oid, t.oid FROM typ t
    UNION SELECT t.oid, CASE WHEN t.is_array THEN 'anyarray'::regtype
                             WHEN t.typtype = 'e' THEN 'anyenum'::regtype
                             WHEN t.typtype = 'r' THEN 'anyrange'::regtype
                             WHEN t.typtype = 'm' THEN to_regtype('anymultirange')
                             WHEN t.typtype = 'c' THEN 'record'::regtype END
    FROM typ t
), class AS (
    SELECT DISTINCT ON (same.type, am.amname) same.type, am.amname, oc.opcfamily, oc.opcintype
    FROM same JOIN pg_catalog.pg_opclass oc ON oc.opcdefault AND oc.opcintype = same.target
    JOIN pg_catalog.pg_am am ON am.oid = oc.opcmethod AND am.amname IN ('btree', 'hash')
    JOIN pg_catalog.pg_type target ON target.oid = same.target
    ORDER BY same.type, am.amname, same.target = same.type DESC, target.typispreferred DESC, target.oid
), sorts AS (
    SELECT DISTINCT ON (class.type, relation) class.type, p.amopopr AS opr,
           CASE class.amname || p.amopstrategy WHEN 'btree1' THEN '<' WHEN 'btree2' THEN '<=' WHEN 'btree3' THEN '='
                WHEN 'btree4' THEN '>=' WHEN 'btree5' THEN '>' WHEN 'hash1' THEN '=' END AS relation
    FROM class JOIN pg_catalog.pg_amop p ON p.amopfamily = class.opcfamily AND p.amoppurpose = 's'
     AND p.amoplefttype = class.opcintype AND p.amoprighttype = class.opcintype
    ORDER BY class.type, relation, class.amname
), likes AS (
    SELECT DISTINCT ON (same.type, o.oprname) same.type, o.oid AS opr,
           CASE o.oprname WHEN '~~' THEN 'LIKE' ELSE 'ILIKE' END AS relation
    FROM same JOIN pg_catalog.pg_operator o ON o.oprname IN ('~~', '~~*') AND o.oprleft = same.target
     AND o.oprright IN (o.oprleft, 'text'::regtype) AND o.oprleft <> 'bytea'::regtype
    JOIN pg_catalog.pg_type target ON target.oid = same.target
    ORDER BY same.type, o.oprname, same.target = same.type DESC, target.typispreferred DESC, target.oid,
             o.oprright = o.oprleft DESC, o.oid
), op AS MATERIALIZED (
    SELECT every.type, array_agg(every.relation) AS relations, array_agg(n.nspname::text) AS schemas,
           array_agg(o.oprname::text) AS symbols,
           array_agg(o.oprright = 'text'::regtype AND every.relation IN ('LIKE', 'ILIKE')) AS texts
    FROM (SELECT type, opr, relation FROM sorts UNION ALL SELECT type, opr, relation FROM likes
          UNION ALL SELECT sorts.type, e.oprnegate, '<>' FROM sorts JOIN pg_catalog.pg_operator e ON e.oid = sorts.opr
          WHERE sorts.relation = '=' AND e.oprnegate <> 0) AS every
    JOIN pg_catalog.pg_operator o ON o.oid = every.opr JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
    WHERE every.relation IS NOT NULL GROUP BY every.type
), described AS MATERIALIZED (
    SELECT t.oid, t.is_array, t.typtype = 'c' OR t.is_array AND COALESCE(e.typtype = 'c', false) AS is_composite,
           t.typtype IN ('c', 'm') OR COALESCE(e.typtype IN ('c', 'm'), false) AS from_text,
           {cast} AS cast, ({short})::text AS short, {qualified} AS qualified,
           op.relations, op.schemas, op.symbols, op.texts
    FROM typ t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem LEFT JOIN op ON op.type = t.oid
)
SELECT r.oid::bigint AS oid, r.version, r.nspname::text AS schema, r.relname::text AS name, r.relkind::text AS kind,
       CASE WHEN r.relkind = 'v' OR r.reltuples < 0 THEN -1 ELSE r.reltuples::bigint END AS rows,
       r.comment, r.primary_key, r.relnatts::bigint AS attributes,
       col.attname::text AS column, col.nullable, d.is_array, d.is_composite, d.oid::bigint AS type, d.from_text, d.cast, d.short,
       d.qualified, CASE WHEN col.type = col.atttypid THEN col.atttypmod END AS modifier, d.relations, d.schemas, d.symbols, d.texts
FROM tab r LEFT JOIN col ON col.attrelid = r.oid LEFT JOIN described d ON d.oid = col.type
ORDER BY r.nspname, r.relname, col.attnum",
        version = version_of("r.oid"),
        cast = describe::CAST,
        short = describe::SHORT,
        qualified = describe::QUALIFIED,
    )
}
