//! Where the inputs come from: a file, which can be read twice, or what comes only once.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::InputFormat;

const BUFFER_BYTES: usize = 64 << 10;

/// What --params names.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A file, which is checked as a whole before anything runs.
    File(PathBuf),
    /// A named pipe or a device.
    Stream(PathBuf),
    Stdin,
}

impl Source {
    /// Looks at what is there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(match path {
            path if path == Path::new("-") => Self::Stdin,
            path if std::fs::metadata(path)?.is_file() => Self::File(path.to_owned()),
            path => Self::Stream(path.to_owned()),
        })
    }

    /// The format that the name's extension tells.
    pub(crate) fn format(&self) -> Option<InputFormat> {
        let (Self::File(path) | Self::Stream(path)) = self else { return None };
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(InputFormat::Csv),
            "jsonl" | "ndjson" | "json" => Some(InputFormat::Jsonl),
            _ => None,
        }
    }

    /// Its name, for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Stream(path) => path.display().to_string(),
            Self::Stdin => "stdin".to_owned(),
        }
    }

    /// Begins to read. Each reading of a file begins at its start.
    pub(crate) fn read(&self) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match self {
            Self::File(path) | Self::Stream(path) => {
                Box::new(BufReader::with_capacity(BUFFER_BYTES, File::open(path)?))
            }
            Self::Stdin => Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin())),
        })
    }
}

/// What tells one input from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Passes on what is read and takes its fingerprint.
pub(crate) struct Hashing<R> {
    inner: R,
    bytes: u64,
    hash: Sha256,
}

impl<R: BufRead> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, bytes: 0, hash: Sha256::new() }
    }

    /// The fingerprint of what was read.
    pub(crate) fn fingerprint(self) -> Fingerprint {
        let mut sha256 = String::new();
        for byte in self.hash.finalize() {
            // Writing to a String does not fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        Fingerprint { bytes: self.bytes, sha256 }
    }
}

impl<R: BufRead> Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // What is consumed is in the buffer: asking for it reads nothing.
        if let Ok(buffer) = self.inner.fill_buf() {
            let consumed = &buffer[..amount.min(buffer.len())];
            self.bytes += u64::try_from(consumed.len()).unwrap_or_default();
            self.hash.update(consumed);
        }
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_format() {
        for (name, format) in [
            ("a.csv", Some(InputFormat::Csv)),
            ("a.CSV", Some(InputFormat::Csv)),
            ("a.jsonl", Some(InputFormat::Jsonl)),
            ("a.ndjson", Some(InputFormat::Jsonl)),
            ("a.json", Some(InputFormat::Jsonl)),
            ("a.txt", None),
            ("csv", None),
        ] {
            assert_eq!(Source::File(name.into()).format(), format, "{name}");
        }
        assert_eq!(Source::Stdin.format(), None);
    }

    #[test]
    fn a_fingerprint_is_that_of_all_bytes_however_they_are_read() {
        let expected = Fingerprint {
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
        };
        let mut reader = Hashing::new(BufReader::with_capacity(2, &b"abc"[..]));
        reader.read_until(b'b', &mut Vec::new()).unwrap();
        reader.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(reader.fingerprint(), expected);
    }
}
