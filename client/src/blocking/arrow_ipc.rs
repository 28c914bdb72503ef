//! A stream of Arrow's messages, waited for.

use bytes::Bytes;

use super::runtime::Runtime;
use crate::{Columns, Error, Header, ResumeToken, Summary};

/// As [`crate::ArrowIpcStream`]: the messages of a result in Arrow's IPC format, as an [`Iterator`].
///
/// # Panics
/// Reading panics in asynchronous code: see [the module](super). Dropping does not.
#[derive(Debug)]
pub struct ArrowIpcStream {
    inner: crate::ArrowIpcStream,
    runtime: Runtime,
}

impl ArrowIpcStream {
    pub(super) fn new(inner: crate::ArrowIpcStream, runtime: Runtime) -> Self {
        Self { inner, runtime }
    }

    /// The schema, as an encapsulated message.
    #[must_use]
    pub fn schema(&self) -> &Bytes {
        self.inner.schema()
    }

    /// What the server said before the first row.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.inner.header()
    }

    /// The columns as PostgreSQL names them, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        self.inner.columns()
    }

    /// The id of the call, which [`Client::cancel`](super::Client::cancel) takes.
    #[must_use]
    pub fn query_id(&self) -> &str {
        self.inner.query_id()
    }

    /// Rows received so far.
    #[must_use]
    pub fn rows_received(&self) -> u64 {
        self.inner.rows_received()
    }

    /// Bytes of messages received so far.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.inner.bytes_received()
    }

    /// How often the stream has gone on where it was cut ([`Call::resume`](super::Call::resume)).
    #[must_use]
    pub fn resumed(&self) -> u32 {
        self.inner.resumed()
    }

    /// The row boundary behind the messages given out so far; `None` if the stream cannot be resumed there.
    #[must_use]
    pub fn resume_token(&self) -> Option<&ResumeToken> {
        self.inner.resume_token()
    }

    /// The server's account of the whole; set once the stream has ended without an error.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        self.inner.summary()
    }

    /// As [`crate::ArrowIpcStream::next_message`]: the next record batch's message; `None` at the end.
    ///
    /// # Errors
    /// Whatever ended the call, once.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, Error> {
        self.runtime.wait(self.inner.next_message())
    }
}

impl Iterator for ArrowIpcStream {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_message().transpose()
    }
}
