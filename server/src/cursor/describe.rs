//! Asks PostgreSQL what a statement is, without running it: is it exactly one row-returning
//! statement, what are its parameters, what are its columns.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use sqlx::{
    AssertSqlSafe, Column as _, Either, Executor as _, PgConnection, Row as _, SqlSafeStr as _, Statement as _,
    postgres::{PgColumn, PgRow, PgTypeInfo, types::Oid},
};

use super::{
    composites,
    session::{Guard, Session},
};
use crate::{
    db::pool,
    encode::codec::{Codec, Scalar},
    error::{CallerText, Error, SqlError},
    plan::{
        Column, Described, Source, TypeName,
        composite::Compound,
        named::BadFile,
        sql::{self, Cast, Wrapped, literal},
    },
    stop::Stop,
};

/// Describes the statement. An error of PostgreSQL's leaves the transaction aborted.
pub(crate) async fn describe(session: &mut Session, stop: &Stop, source: &Source) -> Result<Described, Error> {
    let (connection, guard) = session.split();
    let mut asking = Asking { connection: &mut connection.sql, guard, stop };
    let declared = asking.declared_types(source).await?;
    let plain = sql::plain(source.sql()).after(&unique());
    let parameters = asking.classify(&plain, &declared).await?;
    if let Source::Named(query) = source
        && parameters.len() != query.parameters.len()
    {
        let (declares, has) = (query.parameters.len(), parameters.len());
        let message = format!("the file declares {declares} parameters, the statement has {has}");
        let bad = BadFile::at_line(query.statement_line(), message);
        return Err(Error::QueryBroken { name: query.name.clone(), bad });
    }
    let columns = asking.columns(&plain, &parameters).await?;
    let unknown = parameters.iter().copied().chain(columns.iter().map(|column| column.type_oid));
    let types = asking.types(unknown.filter(|oid| Codec::of(*oid).is_none()).collect()).await?;
    let modifiers = asking.modifiers(&columns).await?;
    Ok(assemble(source, &parameters, columns, &types, &modifiers))
}

/// How the type `t` becomes text. An array whose elements are not separated by commas (`box[]`) does as a
/// whole.
pub(super) const CAST: &str = "CASE WHEN t.typoutput = 'array_out'::regproc AND t.typdelim = ',' THEN 'array'
    WHEN EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource = t.oid
         AND c.casttarget = 'pg_catalog.text'::regtype AND c.castmethod = 'f') THEN 'output'
    ELSE 'text' END";
/// The short name of the type `t`, in the schema `n`, with elements of type `e`.
pub(super) const SHORT: &str = "CASE WHEN n.nspname <> 'pg_catalog' THEN format_type(t.oid, NULL)
    WHEN t.typoutput = 'array_out'::regproc THEN e.typname || '[]' ELSE t.typname END";
/// Its name for a cast.
pub(super) const QUALIFIED: &str = "quote_ident(n.nspname) || '.' || quote_ident(t.typname)";

/// A type that has no codec: its name, how its values become text, and its fields if it is a composite.
struct Known {
    name: TypeName,
    cast: Cast,
    composite: Option<Compound>,
}

type Types = HashMap<u32, Known>;

/// What [`CAST`] answers.
pub(super) fn cast(answer: &str) -> Cast {
    match answer {
        "array" => Cast::Array,
        "output" => Cast::Output,
        _ => Cast::Text,
    }
}

/// A column as PostgreSQL announces it.
struct Announced {
    name: String,
    type_oid: u32,
    /// The table and the number of its column that this one shows as it is.
    origin: Option<(u32, i16)>,
}

/// PostgreSQL's type modifiers of tables' columns.
type Modifiers = HashMap<(u32, i16), i32>;

fn assemble(
    source: &Source,
    parameters: &[u32],
    columns: Vec<Announced>,
    types: &Types,
    modifiers: &Modifiers,
) -> Described {
    let modifier = |announced: &Announced| modifiers.get(&announced.origin?).copied();
    let columns: Vec<Column> = columns
        .into_iter()
        .map(|announced| {
            let modifier = modifier(&announced);
            column(announced.name, announced.type_oid, types).with_modifier(modifier)
        })
        .collect();
    let casts: Vec<Option<&Cast>> = columns.iter().map(|column| column.cast.as_ref()).collect();
    let query =
        if casts.iter().any(Option::is_some) { sql::casting(source.sql(), &casts) } else { sql::plain(source.sql()) };
    let parameters = parameters.iter().map(|oid| type_name(*oid, types)).collect();
    Described { parameters, columns, query, places: None }
}

