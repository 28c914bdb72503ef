//! What the fuzz targets of `fuzz/` run of this crate: one function a target, for any bytes at all. Each asserts what
//! must hold of what is accepted; a panic is a finding. Tests replay their seeds; not compiled otherwise.

use prost::Message as _;
use rowstream_contract::v1::{ListValue, StreamQueryRequest, Value};

use crate::{
    cursor::tuples::Tuples,
    encode::{
        Malformed,
        batch::{BatchBuilder, BatchLimits, RowError},
        codec::{Codec, TEXT},
        gather::Gathered,
        row::RawRow,
    },
    plan::{
        self, Column, Source, TypeName,
        composite::{Composite, Composites, Compound},
        declared::is_name,
        named::NamedQuery,
        options::{ArrowOptions, Encoding},
        param::{Fitted, fit},
        request::RequestPolicy,
        sql,
    },
    token::{Keys, Kind},
};

/// Every type with a codec, and a few arrays.
const OIDS: [u32; 32] = [
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1700, 2278, 2950,
    3802, 1000, 1001, 1002, 1007, 1009, 1022, 1185, 1231, 3807,
];

/// A value in PostgreSQL's binary form, behind a byte that says of which type: refused, or a `values` field that is
/// the same when it is decoded and encoded again.
pub fn value(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let oid = OIDS[usize::from(first % 32)];
    let codec = Codec::of(oid).expect("a type with a codec");
    let mut out = Vec::new();
    if codec.write(bytes, &mut out).is_err() {
        return;
    }
    let decoded = ListValue::decode(&out[..]).expect("protobuf, and UTF-8");
    assert_eq!(decoded.values.len(), 1);
    assert_eq!(decoded.encode_to_vec(), out, "the shortest encoding");
    if let Codec::Scalar(scalar) = codec {
        let mut text = Vec::new();
        scalar.write_text(bytes, &mut text).expect("what can be sent can be printed");
        assert!(oid == 17 || std::str::from_utf8(&text).is_ok());
    }
}

/// The file of a named query: refused with its line, or read with what it says.
pub fn query_file(data: &[u8]) {
    let Ok(content) = std::str::from_utf8(data) else { return };
    match NamedQuery::parse("q", content) {
        Err(bad) => assert!(bad.line >= 1 && bad.line <= content.lines().count().max(1), "{bad}"),
        Ok(query) => {
            assert_eq!(query.sql, content);
            for (i, parameter) in query.parameters.iter().enumerate() {
                assert!(is_name(&parameter.name));
                assert!(query.parameters[..i].iter().all(|other| other.name != parameter.name));
            }
            assert!(query.max_rows.is_none_or(|rows| rows > 0));
            assert!(query.max_deadline.is_none_or(|deadline| !deadline.is_zero()));
        }
    }
}

/// A request: refused with its field, or a statement whose text stands unchanged in the SQL around it and whose values
/// are ready for PostgreSQL.
pub fn request(data: &[u8]) {
    const POLICY: RequestPolicy =
        RequestPolicy { allow_sql: true, max_message_bytes: 4 << 20, max_row_bytes: 128 << 20 };
    let Ok(mut request) = StreamQueryRequest::decode(data) else { return };
    let Ok(statement) = POLICY.statement(request.statement.take(), |_| Ok(None)) else { return };
    if let Ok(options) = POLICY.options(&request, &statement.source) {
        assert!(options.max_rows.is_none_or(|rows| rows > 0));
        assert!(options.limits.bytes <= options.limits.message_bytes && options.limits.rows > 0);
    }
    wrapped(&statement.source);
    let plan::Arguments::Positional(values) = &statement.arguments else { return };
    let count = values.len();
    let arguments = plan::arrange(&statement.source, &statement.arguments, count).expect("as many as there are");
    for (argument, oid) in arguments.iter().zip(OIDS.iter().chain([&869, &3904]).cycle()) {
        fitted(&argument.value, *oid);
    }
}

/// What a caller sends as a token: never taken, whatever it is for; and one of ours, until a bit of it is changed.
pub fn token(data: &[u8]) {
    let keys = Keys::random().expect("randomness");
    for kind in [Kind::Partition, Kind::Session, Kind::Resume] {
        assert!(keys.open::<ListValue>(kind, data).is_err(), "nobody has the key");
    }
    let Ok(message) = ListValue::decode(data) else { return };
    let mut token = keys.seal(Kind::Resume, &message).to_vec();
    let opened = keys.open::<ListValue>(Kind::Resume, &token).expect("as it was sealed");
    // NaN is not equal to itself, but its bytes are.
    assert_eq!(opened.encode_to_vec(), message.encode_to_vec());
    let at = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (token.len() * 8);
    token[at / 8] ^= 1 << (at % 8);
    assert!(keys.open::<ListValue>(Kind::Resume, &token).is_err(), "bit {at} was changed");
}

fn wrapped(source: &Source) {
    let plain = sql::plain(source.sql());
    assert_eq!(plain.sql.chars().count(), source.sql().chars().count() + 1, "a semicolon becomes a blank");
    let declared = sql::declare(&sql::casting(source.sql(), &[None, Some(&sql::Cast::Text)]), &[23, TEXT]);
    let inside: String = declared.sql.chars().skip(declared.text.before).take(declared.text.length).collect();
    assert_eq!(format!("{inside}\n"), plain.sql, "errors are located in the caller's own text");
}

