//! Everything that can end the program early.

use std::{io, path::PathBuf};

use rowstream_client::Error;

use super::interrupt::Signal;

/// Why the program ends without success. `report` words it, `exit` gives it a code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments that make no sense together.
    Usage(String),
    /// The file of profiles, or the choice of one, cannot be used.
    Config(String),
    /// A call failed; with the SQL that was sent, to show where in it the error is.
    Call { error: Error, sql: Option<String> },
    /// The server answers, but serves no queries: what it says.
    NotServing(&'static str),
    /// The process could not be set up.
    Start(io::Error),
    /// Stdin could not be read.
    Input(io::Error),
    /// The output could not be written; without a path, stdout.
    Output { path: Option<PathBuf>, source: io::Error },
    /// Whoever reads stdout has read enough.
    ClosedPipe,
    /// A signal came; with how far the rows had come, where there were any to come.
    Interrupted { signal: Signal, rows: Option<u64> },
}

impl Failure {
    /// A failed write; to a closed pipe it is no error.
    pub(crate) fn output(path: Option<PathBuf>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Output { path, source },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call { error, sql: None }
    }
}
