//! Every machine-readable reason that `ErrorInfo` carries, in one place.
//!
//! `docs/errors.md` explains each to a reader; a test holds the two together.

/// The domain of every `ErrorInfo` of ours.
pub const DOMAIN: &str = "rowstream";

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a call failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The reason of that name, if this version knows it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// A field of the request is missing or out of bounds. INVALID_ARGUMENT.
    InvalidRequest => "INVALID_REQUEST",
    /// A parameter's value, or a filter's, does not fit its type, or the parameters their number or names are wrong. INVALID_ARGUMENT.
    InvalidParameter => "INVALID_PARAMETER",
    /// A token of a partition, a session or a place in a stream that the server has not made, or that has been altered.
    /// INVALID_ARGUMENT.
    InvalidToken => "INVALID_TOKEN",
    /// Two rows have the same values in all columns of the resume key. INVALID_ARGUMENT.
    ResumeKeyNotUnique => "RESUME_KEY_NOT_UNIQUE",
    /// The text is not exactly one row-returning statement that changes nothing. INVALID_ARGUMENT.
    StatementRefused => "STATEMENT_REFUSED",
    /// PostgreSQL refused the statement or its data: SQLSTATE class 22, 42 or 54. INVALID_ARGUMENT.
    SqlError => "SQL_ERROR",
    /// Ad-hoc SQL on a server that does not allow it. PERMISSION_DENIED.
    SqlNotAllowed => "SQL_NOT_ALLOWED",
    /// A token or a session of another caller's. PERMISSION_DENIED.
    OtherCaller => "OTHER_CALLER",
    /// The database role lacks a privilege: SQLSTATE 42501. PERMISSION_DENIED.
    InsufficientPrivilege => "INSUFFICIENT_PRIVILEGE",
    /// The statement tried to write: SQLSTATE 25006. PERMISSION_DENIED.
    ReadOnly => "READ_ONLY",
    /// No named query of that name. NOT_FOUND.
    UnknownQuery => "UNKNOWN_QUERY",
    /// No table of that name is open to reading. NOT_FOUND.
    UnknownTable => "UNKNOWN_TABLE",
    /// The statement gave no row. NOT_FOUND.
    NoRow => "NO_ROW",
    /// A call with this query id is running already. ALREADY_EXISTS.
    QueryIdInUse => "QUERY_ID_IN_USE",
    /// The named query's file is not of the form, or PostgreSQL refuses it. FAILED_PRECONDITION.
    QueryBroken => "QUERY_BROKEN",
    /// A function of the statement raised an exception: SQLSTATE P0001. FAILED_PRECONDITION.
    Raised => "RAISED",
    /// The read session has ended: it was not renewed in time, reached its greatest age, or was deleted; metadata
    /// `session_end` tells which. FAILED_PRECONDITION.
    SessionExpired => "SESSION_EXPIRED",
    /// The transaction that held a read session's snapshot has ended before the session did. ABORTED; trying again does
    /// not bring it back.
    SnapshotLost => "SNAPSHOT_LOST",
    /// Serialization failure, deadlock, conflict with recovery, or a lock not had in time: SQLSTATE class 40
    /// and 55P03. ABORTED.
    Conflict => "CONFLICT",
    /// The database's administrator cancelled the statement: SQLSTATE 57014. ABORTED.
    AdminCancelled => "ADMIN_CANCELLED",
    /// The columns changed between planning and reading. ABORTED.
    SchemaChanged => "SCHEMA_CHANGED",
    /// The caller did not take a batch within the stall timeout. ABORTED.
    ConsumerStalled => "CONSUMER_STALLED",
    /// The call was cancelled through CancelQuery. CANCELLED.
    CancelRequested => "CANCEL_REQUESTED",
    /// The caller went away. CANCELLED; nobody reads it but the log.
    CallerGone => "CALLER_GONE",
    /// The deadline passed; metadata `phase` tells where. DEADLINE_EXCEEDED.
    DeadlineExceeded => "DEADLINE_EXCEEDED",
    /// The queue of calls that wait for a stream is full. RESOURCE_EXHAUSTED.
    QueueFull => "QUEUE_FULL",
    /// No stream became free within the time a call may wait. RESOURCE_EXHAUSTED.
    QueueTimeout => "QUEUE_TIMEOUT",
    /// No database connection became free within the time a call may wait. RESOURCE_EXHAUSTED.
    PoolTimeout => "POOL_TIMEOUT",
    /// The server has too many calls of every kind under way. RESOURCE_EXHAUSTED.
    Overloaded => "OVERLOADED",
    /// As many read sessions as the server allows are open. RESOURCE_EXHAUSTED.
    TooManySessions => "TOO_MANY_SESSIONS",
    /// A row is larger than the server allows. OUT_OF_RANGE.
    RowTooLarge => "ROW_TOO_LARGE",
    /// A value that the Arrow type of its column cannot hold. OUT_OF_RANGE.
    UnrepresentableValue => "UNREPRESENTABLE_VALUE",
    /// A text value is not valid UTF-8. DATA_LOSS.
    InvalidEncoding => "INVALID_ENCODING",
    /// PostgreSQL does not support what the statement asks for: SQLSTATE class 0A. UNIMPLEMENTED.
    Unsupported => "UNSUPPORTED",
    /// PostgreSQL cannot be reached, is starting, is out of resources, or the connection was lost.
    /// UNAVAILABLE.
    DatabaseUnavailable => "DATABASE_UNAVAILABLE",
    /// The server is shutting down. UNAVAILABLE.
    Draining => "DRAINING",
    /// A bug; the log has the cause under the query id. INTERNAL.
    Internal => "INTERNAL",
}

/// The trailer in which the status of a stream that can be resumed carries its last resume token.
pub const RESUME_TOKEN: &str = "rowstream-resume-token-bin";

/// Keys of `ErrorInfo.metadata`.
pub mod metadata {
    /// The call's id, on every error of a call that had one.
    pub const QUERY_ID: &str = "query_id";
    /// PostgreSQL's five-character error code, where PostgreSQL gave one.
    pub const SQLSTATE: &str = "sqlstate";
    /// Where in the caller's SQL text the error is: characters from 1.
    pub const POSITION: &str = "position";
    /// Where the deadline passed: QUEUE, PLAN, FETCH or SEND.
    pub const PHASE: &str = "phase";
    /// The number of the row concerned, from 0.
    pub const ROW: &str = "row";
    /// The name of the column concerned.
    pub const COLUMN: &str = "column";
    /// How a read session has ended: one of [`session_end`](super::session_end).
    pub const SESSION_END: &str = "session_end";
}

/// How a read session has ended, by itself or not.
pub mod session_end {
    /// Nobody has renewed it in time.
    pub const NOT_RENEWED: &str = "not_renewed";
    /// It has reached the greatest age that the server allows.
    pub const AGED: &str = "aged";
    /// It was deleted.
    pub const DELETED: &str = "deleted";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own_that_leads_back_to_it() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::from_name("NO_SUCH_REASON"), None);
    }
}
