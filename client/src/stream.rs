//! A stream of rows. That it is complete and in order is seen to by `events`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use rowstream_contract::rows::{Batch, Data};
use tokio_stream::Stream;

use crate::{Columns, Error, Header, ResumeToken, Row, RowBatch, Summary, decode::Rows, events::Events};

/// The rows of a call, as they arrive.
///
/// Read it row by row as a [`Stream`], or batch by batch with [`next_batch`](Self::next_batch), which
/// costs less. After an error it is at its end. A stream that ends without an error delivered every
/// row, and [`summary`](Self::summary) is set. Dropping it before its end cancels the call, in
/// PostgreSQL too.
#[derive(Debug)]
pub struct RowStream {
    events: Events,
    /// The rest of the batch that is being read row by row.
    current: Option<Rows>,
}

impl RowStream {
    pub(crate) fn new(events: Events) -> Self {
        Self { events, current: None }
    }

    /// What the server said before the first row.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.events.header
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.events.header.columns
    }

    /// The id of the call, which [`Client::cancel`](crate::Client::cancel) takes.
    #[must_use]
    pub fn query_id(&self) -> &str {
        &self.events.header.query_id
    }

    /// Rows received so far, read or not.
    #[must_use]
    pub fn rows_received(&self) -> u64 {
        self.events.rows()
    }

    /// Bytes of row data received so far.
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

    /// The next batch, or what is left of one whose rows were read one by one; `None` at the end.
    ///
    /// # Errors
    /// Whatever ended the call, once.
    pub async fn next_batch(&mut self) -> Result<Option<RowBatch>, Error> {
        if let Some(rest) = self.current.take().and_then(Rows::into_rest) {
            return Ok(Some(rest));
        }
        std::future::poll_fn(|cx| self.poll_batch(cx)).await
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RowBatch>, Error>> {
        self.events.poll_batch(cx, |header, batch, first_row| {
            let batch = rows(batch, &header.columns, first_row)?;
            let count = batch.len();
            Ok((batch, count))
        })
    }
}

fn rows(batch: &Batch, columns: &Columns, first_row: u64) -> Result<RowBatch, Error> {
    match &batch.data {
        Data::Rows(body) => RowBatch::try_new(columns.clone(), body.0.clone(), first_row).map_err(Error::protocol),
        Data::ArrowIpc(_) => Err(Error::protocol("a batch of Arrow in a stream of rows")),
    }
}

impl Stream for RowStream {
    type Item = Result<Row, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(row) = self.current.as_mut().and_then(Iterator::next) {
                return Poll::Ready(Some(Ok(row)));
            }
            match ready!(self.poll_batch(cx)) {
                Ok(Some(batch)) => self.current = Some(batch.into_rows()),
                Ok(None) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
