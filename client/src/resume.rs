//! Streams that go on by themselves where they were cut.
//!
//! What a stream is made of is a [`Piece`]: one attempt after its header. When a piece fails in a way that another one
//! may heal, and the server has given a token, [`Resumption`] waits and opens the next. That pieces fit together is
//! seen to by `events`. Which failures are retried, and when, is `retry`'s to say.

use std::{
    fmt,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use rowstream_contract::v1::{self, StreamQueryResponse, stream_query_response::Event};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status};

use crate::{
    Encoding, Error, Header, Reason,
    channel::Lease,
    deadline::Deadline,
    retry::{Budget, RetryPolicy},
};

/// How often a stream is resumed in a row without a batch in between.
const MAX_RETRIES: u32 = 8;
/// Interruptions that a stream may have at once; each batch gives back a tenth of one.
const TOKENS: u32 = 100;

/// A row boundary in a result: what a later call takes to go on behind it ([`Call::resume_from`](crate::Call::resume_from)).
///
/// Opaque, and signed by the server. It belongs to the call that it comes from: a call that goes on must ask for the
/// same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResumeToken(Arc<[u8]>);

impl ResumeToken {
    /// `None` if the server gave none.
    pub(crate) fn given(token: impl AsRef<[u8]>) -> Option<Self> {
        Some(Self(token.as_ref().into())).filter(|token| !token.0.is_empty())
    }

    /// The bytes, for keeping them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for ResumeToken {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for ResumeToken {
    /// Leaves out the bytes: values of a key are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeToken({} bytes)", self.0.len())
    }
}

/// What a stream's resume tokens promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResumeGuarantee {
    /// There are none.
    #[default]
    None,
    /// The stream goes on behind the last key, at the state that the database then has: no row twice, and rows that have
    /// changed meanwhile as they then are.
    KeysetLive,
    /// The stream goes on in the same snapshot: the pieces together are the rows of one moment.
    ExactSnapshot,
}

impl ResumeGuarantee {
    /// A guarantee that this client does not know is none.
    pub(crate) fn from_wire(wire: i32) -> Self {
        match v1::ResumeGuarantee::try_from(wire) {
            Ok(v1::ResumeGuarantee::KeysetLive) => Self::KeysetLive,
            Ok(v1::ResumeGuarantee::ExactSnapshot) => Self::ExactSnapshot,
            Ok(v1::ResumeGuarantee::Unspecified | v1::ResumeGuarantee::None) | Err(_) => Self::None,
        }
    }
}

/// The messages of one attempt, of whichever method.
pub(crate) struct Messages(Mutex<BoxStream<'static, Result<StreamQueryResponse, Status>>>);

impl Messages {
    pub(crate) fn new(messages: impl Stream<Item = Result<StreamQueryResponse, Status>> + Send + 'static) -> Self {
        Self(Mutex::new(Box::pin(messages)))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamQueryResponse, Status>>> {
        own(&mut self.0).as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Messages")
    }
}

/// What is in a mutex that only makes it `Sync`: nobody ever locks it.
fn own<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A part of a stream: one attempt after its header.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) messages: Messages,
    pub(crate) lease: Lease,
    pub(crate) header: Header,
    /// The schema's message, of a stream in Arrow.
    pub(crate) arrow_schema: Bytes,
    /// The boundary that it begins at.
    pub(crate) token: Option<ResumeToken>,
}

impl Piece {
    /// Waits for the header, which must be of the encoding that was asked for.
    pub(crate) async fn open(
        messages: Messages,
        encoding: Encoding,
        deadline: &Deadline,
        mut lease: Lease,
    ) -> Result<Self, Error> {
        match Self::read_header(messages, encoding, deadline, &lease).await {
            Ok((messages, header, arrow_schema, token)) => {
                lease.first_message();
                Ok(Self { messages, lease, header, arrow_schema, token })
            }
            Err(error) => {
                lease.failed(&error);
                Err(error)
            }
        }
    }

