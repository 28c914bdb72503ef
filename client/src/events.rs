//! The events of a stream, whatever its batches carry: header, batches, summary, in this order and complete, or an
//! error. What is in a batch is for `stream` (rows) and `arrow` (record batches).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rowstream_contract::{
    rows::Batch,
    v1::{StreamQueryResponse, stream_query_response::Event},
};
use tokio::time::Sleep;
use tokio_stream::Stream as _;
use tonic::Streaming;

use crate::{Encoding, Error, Header, Summary, channel::Lease, deadline::Deadline, integrity::Tally, scope::Scope};

/// A stream after its header.
#[derive(Debug)]
pub(crate) struct Events {
    messages: Streaming<StreamQueryResponse>,
    endpoint: Arc<str>,
    /// The stream is load of its connection until it has ended.
    lease: Option<Lease>,
    /// The attempt of a fan-out that this is, until a row has come.
    scope: Option<Arc<Scope>>,
    deadline: Deadline,
    timer: Option<Pin<Box<Sleep>>>,
    pub(crate) header: Header,
    /// The schema's message, of a stream in Arrow.
    pub(crate) arrow_schema: Bytes,
    pub(crate) tally: Tally,
    state: State,
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

impl Events {
    /// Waits for the header, which must be of the encoding that was asked for.
    pub(crate) async fn open(
        mut messages: Streaming<StreamQueryResponse>,
        encoding: Encoding,
        deadline: Deadline,
        mut lease: Lease,
        scope: Option<Arc<Scope>>,
    ) -> Result<Self, Error> {
        match Self::read_header(&mut messages, encoding, &deadline, &lease).await {
            Ok((header, arrow_schema)) => {
                lease.first_message();
                if scope.as_ref().is_some_and(|scope| !scope.first_message()) {
                    return Err(Error::Superseded);
                }
                let (timer, tally, endpoint) = (deadline.timer(), Tally::default(), lease.endpoint().clone());
                let (lease, state) = (Some(lease), State::Rows);
                Ok(Self { messages, endpoint, lease, scope, deadline, timer, header, arrow_schema, tally, state })
            }
            Err(error) => {
                lease.failed(&error);
                Err(error)
            }
        }
    }

    async fn read_header(
        messages: &mut Streaming<StreamQueryResponse>,
        encoding: Encoding,
        deadline: &Deadline,
        lease: &Lease,
    ) -> Result<(Header, Bytes), Error> {
        let first = deadline.run(lease.endpoint(), messages.message()).await?;
        let mut header = match first.map(|message| message.event) {
            Some(Some(Event::Header(header))) => header,
            None => return Err(Error::Truncated { rows: 0 }),
            Some(_) => return Err(Error::protocol("the stream does not begin with a header")),
        };
        let arrow_schema = std::mem::take(&mut header.arrow_schema);
        let header = Header::try_from(header)?;
        match (encoding, header.encoding) {
            (Encoding::Arrow, Encoding::Rows) => {
                Err(Error::protocol("Arrow was asked for, and rows come: does the server know Arrow?"))
            }
            (Encoding::Rows, Encoding::Arrow) => Err(Error::protocol("rows were asked for, and Arrow comes")),
            _ => Ok((header, arrow_schema)),
        }
    }

    /// The server's account of the whole; set once the stream has ended without an error.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        match &self.state {
            State::Complete(summary) => Some(summary),
            _ => None,
        }
    }

    /// The next batch, as `decode` reads it: given the header, the batch and the number of its first row, it answers with how many
    /// rows there are.
    pub(crate) fn poll_batch<T>(
        &mut self,
        cx: &mut Context<'_>,
        decode: impl FnMut(&Header, &Batch, u64) -> Result<(T, usize), Error>,
    ) -> Poll<Result<Option<T>, Error>> {
        if let State::Complete(_) | State::Failed = self.state {
            return Poll::Ready(Ok(None));
        }
        let outcome = ready!(self.poll_events(cx, decode));
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

    fn poll_events<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut decode: impl FnMut(&Header, &Batch, u64) -> Result<(T, usize), Error>,
    ) -> Poll<Result<Option<T>, Error>> {
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
                Some(Ok(message)) => match self.accept(message.event, &mut decode) {
                    Ok(None) => {}
                    outcome => return Poll::Ready(outcome),
                },
            }
        }
    }

    /// Takes one event: a batch is passed on, a summary is checked and kept.
    fn accept<T>(
        &mut self,
        event: Option<Event>,
        decode: impl FnOnce(&Header, &Batch, u64) -> Result<(T, usize), Error>,
    ) -> Result<Option<T>, Error> {
        match (&self.state, event) {
            (State::Rows, Some(Event::Batch(batch))) => self.accept_batch(&batch, decode).map(Some),
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

    fn accept_batch<T>(
        &mut self,
        batch: &Batch,
        decode: impl FnOnce(&Header, &Batch, u64) -> Result<(T, usize), Error>,
    ) -> Result<T, Error> {
        if let Some(scope) = self.scope.take() {
            scope.rows();
        }
        let (decoded, rows) = decode(&self.header, batch, self.tally.rows)?;
        self.tally.add(batch.data.bytes(), rows, batch.row_count, batch.first_row)?;
        Ok(decoded)
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
