//! The blocking client, and the calls that run no statement.

use super::{Call, ClientBuilder, Fanout, TableRead, runtime::Runtime};
use crate::{Error, Health, NamedQuery, Table};

/// A client of one or several rowstream-servers that serve the same data. Cheap to clone; its clones
/// share its connections and its thread.
///
/// # Panics
/// Every method that waits panics in asynchronous code: see [the module](super).
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) inner: crate::Client,
    pub(super) runtime: Runtime,
}

impl Client {
    /// Starts a client of these endpoints, each `http://HOST:PORT`.
    pub fn builder(endpoints: impl IntoIterator<Item: Into<String>>) -> ClientBuilder {
        ClientBuilder::new(crate::Client::builder(endpoints))
    }

    pub(super) fn new(inner: crate::Client, runtime: Runtime) -> Self {
        Self { inner, runtime }
    }

    // -- calls in the making: one for each source of crate::Client

    /// As [`crate::Client::fanout`]: many calls at once.
    pub fn fanout(&self) -> Fanout {
        Fanout::new(self.inner.fanout(), self.runtime.clone())
    }

    /// As [`crate::Client::query`]: a call of one of the server's named queries.
    pub fn query(&self, name: impl Into<String>) -> Call {
        self.call(self.inner.query(name))
    }

    /// As [`crate::Client::sql`]: a call of ad-hoc SQL, which the server must allow.
    pub fn sql(&self, sql: impl Into<String>) -> Call {
        self.call(self.inner.sql(sql))
    }

    /// As [`crate::Client::table`]: a read of a table that the server has opened, without SQL.
    pub fn table(&self, table: impl Into<String>) -> TableRead {
        TableRead::new(self.inner.table(table), self.runtime.clone())
    }

    fn call(&self, inner: crate::Call) -> Call {
        Call::new(inner, self.runtime.clone())
    }

    // -- answers: one for each of crate::Client's that is awaited

    /// As [`crate::Client::list_queries`]: all named queries, ordered by name.
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn list_queries(&self) -> Result<Vec<NamedQuery>, Error> {
        self.runtime.wait(self.inner.list_queries())
    }

    /// As [`crate::Client::tables`]: all tables that the server has opened, ordered by name.
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn tables(&self) -> Result<Vec<Table>, Error> {
        self.runtime.wait(self.inner.tables())
    }

    /// As [`crate::Client::cancel`]: cancels a running call, also one that another thread waits for.
    ///
    /// # Errors
    /// Any failure of the call to cancel.
    pub fn cancel(&self, query_id: impl Into<String>) -> Result<bool, Error> {
        self.runtime.wait(self.inner.cancel(query_id))
    }

    /// As [`crate::Client::health`]: asks one server whether it serves queries.
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn health(&self) -> Result<Health, Error> {
        self.runtime.wait(self.inner.health())
    }
}
