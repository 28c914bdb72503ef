//! The same client for code that is not asynchronous.
//!
//! ```no_run
//! # fn example() -> Result<(), rowstream_client::Error> {
//! use std::time::Duration;
//!
//! let client = rowstream_client::blocking::Client::builder(["http://127.0.0.1:50051"]).build()?;
//! let call = client.query("orders_of_customer").bind_named("customer", 42).deadline(Duration::from_secs(30));
//! for row in call.stream()? {
//!     let row = row?;
//!     let (id, total): (i64, String) = (row.get("id")?, row.get("total")?);
//!     println!("{id} {total}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every method has the name and the meaning of the asynchronous one; a method that waits there blocks
//! here. Deadlines are kept, and dropping a [`RowStream`] before its end cancels the call, in PostgreSQL
//! too. A client and its clones share one background thread, which the operating system's events and
//! timers come to; each call runs on the thread that made it, from as many threads as you like.
//!
//! # In asynchronous code
//!
//! Blocking would stop the tasks of that thread, so every method that waits panics there, with tokio's
//! message "Cannot start a runtime from within a runtime". Use the asynchronous [`crate::Client`], or
//! `tokio::task::spawn_blocking`, in which this client may be used. It may be dropped anywhere.
//!
//! What lives here is the waiting alone: what is sent and what is checked is in the asynchronous types,
//! which the types here wrap.

#[cfg(feature = "arrow")]
mod arrow;
mod arrow_ipc;
mod builder;
mod call;
mod client;
mod fanout;
mod runtime;
mod session;
mod stream;
mod table;

#[cfg(feature = "arrow")]
pub use arrow::RecordBatchStream;
pub use arrow_ipc::ArrowIpcStream;
pub use builder::ClientBuilder;
pub use call::Call;
pub use client::Client;
pub use fanout::{Fanout, Outcomes};
pub use session::{ReadPartition, ReadSession, ReadSessionBuilder, Renewal};
pub use stream::{Batches, RowStream};
pub use table::TableRead;

#[cfg(test)]
mod tests;
