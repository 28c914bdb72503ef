//! The account of a complete export, and its files held against it.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
    time::SystemTime,
};

use arrow_ipc::reader::FileReader;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    job::Asked,
    journal::{self, Journal},
};
use crate::cli::{
    failure::Failure,
    formats::{Format, TextCompression},
};

pub(super) const NAME: &str = "manifest.json";
const VERSION: u32 = 1;
/// How many problems are told.
const TOLD: usize = 10;

/// The account of a complete export.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Of this account.
    manifest_version: u32,
    /// Of the program that completed the export.
    rowstream_version: String,
    /// What was exported and how, by the names of the flags.
    pub(super) asked: Asked,
    /// When the export was complete.
    completed: String,
    snapshot: Snapshot,
    /// How the result was divided, and why so.
    partition_strategy: String,
    partition_reason: String,
    columns: Vec<Column>,
    /// Whether a limit on the server has cut the result short.
    truncated: bool,
    rows: u64,
    bytes: u64,
    files: Vec<FileEntry>,
}

/// What the manifest of every version tells.
#[derive(Deserialize)]
struct Versioned {
    manifest_version: u32,
}

/// A complete file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub(super) file: String,
    /// From 1.
    pub(super) partition: usize,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// Not of the snapshot: the database's state when it was read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) live: bool,
}

impl FileEntry {
    /// In what the file is not as it was written, as far as its length tells.
    pub(super) fn unlike(&self, directory: &Path) -> Option<String> {
        match fs::metadata(directory.join(&self.file)) {
            Ok(found) if found.is_file() && found.len() == self.bytes => None,
            Ok(found) => Some(format!("{} has {} bytes, and {} were written", self.file, found.len(), self.bytes)),
            Err(error) => Some(format!("{}: {error}", self.file)),
        }
    }
}

/// The state of the database that was exported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    id: String,
    taken: Option<String>,
}

impl Snapshot {
    pub(super) fn new(id: &str, taken: Option<SystemTime>) -> Self {
        let taken = taken.map(|taken| humantime::format_rfc3339_micros(taken).to_string());
        Self { id: id.to_owned(), taken }
    }
}

/// A column, as PostgreSQL names it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Column {
    name: String,
    r#type: String,
}

impl From<&rowstream_client::Column> for Column {
    fn from(column: &rowstream_client::Column) -> Self {
        Self { name: column.name.clone(), r#type: column.type_name.clone() }
    }
}

/// What a whole export came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) files: usize,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) live: usize,
    /// Whether a limit on the server has cut the result short.
    pub(super) truncated: bool,
}

impl Manifest {
    pub(super) fn new(journal: &Journal) -> Option<Self> {
        let begun = journal.begun()?.clone();
        let files = journal.files();
        Some(Self {
            manifest_version: VERSION,
            rowstream_version: env!("CARGO_PKG_VERSION").to_owned(),
            asked: begun.asked,
            completed: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            snapshot: begun.snapshot,
            partition_strategy: begun.strategy,
            partition_reason: begun.strategy_reason,
            columns: begun.columns,
            truncated: journal.is_truncated(),
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            files,
        })
    }

    pub(super) fn totals(&self) -> Totals {
        let live = self.files.iter().filter(|file| file.live).count();
        Totals { files: self.files.len(), rows: self.rows, bytes: self.bytes, live, truncated: self.truncated }
    }

    /// In what a file is not as it was written, as far as their lengths tell.
    pub(super) fn unlike(&self, directory: &Path) -> Option<String> {
        self.files.iter().find_map(|file| file.unlike(directory))
    }

    /// As it is in its file.
    pub(super) fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// The manifest of a directory, if it has one.
pub(super) fn read(directory: &Path) -> Result<Option<Manifest>, Failure> {
    let unfit = |problem: String| Failure::export(directory, format!("its {NAME} cannot be used: {problem}"));
    let text = match fs::read(directory.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| unfit(error.to_string()))?,
    };
    let Versioned { manifest_version: version } =
        serde_json::from_slice(&text).map_err(|error| unfit(error.to_string()))?;
    if version != VERSION {
        return Err(unfit(format!("it is of version {version}, and this program knows {VERSION}")));
    }
    serde_json::from_slice(&text).map(Some).map_err(|error| unfit(error.to_string()))
}

