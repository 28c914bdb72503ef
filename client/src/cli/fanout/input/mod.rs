//! The inputs of a fan-out, record by record: what they hold and where they stand, and what is broken
//! about a line. How CSV and JSON lines are read is in `csv` and `jsonl`, where they come from in
//! `source`.
//!
//! Which parameter a column is for, and whether a value suits its type, is decided in `mapping`.

mod csv;
mod jsonl;
mod source;

use std::{
    io::{self, BufRead},
    sync::Arc,
};

pub(crate) use self::source::{Fingerprint, Hashing, Source};
use self::{csv::CsvReader, jsonl::JsonLinesReader};

/// More than this is no record, but a file without line ends or a quote that is never closed.
const MAX_RECORD_BYTES: usize = 16 << 20;

/// The columns of a record; shared by neighbours that have the same.
pub(crate) type InputColumns = Arc<[String]>;

/// How an input is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum InputFormat {
    /// CSV with a header
    Csv,
    /// One JSON object a line; with --sql also an array
    Jsonl,
}

impl InputFormat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// One value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    /// A number, a bool, an array or an object of JSON, as it was written: no digit is lost.
    Json(Box<str>),
}

impl Cell {
    /// The value as text; `None` for NULL.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
            Self::Json(json) => Some(json),
        }
    }
}

/// One input: the values of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its place among the records of the input, from 0; those that cannot be used count.
    pub(crate) position: u64,
    /// The line it begins on, from 1.
    pub(crate) line: u64,
    pub(crate) columns: InputColumns,
    pub(crate) cells: Vec<Cell>,
}

/// What stands where a record should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Record(Record),
    /// A line that is no record: where, and why.
    Broken {
        line: u64,
        problem: String,
    },
}

/// Reads records, whichever format they have.
#[derive(Debug)]
pub(crate) enum Reader<R> {
    Csv(Box<CsvReader<R>>),
    JsonLines(JsonLinesReader<R>),
}

impl<R: BufRead> Reader<R> {
    /// `null`: the unquoted CSV field that is NULL.
    pub(crate) fn new(format: InputFormat, input: R, null: &str) -> Self {
        match format {
            InputFormat::Csv => Self::Csv(Box::new(CsvReader::new(input, null))),
            InputFormat::Jsonl => Self::JsonLines(JsonLinesReader::new(input)),
        }
    }

    /// The next record or broken line; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, Unreadable> {
        match self {
            Self::Csv(reader) => reader.next(),
            Self::JsonLines(reader) => reader.next(),
        }
    }

    /// The lines of what `next` has answered, as they stand in the input.
    pub(crate) fn text(&self) -> String {
        let raw = match self {
            Self::Csv(reader) => reader.raw(),
            Self::JsonLines(reader) => reader.raw(),
        };
        String::from_utf8_lossy(raw).trim_end_matches(['\r', '\n']).to_owned()
    }

    /// What was read from.
    pub(crate) fn into_inner(self) -> R {
        match self {
            Self::Csv(reader) => reader.into_inner(),
            Self::JsonLines(reader) => reader.into_inner(),
        }
    }
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Io(io::Error),
    /// The input as a whole is no CSV or JSON lines: the line, and what is wrong.
    Malformed {
        line: u64,
        problem: String,
    },
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn too_long(line: u64) -> Unreadable {
    let problem = format!("the record is longer than {} MiB: is a quote not closed?", MAX_RECORD_BYTES >> 20);
    Unreadable::Malformed { line, problem }
}

/// A name that stands twice, if one does.
fn repeated(names: &[String]) -> Option<&String> {
    let mut seen = std::collections::HashSet::new();
    names.iter().find(|name| !seen.insert(name.as_str()))
}
