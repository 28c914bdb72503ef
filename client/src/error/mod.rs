//! The one error type of the library, and how tonic's statuses become it.
//!
//! What the server said is in [`ServerError`] (`server.rs`); what to try next is in `hint.rs`.

mod hint;
mod server;

use std::{error::Error as StdError, fmt, time::Duration};

use tonic::{Code, ConnectError, Status, TimeoutExpired};

pub(crate) use self::server::Pushback;
pub use self::server::ServerError;
use crate::{ResumeToken, decode::DecodeError};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call failed.
///
/// `Display` is one line for people, [`Error::hint`] says what to try, [`Error::code`] maps every
/// variant to a gRPC code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An endpoint that cannot be used, found before anything is sent.
    #[error("endpoint {endpoint:?} cannot be used: {problem}")]
    InvalidEndpoint {
        /// The value as given; empty if none was given.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting of the client that cannot be used, found before anything is sent.
    #[error("the {setting} cannot be used: {problem}")]
    InvalidSetting {
        /// What it is.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A blocking client could not start its thread.
    #[error("cannot start the client's thread: {0}")]
    Start(#[source] std::io::Error),
    /// No connection came about. Nothing was sent, so trying again is safe.
    #[error("cannot connect to {endpoint}: {}", root(.source.as_ref()))]
    Connect {
        /// The endpoint's URL.
        endpoint: String,
        /// The failure, down to the operating system's.
        source: BoxError,
        /// Where the call can be gone on with, if it is a stream that can be.
        resume_token: Option<ResumeToken>,
    },
    /// The connection broke, or the other side does not speak HTTP/2, or not as the endpoint says: with TLS or without.
    #[error("the connection to {endpoint} failed: {}", root(.source.as_ref()))]
    Transport {
        /// The endpoint's URL.
        endpoint: String,
        /// The failure, down to HTTP/2's or the operating system's.
        source: BoxError,
        /// Where the call can be gone on with, if it is a stream that can be.
        resume_token: Option<ResumeToken>,
    },
    /// The server ended the call with an error.
    #[error(transparent)]
    Status(Box<ServerError>),
    /// The call's deadline passed on this side. The server cancels the query by its own clock.
    #[error("the deadline of {} passed", humantime::format_duration(*.timeout))]
    DeadlineExceeded {
        /// The time that the call was given.
        timeout: Duration,
        /// Where the call can be gone on with, if it is a stream that can be.
        resume_token: Option<ResumeToken>,
    },
    /// The stream ended without a summary: rows are missing.
    #[error("the stream was cut off after {rows} rows: it ended without a summary")]
    Truncated {
        /// Rows received before it ended.
        rows: u64,
        /// Where the call can be gone on with, if it is a stream that can be.
        resume_token: Option<ResumeToken>,
    },
    /// What arrived is not what the summary says was sent.
    #[error("the result is damaged: the server's summary says {quantity} {sent}, but {received} was received")]
    Checksum {
        /// What differs: "row count", "byte count" or "checksum".
        quantity: &'static str,
        /// The summary's figure.
        sent: u64,
        /// This side's figure.
        received: u64,
    },
    /// The server sent something that the contract does not allow.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// Another attempt at the same call answered first, so this one was given up.
    #[error("another attempt at this call answered first")]
    Superseded,
    /// A value is not of the type that was asked for.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Error {
    /// Turns a status into an error; what the transport itself reports is told apart from what the
    /// server says.
    pub(crate) fn from_status(status: Status, endpoint: &str, timeout: Option<Duration>) -> Self {
        // tonic's own timer watches the response headers, by the grpc-timeout that we set.
        if let (true, Some(timeout)) = (caused_by::<TimeoutExpired>(&status), timeout) {
            return Self::DeadlineExceeded { timeout, resume_token: None };
        }
        let endpoint = endpoint.to_owned();
        if caused_by::<ConnectError>(&status) {
            Self::Connect { endpoint, source: Box::new(status), resume_token: None }
        } else if status.source().is_some() {
            Self::Transport { endpoint, source: Box::new(status), resume_token: None }
        } else {
            Self::Status(Box::new(ServerError::from(status)))
        }
    }

    /// The row boundary up to which a stream was delivered before it failed so: a call that is the same but for its
    /// deadline goes on behind it ([`Call::resume_from`](crate::Call::resume_from)). `None` if the stream cannot be
    /// resumed.
    #[must_use]
    pub fn resume_token(&self) -> Option<&ResumeToken> {
        match self {
            Self::Connect { resume_token, .. }
            | Self::Transport { resume_token, .. }
            | Self::DeadlineExceeded { resume_token, .. }
            | Self::Truncated { resume_token, .. } => resume_token.as_ref(),
            Self::Status(status) => status.resume_token(),
            _ => None,
        }
    }

    /// The same error of a stream that was delivered up to there.
    pub(crate) fn with_resume_token(mut self, token: Option<ResumeToken>) -> Self {
        match &mut self {
            Self::Connect { resume_token, .. }
            | Self::Transport { resume_token, .. }
            | Self::DeadlineExceeded { resume_token, .. }
            | Self::Truncated { resume_token, .. } => *resume_token = token,
            Self::Status(status) => status.set_resume_token(token),
            _ => {}
        }
        self
    }

    pub(crate) fn protocol(message: impl fmt::Display) -> Self {
        Self::Protocol(message.to_string())
    }

    /// The gRPC code: the server's own, or the one that the failure on this side amounts to.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::InvalidEndpoint { .. } | Self::InvalidSetting { .. } => Code::InvalidArgument,
            Self::Connect { .. } | Self::Transport { .. } => Code::Unavailable,
            Self::Status(status) => status.code(),
            Self::DeadlineExceeded { .. } => Code::DeadlineExceeded,
            Self::Truncated { .. } | Self::Checksum { .. } => Code::DataLoss,
            Self::Superseded => Code::Cancelled,
            Self::Start(_) | Self::Protocol(_) | Self::Decode(_) => Code::Internal,
        }
    }

    /// When the server wants to be asked again, if it says so.
    pub(crate) fn pushback(&self) -> Option<Pushback> {
        self.server()?.pushback()
    }

    /// What the server said, if the error comes from it.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// The innermost cause: the outer ones say "transport error" and the like.
pub(crate) fn root(error: &(dyn StdError + Send + Sync + 'static)) -> String {
    let mut innermost: &(dyn StdError + 'static) = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn caused_by<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    find::<T>(error).is_some()
}

/// The first error of that type in the chain of causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Status {
        Status::from_error(Box::new(ConnectError(Box::new(std::io::Error::from(
            std::io::ErrorKind::ConnectionRefused,
        )))))
    }

    #[test]
    fn a_refused_connection_names_the_endpoint_and_says_what_to_try() {
        let error = Error::from_status(refused(), "http://127.0.0.1:1", None);
        assert_eq!(error.to_string(), "cannot connect to http://127.0.0.1:1: connection refused");
        assert_eq!(error.hint().as_deref(), Some("is rowstream-server running at http://127.0.0.1:1?"));
        assert_eq!(error.code(), Code::Unavailable);
    }

    #[test]
    fn tonics_timer_is_our_deadline_and_not_a_cancellation() {
        let status = Status::from_error(Box::new(TimeoutExpired(())));
        let error = Error::from_status(status, "http://h", Some(Duration::from_millis(700)));
        assert!(matches!(error, Error::DeadlineExceeded { .. }));
        assert_eq!(error.to_string(), "the deadline of 700ms passed");
    }

    #[test]
    fn a_status_without_a_cause_comes_from_the_server() {
        let error = Error::from_status(Status::not_found("no such query"), "http://h", None);
        assert_eq!(error.to_string(), "no such query (NOT_FOUND)");
        assert_eq!(error.code(), Code::NotFound);
    }
}
