//! A stream of Arrow record batches in their encoded form. Nothing here reads them: that is `arrow`'s.

use std::task::{Context, Poll};

use bytes::Bytes;
use rowstream_contract::rows::{Batch, Data};

use crate::{Columns, Error, Header, ResumeToken, Summary, events::Events};

/// The messages of a result in Arrow's IPC format, for those who pass them on: into a file, a pipe, or to another
/// Arrow implementation.
///
/// [`schema`](Self::schema), every [`next_message`](Self::next_message) and
/// [`END_OF_STREAM`](Self::END_OF_STREAM), one after another, are what Arrow calls an IPC stream. Each message is
/// complete by itself, given the schema: there are no dictionaries.
///
/// After an error it is at its end. If it ends without an error, everything has arrived, unchanged, and
/// [`summary`](Self::summary) is set. Dropping it before its end cancels the call, in PostgreSQL too.
#[derive(Debug)]
pub struct ArrowIpcStream {
    events: Events,
}

impl ArrowIpcStream {
    /// What ends an IPC stream.
    pub const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

    pub(crate) fn new(events: Events) -> Self {
        Self { events }
    }

    /// The schema, as an encapsulated message.
    #[must_use]
    pub fn schema(&self) -> &Bytes {
        &self.events.arrow_schema
    }

    /// What the server said before the first row.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.events.header
    }

    /// The columns as PostgreSQL names them, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.events.header.columns
    }

    /// The id of the call, which [`Client::cancel`](crate::Client::cancel) takes.
    #[must_use]
    pub fn query_id(&self) -> &str {
        &self.events.header.query_id
    }

    /// Rows received so far.
    #[must_use]
    pub fn rows_received(&self) -> u64 {
        self.events.rows()
    }

    /// Bytes of messages received so far.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.events.bytes()
    }

    /// How often the stream has gone on where it was cut ([`Call::resume`](crate::Call::resume)).
    #[must_use]
    pub fn resumed(&self) -> u32 {
        self.events.resumed()
    }

    /// The row boundary behind the messages given out so far; `None` if the stream cannot be resumed there.
    #[must_use]
    pub fn resume_token(&self) -> Option<&ResumeToken> {
        self.events.resume_token()
    }

    /// The server's account of the whole; set once the stream has ended without an error.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        self.events.summary()
    }

    /// The next record batch, as an encapsulated message; `None` at the end.
    ///
    /// # Errors
    /// Whatever ended the call, once.
    pub async fn next_message(&mut self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    /// How many rows a message has is what its batch says: to count them would be to read it.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.events.poll_batch(cx, |_, batch, _| {
            let rows = batch.row_count.try_into().map_err(|_| Error::protocol("a batch without rows"))?;
            Ok((message(batch)?.clone(), rows))
        })
    }
}

/// The record batch in a batch.
pub(crate) fn message(batch: &Batch) -> Result<&Bytes, Error> {
    match &batch.data {
        Data::ArrowIpc(message) => Ok(message),
        Data::Rows(_) => Err(Error::protocol("a batch of rows in a stream of Arrow")),
    }
}
