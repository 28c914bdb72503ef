//! From PostgreSQL's binary values to Arrow record batches, as messages of Arrow's IPC format.
//!
//! - [`types`]: which Arrow type a column becomes;
//! - [`column`]: values into the buffers of one column;
//! - [`decimal`]: `numeric` to decimals;
//! - [`batch`]: rows into record batches, and those into messages.
//!
//! When a batch closes is not decided here (`encode::batch`). The table of types is `docs/arrow.md`.

pub(crate) mod batch;
mod column;
mod decimal;
pub(crate) mod types;

use super::Malformed;

/// Why a value has no place in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is not of the form PostgreSQL documents.
    Malformed(Malformed),
    /// The Arrow type of its column cannot hold it; what it is, for the message.
    Unrepresentable(&'static str),
    /// It has more digits than the column had when it was described.
    Stale,
}

impl From<Malformed> for Unfit {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}
