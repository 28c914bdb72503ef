//! One record batch out of its message.
//!
//! The arrays themselves are validated by arrow-ipc (offsets, UTF-8, counts of NULLs). It takes for granted, however,
//! that a message's own figures lie within the message, so these are checked here first: a broken server leads to an
//! error, never to a panic.

use std::{collections::HashMap, sync::Arc};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::{Message, MetadataVersion, convert::try_fb_to_schema, reader::RecordBatchDecoder, root_as_message};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;

use crate::Error;

/// What every encapsulated message begins with, before four bytes of length.
const CONTINUATION: [u8; 4] = [0xff; 4];
const PREFIX_BYTES: usize = 8;
/// A bound on every length in a message, so that no arithmetic on them can overflow. What a server sends is far smaller.
const LONGEST: i64 = i32::MAX as i64;

/// Reads the messages of one result, as [`ArrowIpcStream`](crate::ArrowIpcStream) yields them.
#[derive(Clone, Debug)]
pub struct Decoder {
    schema: SchemaRef,
    /// The width of the values in each buffer of a record batch.
    widths: Arc<[usize]>,
}

impl Decoder {
    /// Reads the schema's message.
    ///
    /// # Errors
    /// [`Error::Protocol`] if it is none, or has a type that no server sends.
    pub fn try_new(schema: &Bytes) -> Result<Self, Error> {
        let (message, _) = split(schema)?;
        let schema = message.header_as_schema().ok_or_else(|| malformed("it is no schema"))?;
        let schema: Schema = try_fb_to_schema(schema).map_err(malformed)?;
        let mut widths = Vec::new();
        schema.fields().iter().try_for_each(|field| add_widths(field, &mut widths))?;
        Ok(Self { schema: schema.into(), widths: widths.into() })
    }

    /// The schema of every batch.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Reads a record batch's message; what is copied of it: see [the module](super).
    ///
    /// # Errors
    /// [`Error::Protocol`] if it is no record batch of the schema.
    pub fn decode(&self, message: Bytes) -> Result<RecordBatch, Error> {
        let (header, body) = split(&message)?;
        let batch = header.header_as_record_batch().ok_or_else(|| malformed("it is no record batch"))?;
        check_figures(batch, &message[body..], &self.widths)?;
        let (version, no_dictionaries) = (header.version(), HashMap::new());
        let data = Buffer::from(message.slice(body..));
        RecordBatchDecoder::try_new(&data, batch, self.schema.clone(), &no_dictionaries, &version)
            .and_then(RecordBatchDecoder::read_record_batch)
            .map_err(malformed)
    }
}

fn malformed(problem: impl std::fmt::Display) -> Error {
    Error::protocol(format!("malformed Arrow: {problem}"))
}

/// An encapsulated message's metadata, and where its body begins, which ends where the message does.
fn split(message: &[u8]) -> Result<(Message<'_>, usize), Error> {
    let (prefix, rest) =
        message.split_first_chunk::<PREFIX_BYTES>().ok_or_else(|| malformed("a message is too short"))?;
    let [a, b, c, d, length @ ..] = *prefix;
    if [a, b, c, d] != CONTINUATION {
        return Err(malformed("a message does not begin with the marker ff ff ff ff"));
    }
    let length = u32::from_le_bytes(length) as usize;
    let metadata = rest.get(..length).ok_or_else(|| malformed("a message's metadata goes beyond its end"))?;
    let header = root_as_message(metadata).map_err(malformed)?;
    if header.version() != MetadataVersion::V5 {
        return Err(malformed(format!("metadata version {:?}, not V5", header.version())));
    }
    if usize::try_from(header.bodyLength()) != Ok(rest.len() - length) {
        let (told, has) = (header.bodyLength(), rest.len() - length);
        return Err(malformed(format!("a message says that its body has {told} bytes, but it has {has}")));
    }
    Ok((header, PREFIX_BYTES + length))
}

