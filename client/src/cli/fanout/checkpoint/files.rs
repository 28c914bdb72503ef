//! The two files of a checkpoint: found, made, locked, and held against each other.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::{Header, Place, Refused};

/// The file of a checkpoint, locked by this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// A further handle of the file, whose place in it is shared.
    pub(super) fn file(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

pub(super) enum Found {
    New(Locked),
    Earlier(Locked),
}

/// Opens and locks the checkpoint, or makes it.
pub(super) fn find(place: &Place<'_>, header: &Header) -> Result<Found, Refused> {
    loop {
        match OpenOptions::new().read(true).write(true).open(place.checkpoint) {
            Ok(file) => {
                let regular = file.metadata().map_err(|source| place.io(source))?.is_file();
                if !regular {
                    return Err(place.unfit("it is no file"));
                }
                let locked = lock(place, file)?;
                // Whoever had it may have replaced it in the meantime.
                if is_at(&locked.0, place.checkpoint).map_err(|source| place.io(source))? {
                    return Ok(Found::Earlier(locked));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if output_length(place)?.is_some_and(|length| length > 0) {
                    let output = place.output.display();
                    return Err(place.unfit(format!(
                        "there is none yet, but its output {output} exists: remove that, or name another"
                    )));
                }
                let line = header.line().map_err(|error| place.io(error.into()))?;
                if let Some(locked) = create(place, &line)? {
                    return Ok(Found::New(locked));
                }
            }
            Err(source) => return Err(place.io(source)),
        }
    }
}

/// Makes a file beside the checkpoint, of this content, locked and on disk.
pub(super) fn beside(place: &Place<'_>, content: &[u8]) -> Result<(tempfile::NamedTempFile, Locked), Refused> {
    let made = || -> io::Result<_> {
        let mut file = tempfile::Builder::new()
            .prefix(".rowstream-")
            .suffix(".partial")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(directory(place.checkpoint))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        let handle = file.as_file().try_clone()?;
        Ok((file, handle))
    };
    let (file, handle) = made().map_err(|source| place.io(source))?;
    Ok((file, lock(place, handle)?))
}

/// Gives a new checkpoint its name; nothing if another process was faster.
fn create(place: &Place<'_>, content: &[u8]) -> Result<Option<Locked>, Refused> {
    let (file, locked) = beside(place, content)?;
    match file.persist_noclobber(place.checkpoint) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(place.io(error.error)),
    }
    sync_directory(place.checkpoint).map_err(|source| place.io(source))?;
    Ok(Some(locked))
}

fn lock(place: &Place<'_>, file: File) -> Result<Locked, Refused> {
    match file.try_lock() {
        Ok(()) => Ok(Locked(file)),
        Err(TryLockError::WouldBlock) => Err(Refused::Busy(place.checkpoint.to_owned())),
        Err(TryLockError::Error(source)) => Err(place.io(source)),
    }
}

/// Whether the file is the one that has this name now.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses an output that cannot be read back.
pub(super) fn check_output(place: &Place<'_>) -> Result<(), Refused> {
    match fs::metadata(place.output) {
        Ok(there) if !there.is_file() => Err(place.unfit(format!(
            "its output {} is no file: what is done could not be read back from it",
            place.output.display()
        ))),
        _ => Ok(()),
    }
}

/// The length of the output, if it exists.
pub(super) fn output_length(place: &Place<'_>) -> Result<Option<u64>, Refused> {
    match fs::metadata(place.output) {
        Ok(there) => Ok(Some(there.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(place.output_io(source)),
    }
}

/// An output with nothing but what it begins with.
pub(super) fn new_output(place: &Place<'_>) -> Result<File, Refused> {
    let made = || -> io::Result<_> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(place.output)?;
        file.write_all(place.head)?;
        file.sync_all()?;
        sync_directory(place.output)?;
        Ok(file)
    };
    made().map_err(|source| place.output_io(source))
}

pub(super) fn existing_output(place: &Place<'_>) -> Result<File, Refused> {
    OpenOptions::new().read(true).write(true).open(place.output).map_err(|source| place.output_io(source))
}

/// Refuses an output whose bytes are not those that were written there.
pub(super) fn check_record(place: &Place<'_>, crc: u32, part: Range<u64>) -> Result<(), Refused> {
    let read = || -> io::Result<_> {
        let mut output = File::open(place.output)?;
        output.seek(SeekFrom::Start(part.start))?;
        let (mut output, mut found, mut buffer) = (output.take(part.end - part.start), 0, vec![0; 64 << 10]);
        loop {
            match output.read(&mut buffer)? {
                0 => return Ok(found),
                read => found = crc32c::crc32c_append(found, &buffer[..read]),
            }
        }
    };
    if read().map_err(|source| place.output_io(source))? == crc {
        return Ok(());
    }
    Err(place.unfit(format!("its output {} was changed by someone else", place.output.display())))
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
