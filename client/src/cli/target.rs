//! What a stream of a format is read from, and what it is written into: one file, or stdout.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rowstream_client::{
    ArrowIpcStream, Call, Error, Header, ReadPartition, RecordBatchStream, ResumeToken, RowBatch, RowStream, Summary,
    sink::{ArrowSink, CsvSink, FileCompression, JsonLinesSink, Output, ParquetOutput, Sink, TableSink},
};

use super::{failure::Failure, formats::Format};

/// How a result is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) format: Format,
    pub(crate) row_group_bytes: Option<usize>,
    pub(crate) compression: FileCompression,
}

/// A stream, whatever it is made of.
pub(crate) trait Reading: Sized + Send + Sync + 'static {
    type Item: Send;

    fn of_call(call: &Call) -> impl Future<Output = Result<Self, Error>> + Send;
    fn of_partition(read: &ReadPartition) -> impl Future<Output = Result<Self, Error>> + Send;
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>, Error>> + Send;
    fn header(&self) -> &Header;
    fn rows_received(&self) -> u64;
    fn bytes_received(&self) -> u64;
    fn resumed(&self) -> u32;
    fn resume_token(&self) -> Option<&ResumeToken>;
    fn summary(&self) -> Option<&Summary>;
}

macro_rules! reading {
    ($stream:ty, $item:ty, $open:ident, $next:ident) => {
        impl Reading for $stream {
            type Item = $item;

            async fn of_call(call: &Call) -> Result<Self, Error> {
                call.$open().await
            }

            async fn of_partition(read: &ReadPartition) -> Result<Self, Error> {
                read.$open().await
            }

            async fn next(&mut self) -> Result<Option<$item>, Error> {
                self.$next().await
            }

            fn header(&self) -> &Header {
                self.header()
            }

            fn rows_received(&self) -> u64 {
                self.rows_received()
            }

            fn bytes_received(&self) -> u64 {
                self.bytes_received()
            }

            fn resumed(&self) -> u32 {
                self.resumed()
            }

            fn resume_token(&self) -> Option<&ResumeToken> {
                self.resume_token()
            }

            fn summary(&self) -> Option<&Summary> {
                self.summary()
            }
        }
    };
}

reading!(RowStream, RowBatch, stream, next_batch);
reading!(ArrowIpcStream, bytes::Bytes, arrow_ipc, next_message);
reading!(RecordBatchStream, arrow_array::RecordBatch, record_batches, next_batch);

/// An output that takes such a stream. What has failed in writing is told by `finish`; `begin`, `write` and `end`
/// answer false.
pub(crate) trait Target: Sized + Send + 'static {
    type Reading: Reading;

    /// Opens it; without a path, stdout.
    fn open(form: Form, path: Option<PathBuf>) -> Result<Self, Failure>;
    /// What comes before the rows.
    fn begin(&mut self, reading: &Self::Reading) -> impl Future<Output = Result<bool, Failure>> + Send;
    fn write(&mut self, item: <Self::Reading as Reading>::Item) -> impl Future<Output = Result<bool, Failure>> + Send;
    /// What comes after the rows.
    fn end(&mut self) -> impl Future<Output = bool> + Send;
    /// About how large the file is by now.
    fn file_size(&self) -> u64;
    /// Completes it; a file has its name then.
    fn finish(self) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Gives up; no file is left.
    fn abandon(self);
}

/// Bytes on their way into a file.
struct Bytes {
    output: Output,
    path: Option<PathBuf>,
    buffer: Vec<u8>,
}

impl Bytes {
    fn open(path: Option<PathBuf>, compression: FileCompression) -> Result<Self, Failure> {
        let (output, path) = opened(path, |path| Output::compressed_file(path, compression), Output::stdout)?;
        Ok(Self { output, path, buffer: Vec::new() })
    }

    /// Hands over what has been put into the buffer.
    async fn write(&mut self) -> bool {
        self.output.write(&mut self.buffer).await
    }

    async fn finish(self) -> Result<(), Failure> {
        let Self { output, path, .. } = self;
        output.finish().await.map_err(|source| Failure::output(path, source))
    }
}

/// Rows as text.
pub(crate) struct Text {
    sink: Box<dyn Sink + Sync>,
    bytes: Bytes,
}

impl Target for Text {
    type Reading = RowStream;

