//! Where formatted bytes go: stdout, or a file. At most three buffers exist: one being filled, one waiting, one being
//! written.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use tokio::sync::mpsc;

use super::worker::{Target, Work, Worker};

/// A buffer that one huge row has grown is not kept.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// A place to write bytes to.
#[derive(Debug)]
pub struct Output {
    worker: Worker<Vec<u8>>,
    recycled: mpsc::Receiver<Vec<u8>>,
}

impl Output {
    /// Writes to stdout.
    ///
    /// # Errors
    /// If stdout is closed, or no thread can be started.
    pub fn stdout() -> io::Result<Self> {
        Self::start(Target::stdout()?)
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
        let (recycler, recycled) = mpsc::channel(2);
        let worker = Worker::start(target, 1, Bytes { recycler })?;
        Ok(Self { worker, recycled })
    }

    /// Hands over what the buffer holds and leaves it empty, with room. Waits while the output is
    /// behind. Answers false if the output has failed: [`finish`](Self::finish) then says how.
    pub async fn write(&mut self, buffer: &mut Vec<u8>) -> bool {
        if buffer.is_empty() {
            return true;
        }
        let empty = self.recycled.try_recv().unwrap_or_default();
        self.worker.send(std::mem::replace(buffer, empty)).await
    }

    /// Waits until all is written, and gives the file its name.
    ///
    /// # Errors
    /// Whatever went wrong while writing.
    pub async fn finish(self) -> io::Result<()> {
        self.worker.finish().await
    }

    /// Gives up: removes the temporary file. Does not wait for a stdout that nobody reads.
    pub fn abandon(self) {
        self.worker.abandon();
    }
}

/// Writes bytes as they come, and gives their buffers back.
struct Bytes {
    recycler: mpsc::Sender<Vec<u8>>,
}

impl Work for Bytes {
    type Item = Vec<u8>;

    fn write(&mut self, mut buffer: Vec<u8>, mut file: &File) -> io::Result<()> {
        file.write_all(&buffer)?;
        buffer.clear();
        if buffer.capacity() <= KEPT_BUFFER_BYTES {
            // Full or gone: the buffer is dropped.
            let _ = self.recycler.try_send(buffer);
        }
        Ok(())
    }

    fn complete(&mut self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
