//! Requests from the wire as validated values: parsed once, trusted from then on.

use std::sync::Arc;

use rowstream_contract::v1::{self, statement};
use uuid::Uuid;

use super::{
    Arguments, MAX_PARAMETERS, MAX_SQL_BYTES, Source,
    declared::is_name,
    named::NamedQuery,
    options::{Encoding, ReadOptions, Strategy},
    partition::Part,
    table::read::TableRead,
};
use crate::{cursor::snapshot::SnapshotName, encode::batch::BatchLimits, error::Error};

/// The size at which a batch closes if the request does not say. Four of them make most of what a stream that is not
/// read takes. 256 KiB would take 4 to 9 % less of this program's processor time, and bring no more rows a second than
/// one run differs from the next (docs/performance.md).
const BATCH_BYTES: usize = 96 * 1024;
/// The same for Arrow, where the fixed cost of a batch is larger: a schema of buffers for each.
const ARROW_BATCH_BYTES: usize = 256 * 1024;
/// The size at which the first batch closes, so that the first row comes early.
const FIRST_BATCH_BYTES: usize = 32 * 1024;
/// The longest id that a caller may give a call: it must fit `application_name` with room to spare.
const MAX_QUERY_ID: usize = 36;

/// What the server's configuration says about requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestPolicy {
    pub(crate) allow_sql: bool,
    pub(crate) max_message_bytes: usize,
    pub(crate) max_row_bytes: usize,
}

/// A statement and its values.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) source: Source,
    pub(crate) arguments: Arguments,
    /// The part of a read session's result that is wanted.
    pub(crate) partition: Option<Arc<Partition>>,
}

/// A part of a statement's result in the snapshot of a read session.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    /// The session's id.
    pub(crate) session: Uuid,
    /// Without it, it is read as the database is now.
    pub(crate) snapshot: Option<SnapshotName>,
    pub(crate) part: Part,
    /// What the statement was when the session was created ([`shape`](super::partition::shape)).
    pub(crate) shape: Vec<u8>,
}

impl RequestPolicy {
    /// Checks a statement and finds the named query it names.
    pub(crate) fn statement(
        &self,
        statement: Option<v1::Statement>,
        find: impl Fn(&str) -> Result<Option<Arc<NamedQuery>>, Error>,
    ) -> Result<Statement, Error> {
        let statement = statement.ok_or_else(|| invalid("statement", "is required"))?;
        let source = match statement.source {
            None => return Err(invalid("statement", "needs one of sql, query and table")),
            Some(statement::Source::Sql(_)) if !self.allow_sql => return Err(Error::SqlNotAllowed),
            Some(statement::Source::Sql(sql)) => Source::Sql(checked_sql(sql)?),
            Some(statement::Source::Query(name)) => match find(&name)? {
                Some(query) => Source::Named(query),
                None if is_name(&name) => return Err(Error::UnknownQuery(name)),
                None => return Err(invalid("statement.query", "is not the name of a query")),
            },
            Some(statement::Source::Table(read)) => Source::Table(Arc::new(TableRead::try_new(read)?)),
        };
        let arguments = arguments(statement.parameters, statement.named_parameters, &source)?;
        Ok(Statement { source, arguments, partition: None })
    }

    /// Checks the options of a stream.
    pub(crate) fn options(&self, request: &v1::StreamQueryRequest, source: &Source) -> Result<ReadOptions, Error> {
        let max_rows = match request.max_rows {
            ..0 => return Err(invalid("max_rows", "is negative; 0 is no limit")),
            0 => None,
            rows => Some(rows),
        };
        let (own, own_bytes) = match source {
            Source::Named(query) => (query.max_rows, query.max_batch_bytes),
            Source::Sql(_) | Source::Table(_) => (None, None),
        };
        let batch_rows = match request.max_batch_rows {
            ..0 => return Err(invalid("max_batch_rows", "is negative; 0 is no limit")),
            0 => i64::MAX,
            rows => rows.into(),
        };
        let encoding = Encoding::try_new(request)?;
        let bytes = match request.max_batch_bytes {
            0 if encoding == Encoding::Rows => BATCH_BYTES,
            0 => ARROW_BATCH_BYTES,
            bytes => usize::try_from(bytes).map_err(|_| invalid("max_batch_bytes", "is negative; 0 is the default"))?,
        };
        let max_rows = max_rows.into_iter().chain(own).min();
        let bytes = own_bytes.map_or(bytes, |own| bytes.min(own));
        let strategy = Strategy::try_new(request.strategy)?;
        Ok(ReadOptions { max_rows, limits: self.limits(bytes, batch_rows), encoding, strategy })
    }

