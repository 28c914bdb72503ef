//! Where rows end: printed as CSV, as JSON lines or as a table, or kept in Arrow and Parquet; to stdout or into a file.
//!
//! A [`Sink`] only formats rows, into a buffer that its caller owns and reuses; [`Output`] moves full
//! buffers to where they go, on a thread of its own (`worker`), so that a slow reader of ours never holds up the
//! runtime. How PostgreSQL itself prints a value is in [`pgtext`].
//!
//! What comes in Arrow stays in Arrow: `ArrowSink` passes messages on as they are, and `ParquetOutput` encodes record
//! batches on its thread.

#[cfg(feature = "arrow")]
mod arrow;
mod csv;
mod jsonl;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
pub mod pgtext;
#[cfg(feature = "parquet")]
mod storable;
mod table;
mod visible;
mod worker;

#[cfg(feature = "arrow")]
pub use self::arrow::ArrowSink;
#[cfg(feature = "parquet")]
pub use self::parquet::{DEFAULT_ROW_GROUP_BYTES, ParquetOutput};
pub use self::{
    csv::{CsvSink, write_csv_field},
    jsonl::{JsonLinesSink, unique_names},
    output::{FileCompression, Output},
    table::TableSink,
    visible::{Visible, write_visible},
};
use crate::{Columns, DecodeError, RowBatch};

/// Formats the rows of one result.
pub trait Sink: Send {
    /// Starts: what comes before the rows.
    fn begin(&mut self, columns: &Columns, out: &mut Vec<u8>);

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// If a value cannot be read; `out` then ends somewhere in that row.
    fn batch(&mut self, batch: &RowBatch, out: &mut Vec<u8>) -> Result<(), DecodeError>;

    /// Ends: whatever was held back, and what comes after the rows.
    fn end(&mut self, out: &mut Vec<u8>);
}

#[cfg(test)]
pub(crate) mod testing {
    //! Batches for the tests of the sinks, through the generated types.

    use bytes::Bytes;
    use prost::Message;
    use rowstream_contract::v1::{ListValue, Value, value::Kind};

    use super::Sink;
    use crate::{Column, RowBatch};

    pub(crate) fn column(name: &str, type_oid: u32) -> Column {
        Column { name: name.to_owned(), type_name: "t".to_owned(), type_oid, nullable: None }
    }

    pub(crate) fn text(value: &str) -> Option<Kind> {
        Some(Kind::Text(value.to_owned()))
    }

    pub(crate) fn list(values: impl IntoIterator<Item = Option<Kind>>) -> Option<Kind> {
        let values = values.into_iter().map(|kind| Value { kind }).collect();
        Some(Kind::List(ListValue { values }))
    }

    pub(crate) fn batch(columns: &[Column], rows: &[Vec<Option<Kind>>]) -> RowBatch {
        let mut body = Vec::new();
        for row in rows {
            // A row is encoded as a list is: a run of values in field 1.
            let values = row.iter().map(|kind| Value { kind: kind.clone() }).collect();
            let row = ListValue { values }.encode_to_vec();
            prost::encoding::bytes::encode(1, &Bytes::from(row), &mut body);
        }
        RowBatch::try_new(columns.iter().cloned().collect(), body.into(), 0).expect("a well-formed batch")
    }

    pub(crate) fn printed(mut sink: impl Sink, columns: &[Column], rows: &[Vec<Option<Kind>>]) -> String {
        let batch = batch(columns, rows);
        let mut out = Vec::new();
        sink.begin(batch.columns(), &mut out);
        sink.batch(&batch, &mut out).expect("readable values");
        sink.end(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }
}
