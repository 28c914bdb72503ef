//! Client library of rowstream: PostgreSQL result sets of any size as streams of rows.
//!
//! ```no_run
//! # async fn example() -> Result<(), rowstream_client::Error> {
//! use std::time::Duration;
//! use futures_util::TryStreamExt;
//!
//! let client = rowstream_client::Client::builder(["http://127.0.0.1:50051"]).build()?;
//! let mut rows = client
//!     .query("orders_of_customer")
//!     .bind_named("customer", 42)
//!     .deadline(Duration::from_secs(30))
//!     .stream()
//!     .await?;
//! while let Some(row) = rows.try_next().await? {
//!     let (id, total): (i64, String) = (row.get("id")?, row.get("total")?);
//!     println!("{id} {total}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Code that is not asynchronous uses the same client as [`blocking::Client`].
//!
//! The way of a call through this crate: [`Call`] says what to run and by when, [`Client`] picks a server
//! and a connection (`channel`), [`RowStream`] checks what arrives (`integrity`), [`decode`] reads values
//! out of the bytes, and a [`sink`] prints them. [`Error`] is the one error type of all of them. Many calls
//! at once go through [`fanout`], which limits them, and makes failed attempts again.
//!
//! Outside of a fan-out a call that failed is reported once, with what the server said about trying again
//! ([`ServerError::retry_delay`]). A stream that has an order to go by goes on by itself where it was cut
//! ([`Call::resume_key`]).
//!
//! Tests of code that uses this crate need no PostgreSQL: the feature `testing` adds a server of scripted answers,
//! module `testing`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "arrow")]
pub mod arrow;
mod arrow_ipc;
mod attempt;
pub mod blocking;
mod builder;
mod call;
mod channel;
mod client;
mod deadline;
pub mod decode;
mod description;
mod error;
mod events;
pub mod fanout;
mod filter;
mod health;
mod hedge;
mod integrity;
mod limiter;
mod options;
mod partition;
mod resume;
mod retry;
mod scope;
mod session;
pub mod sink;
mod stream;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod value;

#[cfg(feature = "arrow")]
pub use arrow::RecordBatchStream;
pub use arrow_ipc::ArrowIpcStream;
pub use builder::ClientBuilder;
pub use call::Call;
pub use client::Client;
pub use decode::{
    Column, ColumnIndex, Columns, DecodeError, FromValue, ListRef, Row, RowBatch, RowRef, ValueError, ValueRef,
};
pub use description::{Description, Header, NamedQuery, Parameter, PlanEstimate, Summary};
pub use error::{Error, ServerError};
pub use filter::{ColumnRef, Filter, FilterJsonError, col};
pub use health::Health;
#[cfg(feature = "compression")]
pub use options::Compression;
pub use options::{ArrowCompression, ArrowOptions, Encoding, Strategy};
pub use partition::{Partition, PartitionStrategy, PartitionToken};
pub use resume::{ResumeGuarantee, ResumeToken};
pub use retry::RetryPolicy;
pub use rowstream_contract::reason::Reason;
pub use session::{ReadPartition, ReadSession, ReadSessionBuilder, Renewal};
pub use stream::RowStream;
pub use table::{Table, TableKind, TableRead};
pub use tonic::Code;
pub use value::Value;
