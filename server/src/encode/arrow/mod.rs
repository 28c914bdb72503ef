//! From PostgreSQL's binary values to Arrow record batches, as messages of Arrow's IPC format.
//!
//! - [`types`]: which Arrow type a column becomes;
//! - [`column`]: values into the buffers of one column; [`record`]: a composite's into those of its fields;
//! - [`decimal`]: `numeric` to decimals;
//! - [`batch`]: rows into record batches, and those into messages.
//!
//! When a batch closes is not decided here (`encode::batch`). The table of types is `docs/arrow.md`.

pub(crate) mod batch;
mod column;
mod decimal;
mod record;
pub(crate) mod types;

use super::Malformed;

/// Why a value has no place in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is not of the form PostgreSQL documents.
    Malformed(Malformed),
    /// The Arrow type of its column cannot hold it.
    Unrepresentable(What),
    /// It has more digits, or other fields, than the column had when it was described.
    Stale,
}

/// What Arrow has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Nan,
    InfiniteNumber,
    InfiniteDate,
    DistantDate,
    Midnight,
    InfiniteTimestamp,
    DistantTimestamp,
    InfiniteInterval,
    LongInterval,
    Shape,
    TooManyElements,
    TooManyBytes,
}

impl What {
    /// For an error's message, about one value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Nan => "which is not a number",
            Self::InfiniteNumber => "an infinite number",
            Self::InfiniteDate => "an infinite date",
            Self::DistantDate => "a date beyond those of Arrow",
            Self::Midnight => "the end of a day",
            Self::InfiniteTimestamp => "an infinite timestamp",
            Self::DistantTimestamp => "a timestamp beyond those of Arrow",
            Self::InfiniteInterval => "an infinite interval",
            Self::LongInterval => "an interval beyond those of Arrow",
            Self::Shape => "an array of several dimensions, or whose lower bound is not 1",
            Self::TooManyElements => "2^31 elements in a batch",
            Self::TooManyBytes => "2 GiB of text or bytes in a batch",
        }
    }
}

impl From<Malformed> for Unfit {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}
