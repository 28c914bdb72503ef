//! Binds a call's values: in binary where the plan could make them so, through PostgreSQL's own
//! conversion of text where it has to read them.

use sqlx::{
    AssertSqlSafe, Encode, Postgres, Row as _, Type, ValueRef as _,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, types::Oid},
};

use super::session::{Session, statement_timeout};
use crate::{
    encode::codec::TEXT,
    error::{CallerText, Error, SqlError},
    plan::{
        Argument, Described, TypeName,
        param::{self, Fitted},
    },
    stop::Stop,
};

/// undefined_function: what PostgreSQL says of a type without a binary output function.
const NO_BINARY_FORM: &str = "42883";
/// The most values to convert in one round trip: a SELECT has at most 1,664 columns.
const MAX_CONVERSIONS: usize = 1_600;

/// A value in its type's binary form; `None` is NULL.
struct Raw {
    oid: u32,
    bytes: Option<Vec<u8>>,
}

impl Type<Postgres> for Raw {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(TEXT))
    }
}

impl Encode<'_, Postgres> for Raw {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(bytes) = &self.bytes else { return Ok(IsNull::Yes) };
        buffer.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }
}

/// A statement's values, ready to go.
pub(crate) type Bound = PgArguments;

/// Makes the arguments of a statement; converts in PostgreSQL, in one round trip, what needs it. Behind them come values
/// that are in binary form already.
pub(crate) async fn bind(
    session: &mut Session,
    stop: &Stop,
    described: &Described,
    arguments: &[Argument],
    behind: Vec<Vec<u8>>,
) -> Result<PgArguments, Error> {
    let mut fitted = Vec::with_capacity(arguments.len());
    for (argument, parameter) in arguments.iter().zip(&described.parameters) {
        let fit = param::fit(&argument.value, parameter.oid, &parameter.short);
        fitted.push(fit.map_err(|message| invalid(argument, parameter, &message))?);
    }
    let texts: Vec<Conversion<'_>> = (fitted.iter().zip(arguments).zip(&described.parameters))
        .filter_map(|((fitted, argument), parameter)| match fitted {
            Fitted::Text(text) => Some(Conversion { argument, parameter, text }),
            _ => None,
        })
        .collect();
    let mut converted = Vec::with_capacity(texts.len());
    for some in texts.chunks(MAX_CONVERSIONS) {
        converted.extend(convert_all(session, stop, some).await?);
    }
    let mut converted = converted.into_iter();

    let mut bound = PgArguments::default();
    let own = fitted.len();
    for (fitted, parameter) in fitted.into_iter().zip(&described.parameters) {
        let bytes = match fitted {
            Fitted::Null => None,
            Fitted::Binary(bytes) => Some(bytes),
            Fitted::Text(_) => converted.next().flatten(),
        };
        add(&mut bound, Raw { oid: parameter.oid, bytes })?;
    }
    for (bytes, parameter) in behind.into_iter().zip(&described.parameters[own..]) {
        add(&mut bound, Raw { oid: parameter.oid, bytes: Some(bytes) })?;
    }
    Ok(bound)
}

/// A text that PostgreSQL is to read as a value of the parameter's type.
struct Conversion<'a> {
    argument: &'a Argument,
    parameter: &'a TypeName,
    text: &'a str,
}

async fn convert_all(
    session: &mut Session,
    stop: &Stop,
    conversions: &[Conversion<'_>],
) -> Result<Vec<Option<Vec<u8>>>, Error> {
    if conversions.is_empty() {
        return Ok(Vec::new());
    }
    match (convert(session, stop, conversions).await, conversions) {
        (Err(Error::Sql(error)), [one]) => Err(refused(one, &error)),
        (Err(Error::Sql(_)), several) => Err(find_culprit(session, stop, several).await),
        (result, _) => result,
    }
}

async fn convert(
    session: &mut Session,
    stop: &Stop,
    conversions: &[Conversion<'_>],
) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let casts: Vec<_> = conversions
        .iter()
        .enumerate()
        .map(|(i, conversion)| format!("${}::text::{}", i + 1, conversion.parameter.qualified))
        .collect();
    let mut texts = PgArguments::default();
    for conversion in conversions {
        add(&mut texts, Raw { oid: TEXT, bytes: Some(conversion.text.as_bytes().to_vec()) })?;
    }
    let sql = AssertSqlSafe(format!("SELECT {}", casts.join(", ")));
    let (connection, guard) = session.split();
    let fetch = sqlx::query_with(sql, texts).fetch_one(&mut connection.sql);
    let row: PgRow = guard.run(stop, CallerText::NONE, fetch).await?;
    (0..conversions.len())
        .map(|column| {
            let value = row.try_get_raw(column).map_err(|error| Error::Internal(error.to_string()))?;
            Ok(if value.is_null() { None } else { value.as_bytes().ok().map(<[u8]>::to_vec) })
        })
        .collect()
}

/// Converts one by one, each in a transaction of its own, to name the value that PostgreSQL refuses.
async fn find_culprit(session: &mut Session, stop: &Stop, conversions: &[Conversion<'_>]) -> Error {
    for conversion in conversions {
        let restart = format!("ROLLBACK; BEGIN READ ONLY; {}", statement_timeout(stop));
        let (connection, guard) = session.split();
        let restart = sqlx::raw_sql(AssertSqlSafe(restart)).execute(&mut connection.sql);
        if let Err(error) = guard.run(stop, CallerText::NONE, restart).await {
            return error;
        }
        match convert(session, stop, std::slice::from_ref(conversion)).await {
            Ok(_) => {}
            Err(Error::Sql(error)) => return refused(conversion, &error),
            Err(error) => return error,
        }
    }
    Error::Internal("several values together could not be converted, but each one alone could".to_owned())
}

/// What PostgreSQL says of a text that it cannot convert.
fn refused(conversion: &Conversion<'_>, error: &SqlError) -> Error {
    let Conversion { argument, parameter, .. } = conversion;
    if error.sqlstate != NO_BINARY_FORM {
        return invalid(argument, parameter, &error.message);
    }
    let name = &parameter.short;
    let message = format!("{name} has no binary form, so no parameter can be of it; write $N::text::{name} for it");
    Error::InvalidParameter { parameter: argument.label.clone(), message }
}

fn invalid(argument: &Argument, parameter: &TypeName, message: &str) -> Error {
    let shown = argument.value.kind.as_ref().map_or_else(|| "NULL".to_owned(), param::show);
    let message = format!("{shown} cannot be a {}: {message}", parameter.short);
    match &argument.field {
        Some(field) => Error::InvalidValue { field: field.clone(), message: format!("{}: {message}", argument.label) },
        None => Error::InvalidParameter { parameter: argument.label.clone(), message },
    }
}

fn add(arguments: &mut PgArguments, value: Raw) -> Result<(), Error> {
    sqlx::Arguments::add(arguments, value).map_err(|error| Error::Internal(error.to_string()))
}
