//! Everything that can go wrong in a call, in our own terms.
//!
//! `service::status` turns these into gRPC statuses; nothing else does. What came from PostgreSQL is
//! sorted by SQLSTATE class in [`Error::from_database`].

use std::{fmt, time::Duration};

use rowstream_contract::reason::{Reason, session_end};
use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgSeverity};

use crate::{
    plan::named::BadFile,
    stop::{Cause, Stopped},
};

/// Why a read session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    NotRenewed,
    Aged,
    Deleted,
}

impl SessionEnd {
    /// For programs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotRenewed => session_end::NOT_RENEWED,
            Self::Aged => session_end::AGED,
            Self::Deleted => session_end::DELETED,
        }
    }
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRenewed => "was not renewed in time",
            Self::Aged => "has reached the server's --max-snapshot-age",
            Self::Deleted => "was deleted",
        })
    }
}

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{field}: {message}")]
    InvalidRequest { field: &'static str, message: String },
    /// As `InvalidRequest`, somewhere inside a table read.
    #[error("{field}: {message}")]
    InvalidField { field: String, message: String },
    /// As `InvalidParameter`, somewhere inside a filter.
    #[error("{field}: {message}")]
    InvalidValue { field: String, message: String },
    #[error("parameter {parameter}: {message}")]
    InvalidParameter { parameter: String, message: String },
    #[error("{message}")]
    StatementRefused { message: String, sqlstate: String, position: Option<usize> },
    #[error("this server runs named queries only; it was started without --allow-sql")]
    SqlNotAllowed,
    #[error("there is no named query {0:?}; ListQueries tells which there are")]
    UnknownQuery(String),
    #[error("there is no table {0} that is open to reading; ListTables tells which there are")]
    UnknownTable(String),
    #[error("the file of named query {name:?} is broken: {bad}")]
    QueryBroken { name: String, bad: BadFile },
    /// The field it came in.
    #[error("{0}: is no token of this server's, or has been altered")]
    InvalidToken(&'static str),
    #[error("{0} belongs to another caller")]
    OtherCaller(&'static str),
    #[error("the read session {0}")]
    SessionExpired(SessionEnd),
    /// Why the snapshot is gone.
    #[error("the snapshot of the read session is gone: {0}")]
    SnapshotLost(&'static str),
    #[error("{limit} read sessions are open already, which is the server's --max-read-sessions")]
    TooManySessions { limit: usize },
    #[error("a call with query_id {0:?} is running already")]
    QueryIdInUse(String),
    #[error("row {row} has the same resume_key as the row before it; name columns that are unique together")]
    ResumeKeyNotUnique { row: i64 },
    #[error("the statement gave no row")]
    NoRow,
    #[error("{}", .0.message)]
    Sql(SqlError),
    #[error("PostgreSQL cannot be reached or cannot serve now")]
    DatabaseUnavailable { sqlstate: Option<String>, cause: String },
    #[error("the columns of the statement changed while it was being read")]
    SchemaChanged,
    #[error("row {row} is larger than {limit} bytes, the server's --max-row-bytes")]
    RowTooLarge { row: i64, limit: usize },
    #[error("row {row}, column {column:?}: the text is not valid UTF-8")]
    InvalidEncoding { row: i64, column: String },
    #[error("row {row}, column {column:?}: {value} has no place in its Arrow type")]
    Unrepresentable { row: i64, column: String, value: String },
    #[error("{limit} streams are open and {queued} calls are waiting for one already")]
    QueueFull { limit: usize, queued: usize },
    #[error("no stream became free within {}", humantime::format_duration(*.0))]
    QueueTimeout(Duration),
    #[error("no database connection became free within {}", humantime::format_duration(*.0))]
    PoolTimeout(Duration),
    #[error("the server has too many calls under way")]
    Overloaded,
    #[error("the server is shutting down")]
    Draining,
    #[error("{}", .0.cause.message())]
    Stopped(Stopped),
    #[error("internal error")]
    Internal(String),
}

/// An error that PostgreSQL reported about the caller's statement or its data.
#[derive(Clone, Debug)]
pub(crate) struct SqlError {
    pub(crate) kind: SqlErrorKind,
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    /// In the caller's text, in characters from 1.
    pub(crate) position: Option<usize>,
}

/// The classes of SQLSTATE that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlErrorKind {
    /// 22, 42, 54 and what has no rule of its own: the statement or its data.
    Statement,
    /// 42501.
    Privilege,
    /// 25006.
    ReadOnly,
    /// 0A.
    Unsupported,
    /// P0001 and its class: raised by a function.
    Raised,
    /// 40.
    Conflict,
    /// 57014 that is neither ours nor a deadline's.
    AdminCancelled,
}

impl SqlErrorKind {
    const fn reason(self) -> Reason {
        match self {
            Self::Statement => Reason::SqlError,
            Self::Privilege => Reason::InsufficientPrivilege,
            Self::ReadOnly => Reason::ReadOnly,
            Self::Unsupported => Reason::Unsupported,
            Self::Raised => Reason::Raised,
            Self::Conflict => Reason::Conflict,
            Self::AdminCancelled => Reason::AdminCancelled,
        }
    }
}

impl Cause {
    const fn message(self) -> &'static str {
        match self {
            Self::CallerGone => "the caller is gone",
            Self::Deadline => "the deadline passed",
            Self::CancelRequested => "the call was cancelled by CancelQuery",
            Self::Stalled => "no batch was taken within the server's --stall-timeout",
            Self::Draining => "the server is shutting down",
            Self::Failed => "the call failed",
        }
    }

    const fn reason(self) -> Reason {
        match self {
            Self::CallerGone => Reason::CallerGone,
            Self::Deadline => Reason::DeadlineExceeded,
            Self::CancelRequested => Reason::CancelRequested,
            Self::Stalled => Reason::ConsumerStalled,
            Self::Draining => Reason::Draining,
            // Never seen: the error that made the call fail is told instead.
            Self::Failed => Reason::Internal,
        }
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl Error {
    /// Sorts an error of sqlx; `text` is where the caller's text lies in what PostgreSQL parsed.
    pub(crate) fn from_database(error: &sqlx::Error, text: CallerText) -> Self {
        let Some(report) = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>()) else {
            return Self::DatabaseUnavailable { sqlstate: None, cause: error.to_string() };
        };
        let sqlstate = report.code().to_owned();
        let kind = match (report.code(), report.code().get(..2).unwrap_or_default()) {
            ("42501", _) => SqlErrorKind::Privilege,
            ("25006", _) => SqlErrorKind::ReadOnly,
            ("57014", _) => SqlErrorKind::AdminCancelled,
            // A file that the statement itself names.
            ("58P01" | "58P02", _) => SqlErrorKind::Statement,
            // Times that PostgreSQL gives a whole transaction end its session.
            ("25P03" | "25P04", _) | (_, "08" | "28" | "3D" | "53" | "57" | "58") => {
                return Self::DatabaseUnavailable { sqlstate: Some(sqlstate), cause: for_the_log(report) };
            }
            (_, "0A") => SqlErrorKind::Unsupported,
            // A lock that was not to be had in time (lock_timeout) may be had the next time.
            ("55P03", _) | (_, "40") => SqlErrorKind::Conflict,
            (_, "P0") => SqlErrorKind::Raised,
            (_, "XX" | "F0" | "0B" | "26" | "34") => {
                return Self::Internal(for_the_log(report));
            }
            _ => SqlErrorKind::Statement,
        };
        let position = match report.position() {
            Some(PgErrorPosition::Original(position)) => text.locate(position),
            _ => None,
        };
        Self::Sql(SqlError { kind, sqlstate, message: report.message().to_owned(), position })
    }

    /// The machine-readable reason.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::InvalidRequest { .. } | Self::InvalidField { .. } => Reason::InvalidRequest,
            Self::InvalidParameter { .. } | Self::InvalidValue { .. } => Reason::InvalidParameter,
            Self::StatementRefused { .. } => Reason::StatementRefused,
            Self::SqlNotAllowed => Reason::SqlNotAllowed,
            Self::UnknownQuery(_) => Reason::UnknownQuery,
            Self::UnknownTable(_) => Reason::UnknownTable,
            Self::QueryBroken { .. } => Reason::QueryBroken,
            Self::InvalidToken(_) => Reason::InvalidToken,
            Self::OtherCaller(_) => Reason::OtherCaller,
            Self::SessionExpired(_) => Reason::SessionExpired,
            Self::SnapshotLost(_) => Reason::SnapshotLost,
            Self::TooManySessions { .. } => Reason::TooManySessions,
            Self::QueryIdInUse(_) => Reason::QueryIdInUse,
            Self::ResumeKeyNotUnique { .. } => Reason::ResumeKeyNotUnique,
            Self::NoRow => Reason::NoRow,
            Self::Sql(sql) => sql.kind.reason(),
            Self::DatabaseUnavailable { .. } => Reason::DatabaseUnavailable,
            Self::SchemaChanged => Reason::SchemaChanged,
            Self::RowTooLarge { .. } => Reason::RowTooLarge,
            Self::Unrepresentable { .. } => Reason::UnrepresentableValue,
            Self::InvalidEncoding { .. } => Reason::InvalidEncoding,
            Self::QueueFull { .. } => Reason::QueueFull,
            Self::QueueTimeout(_) => Reason::QueueTimeout,
            Self::PoolTimeout(_) => Reason::PoolTimeout,
            Self::Overloaded => Reason::Overloaded,
            Self::Draining => Reason::Draining,
            Self::Stopped(stopped) => stopped.cause.reason(),
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// The reason's name.
    pub(crate) fn reason_name(&self) -> &'static str {
        self.reason().as_str()
    }

    /// What the caller is not told but the log is.
    pub(crate) fn cause(&self) -> Option<&str> {
        match self {
            Self::DatabaseUnavailable { cause, .. } | Self::Internal(cause) => Some(cause),
            _ => None,
        }
    }

    /// Whether PostgreSQL itself could not be used, so that the health check should look at once.
    pub(crate) fn is_database_unavailable(&self) -> bool {
        matches!(self, Self::DatabaseUnavailable { .. })
    }
}

/// What may be logged of PostgreSQL's report. The message of a mere ERROR may quote a value, whatever
/// its class: a function raises what it likes. What ends the session (FATAL) is about the session.
fn for_the_log(report: &PgDatabaseError) -> String {
    match report.severity() {
        PgSeverity::Fatal | PgSeverity::Panic => format!("SQLSTATE {}: {}", report.code(), report.message()),
        _ => format!("SQLSTATE {}; PostgreSQL's own log tells more", report.code()),
    }
}

/// Where the caller's SQL text lies inside a statement of ours, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallerText {
    pub(crate) before: usize,
    pub(crate) length: usize,
}

impl CallerText {
    /// No text of the caller's in it: no position makes sense to them.
    pub(crate) const NONE: Self = Self { before: 0, length: 0 };

    /// A position in the statement as one in the caller's text. What PostgreSQL misses after that text, it
    /// misses at its end.
    fn locate(self, position: usize) -> Option<usize> {
        let own = position.checked_sub(self.before)?;
        (self.length > 0 && own > 0).then(|| own.min(self.length + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_told_only_inside_the_callers_text() {
        let text = CallerText { before: 10, length: 5 };
        assert_eq!(text.locate(11), Some(1));
        assert_eq!(text.locate(16), Some(6));
        assert_eq!(text.locate(17), Some(6));
        assert_eq!(text.locate(10), None);
        assert_eq!(CallerText::NONE.locate(1), None);
    }
}
