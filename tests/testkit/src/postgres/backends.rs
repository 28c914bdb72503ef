//! What pg_stat_activity says: the witness for deadlines, cancels and leaks.

use serde::Deserialize;

use crate::Error;

/// One connection to a database, as PostgreSQL sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Backend {
    /// Process id, as `pg_backend_pid()` tells it.
    pub pid: i32,
    /// `active`, `idle`, `idle in transaction`, ...
    pub state: Option<String>,
    /// What it waits for: `ClientRead`, `PgSleep`, ...; `None` if it works.
    pub wait_event: Option<String>,
    /// The statement that runs, or the last one that ran.
    pub query: String,
    /// What the client calls itself.
    pub application_name: String,
}

impl Backend {
    /// True if a statement is running.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state.as_deref() == Some("active")
    }

    /// True if a transaction is open, whether or not a statement runs in it.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state == "active" || state.starts_with("idle in transaction"))
    }
}

/// A query that answers with one JSON array of the database's client backends, ordered by pid.
pub(crate) fn query(database: &str) -> String {
    format!(
        "SELECT coalesce(json_agg(json_build_object('pid', pid, 'state', state, 'wait_event', wait_event, \
         'query', query, 'application_name', application_name) ORDER BY pid), '[]') FROM pg_stat_activity \
         WHERE backend_type = 'client backend' AND datname = '{}'",
        database.replace('\'', "''")
    )
}

pub(crate) fn parse(json: &str) -> Result<Vec<Backend>, Error> {
    // psql breaks the aggregate's text into lines only where JSON allows white space.
    serde_json::from_str(json)
        .map_err(|error| Error::Failed { program: "pg_stat_activity".to_owned(), output: format!("{error} in {json}") })
}
