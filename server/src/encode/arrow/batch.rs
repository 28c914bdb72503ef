//! Rows into Arrow record batches, and those into messages of Arrow's IPC format.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_ipc::{
    CompressionType, MetadataVersion,
    writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, StreamEncoder, write_message},
};
use arrow_schema::{ArrowError, Fields, Schema, SchemaRef};
use bytes::Bytes;
use rowstream_contract::rows::Data;

use super::{
    Unfit, What,
    column::Column,
    types::{self, Kind},
};
use crate::{
    encode::{
        Malformed,
        batch::{Cutter, RowError},
        codec::Codec,
        gather::{Gathered, Refused},
        row::RawRow,
    },
    plan::{
        self,
        composite::Composite,
        options::{ArrowCompression, ArrowOptions},
    },
};

/// What buffers begin at multiples of: the size of the largest value, a decimal's half. Arrow recommends 64, of which a
/// result of a thousand columns would be filling for the most part.
const ALIGNMENT: usize = 16;
/// What the metadata of a message says of each column, and the filling of its buffers.
const COLUMN_OVERHEAD: usize = 16 + 3 * (16 + ALIGNMENT);
/// The same for the message itself.
const BATCH_OVERHEAD: usize = 512;
/// Room for so many rows is made before the first batch has told how many there are.
const FIRST_ROWS: usize = 64;
/// How much of a value an error shows, and the largest value of which it does.
const PRINTED_CHARS: usize = 100;
const PRINTABLE: usize = 64 * 1024;

pub(crate) struct ArrowEncoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// How an error prints a value; it prints no record.
    codecs: Vec<Option<Codec>>,
    /// The rows that come next.
    pending: Gathered,
    options: IpcWriteOptions,
    messages: Result<StreamEncoder, ArrowError>,
    /// Of the batch that has been begun.
    bytes: usize,
    overhead: usize,
}

impl std::fmt::Debug for ArrowEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArrowEncoder({} columns)", self.columns.len())
    }
}

