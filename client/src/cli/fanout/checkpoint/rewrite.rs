//! The output and its checkpoint, written anew without the failures, so that these are run again.
//!
//! Two files cannot be replaced at once. The new output is complete on disk, under a name of its own, before the
//! new checkpoint takes the old one's place; from then on the new output counts, and gets its name now or, after
//! a crash in between, when the run goes on.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use super::{
    Header, Place, Refused,
    files::{self, Locked},
    journal::{Entries, Entry},
    length,
};

/// Gives a new output its name that a crash has kept from it, and removes one whose checkpoint never came to count.
pub(super) fn recover(place: &Place<'_>, header: &Header) -> Result<(), Refused> {
    match fs::remove_file(waiting(place, &header.next_generation())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(place.output_io(error)),
        _ => complete(place, header),
    }
}

fn complete(place: &Place<'_>, header: &Header) -> Result<(), Refused> {
    match fs::rename(waiting(place, header), place.output) {
        Ok(()) => files::sync_directory(place.output).map_err(|source| place.output_io(source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(place.output_io(source)),
    }
}

/// Writes both anew, and answers the new checkpoint.
pub(super) fn without_failures(
    place: &Place<'_>,
    header: &Header,
    journal: &File,
    first_line: u64,
    output: &File,
) -> Result<Locked, Refused> {
    let header = header.next_generation();
    let line = header.line().map_err(|error| place.io(error.into()))?;
    let (mut checkpoint, locked) = files::beside(place, &line)?;
    copy(place, &header, journal, first_line, output, checkpoint.as_file_mut()).map_err(|source| place.io(source))?;
    checkpoint.persist(place.checkpoint).map_err(|error| place.io(error.error))?;
    files::sync_directory(place.checkpoint).map_err(|source| place.io(source))?;
    complete(place, &header)?;
    Ok(locked)
}

/// Copies what succeeded.
fn copy(
    place: &Place<'_>,
    header: &Header,
    journal: &File,
    first_line: u64,
    output: &File,
    new_journal: &mut File,
) -> io::Result<()> {
    let (mut journal, mut old) = (BufReader::new(journal), BufReader::new(output));
    journal.seek(SeekFrom::Start(first_line))?;
    let available = output.metadata()?.len();
    let mut end = length(place.head);
    let mut entries = Entries::new(journal, first_line, end);
    let path = waiting(place, header);
    let new = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    new.set_permissions(output.metadata()?.permissions())?;
    let (mut new, mut new_entries) = (BufWriter::new(new), BufWriter::new(new_journal));
    new.write_all(place.head)?;
    old.seek(SeekFrom::Start(end))?;
    let mut line = Vec::new();
    while let Some((entry, part)) = entries.next()? {
        if part.end > available {
            break;
        }
        let size = part.end - part.start;
        if !entry.ok {
            old.seek_relative(size.try_into().map_err(io::Error::other)?)?;
            continue;
        }
        end += io::copy(&mut (&mut old).take(size), &mut new)?;
        line.clear();
        Entry { end, ..entry }.write(&mut line);
        new_entries.write_all(&line)?;
    }
    new.flush()?;
    new.get_ref().sync_all()?;
    files::sync_directory(place.output)?;
    new_entries.flush()?;
    new_entries.get_ref().sync_all()
}

/// The name of a new output until its checkpoint counts. Each generation has its own: what is left of one that never
/// counted is not taken for another.
fn waiting(place: &Place<'_>, header: &Header) -> PathBuf {
    let mut name = OsString::from(".rowstream-");
    name.push(place.output.file_name().unwrap_or_default());
    name.push(format!(".{}", header.generation));
    files::directory(place.output).join(name)
}
