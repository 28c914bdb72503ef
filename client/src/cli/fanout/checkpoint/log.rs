//! The end of the output where a checkpoint grows with it. A thread of its own appends: first the records, and when
//! they are on disk, their entries in the journal. So whatever a crash leaves, an entry's record is there, and a
//! record without an entry is cut off when the run goes on.

use std::{
    fs::File,
    io::{self, Write as _},
    thread::{self, JoinHandle},
};

use tokio::sync::mpsc;

use super::{files::Locked, journal::Entry};

/// What is not on disk yet is bounded by these, and by the time between two calls of `sync`.
const UNSYNCED_RECORDS: usize = 4096;
const UNSYNCED_BYTES: usize = 4 << 20;
/// Records on the way to the thread.
const QUEUED: usize = 64;

/// The two files, positioned at their ends.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) output: File,
    pub(super) journal: File,
    /// The length of the output.
    pub(super) end: u64,
}

/// Appends records.
#[derive(Debug)]
pub(crate) struct Log {
    sender: mpsc::Sender<Message>,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
enum Message {
    Record { position: u64, ok: bool, bytes: Vec<u8> },
    Sync,
}

impl Log {
    /// `locks` are held until the last record is on disk.
    pub(super) fn start(files: Files, locks: Vec<Locked>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUED);
        let writer = Writer { files, _locks: locks, data: Vec::new(), entries: Vec::new(), unsynced: 0, bytes: 0 };
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(move || writer.run(receiver))?;
        Ok(Self { sender, thread })
    }

    /// Appends what a call has left; waits while the disk is behind. Answers false if the disk has failed:
    /// [`finish`](Self::finish) then says how.
    pub(crate) async fn append(&self, position: u64, ok: bool, bytes: Vec<u8>) -> bool {
        self.sender.send(Message::Record { position, ok, bytes }).await.is_ok()
    }

    /// Has everything so far brought to disk soon.
    pub(crate) fn sync(&self) {
        // A thread that is behind syncs by itself.
        let _ = self.sender.try_send(Message::Sync);
    }

    /// Waits until everything is on disk.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.sender);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        joined.map_err(io::Error::other)?.unwrap_or_else(|_| Err(io::Error::other("the checkpoint's thread panicked")))
    }
}

struct Writer {
    files: Files,
    _locks: Vec<Locked>,
    /// Records that are not yet written.
    data: Vec<u8>,
    /// Entries whose records are not yet on disk.
    entries: Vec<u8>,
    unsynced: usize,
    bytes: usize,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Message>) -> io::Result<()> {
        while let Some(message) = receiver.blocking_recv() {
            match message {
                Message::Record { position, ok, bytes } => self.record(position, ok, &bytes)?,
                Message::Sync => self.sync()?,
            }
        }
        self.sync()
    }

    fn record(&mut self, position: u64, ok: bool, bytes: &[u8]) -> io::Result<()> {
        self.files.end += u64::try_from(bytes.len()).unwrap_or_default();
        let crc = crc32c::crc32c(bytes);
        Entry { position, end: self.files.end, ok, crc }.write(&mut self.entries);
        self.data.extend_from_slice(bytes);
        self.unsynced += 1;
        self.bytes += bytes.len();
        if self.unsynced >= UNSYNCED_RECORDS || self.bytes >= UNSYNCED_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced == 0 {
            return Ok(());
        }
        let Files { output, journal, .. } = &mut self.files;
        output.write_all(&self.data)?;
        output.sync_data()?;
        journal.write_all(&self.entries)?;
        journal.sync_data()?;
        self.data.clear();
        self.entries.clear();
        (self.unsynced, self.bytes) = (0, 0);
        Ok(())
    }
}
