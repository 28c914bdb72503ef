//! What an export has done, in its directory: a line for the session, then one for each thing that is done.
//!
//! A line is on disk before anything is built on it, and the file that it tells of before the line is written: so the
//! files that count are those of the journal, and all others are removed. The journal is locked while an export runs. A
//! last line that a crash has cut does not count.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use rowstream_client::{PartitionToken, ResumeToken};
use serde::{Deserialize, Serialize};

use super::{
    encoded,
    job::Asked,
    manifest::{self, Column, FileEntry, Snapshot},
};
use crate::cli::failure::Failure;

pub(super) const NAME: &str = "export.journal";
const VERSION: u32 = 1;

/// The session that an export reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    /// Of the journal.
    version: u32,
    pub(super) asked: Asked,
    pub(super) session: String,
    pub(super) snapshot: Snapshot,
    pub(super) columns: Vec<Column>,
    pub(super) strategy: String,
    pub(super) strategy_reason: String,
    pub(super) partitions: Vec<Partition>,
}

impl Begun {
    pub(super) fn new(asked: &Asked, session: &rowstream_client::ReadSession) -> Self {
        let partition = |partition: &rowstream_client::Partition| Partition {
            token: partition.token.as_bytes().to_vec(),
            estimated_rows: partition.estimated_rows,
        };
        Self {
            version: VERSION,
            asked: asked.clone(),
            session: session.id().to_owned(),
            snapshot: Snapshot::new(session.snapshot(), session.snapshot_time()),
            columns: session.columns().iter().map(Column::from).collect(),
            strategy: session.strategy().name().to_owned(),
            strategy_reason: session.strategy_reason().to_owned(),
            partitions: session.partitions().iter().map(partition).collect(),
        }
    }
}

/// A partition of the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Partition {
    #[serde(with = "encoded")]
    token: Vec<u8>,
    pub(super) estimated_rows: Option<u64>,
}

impl Partition {
    pub(super) fn token(&self) -> PartitionToken {
        self.token.clone().into()
    }
}

/// A line after the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// A file is complete, and the partition goes on behind this boundary, if it can.
    File {
        #[serde(flatten)]
        entry: FileEntry,
        #[serde(with = "encoded", default, skip_serializing_if = "Vec::is_empty")]
        resume_token: Vec<u8>,
    },
    /// All files of a partition are complete.
    Whole { partition: usize, truncated: bool },
    /// A partition is read from its beginning again, and its files do not count.
    Again { partition: usize },
    /// The snapshot is gone. What is not whole is read again at the present state.
    Live,
}

/// Where a partition goes on.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) files: usize,
    pub(super) rows: u64,
    pub(super) token: Option<ResumeToken>,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    file: File,
    begun: Option<Begun>,
    done: Done,
}

/// What the lines come to.
#[derive(Debug, Default)]
struct Done {
    files: Vec<(FileEntry, Vec<u8>)>,
    whole: BTreeSet<usize>,
    truncated: bool,
    live: bool,
}

impl Done {
    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::File { entry, resume_token } => self.files.push((entry, resume_token)),
            Entry::Whole { partition, truncated } => {
                self.whole.insert(partition);
                self.truncated |= truncated;
            }
            Entry::Again { partition } => self.files.retain(|(file, _)| file.partition != partition),
            Entry::Live => {
                self.live = true;
                self.files.retain(|(file, _)| self.whole.contains(&file.partition));
            }
        }
    }
}

