//! A call from admission to its last event.
//!
//! [`engine`] holds what all calls share and starts each in a task of its own, which is never
//! dropped: whatever ends a call early goes through its `Stop`. [`read`] is the work of that task;
//! [`pipeline`] carries rows from the cursor through the encoder into the [`outbox`], whose other end
//! the caller reads; [`bookmark`] keeps the place for a stream that is cut. [`calls`] knows every call by its id, [`plans`] every statement seen before.

pub(crate) mod about;
mod bookmark;
pub(crate) mod calls;
pub(crate) mod divide;
pub(crate) mod engine;
pub(crate) mod outbox;
pub(crate) mod partitions;
pub(crate) mod pipeline;
pub(crate) mod plans;
pub(crate) mod read;
pub(crate) mod sessions;
pub(crate) mod tables;
mod ways;
