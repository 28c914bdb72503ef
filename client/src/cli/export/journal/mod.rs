//! What an export has done, in its directory: a line for the session, then one for each thing that is done.
//!
//! Files are written in a directory of their own within it, and get their names in the same breath as their lines here:
//! the files that count are those of the journal, and all others are removed. A line is on disk before anything is built
//! on it, and what it tells of before the line is written; a last line that a crash has cut does not count. One process
//! at a time has the journal, by a lock on it; and what it has given up adds nothing more, by rounds.

mod directory;
mod lines;

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use rowstream_client::ResumeToken;
use serde::Serialize;

pub(super) use self::{
    directory::parts,
    lines::{Begun, Partition},
};
use self::{
    directory::{create, gone, sync},
    lines::{Done, Entry},
};
use super::{
    job::Asked,
    manifest::{self, FileEntry, Manifest},
};
use crate::cli::failure::Failure;

pub(super) const NAME: &str = "export.journal";
/// Where files are written.
const STAGING: &str = ".rowstream-export";

/// Readings of partitions from one snapshot, or from none. It is over when the next one begins, or the export ends: what
/// a reading of it still brings is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round(u64);

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
    asked: Asked,
    file: File,
    begun: Option<Begun>,
    done: Done,
    round: Round,
    complete: bool,
    /// A part of a line is at its end, and could not be cut off.
    spoiled: bool,
}

