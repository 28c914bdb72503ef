//! Where the rows of a query end: formatted as text, or kept in Arrow or Parquet; and the way of a call into it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rowstream_client::{
    Call, Error, Summary,
    sink::{ArrowSink, CsvSink, JsonLinesSink, Output, ParquetOutput, Sink, TableSink},
};

use super::{failure::Failure, formats::Format, progress::Underway};

/// A sink of the format that was asked for, open.
pub(crate) struct Destination {
    /// The file to write; stdout without one.
    path: Option<PathBuf>,
    kind: Kind,
}

enum Kind {
    Rows(Box<dyn Sink>, Output),
    Arrow(ArrowSink, Output),
    Parquet(ParquetOutput),
}

impl Destination {
    pub(crate) fn open(format: Format, path: Option<PathBuf>, row_group_bytes: Option<usize>) -> Result<Self, Failure> {
        match Kind::open(format, path.as_deref(), row_group_bytes) {
            Ok(kind) => Ok(Self { path, kind }),
            Err(source) => Err(Failure::output(path, source)),
        }
    }

    /// Moves all that the call yields. [`Failure::ClosedPipe`] stands for every failure of the output: it knows how.
    pub(crate) async fn copy(&mut self, call: &Call, underway: &mut Underway) -> Result<Summary, Failure> {
        match &mut self.kind {
            Kind::Rows(sink, output) => copy_rows(call, sink.as_mut(), output, underway).await,
            Kind::Arrow(sink, output) => copy_messages(call, sink, output, underway).await,
            Kind::Parquet(output) => copy_batches(call, output, &self.path, underway).await,
        }
    }

    /// Whether completing it may wait for a reader.
    pub(crate) fn is_stdout(&self) -> bool {
        self.path.is_none()
    }

    /// Completes it.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        let finished = match self.kind {
            Kind::Rows(_, output) | Kind::Arrow(_, output) => output.finish().await,
            Kind::Parquet(output) => output.finish().await,
        };
        finished.map_err(|source| Failure::output(self.path, source))
    }

    /// Gives up; no file is left.
    pub(crate) fn abandon(self) {
        match self.kind {
            Kind::Rows(_, output) | Kind::Arrow(_, output) => output.abandon(),
            Kind::Parquet(output) => output.abandon(),
        }
    }
}

impl Kind {
    fn open(format: Format, path: Option<&Path>, row_group_bytes: Option<usize>) -> io::Result<Self> {
        let output = || path.map_or_else(Output::stdout, Output::file);
        Ok(match format {
            Format::Table => Self::Rows(Box::new(TableSink::default()), output()?),
            Format::Csv => Self::Rows(Box::new(CsvSink::default()), output()?),
            Format::Jsonl => Self::Rows(Box::new(JsonLinesSink::default()), output()?),
            Format::Arrow if path.is_some_and(is_arrow_file) => Self::Arrow(ArrowSink::file(), output()?),
            Format::Arrow => Self::Arrow(ArrowSink::stream(), output()?),
            Format::Parquet => {
                let output = path.map_or_else(ParquetOutput::stdout, ParquetOutput::file)?;
                Self::Parquet(match row_group_bytes {
                    Some(bytes) => output.row_group_bytes(bytes),
                    None => output,
                })
            }
        })
    }
}

/// Whether Arrow's file format belongs there: in a regular file that is not named as a stream.
fn is_arrow_file(path: &Path) -> bool {
    let streamed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("arrows"));
    !streamed && fs::metadata(path).map_or(true, |existing| existing.is_file())
}

async fn copy_rows(
    call: &Call,
    sink: &mut dyn Sink,
    output: &mut Output,
    underway: &mut Underway,
) -> Result<Summary, Failure> {
    let mut rows = call.stream().await?;
    underway.begun(rows.header());
    let mut buffer = Vec::new();
    sink.begin(rows.columns(), &mut buffer);
    while let Some(batch) = rows.next_batch().await? {
        sink.batch(&batch, &mut buffer).map_err(Error::from)?;
        if !output.write(&mut buffer).await {
            return Err(Failure::ClosedPipe);
        }
        underway.resumed(rows.resumed());
        underway.progress.set(rows.rows_received(), rows.bytes_received());
    }
    underway.resumed(rows.resumed());
    sink.end(&mut buffer);
    output.write(&mut buffer).await;
    complete(rows.summary(), rows.rows_received())
}

async fn copy_messages(
    call: &Call,
    sink: &mut ArrowSink,
    output: &mut Output,
    underway: &mut Underway,
) -> Result<Summary, Failure> {
    let mut messages = call.arrow_ipc().await?;
    underway.begun(messages.header());
    let mut buffer = Vec::new();
    sink.begin(messages.schema(), &mut buffer)?;
    while let Some(message) = messages.next_message().await? {
        sink.message(&message, &mut buffer)?;
        if !output.write(&mut buffer).await {
            return Err(Failure::ClosedPipe);
        }
        underway.resumed(messages.resumed());
        underway.progress.set(messages.rows_received(), messages.bytes_received());
    }
    underway.resumed(messages.resumed());
    sink.end(&mut buffer);
    output.write(&mut buffer).await;
    complete(messages.summary(), messages.rows_received())
}

async fn copy_batches(
    call: &Call,
    output: &mut ParquetOutput,
    path: &Option<PathBuf>,
    underway: &mut Underway,
) -> Result<Summary, Failure> {
    let mut batches = call.record_batches().await?;
    underway.begun(batches.header());
    let begun = output.begin(&batches.schema(), batches.header()).await;
    if !begun.map_err(|source| Failure::output(path.clone(), source))? {
        return Err(Failure::ClosedPipe);
    }
    while let Some(batch) = batches.next_batch().await? {
        if !output.write(batch).await {
            return Err(Failure::ClosedPipe);
        }
        underway.resumed(batches.resumed());
        underway.progress.set(batches.rows_received(), batches.bytes_received());
    }
    underway.resumed(batches.resumed());
    complete(batches.summary(), batches.rows_received())
}

fn complete(summary: Option<&Summary>, rows: u64) -> Result<Summary, Failure> {
    summary.cloned().ok_or_else(|| Error::Truncated { rows, resume_token: None }.into())
}
