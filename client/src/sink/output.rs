//! Where formatted bytes go: stdout, or a file. At most three buffers exist: one being filled, one waiting, one being
//! written. Compressed, if that is wished, on the thread that writes.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
};

use tokio::sync::mpsc;

use super::worker::{Target, Work, Worker};

/// A buffer that one huge row has grown is not kept.
const KEPT_BUFFER_BYTES: usize = 4 << 20;

/// How a file of text is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileCompression {
    /// Not at all.
    #[default]
    None,
    /// gzip, at level 6.
    #[cfg(feature = "compression")]
    Gzip,
    /// zstd, at level 3, with a checksum.
    #[cfg(feature = "compression")]
    Zstd,
}

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
        Self::start(Target::stdout()?, FileCompression::None)
    }

    /// Writes a file by way of a temporary one in the same directory. What is not a regular file (a
    /// device, a named pipe) is written directly.
    ///
    /// # Errors
    /// If the place cannot be written to.
    pub fn file(path: &Path) -> io::Result<Self> {
        Self::compressed_file(path, FileCompression::None)
    }

    /// As [`file`](Self::file), compressed.
    ///
    /// # Errors
    /// If the place cannot be written to.
    pub fn compressed_file(path: &Path, compression: FileCompression) -> io::Result<Self> {
        Self::start(Target::open(path)?, compression)
    }

    fn start(target: Target, compression: FileCompression) -> io::Result<Self> {
        let (recycler, recycled) = mpsc::channel(2);
        let worker = Worker::start(target, 1, Bytes { recycler, encoder: Encoder::NotBegun(compression) })?;
        Ok(Self { worker, recycled })
    }

    /// How large the file is by now, without the buffer that waits to be written. 0 for what is not a regular file.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.worker.size()
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
    encoder: Encoder,
}

/// What is between the bytes and the file.
enum Encoder {
    NotBegun(FileCompression),
    Plain,
    #[cfg(feature = "compression")]
    Gzip(flate2::write::GzEncoder<File>),
    #[cfg(feature = "compression")]
    Zstd(zstd::Encoder<'static, File>),
}

impl Encoder {
    fn begin(compression: FileCompression, #[allow(unused_variables)] file: &File) -> io::Result<Self> {
        Ok(match compression {
            FileCompression::None => Self::Plain,
            #[cfg(feature = "compression")]
            FileCompression::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(file.try_clone()?, flate2::Compression::default()))
            }
            #[cfg(feature = "compression")]
            FileCompression::Zstd => {
                let mut encoder = zstd::Encoder::new(file.try_clone()?, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write(&mut self, bytes: &[u8], mut file: &File) -> io::Result<()> {
        match self {
            Self::NotBegun(compression) => {
                *self = Self::begin(*compression, file)?;
                self.write(bytes, file)
            }
            Self::Plain => file.write_all(bytes),
            #[cfg(feature = "compression")]
            Self::Gzip(encoder) => encoder.write_all(bytes),
            #[cfg(feature = "compression")]
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self, file: &File) -> io::Result<()> {
        match self {
            // An empty file is compressed as well.
            Self::NotBegun(compression) if compression != FileCompression::None => {
                Self::begin(compression, file)?.finish(file)
            }
            Self::NotBegun(_) | Self::Plain => Ok(()),
            #[cfg(feature = "compression")]
            Self::Gzip(encoder) => encoder.finish().map(drop),
            #[cfg(feature = "compression")]
            Self::Zstd(encoder) => encoder.finish().map(drop),
        }
    }
}

impl Work for Bytes {
    type Item = Vec<u8>;

    fn write(&mut self, mut buffer: Vec<u8>, file: &File) -> io::Result<()> {
        self.encoder.write(&buffer, file)?;
        buffer.clear();
        if buffer.capacity() <= KEPT_BUFFER_BYTES {
            // Full or gone: the buffer is dropped.
            let _ = self.recycler.try_send(buffer);
        }
        Ok(())
    }

    fn complete(&mut self, file: &File) -> io::Result<()> {
        std::mem::replace(&mut self.encoder, Encoder::Plain).finish(file)
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

    #[cfg(feature = "compression")]
    #[tokio::test]
    async fn a_compressed_file_reads_back_and_its_size_is_known_while_it_grows() {
        use std::io::Read;

        type Decoder = fn(File) -> Box<dyn Read>;
        let codecs: [(_, Decoder); 2] = [
            (FileCompression::Gzip, |file| Box::new(flate2::read::GzDecoder::new(file))),
            (FileCompression::Zstd, |file| Box::new(zstd::Decoder::new(file).unwrap())),
        ];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.csv.z");
        for (compression, decoder) in codecs {
            let read = || {
                let mut text = String::new();
                decoder(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
                text
            };
            Output::compressed_file(&path, compression).unwrap().finish().await.unwrap();
            assert_eq!(read(), "");
            let mut output = Output::compressed_file(&path, compression).unwrap();
            let mut random = fastrand::Rng::with_seed(7);
            let lines: Vec<String> = (0..20_000).map(|_| format!("{}\n", random.u128(..))).collect();
            for line in &lines {
                assert!(output.write(&mut line.clone().into_bytes()).await);
            }
            output.write(&mut b"-".repeat(10)).await;
            assert!(output.file_size() > 0, "{compression:?}");
            output.finish().await.unwrap();
            assert_eq!(read(), lines.concat() + "----------");
            assert!(fs::metadata(&path).unwrap().len() < 600_000);
        }
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