/// What is made ready in binary form is a value of its type.
fn fitted(value: &Value, oid: u32) {
    if let (Ok(Fitted::Binary(bytes)), Some(codec)) = (fit(value, oid, "t"), Codec::of(oid)) {
        codec.write(&bytes, &mut Vec::new()).expect("the type's binary form");
    }
}

/// The messages of a COPY, each behind a byte of its length, and all behind one of how many columns it has: refused, or
/// rows, each of which is the same read value by value and gathered.
pub fn tuples(data: &[u8]) {
    let Some((columns, mut rest)) = data.split_first() else { return };
    let columns = usize::from(columns % 4);
    let mut tuples = Tuples::new(columns);
    let mut gathered = Gathered::new(columns);
    while let Some((length, behind)) = rest.split_first() {
        let (message, next) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = next;
        let Ok(Some(tuple)) = tuples.read(message) else { continue };
        assert_eq!(tuple.len(), columns);
        let values: Result<Vec<_>, Malformed> = tuple.values().collect();
        let added = tuple.gather(&mut gathered, usize::MAX);
        assert_eq!(values.is_ok(), added.is_ok(), "{message:?}");
        if let Ok(values) = values {
            assert_eq!(gathered.row(gathered.rows() - 1).collect::<Vec<_>>(), values);
        }
    }
}

/// The one value of a row.
struct Single<'a>(&'a [u8]);

impl RawRow for Single<'_> {
    fn len(&self) -> usize {
        1
    }

    fn values(&self) -> impl Iterator<Item = Result<Option<&[u8]>, Malformed>> {
        std::iter::once(Ok(Some(self.0)))
    }
}

/// A composite in PostgreSQL's binary form, `(int4, int4[], numeric(6, 2), (date, text))`, behind a byte that says what
/// becomes of a value that Arrow cannot hold: refused, or a struct in Arrow.
pub fn record(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let options = ArrowOptions { unrepresentable_as_null: first % 2 == 1, ..ArrowOptions::default() };
    let limits =
        BatchLimits { first_bytes: 1 << 20, bytes: 1 << 20, rows: 10, message_bytes: 4 << 20, row_bytes: 1 << 20 };
    let columns = [composite(vec![field(23), field(1007), field(1700), composite(vec![field(1082), field(TEXT)])])];
    let mut builder = BatchBuilder::new(&columns, Encoding::Arrow(options), limits);
    let row = Single(bytes);
    let pushed = builder.push(&row).and_then(|()| builder.push(&row)).and_then(|()| builder.close());
    match pushed {
        Ok(()) => assert_eq!(builder.next_closed().map(|batch| batch.row_count), Some(2)),
        Err(error) => assert!(!matches!(error, RowError::Arrow(_)), "{error:?}"),
    }
}

fn field(oid: u32) -> Column {
    /// PostgreSQL's type modifier of `numeric(6, 2)`.
    const MODIFIER: i32 = (6 << 16 | 2) + 4;
    let type_name = TypeName { oid, short: format!("t{oid}"), qualified: format!("t{oid}") };
    Column::new(format!("f{oid}"), type_name, sql::Cast::Text).with_modifier(Some(MODIFIER))
}

/// A column of a composite, or a field: then of the type that it tells.
fn composite(fields: Vec<Column>) -> Column {
    const OID: u32 = 90_001;
    let composite = Composite::new(fields).map(|composite| Compound::One(composite.into()));
    let column = Column { composite, ..field(OID) }.into_record(Composites::Structs { in_lists: true });
    Column { wire_oid: OID, ..column }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// How many damaged copies of each seed are tried: a fuzzer finds more, but not on every day.
    const COPIES: u32 = 100;

    /// Runs a target with the seeds of `fuzz/seeds`, and with damaged copies of them.
    fn replay(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name);
        let seeds: Vec<Vec<u8>> = fs::read_dir(&folder)
            .expect("a folder of seeds")
            .map(|file| fs::read(file.expect("a seed").path()).expect("its bytes"))
            .collect();
        assert!(!seeds.is_empty(), "{name} has seeds");
        let mut random = fastrand::Rng::with_seed(7);
        for seed in &seeds {
            target(seed);
            for _ in 0..COPIES {
                let mut copy = seed.clone();
                for _ in 0..random.usize(1..4) {
                    damage(&mut copy, random.choice(&seeds).expect("not empty"), &mut random);
                }
                target(&copy);
            }
        }
    }

    fn damage(bytes: &mut Vec<u8>, other: &[u8], random: &mut fastrand::Rng) {
        let at = random.usize(..=bytes.len());
        match random.u8(..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.u8(..)),
            2 => drop(bytes.splice(at.., other[random.usize(..=other.len())..].iter().copied())),
            3 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            _ if at < bytes.len() => bytes[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff]).expect("not empty"),
            _ => {}
        }
    }

    #[test]
    fn damaged_values_are_refused_or_encoded_well() {
        replay("value", value);
    }

    #[test]
    fn damaged_query_files_are_refused_or_read_well() {
        replay("query_file", query_file);
    }

    #[test]
    fn damaged_tokens_are_refused() {
        replay("token", token);
    }

    #[test]
    fn damaged_requests_are_refused_or_arranged_well() {
        replay("request", request);
    }

    #[test]
    fn damaged_records_are_refused_or_structs() {
        replay("record", record);
    }

    #[test]
    fn damaged_copies_are_refused_or_read_alike_wherever_they_are_cut() {
        replay("tuples", tuples);
    }
}