/// Where the body of an encapsulated message begins.
pub(crate) fn body_offset(message: &[u8]) -> Result<usize, Error> {
    split(message).map(|(_, body)| body)
}

/// Whether all lengths and offsets of a record batch are possible in this body.
fn check_figures(batch: arrow_ipc::RecordBatch<'_>, body: &[u8], widths: &[usize]) -> Result<(), Error> {
    let mut nodes = batch.nodes().into_iter().flatten();
    if !fits(batch.length()) || !nodes.all(|node| fits(node.length()) && fits(node.null_count())) {
        return Err(malformed("an impossible count of values"));
    }
    let buffers = batch.buffers().unwrap_or_default();
    if buffers.len() != widths.len() {
        return Err(malformed(format!("a record batch has {} buffers, not {}", buffers.len(), widths.len())));
    }
    for (buffer, width) in buffers.iter().zip(widths) {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let bytes = range.and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?));
        let bytes = bytes.ok_or_else(|| malformed("a buffer goes beyond the message's end"))?;
        let length = if batch.compression().is_some() { decompressed_length(bytes)? } else { bytes.len() };
        if length % width != 0 {
            return Err(malformed(format!("a buffer of {length} bytes for values of {width}")));
        }
    }
    Ok(())
}

fn fits(length: i64) -> bool {
    (0..=LONGEST).contains(&length)
}

/// How many bytes come out of a buffer of a compressed body, which says so itself.
fn decompressed_length(bytes: &[u8]) -> Result<usize, Error> {
    if bytes.is_empty() {
        return Ok(0);
    }
    match bytes.split_first_chunk().map(|(length, rest)| (i64::from_le_bytes(*length), rest)) {
        // This one is not compressed.
        Some((-1, rest)) => Ok(rest.len()),
        Some((length, _)) if fits(length) => usize::try_from(length).map_err(malformed),
        _ => Err(malformed("an impossible length of a compressed buffer")),
    }
}

