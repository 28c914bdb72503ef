//! The contract's two sides that are written by hand, held against what they stand for: the row messages
//! against the generated ones, the documents against the code.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use proptest::prelude::*;
use prost::Message;
use rowstream_contract::{
    reason::Reason,
    rows,
    v1::{QueryRowRequest, StreamQueryResponse, stream_query_response::Event},
};
use rowstream_server::{Config, ConfigError};
use tonic::Code;

use self::reference::{batch::Data, value::Kind};
use crate::harness::{Pair, reason, sql, statement};

/// The same messages with nothing written by hand.
#[allow(missing_docs, unreachable_pub, dead_code, clippy::all, clippy::pedantic, rustdoc::all)]
mod reference {
    include!(concat!(env!("OUT_DIR"), "/reference/rowstream.v1.rs"));
}

// === Row messages

fn value() -> impl Strategy<Value = reference::Value> {
    let of = |kind| reference::Value { kind: Some(kind) };
    let leaf = prop_oneof![
        Just(reference::Value { kind: None }),
        any::<bool>().prop_map(move |value| of(Kind::Bool(value))),
        any::<i64>().prop_map(move |value| of(Kind::Int64(value))),
        any::<u64>().prop_map(move |bits| of(Kind::Double(f64::from_bits(bits)))),
        any::<String>().prop_map(move |value| of(Kind::Text(value))),
        any::<Vec<u8>>().prop_map(move |value| of(Kind::Bytes(value.into()))),
        "-?[0-9]{1,40}(\\.[0-9]{0,20})?".prop_map(move |value| of(Kind::Numeric(value))),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let list = prop::collection::vec(inner, 0..6);
        list.prop_map(move |values| of(Kind::List(reference::ListValue { values })))
    })
}

fn row() -> impl Strategy<Value = reference::Row> {
    prop::collection::vec(value(), 0..6).prop_map(|values| reference::Row { values })
}

fn batch() -> impl Strategy<Value = reference::Batch> {
    let data = prop_oneof![
        3 => prop::collection::vec(row(), 0..6).prop_map(|rows| Data::Rows(reference::RowBatch { rows })),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Data::ArrowIpc),
    ];
    (data, any::<i64>(), any::<i64>()).prop_map(|(data, row_count, first_row)| reference::Batch {
        data: Some(data),
        row_count,
        first_row,
    })
}

/// Whether ours carries what the generated one does.
fn same_data(ours: &rows::Data, theirs: Option<&Data>) -> bool {
    match (ours, theirs) {
        (rows::Data::Rows(ours), Some(Data::Rows(theirs))) => {
            let body = reference::RowBatch::decode(&ours.0[..]).expect("the generated type takes it");
            body.encode_to_vec() == theirs.encode_to_vec()
        }
        (rows::Data::ArrowIpc(ours), Some(Data::ArrowIpc(theirs))) => ours == theirs,
        (rows::Data::Rows(ours), None) => ours.0.is_empty(),
        _ => false,
    }
}

/// Decodes as one type and encodes again.
fn through<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
    let message = M::decode(bytes).expect("well-formed");
    assert_eq!(message.encoded_len(), message.encode_to_vec().len());
    message.encode_to_vec()
}

/// Bytes that are nearly a message: cut, changed or doubled somewhere.
fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (bytes, any::<prop::sample::Index>(), any::<u8>(), 0..4).prop_map(|(mut bytes, at, byte, how)| {
        let at = at.index(bytes.len() + 1);
        match how {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => bytes.extend_from_within(at..),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|changed| *changed = byte),
        }
        bytes
    })
}

