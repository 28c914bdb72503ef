//! Going on after an interruption: what of the inputs is done, told by two files.
//!
//! The output is the log: records are appended, and the checkpoint file has a line for each that is on disk
//! (`journal`), below a first line that tells what it is the checkpoint of (`header`). To go on, the output is cut to
//! the last record that has a line, and the inputs that have none are run: each input is in the output once,
//! whenever the program was killed. A repetition of the failures writes both anew (`rewrite`).

mod done;
mod files;
mod header;
mod journal;
mod log;
mod rewrite;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

pub(crate) use self::{done::Done, header::Header, log::Log};
use self::{
    files::{Found, Locked},
    journal::Entries,
    log::Files,
};

/// Why a checkpoint cannot be used.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Another process goes on with it.
    Busy(PathBuf),
    /// It, or its output, is not what it would have to be.
    Unfit {
        checkpoint: PathBuf,
        problem: String,
    },
    Io {
        path: PathBuf,
        source: io::Error,
    },
}

/// What earlier runs have done.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    pub(crate) done: Done,
    pub(crate) failed: u64,
}

/// An open checkpoint, whose lock is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    earlier: Earlier,
    files: Files,
    /// Keeps other processes away; the file of the journal, and one that it has replaced.
    locks: Vec<Locked>,
}

/// Where a checkpoint and its output are, and what the output begins with.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) checkpoint: &'a Path,
    pub(crate) output: &'a Path,
    pub(crate) head: &'a [u8],
}

impl Checkpoint {
    /// Opens a checkpoint to go on, or begins one. `only_failed`: takes the failures out, so that they are run again.
    pub(crate) fn open(place: &Place<'_>, header: &Header, only_failed: bool) -> Result<Self, Refused> {
        files::check_output(place)?;
        match files::find(place, header)? {
            Found::New(locked) => Self::begin(place, locked),
            Found::Earlier(locked) => Self::go_on(place, header, locked, only_failed),
        }
    }

    /// The end that grows, and what earlier runs have done.
    pub(crate) fn into_log(self) -> io::Result<(Log, Earlier)> {
        Ok((Log::start(self.files, self.locks)?, self.earlier))
    }

    fn begin(place: &Place<'_>, locked: Locked) -> Result<Self, Refused> {
        let mut journal = locked.file().map_err(|source| place.io(source))?;
        journal.seek(SeekFrom::End(0)).map_err(|source| place.io(source))?;
        let output = files::new_output(place)?;
        let files = Files { output, journal, end: length(place.head) };
        Ok(Self { earlier: Earlier::default(), files, locks: vec![locked] })
    }

    fn go_on(place: &Place<'_>, wanted: &Header, locked: Locked, only_failed: bool) -> Result<Self, Refused> {
        let journal = locked.file().map_err(|source| place.io(source))?;
        let (header, first_line) = read_header(place, &journal)?;
        if let Some(problem) = header.refuses(wanted) {
            return Err(place.unfit(problem));
        }
        rewrite::recover(place, &header)?;
        let replayed = replay(place, &journal, first_line)?;
        if only_failed && replayed.earlier.failed > 0 {
            let output = files::existing_output(place)?;
            let rewritten = rewrite::without_failures(place, &header, &journal, first_line, &output)?;
            let journal = rewritten.file().map_err(|source| place.io(source))?;
            let (_, first_line) = read_header(place, &journal)?;
            let replayed = replay(place, &journal, first_line)?;
            return replayed.cut(place, journal, vec![rewritten, locked]);
        }
        replayed.cut(place, journal, vec![locked])
    }
}

/// What a journal tells.
#[derive(Debug)]
struct Replayed {
    earlier: Earlier,
    /// What counts of the journal and of the output.
    journal_length: u64,
    end: u64,
}

impl Replayed {
    /// Cuts off what does not count.
    fn cut(self, place: &Place<'_>, mut journal: File, locks: Vec<Locked>) -> Result<Checkpoint, Refused> {
        let Self { earlier, journal_length, end } = self;
        let cut = |file: &mut File, length| file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length)));
        cut(&mut journal, journal_length).map_err(|source| place.io(source))?;
        let output = if earlier.done.len() == 0 {
            files::new_output(place)?
        } else {
            let mut output = files::existing_output(place)?;
            cut(&mut output, end).map_err(|source| place.output_io(source))?;
            output
        };
        Ok(Checkpoint { earlier, files: Files { output, journal, end }, locks })
    }
}

fn read_header(place: &Place<'_>, journal: &File) -> Result<(Header, u64), Refused> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(journal);
    reader.rewind().and_then(|()| reader.read_until(b'\n', &mut line)).map_err(|source| place.io(source))?;
    let header = Header::parse(&line).map_err(|problem| place.unfit(problem))?;
    Ok((header, length(&line)))
}

/// Reads the journal as far as the output goes, and holds the last record against its checksum: an output that was
/// put in this one's place is found out.
fn replay(place: &Place<'_>, journal: &File, first_line: u64) -> Result<Replayed, Refused> {
    let damaged = |source: io::Error| match source.kind() {
        io::ErrorKind::InvalidData => place.unfit(format!("its {source}")),
        _ => place.io(source),
    };
    let mut reader = BufReader::new(journal);
    reader.seek(SeekFrom::Start(first_line)).map_err(damaged)?;
    let head = length(place.head);
    let mut entries = Entries::new(reader, first_line, head);
    let available = files::output_length(place)?;
    let mut replayed = Replayed { earlier: Earlier::default(), journal_length: first_line, end: head };
    let mut last = None;
    while let Some((entry, part)) = entries.next().map_err(damaged)? {
        if part.end > available.unwrap_or(0) {
            break;
        }
        if replayed.earlier.done.insert(entry.position) != Some(true) {
            return Err(place.unfit(format!("it has input {} twice", entry.position)));
        }
        replayed.earlier.failed += u64::from(!entry.ok);
        (replayed.journal_length, replayed.end) = (entries.length, part.end);
        if !part.is_empty() {
            last = Some((entry.crc, part));
        }
    }
    if available.is_none() && entries.length > first_line {
        return Err(place.unfit(format!("its output {} is gone", place.output.display())));
    }
    if let Some((crc, part)) = last {
        files::check_record(place, crc, part)?;
    }
    Ok(replayed)
}

impl Place<'_> {
    fn io(&self, source: io::Error) -> Refused {
        Refused::Io { path: self.checkpoint.to_owned(), source }
    }

    fn output_io(&self, source: io::Error) -> Refused {
        Refused::Io { path: self.output.to_owned(), source }
    }

    fn unfit(&self, problem: impl Into<String>) -> Refused {
        Refused::Unfit { checkpoint: self.checkpoint.to_owned(), problem: problem.into() }
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or_default()
}
