#![no_main]
//! What a server sends as rows, however broken: refused, or read as prost reads it, and printed in every format.

use bytes::Bytes;
use prost::Message;
use rowstream_client::{
    Columns, RowBatch, ValueRef,
    sink::{CsvSink, JsonLinesSink, Sink, TableSink},
};
use rowstream_contract::v1::{Column, ListValue, Value, value::Kind};

#[derive(Clone, PartialEq, Message)]
struct Rows {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<ListValue>,
}

/// Types that are printed in ways of their own: float4, json, text and int4.
const TYPES: [u32; 4] = [700, 114, 25, 23];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let count = usize::from(first % 4);
    let columns: Columns = (0..count)
        .map(|i| Column { name: format!("c\u{1b}{i}"), type_name: "t".to_owned(), type_oid: TYPES[(i + usize::from(first / 4)) % 4], nullable: None })
        .collect::<Vec<_>>()
        .into();
    let json = columns.iter().any(|column| column.is_json());
    let Ok(batch) = RowBatch::try_new(columns, Bytes::copy_from_slice(body), 0) else { return };
    if let Ok(reference) = Rows::decode(body) {
        assert_eq!(batch.len(), reference.rows.len());
        for (row, expected) in batch.iter().zip(&reference.rows) {
            assert_eq!(row.len(), expected.values.len());
            for (value, expected) in row.values().zip(&expected.values) {
                same(value.expect("text that prost takes"), expected);
            }
        }
    }
    print(CsvSink::default(), &batch);
    print(TableSink::default(), &batch);
    if let Some(lines) = print(JsonLinesSink::default(), &batch)
        && !json
    {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            serde_json::from_slice::<serde_json::Value>(line).expect("a line of JSON");
        }
    }
});

fn same(value: ValueRef<'_>, expected: &Value) {
    match (value, &expected.kind) {
        (ValueRef::Null, None) => {}
        (ValueRef::Bool(value), Some(Kind::Bool(expected))) => assert_eq!(value, *expected),
        (ValueRef::Int64(value), Some(Kind::Int64(expected))) => assert_eq!(value, *expected),
        (ValueRef::Double(value), Some(Kind::Double(expected))) => assert_eq!(value.to_bits(), expected.to_bits()),
        (ValueRef::Text(value), Some(Kind::Text(expected)))
        | (ValueRef::Numeric(value), Some(Kind::Numeric(expected))) => assert_eq!(value, expected),
        (ValueRef::Bytes(value), Some(Kind::Bytes(expected))) => assert_eq!(value, &expected[..]),
        (ValueRef::List(value), Some(Kind::List(expected))) => {
            let elements: Vec<_> = value.iter().collect();
            assert_eq!(elements.len(), expected.values.len());
            for (element, expected) in elements.into_iter().zip(&expected.values) {
                same(element.expect("text that prost takes"), expected);
            }
        }
        (value, expected) => panic!("{value:?} is not {expected:?}"),
    }
}

/// `None` if a value cannot be read.
fn print(mut sink: impl Sink, batch: &RowBatch) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    sink.begin(batch.columns(), &mut out);
    sink.batch(batch, &mut out).ok()?;
    sink.end(&mut out);
    Some(out)
}