fn column(name: String, oid: u32, types: &Types) -> Column {
    let known = types.get(&oid);
    let cast = known.map_or(Cast::Text, |known| known.cast.clone());
    let composite = known.and_then(|known| known.composite.clone());
    Column { composite, ..Column::new(name, type_name(oid, types), cast) }
}

fn type_name(oid: u32, types: &Types) -> TypeName {
    if let Some(short) = Codec::type_name(oid) {
        return TypeName { oid, qualified: format!("pg_catalog.{short}"), short };
    }
    types.get(&oid).map_or_else(
        || TypeName { oid, short: format!("oid {oid}"), qualified: "pg_catalog.text".to_owned() },
        |known| known.name.clone(),
    )
}

/// One describing, on a connection under its guard.
struct Asking<'a> {
    connection: &'a mut PgConnection,
    guard: &'a mut Guard,
    stop: &'a Stop,
}

impl Asking<'_> {
    /// The OIDs of the types that a named query's file declares.
    async fn declared_types(&mut self, source: &Source) -> Result<Vec<u32>, Error> {
        let types: Vec<&str> = source.declared_types().collect();
        let Source::Named(query) = source else { return Ok(Vec::new()) };
        if types.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<_> = types.iter().map(|name| format!("to_regtype({})::oid", literal(name))).collect();
        let sql = format!("SELECT {}", list.join(", "));
        let rows = self.rows(sql).await?;
        let oid = |i| pool::text(rows.first()?, i)?.parse().ok();
        let unknown = |i: usize| Error::QueryBroken {
            name: query.name.clone(),
            bad: BadFile::at_line(
                query.parameters[i].line,
                format!("parameter {:?}: there is no type {:?}", query.parameters[i].name, types[i]),
            ),
        };
        (0..types.len()).map(|i| oid(i).ok_or_else(|| unknown(i))).collect()
    }

    /// Lets PostgreSQL parse `DECLARE ... CURSOR FOR` the statement, which succeeds for exactly one
    /// statement that returns rows, and answers the parameters' types.
    async fn classify(&mut self, plain: &Wrapped, declared: &[u32]) -> Result<Vec<u32>, Error> {
        let declare = sql::declare(plain, declared);
        let types = type_infos(declared);
        let prepare = self.connection.prepare_with(AssertSqlSafe(declare.sql).into_sql_str(), &types);
        let prepared = self.guard.run(self.stop, declare.text, unless_unknown_type(prepare)).await;
        let Some(statement) = prepared.map_err(refused)? else {
            let message = "a parameter has a type that cannot be bound; write $1::text::TYPE instead".to_owned();
            return Err(Error::InvalidParameter { parameter: "of the statement".to_owned(), message });
        };
        Ok(match statement.parameters() {
            Some(Either::Left(types)) => types.iter().map(oid).collect(),
            _ => Vec::new(),
        })
    }

    /// The names and types of the statement's columns.
    async fn columns(&mut self, plain: &Wrapped, parameters: &[u32]) -> Result<Vec<Announced>, Error> {
        let types = type_infos(parameters);
        let prepare = self.connection.prepare_with(AssertSqlSafe(plain.sql.clone()).into_sql_str(), &types);
        match self.guard.run(self.stop, plain.text, unless_unknown_type(prepare)).await? {
            Some(statement) => Ok(announced(statement.columns())),
            None => self.columns_of_empty_join(plain, parameters.len()).await,
        }
    }

    /// As [`columns`](Self::columns), where sqlx cannot read a column's type (multiranges, in 0.9): one
    /// row of NULLs from a join that never looks at the statement, through the simple protocol.
    async fn columns_of_empty_join(&mut self, plain: &Wrapped, parameters: usize) -> Result<Vec<Announced>, Error> {
        let probe =
            plain.after("PREPARE rowstream_describe AS SELECT q.* FROM (VALUES (1)) AS one LEFT JOIN LATERAL (\n");
        let nulls = vec!["NULL"; parameters].join(", ");
        let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
        let sql = format!(
            "{}) AS q ON false; EXECUTE rowstream_describe{arguments}; DEALLOCATE rowstream_describe",
            probe.sql
        );
        let fetch = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut *self.connection);
        let row = self.guard.run(self.stop, probe.text, fetch).await?;
        Ok(announced(row.columns()))
    }

    /// What types without a codec are called, and how they become text.
    async fn types(&mut self, mut oids: Vec<u32>) -> Result<Types, Error> {
        oids.sort_unstable();
        oids.dedup();
        if oids.is_empty() {
            return Ok(Types::new());
        }
        let list: Vec<_> = oids.iter().map(u32::to_string).collect();
        let sql = format!(
            "SELECT t.oid, {CAST}, {SHORT}, {QUALIFIED},
                    CASE WHEN t.typoutput = 'array_out'::regproc THEN e.typtype ELSE t.typtype END
             FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
             LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem WHERE t.oid IN ({})",
            list.join(", ")
        );
        let rows = self.rows(sql).await?;
        let oid = |row: &PgRow| pool::text(row, 0)?.parse::<u32>().ok();
        let are_composite = rows.iter().filter(|row| pool::text(row, 4) == Some("c"));
        let are_composite: Vec<u32> = are_composite.filter_map(oid).collect();
        let mut composites = composites::of(self.connection, self.guard, self.stop, &are_composite).await?;
        let known = rows.iter().filter_map(|row| {
            let oid = oid(row)?;
            let name = |i| pool::text(row, i).map(str::to_owned);
            let (name, cast) = (TypeName { oid, short: name(2)?, qualified: name(3)? }, cast(pool::text(row, 1)?));
            Some((oid, Known { name, cast, composite: composites.remove(&oid) }))
        });
        Ok(known.collect())
    }

    /// The type modifiers of those columns that are a table's `numeric`, or array of it, as it is. sqlx does not show
    /// the ones that PostgreSQL announces with the columns, so an expression's stays unknown.
    async fn modifiers(&mut self, columns: &[Announced]) -> Result<Modifiers, Error> {
        let numeric = |column: &&Announced| {
            matches!(Codec::of(column.type_oid), Some(Codec::Scalar(Scalar::Numeric) | Codec::Array(Scalar::Numeric)))
        };
        let origins: Vec<_> = columns.iter().filter(numeric).filter_map(|column| column.origin).collect();
        if origins.is_empty() {
            return Ok(Modifiers::new());
        }
        let list: Vec<_> = origins.iter().map(|(table, number)| format!("({table}, {number})")).collect();
        let sql = format!(
            "SELECT attrelid, attnum, atttypmod FROM pg_catalog.pg_attribute
             WHERE (attrelid, attnum) IN (VALUES {}) AND atttypid IN (1700, 1231)",
            list.join(", ")
        );
        let rows = self.rows(sql).await?;
        let modifier = |row: &PgRow| {
            let number = |i| pool::text(row, i)?.parse::<i64>().ok();
            let origin = (number(0)?.try_into().ok()?, number(1)?.try_into().ok()?);
            Some((origin, number(2)?.try_into().ok()?))
        };
        Ok(rows.iter().filter_map(modifier).collect())
    }

    async fn rows(&mut self, sql: String) -> Result<Vec<PgRow>, Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql));
        self.guard.run(self.stop, CallerText::NONE, query.fetch_all(&mut *self.connection)).await
    }
}

