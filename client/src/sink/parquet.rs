//! A Parquet file, encoded on the thread that writes it.
//!
//! Memory is bounded by the size of a row group: its pages, encoded and compressed, wait in memory until it is complete.

use std::{fs::File, io, path::Path};

use arrow_array::RecordBatch;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
};
use serde::Serialize;

use super::{
    storable::Storable,
    worker::{Target, Work, Worker},
};
use crate::{Header, arrow::SchemaRef};

/// How large row groups become if nobody says otherwise: 64 MiB.
pub const DEFAULT_ROW_GROUP_BYTES: usize = 64 << 20;
/// Batches that wait for the encoder.
const WAITING: usize = 1;

/// A Parquet file in the making: compressed by zstd, with dictionaries where they pay, and with statistics of columns
/// and pages.
#[derive(Debug)]
pub struct ParquetOutput {
    worker: Worker<Item>,
    row_group_bytes: usize,
}

#[derive(Debug)]
enum Item {
    Begin(Storable, Box<WriterProperties>),
    Batch(RecordBatch),
}

impl ParquetOutput {
    /// Writes to stdout.
    ///
    /// # Errors
    /// If stdout is closed, or no thread can be started.
    pub fn stdout() -> io::Result<Self> {
        Self::start(Target::stdout()?)
    }

    /// Writes a file, as [`Output::file`](super::Output::file) does.
    ///
    /// # Errors
    /// If the place cannot be written to.
    pub fn file(path: &Path) -> io::Result<Self> {
        Self::start(Target::open(path)?)
    }

    fn start(target: Target) -> io::Result<Self> {
        let worker = Worker::start(target, WAITING, Encoder::default())?;
        Ok(Self { worker, row_group_bytes: DEFAULT_ROW_GROUP_BYTES })
    }

    /// The size at which a row group is closed, in bytes as they are in the file. Memory grows with it.
    #[must_use]
    pub fn row_group_bytes(self, bytes: usize) -> Self {
        Self { row_group_bytes: bytes.max(1), ..self }
    }

