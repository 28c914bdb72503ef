//! A stream of rows as an iterator.

use tokio_stream::StreamExt as _;

use super::runtime::Runtime;
use crate::{Columns, Error, Header, ResumeToken, Row, RowBatch, Summary};

/// The rows of a call, as they arrive.
///
/// Read it row by row as an [`Iterator`], or batch by batch with [`next_batch`](Self::next_batch) or
/// [`batches`](Self::batches), which costs less. After an error it is at its end. Dropping it before its
/// end cancels the call, in PostgreSQL too.
///
/// # Panics
/// Reading panics in asynchronous code: see [the module](super). Dropping does not.
#[derive(Debug)]
pub struct RowStream {
    inner: crate::RowStream,
    runtime: Runtime,
}

impl RowStream {
    pub(super) fn new(inner: crate::RowStream, runtime: Runtime) -> Self {
        Self { inner, runtime }
    }

    /// What the server said before the first row.
    #[must_use]
    pub fn header(&self) -> &Header {
        self.inner.header()
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        self.inner.columns()
    }

    /// The id of the call, which [`Client::cancel`](super::Client::cancel) takes.
    #[must_use]
    pub fn query_id(&self) -> &str {
        self.inner.query_id()
    }

    /// Rows received so far, read or not.
    #[must_use]
    pub fn rows_received(&self) -> u64 {
        self.inner.rows_received()
    }

    /// Bytes of row data received so far.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.inner.bytes_received()
    }

    /// How often the stream has gone on where it was cut ([`Call::resume`](super::Call::resume)).
    #[must_use]
    pub fn resumed(&self) -> u32 {
        self.inner.resumed()
    }

    /// The row boundary behind the batches given out so far; `None` if the stream cannot be resumed there.
    #[must_use]
    pub fn resume_token(&self) -> Option<&ResumeToken> {
        self.inner.resume_token()
    }

    /// The server's account of the whole; set once the stream has ended without an error.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        self.inner.summary()
    }

    /// As [`crate::RowStream::next_batch`]: the next batch, or what is left of one whose rows were read
    /// one by one; `None` at the end.
    ///
    /// # Errors
    /// Whatever ended the call, once.
    pub fn next_batch(&mut self) -> Result<Option<RowBatch>, Error> {
        self.runtime.wait(self.inner.next_batch())
    }

    /// The batches from here on, as an iterator.
    pub fn batches(&mut self) -> Batches<'_> {
        Batches { stream: self }
    }
}

impl Iterator for RowStream {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.wait(self.inner.next())
    }
}

/// The batches of a stream, one by one; made by [`RowStream::batches`].
#[derive(Debug)]
pub struct Batches<'a> {
    stream: &'a mut RowStream,
}

impl Iterator for Batches<'_> {
    type Item = Result<RowBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.stream.next_batch().transpose()
    }
}