    /// The options of a call that takes one row.
    pub(crate) fn one_row(&self) -> ReadOptions {
        ReadOptions {
            max_rows: Some(1),
            limits: self.limits(BATCH_BYTES, 1),
            encoding: Encoding::Rows,
            strategy: Strategy::Cursor,
        }
    }

    fn limits(&self, bytes: usize, rows: i64) -> BatchLimits {
        let bytes = bytes.min(self.max_message_bytes);
        BatchLimits {
            first_bytes: bytes.min(FIRST_BATCH_BYTES),
            bytes,
            rows,
            message_bytes: self.max_message_bytes,
            row_bytes: self.max_row_bytes,
        }
    }
}

/// Checks an id that a caller gives a call; `None` if it gave none.
pub(crate) fn query_id(text: &str) -> Result<Option<String>, Error> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    match text.len() {
        0 => Ok(None),
        1..=MAX_QUERY_ID if text.bytes().all(allowed) => Ok(Some(text.to_owned())),
        _ => Err(invalid("query_id", "is not 1 to 36 of the characters A-Z a-z 0-9 . _ : -")),
    }
}

fn checked_sql(sql: String) -> Result<String, Error> {
    match sql {
        sql if sql.trim().is_empty() => Err(invalid("statement.sql", "is empty")),
        sql if sql.len() > MAX_SQL_BYTES => Err(invalid("statement.sql", "is larger than 1 MiB")),
        sql if sql.contains('\0') => Err(invalid("statement.sql", "has a NUL character")),
        sql => Ok(sql),
    }
}

fn arguments(
    positional: Vec<v1::Value>,
    named: std::collections::HashMap<String, v1::Value>,
    source: &Source,
) -> Result<Arguments, Error> {
    match (positional.len(), named.len(), source) {
        (1.., _, Source::Table(_)) => {
            Err(invalid("statement.parameters", "go with sql and query; a table read has its values in its filter"))
        }
        (_, 0, _) if positional.len() > MAX_PARAMETERS => Err(invalid("statement.parameters", "are more than 65535")),
        (_, 0, _) => Ok(Arguments::Positional(positional)),
        (0, _, Source::Named(_)) => Ok(Arguments::Named(named)),
        (0, _, Source::Table(_)) => {
            Err(invalid("statement.named_parameters", "go with a query; a table read has its values in its filter"))
        }
        (0, _, Source::Sql(_)) => {
            Err(invalid("statement.named_parameters", "go with a named query; ad-hoc SQL takes parameters $1, $2, ..."))
        }
        _ => Err(invalid("statement.parameters", "exclude named_parameters; give one of them")),
    }
}

pub(crate) fn invalid(field: &'static str, message: &str) -> Error {
    Error::InvalidRequest { field, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RequestPolicy =
        RequestPolicy { allow_sql: true, max_message_bytes: 4 << 20, max_row_bytes: 128 << 20 };

    fn sql(text: &str) -> Option<v1::Statement> {
        Some(v1::Statement { source: Some(statement::Source::Sql(text.to_owned())), ..v1::Statement::default() })
    }

    #[test]
    fn every_bad_field_is_named() {
        let refusal = |statement| POLICY.statement(statement, |_| Ok(None)).expect_err("refused").to_string();
        assert_eq!(refusal(None), "statement: is required");
        assert_eq!(refusal(Some(v1::Statement::default())), "statement: needs one of sql, query and table");
        assert_eq!(refusal(sql(" \n")), "statement.sql: is empty");
        assert_eq!(refusal(sql("select '\0'")), "statement.sql: has a NUL character");
        assert_eq!(refusal(sql(&"x".repeat(MAX_SQL_BYTES + 1))), "statement.sql: is larger than 1 MiB");
        for id in ["x y", "ä", "0123456789012345678901234567890123456"] {
            assert!(query_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn batches_never_pass_the_message_limit() {
        let source = Source::Sql("select 1".to_owned());
        let request = v1::StreamQueryRequest { max_batch_bytes: i32::MAX, ..v1::StreamQueryRequest::default() };
        let options = POLICY.options(&request, &source).expect("valid");
        assert_eq!(options.limits.bytes, 4 << 20);
    }
}