    async fn read_header(
        mut messages: Messages,
        encoding: Encoding,
        deadline: &Deadline,
        lease: &Lease,
    ) -> Result<(Messages, Header, Bytes, Option<ResumeToken>), Error> {
        let next = async { own(&mut messages.0).next().await.transpose() };
        let Some(first) = deadline.run(lease.endpoint(), next).await? else {
            return Err(Error::Truncated { rows: 0, resume_token: None });
        };
        let Some(Event::Header(mut header)) = first.event else {
            return Err(Error::protocol("the stream does not begin with a header"));
        };
        let arrow_schema = std::mem::take(&mut header.arrow_schema);
        let header = Header::try_from(header)?;
        match (encoding, header.encoding) {
            (Encoding::Arrow, Encoding::Rows) => {
                Err(Error::protocol("Arrow was asked for, and rows come: does the server know Arrow?"))
            }
            (Encoding::Rows, Encoding::Arrow) => Err(Error::protocol("rows were asked for, and Arrow comes")),
            _ => Ok((messages, header, arrow_schema, ResumeToken::given(first.resume_token))),
        }
    }
}

/// Opens the piece behind a boundary.
pub(crate) type Reopen = Box<dyn Fn(ResumeToken) -> BoxFuture<'static, Result<Piece, Error>> + Send + Sync>;

/// The policy that a call is resumed by if it does not say.
pub(crate) fn default_policy() -> RetryPolicy {
    RetryPolicy::default().codes([Code::Unavailable, Code::Aborted]).max_retries(MAX_RETRIES).budget(TOKENS, 0.1)
}

/// How a stream goes on, and how often it has.
pub(crate) struct Resumption {
    policy: RetryPolicy,
    budget: Budget,
    rng: fastrand::Rng,
    reopen: Reopen,
    /// Since the last batch.
    failures: u32,
    pub(crate) resumed: u32,
    opening: Option<Mutex<BoxFuture<'static, Result<Piece, Error>>>>,
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumption").field("resumed", &self.resumed).finish_non_exhaustive()
    }
}

impl Resumption {
    pub(crate) fn new(policy: RetryPolicy, reopen: Reopen) -> Self {
        let (budget, rng) = (Budget::new(&policy, 1), fastrand::Rng::new());
        Self { policy, budget, rng, reopen, failures: 0, resumed: 0, opening: None }
    }

    /// A batch has come.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
        self.budget.success();
    }

    /// Begins to open the next piece, if the failure, the policy and the time that is left allow it.
    pub(crate) fn begin(&mut self, error: &Error, token: &ResumeToken, deadline: &Deadline) -> bool {
        let Some(wait) = self.wait(error).filter(|wait| deadline.leaves(*wait)) else { return false };
        if !self.budget.failure() {
            return false;
        }
        let opening = (self.reopen)(token.clone());
        let after = async move {
            tokio::time::sleep(wait).await;
            opening.await
        };
        self.opening = Some(Mutex::new(Box::pin(after)));
        true
    }

    fn wait(&mut self, error: &Error) -> Option<Duration> {
        self.failures += 1;
        match error {
            // Without its end, or its end not yet known to the server: as good as a lost connection.
            Error::Truncated { .. } => self.policy.delay(error, self.failures, &mut self.rng),
            Error::Status(status) => match status.reason() {
                // Neither comes back.
                Some(Reason::SchemaChanged | Reason::SnapshotLost) => None,
                Some(Reason::QueryIdInUse) => self.policy.delay(error, self.failures, &mut self.rng),
                _ => self.policy.wait(error, self.failures, &mut self.rng),
            },
            _ => self.policy.wait(error, self.failures, &mut self.rng),
        }
    }

    /// The next piece, if one is being opened.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<Piece, Error>>> {
        let polled = own(self.opening.as_mut()?).as_mut().poll(cx);
        if let Poll::Ready(outcome) = &polled {
            self.opening = None;
            self.resumed += u32::from(outcome.is_ok());
        }
        Some(polled)
    }
}

#[cfg(test)]
mod tests {
    use rowstream_contract::reason::DOMAIN;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn aborted(reason: Reason) -> Error {
        let details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, [] as [(String, String); 0]);
        Error::from_status(Status::with_error_details(Code::Aborted, "no", details), "http://h", None)
    }

    #[test]
    fn what_does_not_come_back_is_not_waited_for() {
        let reopen: Reopen = Box::new(|_| Box::pin(async { Err(Error::protocol("not opened here")) }));
        let mut resumption = Resumption::new(default_policy(), reopen);
        for (reason, waits) in [
            (Reason::ConsumerStalled, true),
            (Reason::Conflict, true),
            (Reason::SchemaChanged, false),
            (Reason::SnapshotLost, false),
        ] {
            assert_eq!(resumption.wait(&aborted(reason)).is_some(), waits, "{reason:?}");
            resumption.progressed();
        }
    }
}