/// A comment that makes a text new to sqlx: it remembers what a text was described as, and would answer
/// the same after DDL.
pub(super) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("/*{}*/\n", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// `None` where PostgreSQL has prepared the statement but sqlx does not know one of its types.
pub(super) async fn unless_unknown_type<T>(
    prepare: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<Option<T>, sqlx::Error> {
    match prepare.await {
        Err(sqlx::Error::ColumnDecode { .. } | sqlx::Error::TypeNotFound { .. }) => Ok(None),
        result => result.map(Some),
    }
}

/// A syntax error of `DECLARE ... CURSOR FOR` says that the text is no statement that we run.
fn refused(error: Error) -> Error {
    match error {
        Error::Sql(SqlError { sqlstate, message, position, .. })
            if matches!(sqlstate.as_str(), "42601" | "42P11" | "0A000") =>
        {
            let message = format!("not exactly one row-returning statement that changes nothing: {message}");
            Error::StatementRefused { message, sqlstate, position }
        }
        other => other,
    }
}

pub(super) fn type_infos(oids: &[u32]) -> Vec<PgTypeInfo> {
    oids.iter().map(|oid| PgTypeInfo::with_oid(Oid(*oid))).collect()
}

fn oid(info: &PgTypeInfo) -> u32 {
    info.oid().map_or(0, |oid| oid.0)
}

fn announced(columns: &[PgColumn]) -> Vec<Announced> {
    let announced = |column: &PgColumn| Announced {
        name: column.name().to_owned(),
        type_oid: oid(column.type_info()),
        origin: column.relation_id().map(|oid| oid.0).zip(column.relation_attribute_no()),
    };
    columns.iter().map(announced).collect()
}