proptest! {
    #[test]
    fn a_batch_by_hand_is_the_generated_one_to_the_byte(batch in batch()) {
        let bytes = batch.encode_to_vec();
        let ours = rows::Batch::decode(&bytes[..]).expect("well-formed");
        prop_assert_eq!((ours.row_count, ours.first_row), (batch.row_count, batch.first_row));
        prop_assert!(same_data(&ours.data, batch.data.as_ref()));
        prop_assert_eq!(ours.encoded_len(), bytes.len());
        prop_assert_eq!(ours.encode_to_vec(), &bytes[..]);
        prop_assert_eq!(through::<reference::Batch>(&ours.encode_to_vec()), bytes);
    }

    #[test]
    fn a_row_by_hand_is_the_generated_one_to_the_byte(row in row()) {
        let bytes = row.encode_to_vec();
        let ours = rows::Row::decode(&bytes[..]).expect("well-formed");
        prop_assert_eq!(&ours.0[..], &bytes[..]);
        prop_assert_eq!(ours.encode_to_vec(), bytes);
    }

    #[test]
    fn inside_the_messages_that_carry_them_they_are_the_same_too(batch in batch(), row in row()) {
        let event = Some(reference::stream_query_response::Event::Batch(batch));
        let stream = reference::StreamQueryResponse { event, resume_token: Vec::new() }.encode_to_vec();
        prop_assert_eq!(through::<StreamQueryResponse>(&stream), stream);
        let answer = reference::QueryRowResponse { query_id: "q".to_owned(), columns: vec![], row: Some(row) };
        let answer = answer.encode_to_vec();
        prop_assert_eq!(through::<rowstream_contract::v1::QueryRowResponse>(&answer), answer);
    }

    /// Protobuf joins a message that comes in two parts.
    #[test]
    fn a_batch_in_two_parts_is_joined(first in batch(), second in batch()) {
        let bytes = [first.encode_to_vec(), second.encode_to_vec()].concat();
        prop_assert_eq!(through::<rows::Batch>(&bytes), through::<reference::Batch>(&bytes));
    }

    #[test]
    fn whatever_the_generated_batch_takes_ours_takes_and_reads_the_same(bytes in damaged(batch().prop_map(|b| b.encode_to_vec()))) {
        let (ours, theirs) = (rows::Batch::decode(&bytes[..]), reference::Batch::decode(&bytes[..]));
        if let Ok(theirs) = theirs {
            let ours = ours.expect("the generated type takes it");
            prop_assert_eq!((ours.row_count, ours.first_row), (theirs.row_count, theirs.first_row));
            prop_assert!(same_data(&ours.data, theirs.data.as_ref()));
        }
    }

    #[test]
    fn whatever_the_generated_row_takes_ours_takes_and_reads_the_same(bytes in damaged(row().prop_map(|r| r.encode_to_vec()))) {
        if let Ok(theirs) = reference::Row::decode(&bytes[..]) {
            let ours = rows::Row::decode(&bytes[..]).expect("the generated type takes it");
            prop_assert_eq!(through::<reference::Row>(&ours.0), theirs.encode_to_vec());
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in any::<Vec<u8>>()) {
        let _ = rows::Batch::decode(&bytes[..]);
        let _ = rows::Row::decode(&bytes[..]);
        let _ = StreamQueryResponse::decode(&bytes[..]);
    }
}

/// Every kind of value, and lengths around the steps of a varint.
const EVERY_KIND: &str = "
    select i as int4, i::int8 * 4611686018427 as int8, -i::int2 as int2, i % 2 = 0 as bool, nullif(i % 5, 0) as nulls,
           sqrt(i) as float8, sqrt(i)::float4 as float4, i ^ 3.7::numeric as numeric, i / 0.0000001 as wide,
           repeat('x', i) as text, decode(repeat('ab', i % 140), 'hex') as bytea, md5(i::text)::uuid as uuid,
           now() - i * interval '1 h' as timestamptz, current_date - i as date, i * interval '1 day -1 s' as interval,
           json_build_object('i', i) as json, jsonb_build_array(i, null) as jsonb, array[i, null, -i] as list,
           array[[repeat('y', i % 130), null], ['', 'z']] as nested, '[0:1]={1,2}'::int4[] as bounds, '{}'::text[] as empty,
           int4range(i, i + 1) as range, array[int4range(i, i + 1), null] as ranges, null::point as point
    from generate_series(1, 3000) i";

/// The summary's checksum is over bytes that anybody can make again from the decoded values.
#[tokio::test]
async fn rows_as_the_server_writes_them_are_as_the_generated_types_write_them() {
    let pair = Pair::start().await;
    let stream = pair.raw().await.stream_query(sql(EVERY_KIND)).await.expect("rows").into_inner();
    let (mut checksum, mut count, mut summary) = (0, 0, None);
    let messages: Vec<StreamQueryResponse> = stream.try_collect().await.expect("rows");
    for message in messages {
        let encoded = message.encode_to_vec();
        assert_eq!(through::<reference::StreamQueryResponse>(&encoded), encoded);
        match message.event {
            Some(Event::Batch(batch)) => {
                let rows = reference::RowBatch::decode(&batch.data.bytes()[..]).expect("well-formed");
                count += rows.rows.len();
                assert!(rows.rows.iter().all(|row| row.values.len() == 24));
                checksum = crc32c::crc32c_append(checksum, &rows.encode_to_vec());
            }
            Some(Event::Summary(last)) => summary = Some(last),
            _ => {}
        }
    }
    let summary = summary.expect("a summary");
    assert_eq!((count, checksum), (3000, summary.checksum));

    let request = QueryRowRequest { statement: Some(statement(EVERY_KIND)), ..QueryRowRequest::default() };
    let row = pair.raw().await.query_row(request).await.expect("a row").into_inner().row.expect("a row");
    assert_eq!(through::<reference::Row>(&row.0), &row.0[..]);
}

// === Documents

const ERRORS: &str = include_str!("../../docs/errors.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const REASONS: &str = include_str!("../../proto/reason.rs");

/// The rows of a document's tables whose first cell is `code`: that name, and the other cells.
fn table(document: &str) -> Vec<(String, Vec<String>)> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix('|'));
    let cells = |rest: &str| rest.split('|').skip(1).map(|cell| cell.trim().to_owned()).collect();
    rows.filter_map(|row| row.split_once('`')).map(|(name, rest)| (name.to_owned(), cells(rest))).collect()
}

