//! The messages that carry rows, kept in their encoded form.
//!
//! The generated types would build one struct per value. These hold the protobuf bytes of many rows
//! in one [`Bytes`]: the server writes PostgreSQL's bytes straight into it, and the client reads
//! values straight out of it. A property test in `tests/` holds them equal to the generated types.
//!
//! How to *write* a value is the server's `encode`; how to *read* one is the client's `decode`.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{
        self, DecodeContext, WireType, check_wire_type, decode_varint, encode_key, encode_varint, encoded_len_varint,
        key_len,
    },
};

/// Field numbers of the messages that are written and read by hand, from `proto/rowstream/v1`.
pub mod tag {
    /// `RowBatch.rows`.
    pub const ROWS: u32 = 1;
    /// `Row.values` and `ListValue.values`.
    pub const VALUES: u32 = 1;
    /// `Value.bool`.
    pub const BOOL: u32 = 1;
    /// `Value.int64`.
    pub const INT64: u32 = 2;
    /// `Value.double`.
    pub const DOUBLE: u32 = 3;
    /// `Value.text`.
    pub const TEXT: u32 = 4;
    /// `Value.bytes`.
    pub const BYTES: u32 = 5;
    /// `Value.numeric`.
    pub const NUMERIC: u32 = 6;
    /// `Value.list`.
    pub const LIST: u32 = 7;
    pub(super) const BATCH_ROWS: u32 = 1;
    pub(super) const BATCH_ARROW_IPC: u32 = 2;
    pub(super) const BATCH_ROW_COUNT: u32 = 3;
    pub(super) const BATCH_FIRST_ROW: u32 = 4;
}

/// The encoded body of a `rowstream.v1.RowBatch`: a run of `rows` fields, one for each row.
///
/// Since the body is a plain sequence of fields, the bodies of consecutive batches joined together
/// are the body of their union: a checksum over them does not depend on batch boundaries.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RowBatch(pub Bytes);

impl fmt::Debug for RowBatch {
    /// Tells the size only: row data belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowBatch({} bytes)", self.0.len())
    }
}

/// What a [`Batch`] carries: its `oneof data`.
#[derive(Clone, PartialEq, Eq)]
pub enum Data {
    /// `rows`.
    Rows(RowBatch),
    /// `arrow_ipc`: an encapsulated message of Arrow's IPC format.
    ArrowIpc(Bytes),
}

impl Data {
    /// The bytes that the summary's count and checksum are over.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Rows(rows) => &rows.0,
            Self::ArrowIpc(message) => message,
        }
    }

    fn tag(&self) -> u32 {
        match self {
            Self::Rows(_) => tag::BATCH_ROWS,
            Self::ArrowIpc(_) => tag::BATCH_ARROW_IPC,
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::Rows(RowBatch::default())
    }
}

impl fmt::Debug for Data {
    /// Tells the size only: row data belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => rows.fmt(f),
            Self::ArrowIpc(message) => write!(f, "ArrowIpc({} bytes)", message.len()),
        }
    }
}

/// `rowstream.v1.Batch` with its rows encoded. One that has no data has no rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The rows.
    pub data: Data,
    /// How many there are.
    pub row_count: i64,
    /// The number of the first one in the whole result, from 0.
    pub first_row: i64,
}

impl Message for Batch {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        let data = self.data.bytes();
        encode_key(self.data.tag(), WireType::LengthDelimited, buf);
        encode_varint(data.len() as u64, buf);
        buf.put_slice(data);
        if self.row_count != 0 {
            encoding::int64::encode(tag::BATCH_ROW_COUNT, &self.row_count, buf);
        }
        if self.first_row != 0 {
            encoding::int64::encode(tag::BATCH_FIRST_ROW, &self.first_row, buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            tag::BATCH_ROWS => {
                let body = take_delimited(wire_type, buf)?;
                // A message that appears twice is merged (protobuf's rule for a repeated singular
                // field); for a body of repeated fields that is to join them.
                let before = match &self.data {
                    Data::Rows(rows) => &rows.0[..],
                    Data::ArrowIpc(_) => &[],
                };
                let body = if before.is_empty() { body } else { [before, &body].concat().into() };
                self.data = Data::Rows(RowBatch(body));
                Ok(())
            }
            tag::BATCH_ARROW_IPC => {
                self.data = Data::ArrowIpc(take_delimited(wire_type, buf)?);
                Ok(())
            }
            tag::BATCH_ROW_COUNT => encoding::int64::merge(wire_type, &mut self.row_count, buf, ctx),
            tag::BATCH_FIRST_ROW => encoding::int64::merge(wire_type, &mut self.first_row, buf, ctx),
            _ => encoding::skip_field(wire_type, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let body = self.data.bytes().len();
        let int64 = |tag, value: &i64| if *value == 0 { 0 } else { encoding::int64::encoded_len(tag, value) };
        key_len(self.data.tag())
            + encoded_len_varint(body as u64)
            + body
            + int64(tag::BATCH_ROW_COUNT, &self.row_count)
            + int64(tag::BATCH_FIRST_ROW, &self.first_row)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The encoded body of a `rowstream.v1.Row`: a run of `values` fields, one for each column.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Row(pub Bytes);

impl fmt::Debug for Row {
    /// Tells the size only: row data belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({} bytes)", self.0.len())
    }
}

impl Message for Row {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag != tag::VALUES {
            return encoding::skip_field(wire_type, tag, buf, ctx);
        }
        let value = take_delimited(wire_type, buf)?;
        let mut body = Vec::from(std::mem::take(&mut self.0));
        encode_key(tag::VALUES, WireType::LengthDelimited, &mut body);
        encode_varint(value.len() as u64, &mut body);
        body.extend_from_slice(&value);
        self.0 = body.into();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Takes a length-delimited field's content without a copy where the buffer allows it.
fn take_delimited(wire_type: WireType, buf: &mut impl Buf) -> Result<Bytes, DecodeError> {
    check_wire_type(WireType::LengthDelimited, wire_type)?;
    let len = usize::try_from(decode_varint(buf)?).ok().filter(|len| *len <= buf.remaining());
    // prost keeps DecodeError's constructor to itself; running out of bytes is what its own
    // decoders report here, so let one of them report it.
    match len {
        Some(len) => Ok(buf.copy_to_bytes(len)),
        None => decode_varint(&mut &[][..]).map(|_| Bytes::new()),
    }
}
