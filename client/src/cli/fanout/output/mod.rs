//! What a call leaves in the output: a record of the call (`record`), or its rows behind the columns of
//! its input (`rows`). Here only bytes are made; where they go is in `place`.

mod record;
mod rows;

use std::time::Duration;

use rowstream_client::{Columns, DecodeError, Error, RowBatch};

use self::{record::RecordFormat, rows::RowsFormat};
use super::input::{Cell, InputColumns, Record};

/// What the output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// One JSON object a call: its input, and its rows or its error
    Jsonl,
    /// The rows alone, as JSON objects that begin with the columns of the input
    RowsJsonl,
    /// The rows alone, as CSV that begins with the columns of the input
    RowsCsv,
}

impl OutputFormat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::RowsJsonl => "rows-jsonl",
            Self::RowsCsv => "rows-csv",
        }
    }
}

/// The input of a call, as far as it belongs to the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) record: &'a Record,
    /// Which of its columns.
    pub(crate) shown: &'a [usize],
}

impl<'a> Input<'a> {
    fn cells(self) -> impl Iterator<Item = (&'a str, &'a Cell)> {
        self.shown.iter().map(move |at| (self.record.columns[*at].as_str(), &self.record.cells[*at]))
    }
}

/// What a call gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) columns: &'a Columns,
    pub(crate) batches: &'a [RowBatch],
    /// Whether a limit on rows has cut it.
    pub(crate) truncated: bool,
}

/// How a call went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) attempts: u32,
    pub(crate) hedged: bool,
    pub(crate) latency: Duration,
    pub(crate) endpoint: Option<&'a str>,
}

/// Formats calls.
#[derive(Debug)]
pub(crate) enum Formatter {
    Record(RecordFormat),
    Rows(RowsFormat),
}

impl Formatter {
    /// `first`: the columns of the input that belong to the output, of its first record; `columns`: those of the
    /// result. CSV has the same in every line.
    pub(crate) fn new(format: OutputFormat, first: &InputColumns, columns: &Columns) -> Self {
        match format {
            OutputFormat::Jsonl => Self::Record(RecordFormat),
            OutputFormat::RowsJsonl => Self::Rows(RowsFormat::json_lines()),
            OutputFormat::RowsCsv => Self::Rows(RowsFormat::csv(first.clone(), columns)),
        }
    }

    /// What stands before all calls.
    pub(crate) fn head(&self) -> Vec<u8> {
        match self {
            Self::Record(_) => Vec::new(),
            Self::Rows(format) => format.head(),
        }
    }

    /// Appends a call that was answered. On an error nothing is appended.
    pub(crate) fn answer(
        &mut self,
        input: Input<'_>,
        answer: Answer<'_>,
        facts: Facts<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let start = out.len();
        let written = match self {
            Self::Record(format) => format.answer(input, answer, facts, out),
            Self::Rows(format) => format.answer(input, answer, out),
        };
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    /// Appends a call that failed. Where the output has rows alone, there is nothing to append.
    pub(crate) fn failure(&self, input: Input<'_>, error: &Error, facts: Facts<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Record(format) => format.failure(input, error, facts, out),
            Self::Rows(_) => {}
        }
    }
}

/// Appends a JSON string.
fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail, and neither does serializing a string.
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok());
}

/// Appends a cell as JSON: text as a string, JSON as it was written.
fn write_cell(cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Text(text) => write_string(text, out),
        Cell::Json(json) => out.extend_from_slice(json.as_bytes()),
    }
}

#[cfg(test)]
mod testing {
    //! Inputs and answers for the tests of the formats.

    use super::*;

    pub(super) const FACTS: Facts<'static> =
        Facts { attempts: 1, hedged: false, latency: Duration::from_micros(1500), endpoint: Some("http://h:1") };

    /// A record of CSV; `None` is NULL.
    pub(super) fn record(columns: &[&str], values: &[Option<&str>]) -> Record {
        let cell = |value: &Option<&str>| value.map_or(Cell::Null, |text| Cell::Text(text.to_owned()));
        Record {
            position: 7,
            line: 9,
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            cells: values.iter().map(cell).collect(),
        }
    }

    /// Formats the answer as a string.
    pub(super) fn answered(
        formatter: &mut Formatter,
        record: &Record,
        shown: &[usize],
        columns: &Columns,
        batches: &[RowBatch],
    ) -> String {
        let mut out = Vec::new();
        let answer = Answer { columns, batches, truncated: false };
        formatter.answer(Input { record, shown }, answer, FACTS, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
