//! A stream of rows: header, batches, summary, in this order and complete, or an error.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rowstream_contract::{
    rows,
    v1::{StreamQueryResponse, stream_query_response::Event},
};
use tokio::time::Sleep;
use tokio_stream::Stream;
use tonic::Streaming;

use crate::{
    Columns, Error, Header, Row, RowBatch, Summary, channel::Lease, deadline::Deadline, decode::Rows, integrity::Tally,
    scope::Scope,
};

/// The rows of a call, as they arrive.
///
/// Read it row by row as a [`Stream`], or batch by batch with [`next_batch`](Self::next_batch), which
/// costs less. After an error it is at its end. A stream that ends without an error delivered every
/// row, and [`summary`](Self::summary) is set. Dropping it before its end cancels the call, in
/// PostgreSQL too.
#[derive(Debug)]
pub struct RowStream {
    messages: Streaming<StreamQueryResponse>,
    endpoint: Arc<str>,
    /// The stream is load of its connection until it has ended.
    lease: Option<Lease>,
    /// The attempt of a fan-out that this is, until a row has come.
    scope: Option<Arc<Scope>>,
    deadline: Deadline,
    timer: Option<Pin<Box<Sleep>>>,
    header: Header,
    tally: Tally,
    state: State,
    /// The rest of the batch that is being read row by row.
    current: Option<Rows>,
}

#[derive(Debug)]
enum State {
    /// Batches come, or the summary.
    Rows,
    /// The summary is here and agrees with the rows; the call's status is not known yet.
    Summary(Summary),
    /// Ended well.
    Complete(Summary),
    /// Ended with an error, which has been told.
    Failed,
}

impl RowStream {
    /// Waits for the header.
    pub(crate) async fn open(
        mut messages: Streaming<StreamQueryResponse>,
        deadline: Deadline,
        mut lease: Lease,
        scope: Option<Arc<Scope>>,
    ) -> Result<Self, Error> {
        match Self::read_header(&mut messages, &deadline, &lease).await {
            Ok(header) => {
                lease.first_message();
                if scope.as_ref().is_some_and(|scope| !scope.first_message()) {
                    return Err(Error::Superseded);
                }
                let (timer, tally, endpoint) = (deadline.timer(), Tally::default(), lease.endpoint().clone());
                let (lease, state, current) = (Some(lease), State::Rows, None);
                Ok(Self { messages, endpoint, lease, scope, deadline, timer, header, tally, state, current })
            }
            Err(error) => {
                lease.failed(&error);
                Err(error)
            }
        }
    }

    async fn read_header(
        messages: &mut Streaming<StreamQueryResponse>,
        deadline: &Deadline,
        lease: &Lease,
    ) -> Result<Header, Error> {
        let first = deadline.run(lease.endpoint(), messages.message()).await?;
        match first.map(|message| message.event) {
            Some(Some(Event::Header(header))) => Header::try_from(header),
            None => Err(Error::Truncated { rows: 0 }),
            Some(_) => Err(Error::protocol("the stream does not begin with a header")),
        }
    }

    /// What the server said before the first row.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.header.columns
    }

    /// The id of the call, which [`Client::cancel`](crate::Client::cancel) takes.
    #[must_use]
    pub fn query_id(&self) -> &str {
        &self.header.query_id
    }

    /// Rows received so far, read or not.
    #[must_use]
    pub fn rows_received(&self) -> u64 {
        self.tally.rows
    }

    /// Bytes of row data received so far.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.tally.bytes
    }

    /// The server's account of the whole; set once the stream has ended without an error.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        match &self.state {
            State::Complete(summary) => Some(summary),
            _ => None,
        }
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
        if let State::Complete(_) | State::Failed = self.state {
            return Poll::Ready(Ok(None));
        }
        let outcome = ready!(self.poll_events(cx));
        match &outcome {
            Ok(Some(_)) => {}
            Ok(None) => self.lease = None,
            Err(error) => {
                self.lease.take().into_iter().for_each(|mut lease| lease.failed(error));
                self.state = State::Failed;
            }
        }
        Poll::Ready(outcome)
    }

    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RowBatch>, Error>> {
        loop {
            if self.deadline.has_passed() {
                return Poll::Ready(Err(self.deadline.exceeded()));
            }
            let Poll::Ready(message) = Pin::new(&mut self.messages).poll_next(cx) else {
                return match &mut self.timer {
                    Some(timer) => timer.as_mut().poll(cx).map(|()| Err(self.deadline.exceeded())),
                    None => Poll::Pending,
                };
            };
            match message {
                None => return Poll::Ready(self.finish().map(|()| None)),
                Some(Err(status)) => return Poll::Ready(Err(self.deadline.error(status, &self.endpoint))),
                Some(Ok(message)) => match self.accept(message.event) {
                    Ok(None) => {}
                    outcome => return Poll::Ready(outcome),
                },
            }
        }
    }

    /// Takes one event: a batch is passed on, a summary is checked and kept.
    fn accept(&mut self, event: Option<Event>) -> Result<Option<RowBatch>, Error> {
        match (&self.state, event) {
            (State::Rows, Some(Event::Batch(batch))) => self.accept_batch(batch).map(Some),
            (State::Rows, Some(Event::Summary(summary))) => {
                self.tally.check(&summary)?;
                self.state = State::Summary(Summary::try_from(summary)?);
                Ok(None)
            }
            (State::Rows, Some(Event::Header(_))) => Err(Error::protocol("a second header")),
            (_, Some(_)) => Err(Error::protocol("a message after the summary")),
            (_, None) => Err(Error::protocol("a message without an event")),
        }
    }

    fn accept_batch(&mut self, batch: rows::Batch) -> Result<RowBatch, Error> {
        let rows::Batch { data, row_count, first_row } = batch;
        let rows::Data::Rows(body) = data else {
            return Err(Error::protocol("a batch of another encoding than was asked for"));
        };
        if let Some(scope) = self.scope.take() {
            scope.rows();
        }
        let batch = RowBatch::try_new(self.header.columns.clone(), body.0, self.tally.rows).map_err(Error::protocol)?;
        self.tally.add(batch.body(), batch.len(), row_count, first_row)?;
        Ok(batch)
    }

    /// Takes the end of the stream, whose status was OK.
    fn finish(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Summary(summary) => self.state = State::Complete(summary),
            _ => return Err(Error::Truncated { rows: self.tally.rows }),
        }
        Ok(())
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
