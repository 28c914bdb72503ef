//! What the server said about a failure: code, message, and the details of `google.rpc.ErrorInfo`
//! and `RetryInfo`.

use std::{collections::BTreeMap, fmt, time::Duration};

use rowstream_contract::{
    code,
    reason::{DOMAIN, RESUME_TOKEN, Reason, metadata},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::ResumeToken;

/// An error that the server (or something between it and us) ended a call with.
#[derive(Clone, Debug)]
pub struct ServerError {
    code: Code,
    message: String,
    reason_name: Option<String>,
    metadata: BTreeMap<String, String>,
    retry_delay: Option<Duration>,
    pushback: Option<Pushback>,
    resume_token: Option<ResumeToken>,
}

/// When the server wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    After(Duration),
    Never,
}

/// gRFC A6: milliseconds; a negative number, or what is none, means that the server wants no retry.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

impl ServerError {
    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The code's name in the gRPC specification: `INVALID_ARGUMENT`.
    #[must_use]
    pub fn code_name(&self) -> &'static str {
        code::name(self.code)
    }

    /// The server's message, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Why, if the error is rowstream-server's and this version knows the reason.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason_name().and_then(Reason::from_name)
    }

    /// The reason's name, also when a newer server sent one that this version does not know.
    #[must_use]
    pub fn reason_name(&self) -> Option<&str> {
        self.reason_name.as_deref()
    }

    /// `ErrorInfo.metadata`; the keys are in [`rowstream_contract::reason::metadata`].
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The call's id.
    #[must_use]
    pub fn query_id(&self) -> Option<&str> {
        self.get(metadata::QUERY_ID)
    }

    /// PostgreSQL's five-character error code.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.get(metadata::SQLSTATE)
    }

    /// Where in the caller's SQL the error is: characters from 1.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.get(metadata::POSITION)?.parse().ok().filter(|position| *position > 0)
    }

    /// Where a deadline passed: QUEUE, PLAN, FETCH or SEND.
    #[must_use]
    pub fn phase(&self) -> Option<&str> {
        self.get(metadata::PHASE)
    }

    /// How a read session has ended: `not_renewed`, `aged` (it reached the server's greatest age) or `deleted`.
    #[must_use]
    pub fn session_end(&self) -> Option<&str> {
        self.get(metadata::SESSION_END)
    }

    /// How long to wait before trying again; `None` if the server does not suggest trying again.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.retry_delay
    }

    /// As [`Error::resume_token`](crate::Error::resume_token).
    #[must_use]
    pub fn resume_token(&self) -> Option<&ResumeToken> {
        self.resume_token.as_ref()
    }

    pub(super) fn set_resume_token(&mut self, token: Option<ResumeToken>) {
        self.resume_token = token;
    }

    pub(crate) fn pushback(&self) -> Option<Pushback> {
        self.pushback.or(self.retry_delay.map(Pushback::After))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.as_str() {
            "" => f.write_str(self.code_name()),
            message => write!(f, "{message} ({})", self.code_name()),
        }
    }
}

impl std::error::Error for ServerError {}

impl From<Status> for ServerError {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        let (reason_name, metadata) = match info {
            Some(info) => (Some(info.reason), info.metadata.into_iter().collect()),
            None => (None, BTreeMap::new()),
        };
        let retry_delay = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
        let pushback = status.metadata().get(PUSHBACK).map(|value| {
            let millis = value.to_str().ok().and_then(|text| text.parse().ok());
            millis.map_or(Pushback::Never, |millis| Pushback::After(Duration::from_millis(millis)))
        });
        let token = status.metadata().get_bin(RESUME_TOKEN).and_then(|token| token.to_bytes().ok());
        let resume_token = token.and_then(ResumeToken::given);
        let message = status.message().to_owned();
        Self { code: status.code(), message, reason_name, metadata, retry_delay, pushback, resume_token }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(domain: &str) -> Status {
        let entries = [("sqlstate", "42P01"), ("position", "15"), ("query_id", "q1")];
        let metadata = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut details = ErrorDetails::with_error_info("SQL_ERROR", domain, metadata);
        details.set_retry_info(Some(Duration::from_millis(250)));
        Status::with_error_details(Code::InvalidArgument, "relation \"x\" does not exist", details)
    }

    #[test]
    fn details_of_our_domain_are_read() {
        let error = ServerError::from(status(DOMAIN));
        assert_eq!(error.reason(), Some(Reason::SqlError));
        assert_eq!((error.sqlstate(), error.position(), error.query_id()), (Some("42P01"), Some(15), Some("q1")));
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(250)));
        assert_eq!(error.to_string(), "relation \"x\" does not exist (INVALID_ARGUMENT)");
    }

    #[test]
    fn details_of_another_domain_are_not_taken_for_ours() {
        let error = ServerError::from(status("example.com"));
        assert_eq!((error.reason(), error.sqlstate()), (None, None));
    }
}
