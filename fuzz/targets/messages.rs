#![no_main]
//! The row messages written by hand (`proto/rows.rs`) against what prost generates for the same contract: what
//! one takes the other takes, and it means the same.

use bytes::Bytes;
use prost::Message;
use rowstream_contract::{
    rows::{Batch, Data, Row},
    v1::{ListValue, Value},
};

/// `rowstream.v1.Row`, generated. A row is encoded as a list is.
type ReferenceRow = ListValue;

#[derive(Clone, PartialEq, Message)]
struct ReferenceRows {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<ReferenceRow>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ReferenceData {
    #[prost(message, tag = "1")]
    Rows(ReferenceRows),
    #[prost(bytes, tag = "2")]
    ArrowIpc(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
struct ReferenceBatch {
    #[prost(oneof = "ReferenceData", tags = "1, 2")]
    data: Option<ReferenceData>,
    #[prost(int64, tag = "3")]
    row_count: i64,
    #[prost(int64, tag = "4")]
    first_row: i64,
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    // Ours leaves the rows as they are: it takes more, and their content is `batch`'s to check.
    if let Ok(reference) = ReferenceBatch::decode(data) {
        let ours = Batch::decode(bytes.clone()).expect("what the generated type takes, ours takes");
        assert_eq!((ours.row_count, ours.first_row), (reference.row_count, reference.first_row));
        match (&ours.data, reference.data.unwrap_or(ReferenceData::Rows(ReferenceRows::default()))) {
            (Data::Rows(ours), ReferenceData::Rows(theirs)) => {
                let rows = ReferenceRows::decode(&ours.0[..]).expect("well-formed rows");
                assert_eq!(rows.encode_to_vec(), theirs.encode_to_vec());
            }
            (Data::ArrowIpc(ours), ReferenceData::ArrowIpc(theirs)) => assert_eq!(ours, &theirs),
            (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
        }
    }
    if let Ok(ours) = Batch::decode(bytes.clone()) {
        let encoded = ours.encode_to_vec();
        assert_eq!(encoded.len(), ours.encoded_len());
        assert_eq!(Batch::decode(&encoded[..]).expect("our own bytes"), ours);
    }
    if let Ok(reference) = ReferenceRow::decode(data) {
        let ours = Row::decode(bytes).expect("what the generated type takes, ours takes");
        let values: Vec<Value> = ReferenceRow::decode(&ours.0[..]).expect("well-formed values").values;
        assert_eq!(
            ListValue { values }.encode_to_vec(),
            reference.encode_to_vec(),
            "the values are the same, to the byte"
        );
    }
});
