//! A database for one test.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{access::Access, backends::Backend};
use crate::Error;

/// Counts the databases of this process, for their names.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// An empty database with a name of its own. Dropped, it is removed, with every connection to it.
#[derive(Debug)]
pub struct Database {
    access: Access,
    name: String,
}

impl Database {
    pub(crate) fn create(access: Access) -> Result<Self, Error> {
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        access.psql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(Self { access, name })
    }

    pub(crate) fn existing(access: Access, name: &str) -> Self {
        Self { access, name: name.to_owned() }
    }

    /// `test_<pid>_<n>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address for programs and drivers, as superuser and without a password.
    #[must_use]
    pub fn url(&self) -> String {
        self.access.url(&self.name)
    }

    /// As [`Postgres::psql`](super::Postgres::psql), in this database.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.access.psql(&self.name, sql)
    }

    /// As [`Postgres::psql_csv`](super::Postgres::psql_csv), in this database.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn psql_csv(&self, sql: &str) -> Result<Vec<u8>, Error> {
        self.access.csv(&self.name, sql)
    }

    /// The connections to this database, ordered by pid.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn backends(&self) -> Result<Vec<Backend>, Error> {
        self.access.backends(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may have been stopped by the test; the cluster's end removes everything anyway.
        let _ = self.access.psql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}
