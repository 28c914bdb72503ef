//! Where the records go: stdout or a file as `rowstream query` writes it, or one that grows with a checkpoint.

use std::{io, path::PathBuf};

use rowstream_client::sink::Output;

use super::checkpoint::Log;
use crate::cli::failure::Failure;

/// What is gathered before it is handed on; less is handed on with each tick.
const GATHERED_BYTES: usize = 64 << 10;

/// A place for records.
#[derive(Debug)]
pub(crate) enum Place {
    /// `path`: `None` is stdout.
    Plain {
        output: Output,
        path: Option<PathBuf>,
        gathered: Vec<u8>,
    },
    Logged {
        log: Log,
        path: PathBuf,
    },
}

impl Place {
    pub(crate) fn plain(path: Option<PathBuf>, head: Vec<u8>) -> Result<Self, Failure> {
        let opened = path.as_deref().map_or_else(Output::stdout, Output::file);
        let output = opened.map_err(|source| Failure::output(path.clone(), source))?;
        Ok(Self::Plain { output, path, gathered: head })
    }

    /// Appends what a call has left. Answers false if the place has failed: [`finish`](Self::finish) says how.
    pub(crate) async fn append(&mut self, position: u64, ok: bool, record: Vec<u8>) -> bool {
        match self {
            Self::Logged { log, .. } => log.append(position, ok, record).await,
            Self::Plain { output, gathered, .. } => {
                gathered.extend_from_slice(&record);
                gathered.len() < GATHERED_BYTES || output.write(gathered).await
            }
        }
    }

    /// Hands on what is gathered, as [`append`](Self::append).
    pub(crate) async fn tick(&mut self) -> bool {
        match self {
            Self::Logged { log, .. } => {
                log.sync();
                true
            }
            Self::Plain { output, gathered, .. } => output.write(gathered).await,
        }
    }

    /// Waits until everything is where it belongs.
    pub(crate) async fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Logged { log, path } => log.finish().await.map_err(|source| Failure::output(Some(path), source)),
            Self::Plain { mut output, path, mut gathered } => {
                // If it has failed, the end says how.
                output.write(&mut gathered).await;
                output.finish().await.map_err(|source: io::Error| Failure::output(path, source))
            }
        }
    }
}
