//! One pass over the bytes of a batch: proves that they are rows of the expected number of values,
//! and notes where each value's content is, so that reading one later is an index.
//!
//! Takes everything that protobuf allows for these messages, fields of later versions included, but
//! one: a list that a sender has cut in two fields of one value, which no encoder makes.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use rowstream_contract::rows::tag;

/// Bytes that are no row batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed rows: {0}")]
pub struct Malformed(pub(super) &'static str);

/// The offset of a value that is NULL.
pub(super) const NULL: u32 = u32::MAX;

/// PostgreSQL's arrays have at most 6 dimensions; this only bounds the recursion.
const MAX_LIST_DEPTH: u32 = 32;

const fn key(tag: u32, wire_type: WireType) -> u8 {
    // All our tags are below 16, so that a key is one byte.
    (tag << 3).to_le_bytes()[0] | wire_type as u8
}

pub(super) const ROWS_KEY: u8 = key(tag::ROWS, WireType::LengthDelimited);
pub(super) const VALUES_KEY: u8 = key(tag::VALUES, WireType::LengthDelimited);
pub(super) const BOOL_KEY: u8 = key(tag::BOOL, WireType::Varint);
pub(super) const INT64_KEY: u8 = key(tag::INT64, WireType::Varint);
pub(super) const DOUBLE_KEY: u8 = key(tag::DOUBLE, WireType::SixtyFourBit);
pub(super) const TEXT_KEY: u8 = key(tag::TEXT, WireType::LengthDelimited);
pub(super) const BYTES_KEY: u8 = key(tag::BYTES, WireType::LengthDelimited);
pub(super) const NUMERIC_KEY: u8 = key(tag::NUMERIC, WireType::LengthDelimited);
pub(super) const LIST_KEY: u8 = key(tag::LIST, WireType::LengthDelimited);

/// Where the values of a batch are.
#[derive(Debug)]
pub(super) struct Scan {
    /// Row by row, the offset of each value's key (of its last one, should there be several), or
    /// [`NULL`].
    pub(super) offsets: Vec<u32>,
    pub(super) rows: usize,
}

/// Scans a run of `RowBatch.rows` fields.
pub(super) fn batch(body: &[u8], columns: usize) -> Result<Scan, Malformed> {
    addressable(body)?;
    let mut scan = Scan { offsets: Vec::new(), rows: 0 };
    let mut at = 0;
    while at < body.len() {
        if let Some(end) = delimited(body, &mut at, ROWS_KEY)? {
            row(&body[..end], at, columns, &mut scan.offsets)?;
            if scan.rows == 0 {
                // The first row tells about how many there are.
                scan.offsets.reserve(body.len() / end * columns);
            }
            scan.rows += 1;
            at = end;
        }
    }
    Ok(scan)
}

/// Scans the content of a single `Row`.
pub(super) fn single(body: &[u8], columns: usize) -> Result<Scan, Malformed> {
    addressable(body)?;
    let mut offsets = Vec::with_capacity(columns);
    row(body, 0, columns, &mut offsets)?;
    Ok(Scan { offsets, rows: 1 })
}

fn addressable(body: &[u8]) -> Result<(), Malformed> {
    if body.len() < NULL as usize { Ok(()) } else { Err(Malformed("more than 4 GiB")) }
}

/// Scans a row that ends where `bytes` ends.
fn row(bytes: &[u8], mut at: usize, columns: usize, offsets: &mut Vec<u32>) -> Result<(), Malformed> {
    let before = offsets.len();
    while at < bytes.len() {
        if let Some(end) = delimited(bytes, &mut at, VALUES_KEY)? {
            offsets.push(value(&bytes[..end], at, MAX_LIST_DEPTH)?);
            at = end;
        }
    }
    if offsets.len() - before == columns {
        Ok(())
    } else {
        Err(Malformed("a row has not as many values as the header has columns"))
    }
}

/// Scans a value that ends where `bytes` ends, and answers its offset.
pub(super) fn value(bytes: &[u8], mut at: usize, depth: u32) -> Result<u32, Malformed> {
    let mut found = NULL;
    while at < bytes.len() {
        let start = at;
        let key = bytes[at];
        match key {
            BOOL_KEY | INT64_KEY => {
                at += 1;
                varint(bytes, &mut at)?;
            }
            DOUBLE_KEY => at = within(bytes, at + 1, 8)?,
            TEXT_KEY | BYTES_KEY | NUMERIC_KEY => {
                at += 1;
                at = length(bytes, &mut at)?;
            }
            LIST_KEY => {
                if found != NULL && bytes[found as usize] == LIST_KEY {
                    return Err(Malformed("a list in two parts"));
                }
                at += 1;
                let end = length(bytes, &mut at)?;
                list(&bytes[..end], at, depth)?;
                at = end;
            }
            _ => {
                skip(bytes, &mut at, tag::LIST)?;
                continue;
            }
        }
        found = u32::try_from(start).map_err(|_| Malformed("more than 4 GiB"))?;
    }
    Ok(found)
}

fn list(bytes: &[u8], mut at: usize, depth: u32) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed("lists nested too deeply"))?;
    while at < bytes.len() {
        if let Some(end) = delimited(bytes, &mut at, VALUES_KEY)? {
            value(&bytes[..end], at, depth)?;
            at = end;
        }
    }
    Ok(())
}

/// At a field of that key: moves to its content and answers its end. At any other field: skips it.
#[inline]
pub(super) fn delimited(bytes: &[u8], at: &mut usize, key: u8) -> Result<Option<usize>, Malformed> {
    if bytes[*at] == key {
        *at += 1;
        return length(bytes, at).map(Some);
    }
    skip(bytes, at, tag::VALUES)?;
    Ok(None)
}