/// Appends the widths of the values in a column's buffers. Its type must be one of those that PostgreSQL's lead to.
fn add_widths(field: &Field, widths: &mut Vec<usize>) -> Result<(), Error> {
    /// Which are NULL, a bit each.
    const VALIDITY: usize = 1;
    const OFFSET: usize = size_of::<i32>();
    match field.data_type() {
        DataType::Boolean => widths.extend([VALIDITY, 1]),
        DataType::FixedSizeBinary(width @ 1..) => {
            widths.extend([VALIDITY, usize::try_from(*width).map_err(malformed)?])
        }
        DataType::Utf8 | DataType::Binary => widths.extend([VALIDITY, OFFSET, 1]),
        DataType::List(item) => {
            widths.extend([VALIDITY, OFFSET]);
            add_widths(item, widths)?;
        }
        DataType::Struct(fields) => {
            widths.push(VALIDITY);
            fields.iter().try_for_each(|field| add_widths(field, widths))?;
        }
        other => {
            let width = other.primitive_width().ok_or_else(|| {
                malformed(format!("column {:?} has the type {other}, which no server sends", field.name()))
            })?;
            widths.extend([VALIDITY, width]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, BooleanArray, Decimal128Array, Int64Array, ListArray, StringArray, types::Int32Type};
    use arrow_ipc::{
        CompressionType,
        writer::{IpcWriteOptions, StreamWriter},
    };

    use super::*;

    fn batch() -> RecordBatch {
        let columns: [(&str, ArrayRef, bool); 5] = [
            ("id", Arc::new(Int64Array::from_iter_values(0..100)), false),
            (
                "name",
                Arc::new(StringArray::from_iter((0..100).map(|row| (row % 3 > 0).then(|| format!("ünö {row}"))))),
                true,
            ),
            ("flag", Arc::new(BooleanArray::from_iter((0..100).map(|row| Some(row % 2 == 0)))), true),
            ("price", Arc::new(Decimal128Array::from_iter_values(0..100)), false),
            (
                "tags",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                    (0..100).map(|row| Some(vec![Some(row), None])),
                )),
                true,
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    /// The messages of the schema and of a batch.
    fn messages(batch: &RecordBatch, compression: Option<CompressionType>) -> (Bytes, Bytes) {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        let schema = std::mem::take(writer.get_mut());
        writer.write(batch).unwrap();
        (schema.into(), std::mem::take(writer.get_mut()).into())
    }

    #[test]
    fn a_batch_is_read_as_it_was_written_wherever_it_lies_in_memory() {
        let batch = batch();
        for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            let (schema, message) = messages(&batch, compression);
            let decoder = Decoder::try_new(&schema).unwrap();
            for offset in 0..16 {
                let moved = Bytes::from([&vec![0; offset], &message[..]].concat()).slice(offset..);
                assert_eq!(decoder.decode(moved).unwrap(), batch, "{compression:?} at {offset}");
            }
        }
    }

    #[test]
    fn a_damaged_message_is_an_error_or_another_batch_and_never_a_panic() {
        let mut random = fastrand::Rng::with_seed(5);
        for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            let (schema, message) = messages(&batch(), compression);
            let decoder = Decoder::try_new(&schema).unwrap();
            let mut refused = 0;
            for _ in 0..3000 {
                let mut damaged = message.to_vec();
                for _ in 0..random.usize(1..4) {
                    // Most of the damage where lengths and offsets are.
                    let end = if random.bool() { damaged.len() } else { damaged.len().min(600) };
                    damaged[random.usize(0..end)] = random.u8(..);
                }
                damaged.truncate(if random.u8(..) == 0 { random.usize(0..damaged.len()) } else { damaged.len() });
                refused += usize::from(matches!(decoder.decode(damaged.into()), Err(Error::Protocol(_))));
                let mut damaged = schema.to_vec();
                damaged[random.usize(0..schema.len())] = random.u8(..);
                if let Ok(decoder) = Decoder::try_new(&damaged.into()) {
                    let _ = decoder.decode(message.clone());
                }
            }
            assert!(refused > 300, "{compression:?}: only {refused}");
        }
    }

    #[test]
    fn what_pyarrow_writes_is_read() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/arrow");
        let mut read = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            let (length, rest) = bytes.split_first_chunk().unwrap();
            let (schema, message) = rest.split_at(u32::from_le_bytes(*length) as usize);
            let decoder = Decoder::try_new(&Bytes::copy_from_slice(schema)).unwrap();
            assert_eq!(decoder.decode(Bytes::copy_from_slice(message)).unwrap().num_rows(), 3);
            read += 1;
        }
        assert_eq!(read, 12);
    }

    #[test]
    fn values_of_an_impossible_width_are_refused_with_the_schema() {
        for width in [i32::MIN, -1, 0] {
            let schema = Schema::new(vec![Field::new("id", DataType::FixedSizeBinary(width), true)]);
            let writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
            let error = Decoder::try_new(&writer.get_ref().clone().into()).unwrap_err().to_string();
            assert!(error.contains("column \"id\" has the type"), "{error}");
        }
    }

    #[test]
    fn what_is_no_message_of_that_kind_is_told() {
        let (schema, message) = messages(&batch(), None);
        let decoder = Decoder::try_new(&schema).unwrap();
        for (outcome, told) in [
            (decoder.decode(schema.clone()).map(drop), "it is no record batch"),
            (Decoder::try_new(&message).map(drop), "it is no schema"),
            (decoder.decode(Bytes::from_static(b"ARROW1")).map(drop), "too short"),
            (decoder.decode(vec![0; 64].into()).map(drop), "marker"),
            (decoder.decode(message.slice(..message.len() - 8)).map(drop), "says that its body has"),
        ] {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains("malformed Arrow") && error.contains(told), "{error}");
        }
    }
}
