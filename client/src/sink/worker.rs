//! The thread that writes what a sink makes, and the file that appears under its name only when it is complete.
//!
//! Writing happens on a thread of its own. A reader of ours that stops (a pager, a full pipe) then
//! blocks that thread alone, and the runtime still hears signals and answers keepalives.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};

/// How many bytes may be written of a file before they are on disk: a disk that is slower than what comes holds it up
/// little by little, and not for minutes at the end, when whoever sends it may lose patience.
const SYNC_EVERY: u64 = 16 << 20;

/// What is done on the thread.
pub(super) trait Work: Send + 'static {
    /// What comes to it.
    type Item: Send;

    /// Writes one more.
    fn write(&mut self, item: Self::Item, file: &File) -> io::Result<()>;

    /// Writes what was held back, and what comes last: there are no more items, and they were all.
    fn complete(&mut self, file: &File) -> io::Result<()>;

    /// How many bytes wait in memory that will be in the file.
    fn held(&self) -> u64 {
        0
    }
}

/// A place to write to, and the thread that does.
#[derive(Debug)]
pub(super) struct Worker<T> {
    sender: mpsc::Sender<T>,
    commit: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
    size: Arc<AtomicU64>,
    /// Whether something must be cleaned up before the process may end.
    temporary: bool,
}

/// Where bytes go.
#[derive(Debug)]
pub(super) enum Target {
    /// Stdout, a device, a named pipe: written as it comes.
    Stream(File),
    /// Renamed to its path when complete, removed otherwise.
    File { file: NamedTempFile, path: PathBuf },
}

impl<T: Send + 'static> Worker<T> {
    /// Starts the thread; so many items may wait for it.
    pub(super) fn start(target: Target, waiting: usize, mut work: impl Work<Item = T>) -> io::Result<Self> {
        let temporary = matches!(target, Target::File { .. });
        let (sender, mut receiver) = mpsc::channel(waiting);
        let (commit, mut committed) = oneshot::channel();
        let size = Arc::<AtomicU64>::default();
        let measured = size.clone();
        let run = move || {
            let mut synced = 0;
            while let Some(item) = receiver.blocking_recv() {
                work.write(item, target.file())?;
                // A pipe has no position, and nobody asks for its size.
                let written = target.file().stream_position().unwrap_or(0);
                measured.store(written + work.held(), Ordering::Relaxed);
                if temporary && written - synced >= SYNC_EVERY {
                    target.file().sync_data()?;
                    synced = written;
                }
            }
            match committed.try_recv() {
                Ok(()) => work.complete(target.file()).and_then(|()| target.complete()),
                Err(_) => Ok(()),
            }
        };
        let thread = thread::Builder::new().name("output".to_owned()).spawn(run)?;
        Ok(Self { sender, commit, thread, size, temporary })
    }

    /// How large the file is by now, without what waits for the thread.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// Hands over an item. Waits while the thread is behind. Answers false if it has failed:
    /// [`finish`](Self::finish) then says how.
    pub(super) async fn send(&mut self, item: T) -> bool {
        self.sender.send(item).await.is_ok()
    }

    /// Waits until all is written, and gives the file its name.
    pub(super) async fn finish(self) -> io::Result<()> {
        let Self { sender, commit, thread, .. } = self;
        // The thread may have failed already and hear nothing; its outcome says so.
        let _ = commit.send(());
        drop(sender);
        let joined = tokio::task::spawn_blocking(|| thread.join()).await;
        joined.map_err(io::Error::other)?.unwrap_or_else(|_| Err(io::Error::other("the output thread panicked")))
    }

    /// Gives up: removes the temporary file. Does not wait for a stdout that nobody reads.
    pub(super) fn abandon(self) {
        let Self { sender, commit, thread, temporary, .. } = self;
        drop((sender, commit));
        if temporary {
            // Only the removal matters, which has happened when the thread is gone.
            let _ = thread.join();
        }
    }
}

impl Target {
    pub(super) fn stdout() -> io::Result<Self> {
        Ok(Self::Stream(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }

    pub(super) fn open(path: &Path) -> io::Result<Self> {
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

    fn file(&self) -> &File {
        match self {
            Self::Stream(file) => file,
            Self::File { file, .. } => file.as_file(),
        }
    }

    fn complete(self) -> io::Result<()> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::File { file, path } => persist(file, &path),
        }
    }
}

/// Makes the file durable before it gets its name, and the name durable after.
fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
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
