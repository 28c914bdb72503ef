//! One call in the making, and sending it.

use std::time::Duration;

#[cfg(feature = "arrow")]
use super::RecordBatchStream;
use super::{ArrowIpcStream, RowStream, runtime::Runtime};
#[cfg(feature = "compression")]
use crate::Compression;
use crate::{ArrowOptions, Description, Error, ResumeToken, RetryPolicy, Row, Strategy, Value, fanout::OneRow};

/// A statement and how to run it; made by [`Client::query`](super::Client::query) and
/// [`Client::sql`](super::Client::sql). Can be cloned and sent many times.
///
/// # Panics
/// Whatever sends the call, such as [`stream`](Self::stream), panics in asynchronous code: see [the module](super).
#[derive(Clone, Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call {
    pub(super) inner: crate::Call,
    runtime: Runtime,
}

impl Call {
    pub(super) fn new(inner: crate::Call, runtime: Runtime) -> Self {
        Self { inner, runtime }
    }

    fn with(self, change: impl FnOnce(crate::Call) -> crate::Call) -> Self {
        Self { inner: change(self.inner), runtime: self.runtime }
    }

    /// As [`crate::Call::bind`]: gives the next positional parameter its value.
    pub fn bind(self, value: impl Into<Value>) -> Self {
        self.with(|call| call.bind(value))
    }

    /// As [`crate::Call::bind_named`]: gives a parameter of a named query its value.
    pub fn bind_named(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|call| call.bind_named(name, value))
    }

    /// As [`crate::Call::deadline`]: how long the whole call may take, to its last row.
    pub fn deadline(self, timeout: Duration) -> Self {
        self.with(|call| call.deadline(timeout))
    }

    /// As [`crate::Call::max_rows`]: the most rows to send. Default 0: no limit.
    pub fn max_rows(self, rows: u64) -> Self {
        self.with(|call| call.max_rows(rows))
    }

    /// As [`crate::Call::max_batch_rows`]: the most rows in one batch. Default 0: no limit by rows.
    pub fn max_batch_rows(self, rows: u32) -> Self {
        self.with(|call| call.max_batch_rows(rows))
    }

    /// As [`crate::Call::max_batch_bytes`]: the size of a batch. Default 0: 96 KiB.
    pub fn max_batch_bytes(self, bytes: u32) -> Self {
        self.with(|call| call.max_batch_bytes(bytes))
    }

    /// As [`crate::Call::query_id`]: an id to find and cancel this call by.
    pub fn query_id(self, id: impl Into<String>) -> Self {
        self.with(|call| call.query_id(id))
    }

    /// As [`crate::Call::strategy`]: how the server reads from PostgreSQL. Default: it chooses.
    pub fn strategy(self, strategy: Strategy) -> Self {
        self.with(|call| call.strategy(strategy))
    }

    /// As [`crate::Call::arrow_options`]: what becomes of values in Arrow.
    pub fn arrow_options(self, options: ArrowOptions) -> Self {
        self.with(|call| call.arrow_options(options))
    }

    /// As [`crate::Call::resume_key`]: columns by which the stream can be resumed.
    pub fn resume_key(self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.with(|call| call.resume_key(columns))
    }

    /// As [`crate::Call::resume_from`]: goes on behind the row boundary of a token.
    pub fn resume_from(self, token: ResumeToken) -> Self {
        self.with(|call| call.resume_from(token))
    }

    /// As [`crate::Call::resume`]: how often streams are resumed in a row, and after what waits.
    pub fn resume(self, policy: RetryPolicy) -> Self {
        self.with(|call| call.resume(policy))
    }

    /// As [`crate::Call::compression`]: lets gRPC compress the answer's messages. Default: no.
    #[cfg(feature = "compression")]
    pub fn compression(self, compression: Compression) -> Self {
        self.with(|call| call.compression(compression))
    }

    /// As [`crate::Call::stream`]: sends the call and waits for the header.
    ///
    /// # Errors
    /// Whatever ended the call before its first row.
    pub fn stream(&self) -> Result<RowStream, Error> {
        let stream = self.runtime.wait(self.inner.stream())?;
        Ok(RowStream::new(stream, self.runtime.clone()))
    }

    /// As [`crate::Call::record_batches`]: the same in Arrow, as record batches.
    ///
    /// # Errors
    /// Whatever ended the call before its first row; [`Error::Protocol`] if the server does not know Arrow.
    #[cfg(feature = "arrow")]
    pub fn record_batches(&self) -> Result<RecordBatchStream, Error> {
        let stream = self.runtime.wait(self.inner.record_batches())?;
        Ok(RecordBatchStream::new(stream, self.runtime.clone()))
    }

    /// As [`crate::Call::arrow_ipc`]: the same in Arrow, as the messages of its IPC format.
    ///
    /// # Errors
    /// Whatever ended the call before its first row; [`Error::Protocol`] if the server does not know Arrow.
    pub fn arrow_ipc(&self) -> Result<ArrowIpcStream, Error> {
        let stream = self.runtime.wait(self.inner.arrow_ipc())?;
        Ok(ArrowIpcStream::new(stream, self.runtime.clone()))
    }

    /// As [`crate::Call::query_row`]: sends the call for its first row only.
    ///
    /// # Errors
    /// NOT_FOUND, reason NO_ROW, if there is none; any other failure of the call.
    pub fn query_row(&self) -> Result<Row, Error> {
        self.runtime.wait(self.inner.query_row())
    }

    /// As [`crate::Call::describe`]: what the statement takes and gives; runs nothing.
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn describe(&self) -> Result<Description, Error> {
        self.runtime.wait(self.inner.describe())
    }

    /// As [`crate::Call::describe_with_plan`]: the same, and what PostgreSQL estimates of the plan.
    ///
    /// # Errors
    /// Any failure of the call.
    pub fn describe_with_plan(&self) -> Result<Description, Error> {
        self.runtime.wait(self.inner.describe_with_plan())
    }

    /// As [`crate::Call::one_row`]: the same call for its first row only, as a call of a fan-out.
    pub fn one_row(self) -> OneRow {
        self.inner.one_row()
    }
}