impl Journal {
    /// Opens and locks the journal of a directory. `None`: this export is complete already.
    pub(super) fn open(directory: &Path, asked: &Asked) -> Result<Option<Self>, Failure> {
        let path = directory.join(NAME);
        let io = |source| Failure::file(&path, source);
        create(directory).map_err(|source| Failure::file(directory, source))?;
        if !path.exists() {
            if let Some(manifest) = manifest::read(directory)? {
                return finished(directory, asked, &manifest);
            }
            if !parts(directory, asked).map_err(io)?.is_empty() {
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
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(io)?;
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let (begun, done) = lines::read(directory, &text)?;
        let (directory, asked) = (directory.to_owned(), asked.clone());
        let journal = Self { directory, asked, file, begun, done, round: Round(0), complete: false, spoiled: false };
        if let Some(manifest) = manifest::read(&journal.directory)? {
            // The end came between the manifest and this.
            journal.remove().map_err(io)?;
            return finished(&journal.directory, &journal.asked, &manifest);
        }
        if let Some(begun) = &journal.begun {
            same(&journal.directory, &journal.asked, &begun.asked)?;
        }
        journal.cut(text.len() as u64).map_err(io)?;
        Ok(Some(journal))
    }

    /// Has partitions read again of which a file is not there as it was written, and removes what the journal does not
    /// know. Answers what is wrong, for people.
    pub(super) fn mend(&mut self) -> io::Result<Vec<String>> {
        let files = self.done.files.iter();
        let found = files.filter_map(|(file, _)| Some((file.partition, file.unlike(&self.directory)?)));
        let found: Vec<_> = found.collect();
        for partition in found.iter().map(|(partition, _)| *partition).collect::<BTreeSet<_>>() {
            self.note(Entry::Again { partition })?;
        }
        self.sweep()?;
        let told = |(partition, problem)| format!("{problem}: partition {partition} is read again");
        Ok(found.into_iter().map(told).collect())
    }

    pub(super) fn round(&self) -> Round {
        self.round
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

    /// Whether the manifest is there.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The files that count, in the order of partitions.
    pub(super) fn files(&self) -> Vec<FileEntry> {
        let mut files: Vec<_> = self.done.files.iter().map(|(file, _)| file.clone()).collect();
        // Those of a partition are in their order.
        files.sort_by_key(|file| file.partition);
        files
    }

    /// Begins with a session, in place of what there was, files included.
    pub(super) fn begin(&mut self, round: Round, begun: Begun) -> io::Result<()> {
        self.is_in(round)?;
        self.end_round();
        // The old lines and the new one are never both there.
        self.begun = None;
        self.done = Done::default();
        self.cut(0)?;
        self.file.sync_all()?;
        self.sweep()?;
        self.append(&begun)?;
        self.begun = Some(begun);
        sync(&self.directory)
    }

    /// Where a partition goes on. One that cannot begins anew, and its files are removed.
    pub(super) fn place(&mut self, round: Round, partition: usize) -> io::Result<Place> {
        self.is_in(round)?;
        create(&self.directory.join(STAGING))?;
        let files: Vec<_> = self.done.files.iter().filter(|(file, _)| file.partition == partition).collect();
        let Some((_, token)) = files.last() else { return Ok(Place::default()) };
        if !token.is_empty() {
            let rows = files.iter().map(|(file, _)| file.rows).sum();
            return Ok(Place { files: files.len(), rows, token: Some(token.clone().into()) });
        }
        self.note(Entry::Again { partition })?;
        self.sweep_parts(|name| self.asked.partition_of(name) == Some(partition))?;
        Ok(Place::default())
    }

    /// Where a file is written before it has its name.
    pub(super) fn staged(directory: &Path, round: Round, name: &str) -> PathBuf {
        directory.join(STAGING).join(format!("{}-{name}", round.0))
    }

    /// Gives a file its name, which is complete and on disk where it was written.
    pub(super) fn file(
        &mut self,
        round: Round,
        entry: FileEntry,
        resume_token: Option<&ResumeToken>,
    ) -> io::Result<()> {
        self.is_in(round)?;
        fs::rename(Self::staged(&self.directory, round, &entry.file), self.directory.join(&entry.file))?;
        sync(&self.directory)?;
        let resume_token = resume_token.map(|token| token.as_bytes().to_vec()).unwrap_or_default();
        self.note(Entry::File { entry, resume_token })
    }

    /// All files of a partition have their names.
    pub(super) fn whole_partition(&mut self, round: Round, partition: usize, truncated: bool) -> io::Result<()> {
        self.is_in(round)?;
        self.note(Entry::Whole { partition, truncated })
    }

    /// The snapshot is gone, and the rest is read without it.
    pub(super) fn go_live(&mut self, round: Round) -> io::Result<()> {
        self.is_in(round)?;
        self.end_round();
        self.note(Entry::Live)?;
        self.sweep()
    }

    /// Completes the export with its manifest, and removes itself.
    pub(super) fn complete(&mut self, manifest: &[u8]) -> io::Result<()> {
        self.end_round();
        create(&self.directory.join(STAGING))?;
        let staged = self.directory.join(STAGING).join(manifest::NAME);
        let mut file = File::create(&staged)?;
        file.write_all(manifest).and_then(|()| file.sync_all())?;
        fs::rename(&staged, self.directory.join(manifest::NAME))?;
        sync(&self.directory)?;
        self.complete = true;
        self.remove()
    }

    /// Nothing more is added: what was being written is removed, as far as it can be. The same command goes on.
    pub(super) fn give_up(&mut self) -> io::Result<()> {
        self.end_round();
        self.sweep()
    }

    fn end_round(&mut self) {
        self.round.0 += 1;
    }

    fn is_in(&self, round: Round) -> io::Result<()> {
        if self.round == round { Ok(()) } else { Err(io::Error::other("this reading was given up")) }
    }

    fn remove(&self) -> io::Result<()> {
        self.sweep_staging()?;
        // By whoever came first.
        gone(fs::remove_file(self.directory.join(NAME)))?;
        sync(&self.directory)
    }

    /// Removes what the journal does not know.
    fn sweep(&self) -> io::Result<()> {
        let known: HashSet<&str> = self.done.files.iter().map(|(file, _)| file.file.as_str()).collect();
        self.sweep_parts(|name| !known.contains(name))?;
        self.sweep_staging()?;
        sync(&self.directory)
    }

    fn sweep_parts(&self, unwanted: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut unwanted = parts(&self.directory, &self.asked)?.into_iter().filter(|name| unwanted(name));
        unwanted.try_for_each(|name| gone(fs::remove_file(self.directory.join(name))).map(drop))
    }

    /// A reading that was given up may still be removing its own, or have begun one more: that one goes next time.
    fn sweep_staging(&self) -> io::Result<()> {
        let staging = self.directory.join(STAGING);
        let Some(files) = gone(fs::read_dir(&staging))? else { return Ok(()) };
        for file in files {
            gone(fs::remove_file(file?.path()))?;
        }
        // Kept if it is not empty.
        let _ = fs::remove_dir(&staging);
        Ok(())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        (&self.file).seek(SeekFrom::Start(length)).map(drop)
    }

    fn note(&mut self, entry: Entry) -> io::Result<()> {
        self.append(&entry)?;
        self.done.take(entry);
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        if self.spoiled {
            return Err(io::Error::other(format!("{NAME} ends in a part of a line, after a failed write")));
        }
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        let end = self.file.stream_position()?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A part of a line, on a full disk, must not be in the way of the next one.
            self.spoiled = self.cut(end).is_err();
        }
        written
    }
}

/// There is nothing to do, if the files are there.
fn finished(directory: &Path, asked: &Asked, manifest: &Manifest) -> Result<Option<Journal>, Failure> {
    same(directory, asked, &manifest.asked)?;
    match manifest.unlike(directory) {
        None => Ok(None),
        Some(problem) => {
            let told = "the export was complete, and is not as it was written: export into another directory";
            Err(Failure::export(directory, format!("{told} ({problem})")))
        }
    }
}

/// Refuses a directory of another export.
fn same(directory: &Path, asked: &Asked, before: &Asked) -> Result<(), Failure> {
    match asked.differs(before) {
        None => Ok(()),
        Some(difference) => Err(Failure::export(directory, format!("it holds another export: {difference}"))),
    }
}

#[cfg(test)]
mod tests;
