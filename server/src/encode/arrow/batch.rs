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
    Unfit,
    column::Column,
    types::{self, Kind},
};
use crate::{
    encode::{
        Malformed,
        batch::{Cutter, RowError},
        row::RawRow,
    },
    plan::{
        self,
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

pub(crate) struct ArrowEncoder {
    schema: SchemaRef,
    columns: Vec<Column>,
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
        let overhead = BATCH_OVERHEAD + columns.len() * COLUMN_OVERHEAD;
        Self { schema, columns: builders, options, messages, bytes: 0, overhead }
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

    pub(crate) fn push(&mut self, row: &impl RawRow, cutter: &mut Cutter) -> Result<(), RowError> {
        let before = self.bytes;
        self.append(row, cutter)?;
        if cutter.rows() > 0 && cutter.is_over(self.bytes()) {
            self.truncate(cutter.rows());
            self.bytes = before;
            self.close(cutter)?;
            self.append(row, cutter)?;
        }
        if cutter.added(self.bytes()) {
            self.close(cutter)?;
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.overhead
    }

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

    /// A row that cannot be appended leaves nothing of itself: the rows before it are still a batch.
    fn append(&mut self, row: &impl RawRow, cutter: &Cutter) -> Result<(), RowError> {
        self.append_values(row, cutter).inspect_err(|_| self.truncate(cutter.rows()))
    }

    fn append_values(&mut self, row: &impl RawRow, cutter: &Cutter) -> Result<(), RowError> {
        if row.len() != self.columns.len() {
            return Err(RowError::Shape);
        }
        let number = cutter.row_count();
        let (mut size, mut bytes) = (0, self.bytes);
        for (column, builder) in self.columns.iter_mut().enumerate() {
            let value = row.value(column).map_err(|kind| RowError::Malformed { row: number, column, kind })?;
            cutter.measure(&mut size, value)?;
            bytes += builder.push(value).map_err(|unfit| match unfit {
                Unfit::Stale => RowError::Shape,
                Unfit::Malformed(kind) => RowError::Malformed { row: number, column, kind },
                Unfit::Unrepresentable(what) => RowError::Unrepresentable { row: number, column, what },
            })?;
        }
        self.bytes = bytes;
        Ok(())
    }

    fn truncate(&mut self, rows: i64) {
        let rows = usize::try_from(rows).unwrap_or(0);
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }
}

/// An encoder that has given its schema already, with a batch of no rows: the schema is the header's.
fn messages(schema: &SchemaRef, options: &IpcWriteOptions) -> Result<StreamEncoder, ArrowError> {
    let mut encoder = StreamEncoder::try_new_with_options(schema, options.clone())?;
    encoder.encode(&RecordBatch::new_empty(schema.clone()))?;
    Ok(encoder)
}
