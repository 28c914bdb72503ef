//! Rows out of a batch's bytes, without a copy of a value.
//!
//! - `scan` walks over a batch once: it proves the structure and notes where each value is;
//! - [`RowBatch`], [`Row`] and [`RowRef`] (`batch`) find a value by two indices;
//! - [`ValueRef`] (`value`) is one value, read where it lies; its UTF-8 is checked then;
//! - [`FromValue`] (`convert`) and `deserialize` make Rust values of it.

mod batch;
mod column;
mod convert;
mod deserialize;
mod error;
mod scan;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use batch::Rows;
pub use batch::{Row, RowBatch, RowRef};
pub use column::{Column, ColumnIndex, Columns};
pub use convert::FromValue;
pub use error::{DecodeError, InvalidUtf8, ValueError};
pub use scan::Malformed;
pub(crate) use value::RawValue;
pub use value::{ListIter, ListRef, ValueRef};
