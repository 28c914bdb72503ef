//! Decoding against the generated types: whatever prost encodes reads back as the same values.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use rowstream_contract::v1::{ListValue, Value, value::Kind};

use super::*;

/// A small generator with a fixed seed, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn text(&mut self) -> String {
        (0..self.below(200)).map(|_| ['a', 'é', '漢', '\n', '"'][usize::try_from(self.below(5)).unwrap()]).collect()
    }

    fn value(&mut self, depth: u32) -> Value {
        let kind = match self.below(if depth == 0 { 7 } else { 8 }) {
            0 => return Value { kind: None },
            1 => Kind::Bool(self.below(2) == 0),
            2 => Kind::Int64((self.below(u64::MAX) >> self.below(64)).cast_signed()),
            3 => Kind::Double(f64::from_bits(self.below(u64::MAX))),
            4 => Kind::Text(self.text()),
            5 => Kind::Bytes(self.text().into_bytes().into()),
            6 => Kind::Numeric(self.below(1000).to_string()),
            _ => Kind::List(ListValue { values: (0..self.below(5)).map(|_| self.value(depth - 1)).collect() }),
        };
        Value { kind: Some(kind) }
    }
}

fn batch(names: &[&str], rows: &[Vec<Value>]) -> RowBatch {
    let mut body = Vec::new();
    for row in rows {
        // A row is encoded as a list is: a run of values in field 1.
        prost::encoding::bytes::encode(1, &ListValue { values: row.clone() }.encode_to_vec(), &mut body);
    }
    let column =
        |name: &&str| Column { name: (*name).to_owned(), type_name: "t".to_owned(), type_oid: 0, nullable: None };
    RowBatch::try_new(names.iter().map(column).collect(), body.into(), 10).unwrap()
}

fn kind(value: ValueRef<'_>) -> Value {
    let kind = match value {
        ValueRef::Null => return Value { kind: None },
        ValueRef::Bool(value) => Kind::Bool(value),
        ValueRef::Int64(value) => Kind::Int64(value),
        ValueRef::Double(value) => Kind::Double(value),
        ValueRef::Text(value) => Kind::Text(value.to_owned()),
        ValueRef::Bytes(value) => Kind::Bytes(Bytes::copy_from_slice(value)),
        ValueRef::Numeric(value) => Kind::Numeric(value.to_owned()),
        ValueRef::List(list) => {
            Kind::List(ListValue { values: list.iter().map(|element| kind(element.unwrap())).collect() })
        }
    };
    Value { kind: Some(kind) }
}

#[test]
fn whatever_prost_encodes_reads_back() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        let names = &["a", "b", "c"][..usize::try_from(random.below(4)).unwrap()];
        let row = |random: &mut Random| names.iter().map(|_| random.value(3)).collect::<Vec<_>>();
        let rows: Vec<_> = (0..random.below(20)).map(|_| row(&mut random)).collect();
        let batch = batch(names, &rows);
        assert_eq!(batch.len(), rows.len());
        for (decoded, expected) in batch.iter().zip(&rows) {
            let decoded: Vec<_> = decoded.values().map(|value| kind(value.unwrap())).collect();
            // Compared in encoded form, where NaN equals itself.
            let encoded = |values: &[Value]| ListValue { values: values.to_vec() }.encode_to_vec();
            assert_eq!(encoded(&decoded), encoded(expected));
        }
    }
}

#[test]
fn a_changed_byte_is_an_error_or_another_value_but_never_a_panic() {
    let mut random = Random(7);
    let rows: Vec<_> = (0..20).map(|_| vec![random.value(3), random.value(2)]).collect();
    let whole = batch(&["a", "b"], &rows);
    for at in 0..whole.body().len() {
        let mut body = whole.body().to_vec();
        body[at] ^= 1 << random.below(8);
        if let Ok(changed) = RowBatch::try_new(whole.columns().clone(), body.into(), 0) {
            for value in changed.iter().flat_map(|row| row.values()).flatten() {
                if let ValueRef::List(list) = value {
                    let _ = list.iter().count();
                }
            }
        }
    }
}

fn sample() -> RowBatch {
    let row = [
        Some(Kind::Int64(70_000)),
        Some(Kind::Text("ann".to_owned())),
        None,
        Some(Kind::Numeric("12.30".to_owned())),
        Some(Kind::Bytes(vec![1, 2].into())),
        Some(Kind::List(ListValue { values: vec![Value { kind: Some(Kind::Double(0.5)) }, Value { kind: None }] })),
        Some(Kind::Bool(true)),
    ];
    batch(&["id", "name", "note", "price", "raw", "marks", "done"], &[row.map(|kind| Value { kind }).to_vec()])
}