impl ArrowEncoder {
    pub(crate) fn new(columns: &[plan::Column], arrow: ArrowOptions) -> Self {
        let fields: Fields = columns.iter().map(|column| types::field(column, arrow)).collect();
        let builders = columns.iter().zip(&fields).map(|(column, field)| {
            let kind = Kind::of(column, arrow);
            Column::new(kind, field.data_type().clone(), arrow.unrepresentable_as_null, FIRST_ROWS)
        });
        let builders = builders.collect();
        let schema = Arc::new(Schema::new(fields));
        let compression = match arrow.compression {
            ArrowCompression::None => None,
            ArrowCompression::Lz4 => Some(CompressionType::LZ4_FRAME),
            ArrowCompression::Zstd => Some(CompressionType::ZSTD),
        };
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)
            .and_then(|options| options.try_with_compression(compression))
            .unwrap_or_default();
        let messages = messages(&schema, &options);
        let fields: usize = columns.iter().filter_map(plan::Column::record).map(Composite::count).sum();
        let overhead = BATCH_OVERHEAD + (columns.len() + fields) * COLUMN_OVERHEAD;
        let pending = Gathered::new(columns.len());
        let codecs = columns.iter().map(|column| column.record().is_none().then_some(column.codec)).collect();
        Self { schema, columns: builders, codecs, pending, options, messages, bytes: 0, overhead }
    }

    /// The schema as a message.
    pub(crate) fn schema(&self) -> Bytes {
        let mut tracker = DictionaryTracker::new(false);
        let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            &self.schema,
            &mut tracker,
            &self.options,
        );
        let mut message = Vec::new();
        // Nothing can fail in writing to memory.
        drop(write_message(&mut message, encoded, &self.options));
        message.into()
    }

    /// Takes a row. Answers whether rows should be [settled](Self::settle) now.
    pub(crate) fn push(&mut self, row: &impl RawRow, cutter: &Cutter) -> Result<bool, RowError> {
        if row.len() != self.columns.len() {
            return Err(RowError::Shape);
        }
        row.gather(&mut self.pending, cutter.limits.row_bytes).map_err(|refused| {
            let row = cutter.row_count() + self.pending_rows();
            match refused {
                Refused::TooLarge(bytes) => RowError::TooLarge { row, bytes },
                Refused::Malformed { column, kind } => RowError::Malformed { row, column, kind },
            }
        })?;
        Ok(self.pending.is_full() || cutter.would_be_full(self.pending_rows(), self.bytes()))
    }

    /// Rows that are not encoded yet.
    pub(crate) fn pending_rows(&self) -> i64 {
        i64::try_from(self.pending.rows()).unwrap_or(i64::MAX)
    }

    /// About how large the batch would be that has been begun; exact when nothing is pending.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.pending.bytes() + self.overhead
    }

    /// Encodes what is pending: column by column, or row by row if it may have to be cut.
    pub(crate) fn settle(&mut self, cutter: &mut Cutter) -> Result<(), RowError> {
        if self.pending.rows() == 0 {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        let settled = self.settle_rows(&pending, cutter);
        pending.clear();
        self.pending = pending;
        settled
    }

    fn settle_rows(&mut self, pending: &Gathered, cutter: &mut Cutter) -> Result<(), RowError> {
        let before = self.bytes;
        let appended = self.append_columns(pending);
        let alone = cutter.rows() == 0 && pending.rows() == 1;
        if appended.is_err() || (cutter.is_over(self.bytes()) && !alone) {
            // The rows before one that does not fit are still sent.
            self.truncate(cutter.rows());
            self.bytes = before;
            return (0..pending.rows()).try_for_each(|row| self.settle_row(pending, row, cutter));
        }
        if cutter.added(pending.rows(), self.bytes()) {
            self.close(cutter)?;
        }
        Ok(())
    }

    /// Appends one row, in a batch of its own if there is no room for it.
    fn settle_row(&mut self, pending: &Gathered, row: usize, cutter: &mut Cutter) -> Result<(), RowError> {
        let before = self.bytes;
        self.append_row(pending, row, cutter)?;
        if cutter.rows() > 0 && cutter.is_over(self.bytes()) {
            self.truncate(cutter.rows());
            self.bytes = before;
            self.close(cutter)?;
            self.append_row(pending, row, cutter)?;
        }
        if cutter.added(1, self.bytes()) {
            self.close(cutter)?;
        }
        Ok(())
    }

    /// Closes the batch of the rows that are settled.
    pub(crate) fn close(&mut self, cutter: &mut Cutter) -> Result<(), RowError> {
        let first = cutter.row_count() - cutter.rows();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, builder) in self.columns.iter_mut().enumerate() {
            let array = builder.finish().map_err(|index| {
                let row = first + i64::try_from(index).unwrap_or(0);
                RowError::Malformed { row, column, kind: Malformed::Utf8 }
            })?;
            arrays.push(array);
        }
        let rows = usize::try_from(cutter.rows()).unwrap_or(0);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        let encoder = self.messages.as_mut().map_err(|error| RowError::Arrow(error.to_string()))?;
        let parts = batch.and_then(|batch| encoder.encode(&batch));
        let parts = parts.map_err(|error| RowError::Arrow(error.to_string()))?;
        let mut message = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| message.extend_from_slice(part));
        self.bytes = 0;
        cutter.close(Data::ArrowIpc(message.into()));
        Ok(())
    }

    fn append_columns(&mut self, pending: &Gathered) -> Result<(), Unfit> {
        for (column, builder) in self.columns.iter_mut().enumerate() {
            self.bytes += builder.extend(pending.column(column))?;
        }
        Ok(())
    }

    /// A row that cannot be appended leaves nothing of itself.
    fn append_row(&mut self, pending: &Gathered, row: usize, cutter: &Cutter) -> Result<(), RowError> {
        let number = cutter.row_count();
        let mut bytes = self.bytes;
        for ((column, builder), value) in self.columns.iter_mut().enumerate().zip(pending.row(row)) {
            match builder.push(value) {
                Ok(size) => bytes += size,
                Err(unfit) => {
                    self.truncate(cutter.rows());
                    return Err(unfit_at(number, column, unfit, self.codecs[column], value));
                }
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    fn truncate(&mut self, rows: i64) {
        let rows = usize::try_from(rows).unwrap_or(0);
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }
}

fn unfit_at(row: i64, column: usize, unfit: Unfit, codec: Option<Codec>, value: Option<&[u8]>) -> RowError {
    match unfit {
        Unfit::Stale => RowError::Shape,
        Unfit::Malformed(kind) => RowError::Malformed { row, column, kind },
        Unfit::Unrepresentable(what) => RowError::Unrepresentable { row, column, value: told(what, codec, value) },
    }
}

/// A value and what it is, for an error's message.
fn told(what: What, codec: Option<Codec>, value: Option<&[u8]>) -> String {
    match codec.zip(value).and_then(|(codec, value)| printed(codec, value)) {
        // One value too many is no worse than those before it.
        Some(text) if !matches!(what, What::TooManyElements | What::TooManyBytes) => {
            format!("{text}, {},", what.as_str())
        }
        _ => what.as_str().to_owned(),
    }
}

/// The beginning of a value's text; none of one that would be long.
fn printed(codec: Codec, value: &[u8]) -> Option<String> {
    if value.len() > PRINTABLE {
        return None;
    }
    let mut text = Vec::new();
    codec.write_text(value, &mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    Some(match text.char_indices().nth(PRINTED_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    })
}

/// An encoder that has given its schema already, with a batch of no rows: the schema is the header's.
fn messages(schema: &SchemaRef, options: &IpcWriteOptions) -> Result<StreamEncoder, ArrowError> {
    let mut encoder = StreamEncoder::try_new_with_options(schema, options.clone())?;
    encoder.encode(&RecordBatch::new_empty(schema.clone()))?;
    Ok(encoder)
}