    /// Starts, with the schema of the batches. Keeps the query id and PostgreSQL's types in the file's metadata. Answers
    /// false if the output has failed, as [`write`](Self::write) does.
    ///
    /// # Errors
    /// If no Parquet file can hold such a result.
    pub async fn begin(&mut self, schema: &SchemaRef, header: &Header) -> io::Result<bool> {
        let unfit = |problem: String| io::Error::new(io::ErrorKind::InvalidInput, problem);
        let storable = Storable::try_new(schema).map_err(unfit)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(None)
            .set_max_row_group_bytes(Some(self.row_group_bytes))
            .set_key_value_metadata(Some(metadata(header)))
            .set_created_by(concat!("rowstream ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        Ok(self.worker.send(Item::Begin(storable, Box::new(properties))).await)
    }

    /// Hands over a batch. Waits while the encoder is behind. Answers false if the output has failed:
    /// [`finish`](Self::finish) then says how.
    pub async fn write(&mut self, batch: RecordBatch) -> bool {
        self.worker.send(Item::Batch(batch)).await
    }

    /// How large the file would be by now, without the batch that waits for the encoder. Rows of the row group that is
    /// being made are counted as they are in memory.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.worker.size()
    }

    /// Completes the file, and gives it its name.
    ///
    /// # Errors
    /// Whatever went wrong while encoding or writing.
    pub async fn finish(self) -> io::Result<()> {
        self.worker.finish().await
    }

    /// Gives up: removes the temporary file. What stdout has got is no Parquet file, as its end is missing.
    pub fn abandon(self) {
        self.worker.abandon();
    }
}

/// What the file says of where it comes from.
fn metadata(header: &Header) -> Vec<KeyValue> {
    #[derive(Serialize)]
    struct Column<'a> {
        name: &'a str,
        r#type: &'a str,
    }
    let columns: Vec<_> =
        header.columns.iter().map(|column| Column { name: &column.name, r#type: &column.type_name }).collect();
    vec![
        KeyValue::new("rowstream.query_id".to_owned(), header.query_id.clone()),
        // Strings alone: they always serialize.
        KeyValue::new("rowstream.columns".to_owned(), serde_json::to_string(&columns).ok()),
    ]
}

#[derive(Default)]
struct Encoder {
    begun: Option<(Storable, ArrowWriter<File>)>,
}

impl Work for Encoder {
    type Item = Item;

    fn write(&mut self, item: Item, file: &File) -> io::Result<()> {
        match (item, &mut self.begun) {
            (Item::Begin(storable, properties), begun) => {
                let writer = ArrowWriter::try_new(file.try_clone()?, storable.schema.clone(), Some(*properties));
                *begun = Some((storable, writer.map_err(failure)?));
                Ok(())
            }
            (Item::Batch(batch), Some((storable, writer))) => {
                let batch = storable.batch(&batch).map_err(io::Error::other)?;
                writer.write(&batch).map_err(failure)
            }
            (Item::Batch(_), None) => Err(io::Error::other("a batch came before the schema")),
        }
    }

    fn complete(&mut self, _: &File) -> io::Result<()> {
        match self.begun.take() {
            Some((_, writer)) => writer.close().map(drop).map_err(failure),
            None => Ok(()),
        }
    }

    fn held(&self) -> u64 {
        self.begun.as_ref().map_or(0, |(_, writer)| writer.in_progress_size().try_into().unwrap_or(u64::MAX))
    }
}

/// The operating system's error, where one is the cause.
fn failure(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::statistics::Statistics};
    use rowstream_contract::v1;

    use super::*;

    fn batch(from: i64) -> RecordBatch {
        let mut random = fastrand::Rng::with_seed(from.unsigned_abs());
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 1000));
        let text = (0..1000).map(|_| std::iter::repeat_with(|| random.alphanumeric()).take(40).collect::<String>());
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(text));
        RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap()
    }

    fn header() -> Header {
        let column = |name: &str, type_name: &str| v1::Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            ..v1::Column::default()
        };
        let columns = vec![column("id", "int8"), column("text", "text")];
        Header::try_from(v1::Header { query_id: "q-1".to_owned(), columns, ..v1::Header::default() }).unwrap()
    }

    #[tokio::test]
    async fn a_file_has_row_groups_by_bytes_statistics_and_where_it_comes_from() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.parquet");
        let mut output = ParquetOutput::file(&path).unwrap().row_group_bytes(256 << 10);
        assert!(output.begin(&batch(0).schema(), &header()).await.unwrap());
        for number in 0..30 {
            assert!(output.write(batch(number * 1000)).await);
        }
        assert!(!path.exists());
        assert!(output.file_size() > 256 << 10);
        output.finish().await.unwrap();

        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let groups = reader.metadata().row_groups();
        assert!(groups.len() > 3, "{} row groups", groups.len());
        assert!(groups.iter().all(|group| group.compressed_size() < 512 << 10));
        let Some(Statistics::Int64(ids)) = groups[0].column(0).statistics() else { panic!("no statistics") };
        assert_eq!(ids.min_opt(), Some(&0));
        assert!(matches!(groups[0].column(0).compression(), Compression::ZSTD(_)));
        let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
        let told = |key: &str| metadata.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
        assert_eq!(told("rowstream.query_id").as_deref(), Some("q-1"));
        let types = r#"[{"name":"id","type":"int8"},{"name":"text","type":"text"}]"#;
        assert_eq!(told("rowstream.columns").as_deref(), Some(types));
        let read: Vec<_> = reader.with_batch_size(1000).build().unwrap().map(Result::unwrap).collect();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 30_000);
        assert_eq!(read[7], batch(7000));
    }

    #[tokio::test]
    async fn what_is_abandoned_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut output = ParquetOutput::file(&directory.path().join("rows.parquet")).unwrap();
        assert!(output.begin(&batch(0).schema(), &header()).await.unwrap());
        assert!(output.write(batch(0)).await);
        output.abandon();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_that_says_so() {
        let mut output = ParquetOutput::file(Path::new("/dev/full")).unwrap();
        assert!(output.begin(&batch(0).schema(), &header()).await.unwrap());
        output.write(batch(0)).await;
        assert_eq!(output.finish().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