/// The gRPC code that the comment on a reason names, by the reason's name.
fn codes() -> BTreeMap<String, String> {
    let (mut comment, mut codes) = (String::new(), BTreeMap::new());
    for line in REASONS.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            comment.push_str(text);
            comment.push(' ');
        } else {
            if let Some((_, name)) = line.split_once(" => \"") {
                let name = name.trim_end_matches("\",");
                let shouted = |word: &&str| word.len() > 4 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
                let code = comment.split([' ', '.', ';', ':']).rfind(shouted);
                codes.insert(name.to_owned(), code.unwrap_or_default().to_owned());
            }
            comment.clear();
        }
    }
    codes
}

#[test]
fn the_table_of_errors_has_every_reason_once_with_its_code() {
    let table = table(ERRORS);
    let codes = codes();
    for reason in Reason::ALL {
        let name = reason.as_str();
        let rows: Vec<_> = table.iter().filter(|(first, _)| first == name).collect();
        assert_eq!(rows.len(), 1, "{name} stands in docs/errors.md {} times", rows.len());
        assert_eq!(rows[0].1[0], codes[name], "the code of {name} in docs/errors.md");
        assert_eq!(rows[0].1.len(), 3, "{name}: code, when, what to do");
    }
    let known = |name: &str| Reason::from_name(name).is_some();
    let reasons = table
        .iter()
        .filter(|(name, cells)| cells.len() == 3 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
    let unknown: Vec<_> = reasons.map(|(name, _)| name).filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "docs/errors.md has reasons that do not exist: {unknown:?}");
}

/// What `--help` tells of a flag.
#[derive(Debug, PartialEq, Eq)]
struct Flag {
    name: String,
    env: String,
    default: String,
}

fn flags() -> Vec<Flag> {
    let Err(ConfigError::Usage(help)) = Config::try_from_args(["--help"]) else { panic!("no help") };
    let help = help.to_string();
    let mut flags: Vec<Flag> = Vec::new();
    for line in help.lines().map(str::trim) {
        if let Some(at) = line.find("--").filter(|at| *at == 0 || line.starts_with("-h") || line.starts_with("-V")) {
            let name = line[at..].split(' ').next().unwrap_or_default().to_owned();
            flags.push(Flag { name, env: String::new(), default: String::new() });
        }
        let Some(flag) = flags.last_mut() else { continue };
        let told = |label: &str, end: &[char]| Some(line.split_once(label)?.1.split(end).next()?.to_owned());
        if let Some(env) = told("[env: ", &['=', ']']) {
            flag.env = env;
        }
        if let Some(default) = told("[default: ", &[']']) {
            flag.default = default;
        }
    }
    flags.retain(|flag| !matches!(flag.name.as_str(), "--help" | "--version"));
    flags
}

#[test]
fn the_table_of_settings_has_every_flag_with_its_variable_and_default() {
    let documented = table(CONFIGURATION).into_iter().map(|(name, cells)| {
        let cell = |i: usize| cells.get(i).map(|cell| cell.trim_matches('`').to_owned()).unwrap_or_default();
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        Flag { name, env: cell(0), default: cell(1) }
    });
    let documented: Vec<_> = documented.filter(|flag| flag.name.starts_with("--")).collect();
    assert!(documented.len() > 20);
    assert_eq!(documented, flags());
}

#[tokio::test]
async fn a_compression_that_there_is_not_is_refused_and_named() {
    let pair = Pair::start().await;
    for (name, refused) in [("gzip", false), ("zstd", false), ("identity", false), ("snappy", true), ("", true)] {
        let mut request = tonic::Request::new(sql("select 1"));
        request.metadata_mut().insert("rowstream-compression", name.parse().expect("ASCII"));
        let status = pair.raw().await.stream_query(request).await.err();
        let told = status.as_ref().map(|status| (status.code(), reason(status), status.message().to_owned()));
        let message = format!("rowstream-compression: {name:?} is not one of gzip, zstd, identity");
        let expected = (Code::InvalidArgument, "INVALID_REQUEST".to_owned(), message);
        assert_eq!(told, refused.then_some(expected));
    }
}
