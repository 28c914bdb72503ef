//! Where formatted bytes go: stdout, or a file that appears under its name only when it is complete.
//!
//! Writing happens on a thread of its own. A reader of ours that stops (a pager, a full pipe) then
//! blocks that thread alone, and the runtime still hears signals and answers keepalives. At most three
//! buffers exist: one being filled, one waiting, one being written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};

/// A buffer that one huge row has grown is not kept.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// A place to write to.
#[derive(Debug)]
pub struct Output {
    sender: mpsc::Sender<Vec<u8>>,
    recycled: mpsc::Receiver<Vec<u8>>,
    commit: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
    /// Whether something must be cleaned up before the process may end.
    temporary: bool,
}

#[derive(Debug)]
enum Target {
    /// Stdout, a device, a named pipe: written as it comes.
    Stream(File),
    /// Renamed to its path when complete, removed otherwise.
    File { file: NamedTempFile, path: PathBuf },
}

impl Output {
    /// Writes to stdout.
    ///
    /// # Errors
    /// If stdout is closed, or no thread can be started.
    pub fn stdout() -> io::Result<Self> {
        Self::start(Target::Stream(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }

    /// Writes a file by way of a temporary one in the same directory. What is not a regular file (a
    /// device, a named pipe) is written directly.
    ///
    /// # Errors
    /// If the place cannot be written to.
    pub fn file(path: &Path) -> io::Result<Self> {
        Self::start(Target::open(path)?)
    }

    fn start(target: Target) -> io::Result<Self> {
        let temporary = matches!(target, Target::File { .. });
        let (sender, receiver) = mpsc::channel(1);
        let (recycler, recycled) = mpsc::channel(2);
        let (commit, committed) = oneshot::channel();
        let work = move || target.write(receiver, &recycler, committed);
        let thread = thread::Builder::new().name("output".to_owned()).spawn(work)?;
        Ok(Self { sender, recycled, commit, thread, temporary })
    }

    /// Hands over what the buffer holds and leaves it empty, with room. Waits while the output is
    /// behind. Answers false if the output has failed: [`finish`](Self::finish) then says how.
    pub async fn write(&mut self, buffer: &mut Vec<u8>) -> bool {
        if buffer.is_empty() {
            return true;
        }
        let empty = self.recycled.try_recv().unwrap_or_default();
        self.sender.send(std::mem::replace(buffer, empty)).await.is_ok()
    }

    /// Waits until all is written, and gives the file its name.
    ///
    /// # Errors
    /// Whatever went wrong while writing.
    pub async fn finish(self) -> io::Result<()> {
        let Self { sender, recycled, commit, thread, .. } = self;
        // The thread may have failed already and hear nothing; its outcome says so.
        let _ = commit.send(());
        drop((sender, recycled));
        let joined = tokio::task::spawn_blocking(|| thread.join()).await;
        joined.map_err(io::Error::other)?.unwrap_or_else(|_| Err(io::Error::other("the output thread panicked")))
    }

    /// Gives up: removes the temporary file. Does not wait for a stdout that nobody reads.
    pub fn abandon(self) {
        let Self { sender, recycled, commit, thread, temporary } = self;
        drop((sender, recycled, commit));
        if temporary {
            // Only the removal matters, which has happened when the thread is gone.
            let _ = thread.join();
        }
    }
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        let existing = fs::metadata(path).ok();
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
            return Ok(Self::Stream(OpenOptions::new().write(true).open(path)?));
        }
        // A symbolic link stays, and what it points to is replaced.
        let path = if existing.is_some() { path.canonicalize()? } else { path.to_owned() };
        let permissions = existing.map_or_else(default_permissions, |existing| existing.permissions());
        let file = tempfile::Builder::new()
            .prefix(".rowstream-")
            .suffix(".partial")
            .permissions(permissions)
            .tempfile_in(directory(&path))?;
        Ok(Self::File { file, path })
    }

    /// The thread: writes until the sender is gone, then completes the file if told so.
    fn write(
        self,
        mut receiver: mpsc::Receiver<Vec<u8>>,
        recycler: &mpsc::Sender<Vec<u8>>,
        mut committed: oneshot::Receiver<()>,
    ) -> io::Result<()> {
        while let Some(mut buffer) = receiver.blocking_recv() {
            self.file().write_all(&buffer)?;
            buffer.clear();
            if buffer.capacity() <= KEPT_BUFFER_BYTES {
                // Full or gone: the buffer is dropped.
                let _ = recycler.try_send(buffer);
            }
        }
        match (self, committed.try_recv()) {
            (Self::File { file, path }, Ok(())) => complete(file, &path),
            _ => Ok(()),
        }
    }

    fn file(&self) -> &File {
        match self {
            Self::Stream(file) => file,
            Self::File { file, .. } => file.as_file(),
        }
    }
}

/// Makes the file durable before it gets its name, and the name durable after.
fn complete(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory(path))?.sync_all()
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// As for any new file: narrowed by the umask.
fn default_permissions() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_file_appears_under_its_name_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.csv");
        let mut output = Output::file(&path).unwrap();
        for line in ["a\n", "1\n"] {
            assert!(output.write(&mut line.as_bytes().to_vec()).await);
        }
        assert!(!path.exists());
        output.finish().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\n1\n");
        assert_eq!(names(directory.path()), ["rows.csv"]);
    }

    #[tokio::test]
    async fn what_is_abandoned_leaves_nothing_and_keeps_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.csv");
        fs::write(&path, "before").unwrap();
        let mut output = Output::file(&path).unwrap();
        assert!(output.write(&mut b"half".to_vec()).await);
        output.abandon();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(names(directory.path()), ["rows.csv"]);
    }

    #[tokio::test]
    async fn a_device_is_written_and_not_replaced() {
        let output = Output::file(Path::new("/dev/null")).unwrap();
        output.finish().await.unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error() {
        let mut output = Output::file(Path::new("/dev/full")).unwrap();
        let mut buffer = vec![b'x'; 100];
        while output.write(&mut buffer).await {
            buffer.resize(100, b'x');
        }
        assert_eq!(output.finish().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
