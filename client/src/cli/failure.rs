//! Everything that can end the program early.

use std::{
    io,
    path::{Path, PathBuf},
};

use rowstream_client::Error;

use super::{fanout::Refused, interrupt::Signal};

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
    /// The inputs of a fan-out could not be read.
    Params { name: String, source: io::Error },
    /// The inputs of a fan-out are not what they must be.
    Unusable(Unusable),
    /// A checkpoint cannot be used.
    Checkpoint(Refused),
    /// A directory is not what an export, or the check of one, needs: what is wrong with it.
    Export { directory: PathBuf, problems: Vec<String> },
    /// Another process exports into that directory.
    ExportBusy(PathBuf),
    /// The snapshot of an export is gone, or what is exported has changed, before the export is complete: as a call has
    /// told, or the journal; and what helps.
    SnapshotLost { error: Option<Error>, directory: PathBuf, remedies: Remedies },
    /// The server's own limit has ended the read of a partition, from 1, that cannot go on where it was.
    PartitionTooLong { error: Error, partition: usize },
    /// Calls of a fan-out failed, or in mode `first` all of them; the others did not.
    CallsFailed { failed: u64, all: u64 },
    /// A file that is to be compared is no report of a load.
    Report { path: PathBuf, problem: String },
    /// A report is worse than the one before it: in what, and what was allowed.
    Worse { told: String, allowed: String },
    /// The time for a whole fan-out was over before every input was run.
    TotalDeadline,
    /// The output could not be written; without a path, stdout.
    Output { path: Option<PathBuf>, source: io::Error },
    /// Whoever reads stdout has read enough.
    ClosedPipe,
    /// A signal came; with how far the rows had come, where there were any to come.
    Interrupted { signal: Signal, rows: Option<u64> },
}

/// What helps where a snapshot is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remedies {
    pub(crate) restart: Restart,
    /// What is missing can be read without it.
    pub(crate) continue_live: bool,
}

/// Whether another snapshot would do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Helps,
    /// It has been tried again and again.
    Tried,
    /// No snapshot lives as long as the export takes.
    TooShort,
}

/// Lines of an input that cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// The input's name.
    pub(crate) input: String,
    /// The first of them, and what is wrong with each.
    pub(crate) lines: Vec<(u64, String)>,
    pub(crate) count: u64,
    /// Whether calls of other lines have been run.
    pub(crate) begun: bool,
    /// Whether these lines could be set aside.
    pub(crate) can_reject: bool,
}

impl Failure {
    /// The same, of a call that sent this SQL.
    pub(crate) fn of_sql(self, sql: Option<String>) -> Self {
        match self {
            Self::Call { error, .. } => Self::Call { error, sql },
            other => other,
        }
    }

    /// Of a directory.
    pub(crate) fn export(directory: &Path, problem: impl Into<String>) -> Self {
        Self::Export { directory: directory.to_owned(), problems: vec![problem.into()] }
    }

    /// A file that could not be written.
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::Output { path: Some(path.to_owned()), source }
    }

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
