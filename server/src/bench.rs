//! What `benches/` measures of this crate, as small entry points over internals: encoders, and the way of a request to
//! the SQL that is sent. Not for anything else; compiled with feature `bench` only.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use rowstream_contract::v1::{self, StreamQueryRequest};

use crate::{
    encode::{Malformed, batch::BatchBuilder, codec::Codec, row::RawRow},
    plan::{
        self, Column, Source, TypeName,
        named::NamedQuery,
        param::{Fitted, fit},
        request::RequestPolicy,
        sql,
    },
};

const POLICY: RequestPolicy = RequestPolicy { allow_sql: true, max_message_bytes: 4 << 20, max_row_bytes: 128 << 20 };

/// One row in PostgreSQL's binary form, laid out as sqlx holds one: the bytes of all values, and where each is.
#[derive(Clone, Debug, Default)]
pub struct BinaryRow {
    bytes: Vec<u8>,
    values: Vec<Option<Range<usize>>>,
}

impl BinaryRow {
    /// Appends a value; `None` is NULL.
    pub fn push(&mut self, value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.values.push(value.map(|_| start..self.bytes.len()));
    }
}

impl RawRow for BinaryRow {
    fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    fn values(&self) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
        self.values.iter().map(|range| Ok(range.clone().map(|range| &self.bytes[range])))
    }
}

/// Encodes rows as `ENCODING_ROWS` does, with the default limits of a stream, and answers the body of each batch.
///
/// # Panics
/// If a type has no codec, or a value is not of its type.
#[must_use]
pub fn encode_rows(type_oids: &[u32], rows: &[BinaryRow]) -> Vec<Bytes> {
    encode(type_oids, rows, &StreamQueryRequest::default()).1
}

/// As [`encode_rows`] with `ENCODING_ARROW`, behind what the header says of the batches; a `numeric` is taken to be
/// `numeric(15, 2)`.
///
/// # Panics
/// If a type has no codec, or a value is not of its type.
#[must_use]
pub fn encode_arrow(type_oids: &[u32], rows: &[BinaryRow]) -> (Bytes, Vec<Bytes>) {
    encode(
        type_oids,
        rows,
        &StreamQueryRequest { encoding: v1::Encoding::Arrow.into(), ..StreamQueryRequest::default() },
    )
}

fn encode(type_oids: &[u32], rows: &[BinaryRow], request: &StreamQueryRequest) -> (Bytes, Vec<Bytes>) {
    /// PostgreSQL's type modifier of `numeric(15, 2)`.
    const MODIFIER: i32 = (15 << 16 | 2) + 4;
    let column = |oid: &u32| {
        let short = Codec::type_name(*oid).expect("a type with a codec");
        let type_name = TypeName { oid: *oid, qualified: short.clone(), short };
        Column::new(String::new(), type_name, sql::Cast::Text).with_modifier(Some(MODIFIER))
    };
    let columns: Vec<Column> = type_oids.iter().map(column).collect();
    let options = POLICY.options(request, &Source::Sql(String::new())).expect("the defaults are valid");
    let mut builder = BatchBuilder::new(&columns, options.encoding, options.limits);
    let arrow_schema = builder.arrow_schema();
    let mut bodies = Vec::new();
    for row in rows {
        builder.push(row).expect("a row of these types");
        while let Some(batch) = builder.next_closed() {
            bodies.push(batch.data.bytes().clone());
        }
    }
    builder.close().expect("values of these types");
    while let Some(batch) = builder.next_closed() {
        bodies.push(batch.data.bytes().clone());
    }
    (arrow_schema, bodies)
}

/// A request from the wire to the statement that is declared: checked, arranged, its values made ready for parameters
/// of these types, its text wrapped. Answers the length of the SQL.
///
/// # Panics
/// If the request is not one that is run.
#[must_use]
pub fn plan_request(mut request: StreamQueryRequest, parameter_oids: &[u32]) -> usize {
    let statement = POLICY.statement(request.statement.take(), |_| Ok(None)).expect("a statement");
    POLICY.options(&request, &statement.source).expect("options");
    let count = parameter_oids.len();
    let arguments = plan::arrange(&statement.source, &statement.arguments, count).expect("as many as there are");
    for (argument, oid) in arguments.iter().zip(parameter_oids) {
        assert!(matches!(fit(&argument.value, *oid, "parameter"), Ok(Fitted::Binary(_))), "no binary form");
    }
    sql::declare(&sql::plain(statement.source.sql()), parameter_oids).sql.len()
}

/// Reads the file of a named query, and answers how many parameters it declares.
///
/// # Panics
/// If it is not one.
#[must_use]
pub fn named_query(file: &str) -> usize {
    let query = NamedQuery::parse("query", file).map(Arc::new).expect("a good file");
    query.parameters.len()
}
