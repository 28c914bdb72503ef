//! A table read in the making, and sending it.

use super::{Call, RowStream, runtime::Runtime};
use crate::{Description, Error, Filter, Row};

/// As [`crate::TableRead`]; started by [`Client::table`](super::Client::table).
///
/// # Panics
/// [`stream`](Self::stream), [`query_row`](Self::query_row) and [`describe`](Self::describe) panic in
/// asynchronous code: see [the module](super).
#[derive(Clone, Debug)]
#[must_use = "a read does nothing until it is sent"]
pub struct TableRead {
    inner: crate::TableRead,
    runtime: Runtime,
}

impl TableRead {
    pub(super) fn new(inner: crate::TableRead, runtime: Runtime) -> Self {
        Self { inner, runtime }
    }

    fn with(self, change: impl FnOnce(crate::TableRead) -> crate::TableRead) -> Self {
        Self { inner: change(self.inner), runtime: self.runtime }
    }

    /// As [`crate::TableRead::columns`]: the columns to read, in this order. Default: all.
    pub fn columns(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        self.with(|read| read.columns(names))
    }

    /// As [`crate::TableRead::filter`]: which rows to read. Default: all.
    pub fn filter(self, filter: Filter) -> Self {
        self.with(|read| read.filter(filter))
    }

    /// As [`crate::TableRead::order_by`]: the order of the rows, the most significant first.
    pub fn order_by(self, orders: impl IntoIterator<Item: Into<String>>) -> Self {
        self.with(|read| read.order_by(orders))
    }

    /// As [`crate::TableRead::limit`]: the most rows to read. Default 0: no limit.
    pub fn limit(self, rows: u64) -> Self {
        self.with(|read| read.limit(rows))
    }

    /// As [`crate::TableRead::call`]: the call that reads it, to be given a deadline and the like.
    pub fn call(self) -> Call {
        Call::new(self.inner.call(), self.runtime)
    }

    /// As [`crate::TableRead::stream`].
    ///
    /// # Errors
    /// NOT_FOUND, reason UNKNOWN_TABLE, if no such table is open; whatever else ended the call before its
    /// first row.
    pub fn stream(&self) -> Result<RowStream, Error> {
        self.clone().call().stream()
    }

    /// As [`crate::TableRead::query_row`].
    ///
    /// # Errors
    /// NOT_FOUND, reason NO_ROW, if there is none; any other failure of the call.
    pub fn query_row(&self) -> Result<Row, Error> {
        self.clone().call().query_row()
    }

    /// As [`crate::TableRead::describe`].
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn describe(&self) -> Result<Description, Error> {
        self.clone().call().describe()
    }
}
