//! Descriptions, batches and errors for the tests of this command.

use bytes::Bytes;
use prost::Message as _;
use rowstream_client::{Call, Client, Column, Columns, Error, Parameter, RowBatch, fanout::Report};
use rowstream_contract::v1::{self, ListValue, Value, value::Kind};

pub(crate) fn parameter(position: i32, name: &str, type_name: &str, type_oid: u32, required: bool) -> Parameter {
    let (name, type_name) = (name.to_owned(), type_name.to_owned());
    v1::Parameter { position, name, type_name, type_oid, required, ..v1::Parameter::default() }.try_into().unwrap()
}

pub(crate) fn columns(columns: &[(&str, &str, u32)]) -> Columns {
    let column = |(name, type_name, type_oid): &(&str, &str, u32)| Column {
        name: (*name).to_owned(),
        type_name: (*type_name).to_owned(),
        type_oid: *type_oid,
        nullable: None,
    };
    columns.iter().map(column).collect()
}

/// Rows of text.
pub(crate) fn batch(columns: &Columns, rows: &[&[&str]]) -> RowBatch {
    let mut body = Vec::new();
    for row in rows {
        // A row is encoded as a list is: a run of values in field 1.
        let values = row.iter().map(|text| Value { kind: Some(Kind::Text((*text).to_owned())) }).collect();
        prost::encoding::bytes::encode(1, &Bytes::from(ListValue { values }.encode_to_vec()), &mut body);
    }
    RowBatch::try_new(columns.clone(), body.into(), 0).unwrap()
}

pub(crate) fn failure() -> Error {
    Error::Protocol("boom".to_owned())
}

/// The report of a fan-out that has done nothing.
pub(crate) fn report() -> Report {
    let client = Client::builder(["http://h:1"]).build().unwrap();
    client.fanout().stream(std::iter::empty::<Call>()).monitor().report()
}
