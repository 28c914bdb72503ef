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

use crate::{
    Error, Header, ResumeToken, Summary,
    channel::Lease,
    deadline::Deadline,
    integrity::Tally,
    resume::{Messages, Piece, Reopen, Resumption},
    retry::RetryPolicy,
    scope::Scope,
};

/// A stream after its header.
#[derive(Debug)]
pub(crate) struct Events {
    messages: Messages,
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
    /// Of the pieces before.
    before: Tally,
    /// Of this one.
    piece: Tally,
    /// The boundary behind what has been given out.
    token: Option<ResumeToken>,
    resumption: Option<Resumption>,
    /// False until a stream that began at a token has told by its first batch which row that is.
    knows_first_row: bool,
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
    /// A stream that begins with this piece. `reopen` is how it goes on under the policy where it is cut, if it can;
    /// `from`, where it began itself.
    pub(crate) fn begin(
        piece: Piece,
        deadline: Deadline,
        scope: Option<Arc<Scope>>,
        policy: RetryPolicy,
        reopen: impl FnOnce() -> Reopen,
        from: Option<&ResumeToken>,
    ) -> Result<Self, Error> {
        if scope.as_ref().is_some_and(|scope| !scope.first_message()) {
            return Err(Error::Superseded);
        }
        let Piece { messages, lease, header, arrow_schema, token } = piece;
        // In a fan-out the whole call is made again instead.
        let resumption = (token.is_some() && scope.is_none()).then(|| Resumption::new(policy, reopen()));
        Ok(Self {
            messages,
            endpoint: lease.endpoint().clone(),
            lease: Some(lease),
            scope,
            timer: deadline.timer(),
            deadline,
            header,
            arrow_schema,
            before: Tally::default(),
            piece: Tally::default(),
            token,
            resumption,
            knows_first_row: from.is_none(),
            state: State::Rows,
        })
    }

    /// How often it has gone on where it was cut.
    pub(crate) fn resumed(&self) -> u32 {
        self.resumption.as_ref().map_or(0, |resumption| resumption.resumed)
    }

    /// The boundary behind what has been given out.
    pub(crate) fn resume_token(&self) -> Option<&ResumeToken> {
        self.token.as_ref()
    }

    /// Rows given out so far.
    pub(crate) fn rows(&self) -> u64 {
        self.before.rows + self.piece.rows
    }

    /// Bytes of row data received so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.before.bytes + self.piece.bytes
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
        mut decode: impl FnMut(&Header, &Batch, u64) -> Result<(T, usize), Error>,
    ) -> Poll<Result<Option<T>, Error>> {
        loop {
            if let State::Complete(_) | State::Failed = self.state {
                return Poll::Ready(Ok(None));
            }
            let outcome = match self.poll_resumption(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => ready!(self.poll_events(cx, &mut decode)),
                Poll::Ready(Err(error)) => Err(error),
            };
            match outcome {
                Ok(Some(batch)) => {
                    self.resumption.iter_mut().for_each(Resumption::progressed);
                    return Poll::Ready(Ok(Some(batch)));
                }
                Ok(None) => {
                    self.lease = None;
                    return Poll::Ready(Ok(None));
                }
                Err(error) => {
                    self.lease.take().into_iter().for_each(|mut lease| lease.failed(&error));
                    if !self.goes_on_after(&error) {
                        self.state = State::Failed;
                        return Poll::Ready(Err(error.with_resume_token(self.token.clone())));
                    }
                }
            }
        }
    }

    /// Whether the stream will go on behind what has been given out.
    fn goes_on_after(&mut self, error: &Error) -> bool {
        let (Some(resumption), Some(token)) = (&mut self.resumption, &self.token) else { return false };
        resumption.begin(error, token, &self.deadline)
    }

    /// Ready once there is a piece to read.
    fn poll_resumption(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.resumption.as_mut().and_then(|resumption| resumption.poll(cx)) {
            None => Poll::Ready(Ok(())),
            Some(piece) => Poll::Ready(self.go_on(ready!(piece)?)),
        }
    }

    /// Takes the next piece, which must be of the same columns.
    fn go_on(&mut self, piece: Piece) -> Result<(), Error> {
        let Piece { messages, lease, header, arrow_schema, .. } = piece;
        if header.columns != self.header.columns || arrow_schema != self.arrow_schema {
            return Err(Error::protocol("a stream goes on with other columns than it began with"));
        }
        self.endpoint = lease.endpoint().clone();
        (self.messages, self.lease, self.state) = (messages, Some(lease), State::Rows);
        self.header = Header { columns: self.header.columns.clone(), ..header };
        self.before = self.before.and(&self.piece);
        self.piece = self.before.next_piece();
        Ok(())
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
            let Poll::Ready(message) = self.messages.poll(cx) else {
                return match &mut self.timer {
                    Some(timer) => timer.as_mut().poll(cx).map(|()| Err(self.deadline.exceeded())),
                    None => Poll::Pending,
                };
            };
            match message {
                None => return Poll::Ready(self.finish().map(|()| None)),
                Some(Err(status)) => return Poll::Ready(Err(self.deadline.error(status, &self.endpoint))),
                Some(Ok(message)) => match self.accept(message, &mut decode) {
                    Ok(None) => {}
                    outcome => return Poll::Ready(outcome),
                },
            }
        }
    }

    /// Takes one event: a batch is passed on, a summary is checked and kept.
    fn accept<T>(
        &mut self,
        message: StreamQueryResponse,
        decode: impl FnOnce(&Header, &Batch, u64) -> Result<(T, usize), Error>,
    ) -> Result<Option<T>, Error> {
        let StreamQueryResponse { event, resume_token } = message;
        match (&self.state, event) {
            (State::Rows, Some(Event::Batch(batch))) => {
                let decoded = self.accept_batch(&batch, decode)?;
                self.token = ResumeToken::given(resume_token);
                Ok(Some(decoded))
            }
            (State::Rows, Some(Event::Summary(summary))) => {
                self.piece.check(&summary)?;
                self.state = State::Summary(self.before.and(&self.piece).whole(Summary::try_from(summary)?));
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
        let first_row = u64::try_from(batch.first_row).map_err(|_| Error::protocol("a batch begins before row 0"))?;
        if !std::mem::replace(&mut self.knows_first_row, true) {
            (self.before.first_row, self.piece.first_row) = (first_row, first_row);
        }
        let (decoded, rows) = decode(&self.header, batch, first_row)?;
        self.piece.add(batch.data.bytes(), rows, batch.row_count, batch.first_row)?;
        Ok(decoded)
    }

    /// Takes the end of the stream, whose status was OK.
    fn finish(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Summary(summary) => self.state = State::Complete(summary),
            _ => return Err(Error::Truncated { rows: self.rows(), resume_token: None }),
        }
        Ok(())
    }
}
