//! The gRPC edge: requests in, statuses out. What a call does is `stream`.

mod query;
mod read_session;
pub(crate) mod status;
mod table;

pub(crate) use query::{CallPolicy, Queryable};
pub(crate) use read_session::ReadSessions;