    fn open(form: Form, path: Option<PathBuf>) -> Result<Self, Failure> {
        let sink: Box<dyn Sink + Sync> = match form.format {
            Format::Csv => Box::new(CsvSink::default()),
            Format::Jsonl => Box::new(JsonLinesSink::default()),
            Format::Table | Format::Arrow | Format::Parquet => Box::new(TableSink::default()),
        };
        Ok(Self { sink, bytes: Bytes::open(path, form.compression)? })
    }

    async fn begin(&mut self, reading: &RowStream) -> Result<bool, Failure> {
        self.sink.begin(reading.columns(), &mut self.bytes.buffer);
        Ok(true)
    }

    async fn write(&mut self, batch: RowBatch) -> Result<bool, Failure> {
        self.sink.batch(&batch, &mut self.bytes.buffer).map_err(Error::from)?;
        Ok(self.bytes.write().await)
    }

    async fn end(&mut self) -> bool {
        self.sink.end(&mut self.bytes.buffer);
        self.bytes.write().await
    }

    fn file_size(&self) -> u64 {
        self.bytes.output.file_size()
    }

    async fn finish(self) -> Result<(), Failure> {
        self.bytes.finish().await
    }

    fn abandon(self) {
        self.bytes.output.abandon();
    }
}

/// Arrow's messages as they come.
pub(crate) struct Arrow {
    sink: ArrowSink,
    bytes: Bytes,
}

impl Target for Arrow {
    type Reading = ArrowIpcStream;

    fn open(_: Form, path: Option<PathBuf>) -> Result<Self, Failure> {
        let sink = match path.as_deref().is_some_and(is_arrow_file) {
            true => ArrowSink::file(),
            false => ArrowSink::stream(),
        };
        Ok(Self { sink, bytes: Bytes::open(path, FileCompression::None)? })
    }

    async fn begin(&mut self, reading: &ArrowIpcStream) -> Result<bool, Failure> {
        self.sink.begin(reading.schema(), &mut self.bytes.buffer)?;
        Ok(true)
    }

    async fn write(&mut self, message: bytes::Bytes) -> Result<bool, Failure> {
        self.sink.message(&message, &mut self.bytes.buffer)?;
        Ok(self.bytes.write().await)
    }

    async fn end(&mut self) -> bool {
        self.sink.end(&mut self.bytes.buffer);
        self.bytes.write().await
    }

    fn file_size(&self) -> u64 {
        self.bytes.output.file_size()
    }

    async fn finish(self) -> Result<(), Failure> {
        self.bytes.finish().await
    }

    fn abandon(self) {
        self.bytes.output.abandon();
    }
}

/// Whether Arrow's file format belongs there: in a regular file that is not named as a stream.
fn is_arrow_file(path: &Path) -> bool {
    let streamed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("arrows"));
    !streamed && fs::metadata(path).map_or(true, |existing| existing.is_file())
}

/// Record batches as Parquet.
pub(crate) struct Parquet {
    output: ParquetOutput,
    path: Option<PathBuf>,
}

impl Target for Parquet {
    type Reading = RecordBatchStream;

    fn open(form: Form, path: Option<PathBuf>) -> Result<Self, Failure> {
        let (output, path) = opened(path, ParquetOutput::file, ParquetOutput::stdout)?;
        let output = match form.row_group_bytes {
            Some(bytes) => output.row_group_bytes(bytes),
            None => output,
        };
        Ok(Self { output, path })
    }

    async fn begin(&mut self, reading: &RecordBatchStream) -> Result<bool, Failure> {
        let begun = self.output.begin(&reading.schema(), reading.header()).await;
        begun.map_err(|source| Failure::output(self.path.clone(), source))
    }

    async fn write(&mut self, batch: arrow_array::RecordBatch) -> Result<bool, Failure> {
        Ok(self.output.write(batch).await)
    }

    async fn end(&mut self) -> bool {
        true
    }

    fn file_size(&self) -> u64 {
        self.output.file_size()
    }

    async fn finish(self) -> Result<(), Failure> {
        let Self { output, path } = self;
        output.finish().await.map_err(|source| Failure::output(path, source))
    }

    fn abandon(self) {
        self.output.abandon();
    }
}

fn opened<T>(
    path: Option<PathBuf>,
    file: impl FnOnce(&Path) -> io::Result<T>,
    stdout: impl FnOnce() -> io::Result<T>,
) -> Result<(T, Option<PathBuf>), Failure> {
    match path.as_deref().map_or_else(stdout, file) {
        Ok(output) => Ok((output, path)),
        Err(source) => Err(Failure::output(path, source)),
    }
}