impl Journal {
    /// Opens and locks the journal of a directory, and removes files that it does not know. `None`: this export is
    /// complete already.
    pub(super) fn open(directory: &Path, asked: &Asked) -> Result<Option<Self>, Failure> {
        let path = directory.join(NAME);
        let io = |source| Failure::output(Some(path.clone()), source);
        fs::create_dir_all(directory).map_err(io)?;
        if !path.exists() {
            if let Some(manifest) = manifest::read(directory)? {
                return finished(directory, asked, &manifest.asked);
            }
            if !parts(directory).map_err(io)?.is_empty() {
                let told = "it holds files of an export, and neither its journal nor its manifest";
                return Err(Failure::export(directory, told));
            }
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Failure::ExportBusy(directory.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io)?;
        let damaged = |error| Failure::export(directory, format!("{NAME} has a line that cannot be read: {error}"));
        let mut lines = text[..whole].lines();
        let begun: Option<Begun> = lines.next().map(serde_json::from_str).transpose().map_err(damaged)?;
        let mut done = Done::default();
        for line in lines {
            done.take(serde_json::from_str(line).map_err(damaged)?);
        }
        let journal = Self { directory: directory.to_owned(), file, begun, done };
        if let Some(manifest) = manifest::read(directory)? {
            // The end came between the manifest and this.
            journal.remove().map_err(io)?;
            return finished(directory, asked, &manifest.asked);
        }
        match &journal.begun {
            Some(begun) if begun.version != VERSION => {
                Err(Failure::export(directory, format!("{NAME} is of another version of rowstream")))
            }
            Some(begun) => same(directory, asked, &begun.asked).and_then(|()| journal.sweep().map_err(io)),
            None => journal.sweep().map_err(io),
        }?;
        Ok(Some(journal))
    }

    /// The session, if one has begun.
    pub(super) fn begun(&self) -> Option<&Begun> {
        self.begun.as_ref()
    }

    /// Whether the snapshot is gone, and what is left is read without it.
    pub(super) fn is_live(&self) -> bool {
        self.done.live
    }

    /// Whether the server has cut a result short.
    pub(super) fn is_truncated(&self) -> bool {
        self.done.truncated
    }

    pub(super) fn is_whole(&self, partition: usize) -> bool {
        self.done.whole.contains(&partition)
    }

    /// How many partitions are whole.
    pub(super) fn whole(&self) -> usize {
        self.done.whole.len()
    }

    /// The files that count, in the order of partitions.
    pub(super) fn files(&self) -> Vec<FileEntry> {
        let mut files: Vec<_> = self.done.files.iter().map(|(file, _)| file.clone()).collect();
        files.sort_by(|a, b| (a.partition, &a.file).cmp(&(b.partition, &b.file)));
        files
    }

    /// Begins with a session, in place of what there was, files included.
    pub(super) fn begin(&mut self, begun: Begun) -> io::Result<()> {
        // The old lines and the new one are never both there.
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.sync_all()?;
        self.done = Done::default();
        self.sweep()?;
        self.append(&begun)?;
        self.begun = Some(begun);
        sync(&self.directory)
    }

    /// Where a partition goes on. One that cannot begins anew, and its files are removed.
    pub(super) fn place(&mut self, partition: usize) -> io::Result<Place> {
        let files: Vec<_> = self.done.files.iter().filter(|(file, _)| file.partition == partition).collect();
        let Some((_, token)) = files.last() else { return Ok(Place::default()) };
        if !token.is_empty() {
            let rows = files.iter().map(|(file, _)| file.rows).sum();
            return Ok(Place { files: files.len(), rows, token: Some(token.clone().into()) });
        }
        let names: Vec<_> = files.iter().map(|(file, _)| file.file.clone()).collect();
        self.note(Entry::Again { partition })?;
        names.iter().try_for_each(|name| fs::remove_file(self.directory.join(name)))?;
        Ok(Place::default())
    }

    /// A file is complete.
    pub(super) fn file(&mut self, entry: FileEntry, resume_token: Option<&ResumeToken>) -> io::Result<()> {
        let resume_token = resume_token.map(|token| token.as_bytes().to_vec()).unwrap_or_default();
        self.note(Entry::File { entry, resume_token })
    }

    pub(super) fn whole_partition(&mut self, partition: usize, truncated: bool) -> io::Result<()> {
        self.note(Entry::Whole { partition, truncated })
    }

    /// The snapshot is gone, and the rest is read without it.
    pub(super) fn go_live(&mut self) -> io::Result<()> {
        self.note(Entry::Live)?;
        self.sweep()
    }

    /// Removes it: the manifest is there.
    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.directory.join(NAME))?;
        sync(&self.directory)
    }

    /// Removes what the journal does not know: files that were being written, or had just got their names.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for name in parts(&self.directory)? {
            if !self.done.files.iter().any(|(file, _)| file.file == name) {
                match fs::remove_file(self.directory.join(name)) {
                    // A thread that had been writing it was faster.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        sync(&self.directory)
    }

    fn note(&mut self, entry: Entry) -> io::Result<()> {
        self.append(&entry)?;
        self.done.take(entry);
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        let end = self.file.stream_position()?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A part of a line, on a full disk, must not be in the way of the next one.
            self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::Start(end)))?;
        }
        written
    }
}

fn finished(directory: &Path, asked: &Asked, before: &Asked) -> Result<Option<Journal>, Failure> {
    same(directory, asked, before).map(|()| None)
}

/// Refuses a directory of another export.
fn same(directory: &Path, asked: &Asked, before: &Asked) -> Result<(), Failure> {
    match asked.differs(before) {
        None => Ok(()),
        Some(difference) => Err(Failure::export(directory, format!("it holds another export: {difference}"))),
    }
}

/// The names of the files that an export makes, complete or not.
pub(super) fn parts(directory: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let unfinished = |name: &str| name.starts_with(".rowstream-") && name.ends_with(".partial");
    names.filter(|name| name.as_ref().map_or(true, |name| is_part(name) || unfinished(name))).collect()
}

/// Whether it is a name as `Asked::file_name` makes them.
fn is_part(name: &str) -> bool {
    let number = |text: &str| text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = name.strip_prefix("part-").and_then(|rest| rest.split_once('.')?.0.split_once('-'));
    numbers.is_some_and(|(partition, file)| number(partition) && number(file))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_an_export_makes_them_are_its_own() {
        for (name, ours) in [
            ("part-0001-0001.csv", true),
            ("part-1000-12345.jsonl.gz", true),
            ("part-1-1.csv", false),
            ("part-0001.csv", false),
            ("part-0001-0001", false),
            ("part-0001-000x.csv", false),
            ("part-of-mine.txt", false),
            ("manifest.json", false),
        ] {
            assert_eq!(is_part(name), ours, "{name}");
        }
    }
}
