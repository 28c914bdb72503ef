//! What can go wrong before a test has begun.

use std::io;

/// Why PostgreSQL did not start, or why one of its programs failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL is not installed, or not where it is looked for.
    #[error(
        "PostgreSQL's programs (initdb, postgres, psql) were not found together in any of: {looked_in}. \
         Install them (`apt-get install postgresql`, `brew install postgresql`) \
         or set ROWSTREAM_PG_BIN to the folder that holds them"
    )]
    NotInstalled {
        /// The folders, in the order in which they were tried.
        looked_in: String,
    },
    /// PostgreSQL refuses to run as root, and the account it is usually run by is missing.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` to run it as")]
    NoAccount,
    /// No port below the ephemeral range is free.
    #[error("no free TCP port was found")]
    NoPort,
    /// The operating system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{program} failed: {output}")]
    Failed {
        /// Which.
        program: String,
        /// What it said.
        output: String,
    },
    /// Another server took the port between its choice and its use.
    #[error("another server took PostgreSQL's port")]
    PortTaken,
    /// PostgreSQL was started, and ended or took too long.
    #[error("PostgreSQL did not become ready; it logged:\n{log}")]
    NotReady {
        /// What it logged since it was started.
        log: String,
    },
}

impl Error {
    /// For `map_err`: says what was tried.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