/// Holds every file of a complete export against its manifest.
pub(super) fn verify(directory: &Path) -> Result<Totals, Failure> {
    let Some(manifest) = read(directory)? else {
        let told = match directory.join(journal::NAME).exists() {
            true => "the export is not complete: the command that began it goes on with it",
            false => "there is no manifest.json, so there is no complete export",
        };
        return Err(Failure::export(directory, told));
    };
    let mut problems = Vec::new();
    for file in &manifest.files {
        problems
            .extend(problem_of(directory, file, &manifest.asked).map(|problem| format!("{}: {problem}", file.file)));
    }
    let known: HashSet<&str> = manifest.files.iter().map(|file| file.file.as_str()).collect();
    let names =
        journal::parts(directory, &manifest.asked).map_err(|error| Failure::export(directory, error.to_string()))?;
    problems.extend(
        names.iter().filter(|name| !known.contains(name.as_str())).map(|name| format!("{name}: not of this export")),
    );
    let totals = manifest.totals();
    let sum = |of: fn(&FileEntry) -> u64| manifest.files.iter().map(of).sum::<u64>();
    if (sum(|file| file.rows), sum(|file| file.bytes)) != (totals.rows, totals.bytes) {
        problems.push(format!("{NAME}: its totals are not the sums of its files"));
    }
    if problems.is_empty() {
        return Ok(totals);
    }
    let more = problems.len().saturating_sub(TOLD);
    problems.truncate(TOLD);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(Failure::Export { directory: directory.to_owned(), problems })
}

/// In what a file is not as the manifest says.
fn problem_of(directory: &Path, file: &FileEntry, asked: &Asked) -> Option<String> {
    let path = directory.join(&file.file);
    match checksum(&path) {
        Err(error) => return Some(error.to_string()),
        Ok((bytes, _)) if bytes != file.bytes => {
            return Some(format!("{bytes} bytes, and {} were written", file.bytes));
        }
        Ok((_, sha256)) if sha256 != file.sha256 => {
            return Some("its content is another one: the checksum differs".to_owned());
        }
        Ok(_) => {}
    }
    match rows(&path, asked.format, asked.compress) {
        Err(error) => Some(format!("its rows cannot be counted: {error}")),
        Ok(rows) if rows != file.rows => Some(format!("{rows} rows, and {} were written", file.rows)),
        Ok(_) => None,
    }
}

/// A file's length and checksum.
pub(super) fn checksum(path: &Path) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let (mut buffer, mut length) = (vec![0; 1 << 18], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
    Ok((length, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// How many rows are in a file.
fn rows(path: &Path, format: Format, compression: TextCompression) -> io::Result<u64> {
    let file = File::open(path)?;
    match format {
        Format::Parquet => {
            let reader = SerializedFileReader::new(file).map_err(io::Error::other)?;
            reader.metadata().file_metadata().num_rows().try_into().map_err(io::Error::other)
        }
        Format::Arrow => {
            let reader = FileReader::try_new_buffered(file, None).map_err(io::Error::other)?;
            let rows = reader.map(|batch| batch.map(|batch| batch.num_rows() as u64));
            rows.sum::<Result<u64, _>>().map_err(io::Error::other)
        }
        // Below the header. A NULL alone in its row is an empty line.
        Format::Csv => lines(decompressed(file, compression)?, true).map(|lines| lines.saturating_sub(1)),
        Format::Jsonl | Format::Table => lines(decompressed(file, compression)?, false),
    }
}

fn decompressed(file: File, compression: TextCompression) -> io::Result<Box<dyn Read>> {
    Ok(match compression {
        TextCompression::None => Box::new(file),
        TextCompression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        TextCompression::Zstd => Box::new(zstd::Decoder::new(file)?),
    })
}

/// The lines of a text. With `quotes`, one that ends within double quotes goes on.
fn lines(mut text: impl Read, quotes: bool) -> io::Result<u64> {
    let (mut buffer, mut lines, mut open) = (vec![0; 1 << 18], 0, false);
    loop {
        match text.read(&mut buffer)? {
            0 => return Ok(lines),
            read => {
                for byte in &buffer[..read] {
                    open ^= quotes && *byte == b'"';
                    lines += u64::from(*byte == b'\n' && !open);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_is_in_their_fields() {
        for (text, expected) in
            [("a\n", 1), ("a\n\n\n", 3), ("a,b\n\"1\n2\",3\n4,\"\"\"\"\n", 3), ("a\n\"\"\"\n\"\"\"\n", 2)]
        {
            assert_eq!(lines(text.as_bytes(), true).unwrap(), expected, "{text:?}");
        }
        assert_eq!(lines(&b"{\"a\":\"\\\"\"}\n{}\n"[..], false).unwrap(), 2);
    }
}
