//! A stream of record batches.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use tokio_stream::Stream;

use super::Decoder;
use crate::{Columns, Error, Header, ResumeToken, Summary, arrow_ipc::message, events::Events};

/// A result as Arrow record batches, as they arrive; a [`Stream`] of them too.
///
/// After an error it is at its end. If it ends without an error, every row was delivered, and
/// [`summary`](Self::summary) is set. Dropping it before its end cancels the call, in PostgreSQL too.
#[derive(Debug)]
pub struct RecordBatchStream {
    events: Events,
    decoder: Decoder,
}

impl RecordBatchStream {
    pub(crate) fn try_new(events: Events) -> Result<Self, Error> {
        let decoder = Decoder::try_new(&events.arrow_schema)?;
        let (fields, columns) = (decoder.schema().fields().len(), events.header.columns.len());
        if fields != columns {
            return Err(Error::protocol(format!("an Arrow schema of {fields} fields for {columns} columns")));
        }
        Ok(Self { events, decoder })
    }

    /// The schema of every batch.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.decoder.schema().clone()
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

    /// The row boundary behind the batches given out so far; `None` if the stream cannot be resumed there.
    #[must_use]
    pub fn resume_token(&self) -> Option<&ResumeToken> {
        self.events.resume_token()
    }

    /// The server's account of the whole; set once the stream has ended without an error.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        self.events.summary()
    }

    /// The next batch, of at least one row; `None` at the end.
    ///
    /// # Errors
    /// Whatever ended the call, once; [`Error::Protocol`] for a message that is no record batch of the schema.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>, Error> {
        std::future::poll_fn(|cx| self.poll_batch(cx)).await
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RecordBatch>, Error>> {
        let Self { events, decoder } = self;
        events.poll_batch(cx, |_, batch, _| {
            let batch = decoder.decode(message(batch)?.clone())?;
            let rows = batch.num_rows();
            Ok((batch, rows))
        })
    }
}

impl Stream for RecordBatchStream {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_batch(cx).map(Result::transpose)
    }
}