#[test]
fn values_are_read_as_rust_types_by_name_and_position() {
    let row = sample().into_rows().next().unwrap();
    assert_eq!(row.number(), 10);
    assert_eq!((row.get::<i64>("id"), row.get::<i32>(0)), (Ok(70_000), Ok(70_000)));
    assert_eq!((row.get::<&str>("name"), row.get::<String>(1)), (Ok("ann"), Ok("ann".to_owned())));
    assert_eq!(row.get::<Option<String>>("note"), Ok(None));
    assert_eq!(row.get::<&str>("price"), Ok("12.30"));
    assert_eq!((row.get::<&[u8]>("raw"), row.get::<Vec<u8>>("raw")), (Ok(&[1, 2][..]), Ok(vec![1, 2])));
    assert_eq!(row.get::<Vec<Option<f32>>>("marks"), Ok(vec![Some(0.5), None]));
    assert_eq!(row.value("done"), Ok(ValueRef::Bool(true)));
}

#[test]
fn what_cannot_be_read_is_told_with_the_column() {
    let row = sample().into_rows().next().unwrap();
    for (error, told) in [
        (row.get::<i16>("id").unwrap_err(), "column \"id\" of type t cannot be read: the number does not fit into i16"),
        (row.get::<bool>("name").unwrap_err(), "it is text, not a bool"),
        (row.get::<String>("note").unwrap_err(), "it is NULL; ask for an Option"),
        (row.get::<f64>("price").unwrap_err(), "it is a numeric, not a float"),
        (row.get::<Vec<f64>>("marks").unwrap_err(), "it is NULL"),
        (row.get::<i64>("nothing").unwrap_err(), "the result has no column \"nothing\""),
        (row.get::<i64>(7).unwrap_err(), "the result has no column 7"),
    ] {
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn text_that_is_not_utf8_is_an_error_when_it_is_read() {
    let body = [0x0a, 6, 0x0a, 4, 0x22, 2, 0xff, 0xfe];
    let columns = sample().columns().iter().take(1).cloned().collect();
    let batch = RowBatch::try_new(columns, Bytes::copy_from_slice(&body), 0).unwrap();
    let error = batch.get(0).unwrap().value(0).unwrap_err();
    assert_eq!(error.value_error(), Some(&ValueError::Utf8(InvalidUtf8)));
}

#[test]
fn rows_become_serde_types() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Order<'a> {
        id: u64,
        name: &'a str,
        note: Option<String>,
        price: String,
        raw: Vec<u8>,
        marks: Vec<Option<f64>>,
    }
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Name {
        Ann,
    }
    let row = sample().into_rows().next().unwrap();
    let (name, price, raw, marks) = ("ann", "12.30".to_owned(), vec![1, 2], vec![Some(0.5), None]);
    assert_eq!(row.deserialize::<Order<'_>>(), Ok(Order { id: 70_000, name, note: None, price, raw, marks }));
    let (id, name): (i32, Name) = row.deserialize().unwrap();
    assert_eq!((id, name), (70_000, Name::Ann));
    assert_eq!(batch(&["n"], &[vec![Value { kind: Some(Kind::Int64(5)) }]]).get(0).unwrap().deserialize(), Ok(5_u8));
}

#[test]
fn a_serde_failure_names_the_column() {
    let row = sample().into_rows().next().unwrap();
    let error = row.deserialize::<BTreeMap<String, i64>>().unwrap_err();
    assert!(error.to_string().starts_with("column \"name\" of type t cannot be read"), "{error}");
    assert!(row.deserialize::<i64>().unwrap_err().to_string().contains("7 columns"));
}

#[test]
fn the_rest_of_a_batch_keeps_its_numbers() {
    let value = |value| vec![Value { kind: Some(Kind::Int64(value)) }];
    let mut rows = batch(&["n"], &[value(1), value(2), value(3)]).into_rows();
    rows.next();
    let rest = rows.into_rest().unwrap();
    let read: Vec<_> = rest.iter().map(|row| (row.number(), row.get::<i64>(0).unwrap())).collect();
    assert_eq!(read, [(11, 2), (12, 3)]);
}