/// Reads a length, moves behind it, and answers where the content of that length ends.
#[inline]
pub(super) fn length(bytes: &[u8], at: &mut usize) -> Result<usize, Malformed> {
    let len = usize::try_from(varint(bytes, at)?).map_err(|_| Malformed("a length beyond the end"))?;
    within(bytes, *at, len)
}

#[inline]
fn within(bytes: &[u8], at: usize, len: usize) -> Result<usize, Malformed> {
    at.checked_add(len).filter(|end| *end <= bytes.len()).ok_or(Malformed("a length beyond the end"))
}

#[inline]
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    match bytes.get(*at) {
        Some(byte) if *byte < 0x80 => {
            *at += 1;
            Ok(u64::from(*byte))
        }
        _ => long_varint(bytes, at),
    }
}

fn long_varint(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
    let mut rest = bytes.get(*at..).unwrap_or_default();
    let value = decode_varint(&mut rest).map_err(|_| Malformed("a broken varint"))?;
    *at = bytes.len() - rest.len();
    Ok(value)
}

/// Skips a field that this version does not know: its tag is above all that it knows. Also the way of
/// a known field whose key is written in more bytes than it needs, which no encoder does: refused, like
/// a known field of another wire type.
#[cold]
fn skip(bytes: &[u8], at: &mut usize, highest_known: u32) -> Result<(), Malformed> {
    let mut rest = &bytes[*at..];
    let (tag, wire_type) = decode_key(&mut rest).map_err(|_| Malformed("a broken key"))?;
    if tag <= highest_known {
        return Err(Malformed("a field of the wrong wire type"));
    }
    skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(|_| Malformed("a broken field"))?;
    *at = bytes.len() - rest.len();
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use rowstream_contract::v1::{ListValue, Value, value::Kind};

    use super::*;

    /// A `RowBatch` body of one row with these encoded values.
    fn body(values: &[&[u8]]) -> Vec<u8> {
        let field = |key: u8, content: &[u8]| {
            let mut out = vec![key];
            prost::encoding::encode_varint(content.len() as u64, &mut out);
            out.extend_from_slice(content);
            out
        };
        field(ROWS_KEY, &values.iter().flat_map(|value| field(VALUES_KEY, value)).collect::<Vec<_>>())
    }

    #[test]
    fn what_protobuf_allows_is_taken() {
        for (name, value, is_null) in [
            ("no kind", &[][..], true),
            ("a non-minimal varint", &[INT64_KEY, 0x85, 0x80, 0x00], false),
            ("a non-minimal length", &[TEXT_KEY, 0x81, 0x00, b'x'], false),
            ("an unknown field", &[0x7a, 1, 9], true),
            ("an unknown field before the kind", &[0x78, 1, BOOL_KEY, 1], false),
            ("two kinds: the last one counts", &[BOOL_KEY, 1, TEXT_KEY, 1, b'x'], false),
            ("an unknown group", &[0x7b, 0x08, 1, 0x7c], true),
        ] {
            let body = body(&[value]);
            let scan = batch(&body, 1).expect(name);
            assert_eq!((scan.rows, scan.offsets[0] == NULL), (1, is_null), "{name}");
        }
        assert_eq!(batch(&[0x7a, 1, 9], 1).map(|scan| scan.rows), Ok(0));
        assert_eq!(batch(&body(&[]), 0).map(|scan| scan.rows), Ok(1));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for (name, value) in [
            ("a varint without an end", &[INT64_KEY, 0xff][..]),
            ("a varint that is too long", &[INT64_KEY, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
            ("a text beyond the value's end", &[TEXT_KEY, 5, b'x']),
            ("a length of 64 bits", &[TEXT_KEY, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
            ("a short double", &[DOUBLE_KEY, 0, 0, 0]),
            ("a known field of another wire type", &[key(tag::TEXT, WireType::Varint), 1]),
            ("field number 0", &[0x00, 1]),
            ("a list in two parts", &[LIST_KEY, 0, LIST_KEY, 0]),
            ("a broken element", &[LIST_KEY, 2, VALUES_KEY, 9]),
        ] {
            assert!(batch(&body(&[value]), 1).is_err(), "{name}");
        }
        assert!(batch(&body(&[b"", b""]), 1).is_err(), "a value too many");
        assert!(batch(&body(&[]), 1).is_err(), "a value too few");
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: u32| {
            let list = |value| Value { kind: Some(Kind::List(ListValue { values: vec![value] })) };
            (0..depth).fold(Value { kind: None }, |value, _| list(value)).encode_to_vec()
        };
        assert!(batch(&body(&[&nested(MAX_LIST_DEPTH)]), 1).is_ok());
        assert!(batch(&body(&[&nested(MAX_LIST_DEPTH + 1)]), 1).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        // Keys and small lengths are frequent, so that the loops get deep.
        let likely = [ROWS_KEY, BOOL_KEY, INT64_KEY, DOUBLE_KEY, TEXT_KEY, LIST_KEY, 0, 1, 2, 3, 5, 8, 0x80, 0xff];
        for _ in 0..50_000 {
            let bytes: Vec<u8> = (0..random() % 40).map(|_| likely[usize::try_from(random() % 14).unwrap()]).collect();
            for columns in 0..3 {
                let _ = batch(&bytes, columns);
                let _ = single(&bytes, columns);
            }
        }
    }
}
