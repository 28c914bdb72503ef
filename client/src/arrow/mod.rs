//! Results as Arrow record batches; behind the feature `arrow`, which is on by default.
//!
//! ```no_run
//! # async fn example(client: rowstream_client::Client) -> Result<(), rowstream_client::Error> {
//! let mut batches = client.table("orders").call().record_batches().await?;
//! println!("{}", batches.schema());
//! while let Some(batch) = batches.next_batch().await? {
//!     println!("{} rows in {} columns", batch.num_rows(), batch.num_columns());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`RecordBatchStream`] (`stream`) yields them;
//! - `decode` reads one out of its message, and trusts nothing in it.
//!
//! # What is copied
//!
//! A record batch keeps the message that it came in, and its arrays are views of it. Arrow wants numbers at addresses
//! that are multiples of their size, and five bytes of gRPC stand before a message: so columns of numbers, and the
//! offsets of text and lists, are copied once, each by itself. Text and bytes are not. (A copy of a message takes 2 to 3 %
//! of the time in which it is read and validated.) A compressed body is decompressed, column by column, into memory of
//! its own.
//!
//! To keep a few rows for long, copy them (`arrow_select::take`, `concat`): a slice keeps the whole message.

mod decode;
mod stream;
#[cfg(all(test, feature = "testing"))]
mod tests;

pub use arrow_array::RecordBatch;
pub use arrow_schema::SchemaRef;

pub(crate) use self::decode::body_offset;
pub use self::{decode::Decoder, stream::RecordBatchStream};
