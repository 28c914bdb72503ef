//! Our errors as gRPC statuses: the only place that knows both. The table is `docs/errors.md`.

use std::{collections::HashMap, time::Duration};

use rowstream_contract::{
    code as grpc,
    reason::{DOMAIN, RESUME_TOKEN, Reason, metadata},
};
use tonic::{
    Code, Status,
    metadata::{BinaryMetadataValue, MetadataValue},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    error::Error,
    stop::{Cause, Stopped},
};

/// How long a caller should wait before it tries again.
const RETRY_SOON: Duration = Duration::from_millis(100);
const RETRY_LATER: Duration = Duration::from_secs(1);

/// The most bytes of a text that goes into a status. Statuses travel as HTTP/2 headers, and one that is
/// larger than the other side takes breaks its whole connection.
const MAX_TEXT: usize = 1024;

/// The status of an error; `query_id` is empty if the call never had one.
pub(crate) fn status(error: &Error, query_id: &str) -> Status {
    let reason = error.reason();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.as_str(), DOMAIN, facts(error, query_id));
    match error {
        Error::InvalidRequest { field, message } => drop(details.add_bad_request_violation(*field, clipped(message))),
        Error::InvalidParameter { parameter, message } => {
            let field = format!("statement.parameters[{}]", clipped(parameter));
            details.add_bad_request_violation(field, clipped(message));
        }
        Error::InvalidToken(field) => {
            details.add_bad_request_violation(*field, "is no token of this server's, or has been altered");
        }
        Error::ResumeKeyNotUnique { .. } => {
            details.add_bad_request_violation("resume_key", "is not unique");
        }
        Error::StatementRefused { message, .. } => {
            details.add_bad_request_violation("statement", clipped(message));
        }
        Error::UnknownQuery(name) => {
            details.set_resource_info("named query", name.as_str(), "", "");
        }
        Error::InvalidField { field, message } | Error::InvalidValue { field, message } => {
            details.add_bad_request_violation(clipped(field), clipped(message));
        }
        Error::UnknownTable(name) => {
            details.set_resource_info("table", clipped(name), "", "");
        }
        Error::NoRow => {
            details.set_resource_info("row", "", "", "");
        }
        _ => {}
    }
    let retry = retry_delay(reason);
    if let Some(delay) = retry {
        details.set_retry_info(Some(delay));
    }
    let mut status = Status::with_error_details(code(reason), clipped(&error.to_string()), details);
    if let (Code::ResourceExhausted, Some(delay)) = (code(reason), retry) {
        let millis = MetadataValue::from(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        status.metadata_mut().insert("grpc-retry-pushback-ms", millis);
    }
    status
}

/// The status of a stream's error, with the token of the last row boundary, if it has one.
pub(crate) fn stream_status(error: &Error, query_id: &str, resume_token: &[u8]) -> Status {
    let mut status = status(error, query_id);
    if !resume_token.is_empty() {
        status.metadata_mut().insert_bin(RESUME_TOKEN, BinaryMetadataValue::from_bytes(resume_token));
    }
    status
}

/// A text cut to what a status may hold.
fn clipped(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(MAX_TEXT)])
}

const fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidRequest
        | Reason::InvalidParameter
        | Reason::InvalidToken
        | Reason::ResumeKeyNotUnique
        | Reason::StatementRefused
        | Reason::SqlError => Code::InvalidArgument,
        Reason::SqlNotAllowed | Reason::InsufficientPrivilege | Reason::ReadOnly | Reason::OtherCaller => {
            Code::PermissionDenied
        }
        Reason::UnknownQuery | Reason::UnknownTable | Reason::NoRow => Code::NotFound,
        Reason::QueryIdInUse => Code::AlreadyExists,
        Reason::QueryBroken | Reason::Raised | Reason::SessionExpired => Code::FailedPrecondition,
        Reason::Conflict
        | Reason::AdminCancelled
        | Reason::SchemaChanged
        | Reason::ConsumerStalled
        | Reason::SnapshotLost => Code::Aborted,
        Reason::CancelRequested | Reason::CallerGone => Code::Cancelled,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::QueueFull
        | Reason::QueueTimeout
        | Reason::PoolTimeout
        | Reason::Overloaded
        | Reason::TooManySessions => Code::ResourceExhausted,
        Reason::RowTooLarge | Reason::UnrepresentableValue => Code::OutOfRange,
        Reason::InvalidEncoding => Code::DataLoss,
        Reason::Unsupported => Code::Unimplemented,
        Reason::DatabaseUnavailable | Reason::Draining => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The code of a reason, by the name that gRPC gives it.
pub(crate) const fn code_name(reason: Reason) -> &'static str {
    grpc::name(code(reason))
}

/// What may be tried again, and when.
const fn retry_delay(reason: Reason) -> Option<Duration> {
    match reason {
        Reason::Conflict | Reason::AdminCancelled | Reason::SchemaChanged | Reason::ConsumerStalled => Some(RETRY_SOON),
        Reason::QueueFull
        | Reason::QueueTimeout
        | Reason::PoolTimeout
        | Reason::Overloaded
        | Reason::TooManySessions
        | Reason::DatabaseUnavailable
        | Reason::Draining => Some(RETRY_LATER),
        _ => None,
    }
}

fn facts(error: &Error, query_id: &str) -> HashMap<String, String> {
    let mut facts = HashMap::new();
    let mut fact = |key: &str, value: String| drop(facts.insert(key.to_owned(), value));
    if !query_id.is_empty() {
        fact(metadata::QUERY_ID, query_id.to_owned());
    }
    match error {
        Error::Sql(sql) => {
            fact(metadata::SQLSTATE, sql.sqlstate.clone());
            sql.position.into_iter().for_each(|position| fact(metadata::POSITION, position.to_string()));
        }
        Error::StatementRefused { sqlstate, position, .. } => {
            fact(metadata::SQLSTATE, sqlstate.clone());
            position.iter().for_each(|position| fact(metadata::POSITION, position.to_string()));
        }
        Error::DatabaseUnavailable { sqlstate: Some(sqlstate), .. } => fact(metadata::SQLSTATE, sqlstate.clone()),
        Error::Stopped(Stopped { cause: Cause::Deadline, phase }) => fact(metadata::PHASE, phase.as_str().to_owned()),
        Error::SessionExpired(end) => fact(metadata::SESSION_END, end.as_str().to_owned()),
        Error::RowTooLarge { row, .. } | Error::ResumeKeyNotUnique { row } => fact(metadata::ROW, row.to_string()),
        Error::InvalidEncoding { row, column } | Error::Unrepresentable { row, column, .. } => {
            fact(metadata::ROW, row.to_string());
            fact(metadata::COLUMN, clipped(column));
        }
        _ => {}
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_fits_the_headers_it_travels_in() {
        let long = "ä".repeat(100_000);
        for error in [
            Error::InvalidParameter { parameter: long.clone(), message: long.clone() },
            Error::StatementRefused { message: long.clone(), sqlstate: "42601".to_owned(), position: None },
            Error::InvalidEncoding { row: 0, column: long.clone() },
        ] {
            let status = status(&error, "id");
            let percent_encoded = status.message().len() * 3;
            let base64 = status.details().len() * 4 / 3;
            assert!(percent_encoded + base64 < 12 * 1024, "{} bytes", percent_encoded + base64);
        }
    }
}
