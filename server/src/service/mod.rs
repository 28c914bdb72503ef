//! The gRPC edge: requests in, statuses out. What a call does is `stream`.

mod query;
pub(crate) mod status;
mod table;

pub(crate) use query::{CallPolicy, Queryable};
