//! The parts of a session's result: how it is divided, and what each part is called.

use std::fmt;

use bytes::Bytes;
use rowstream_contract::v1;

/// How a result is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PartitionStrategy {
    /// The server chooses.
    #[default]
    Auto,
    /// Everything in one partition.
    Single,
    /// Ranges of the places where rows lie: tables only.
    Ctid,
    /// Ranges of one column's values.
    KeyRange,
    /// A hash of columns, for any statement.
    Hash,
}

impl PartitionStrategy {
    pub(crate) fn into_wire(self) -> v1::PartitionStrategy {
        match self {
            Self::Auto => v1::PartitionStrategy::Unspecified,
            Self::Single => v1::PartitionStrategy::Single,
            Self::Ctid => v1::PartitionStrategy::Ctid,
            Self::KeyRange => v1::PartitionStrategy::KeyRange,
            Self::Hash => v1::PartitionStrategy::Hash,
        }
    }

    /// As it is called in documents and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Single => "single",
            Self::Ctid => "ctid",
            Self::KeyRange => "key-range",
            Self::Hash => "hash",
        }
    }

    pub(crate) fn from_wire(wire: v1::PartitionStrategy) -> Self {
        match wire {
            v1::PartitionStrategy::Unspecified => Self::Auto,
            v1::PartitionStrategy::Single => Self::Single,
            v1::PartitionStrategy::Ctid => Self::Ctid,
            v1::PartitionStrategy::KeyRange => Self::KeyRange,
            v1::PartitionStrategy::Hash => Self::Hash,
        }
    }
}

/// One part of a session's result.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Partition {
    /// What [`Client::read_partition`](crate::Client::read_partition) takes.
    pub token: PartitionToken,
    /// About how many rows it has, if that is known.
    pub estimated_rows: Option<u64>,
    /// About how many bytes they are in the database, if that is known.
    pub estimated_bytes: Option<u64>,
}

impl From<v1::Partition> for Partition {
    fn from(partition: v1::Partition) -> Self {
        Self {
            token: PartitionToken(partition.token.into()),
            estimated_rows: partition.estimated_row_count.try_into().ok(),
            estimated_bytes: partition.estimated_bytes.try_into().ok(),
        }
    }
}

/// Names a partition: opaque, and signed by the server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PartitionToken(Bytes);

impl PartitionToken {
    /// The bytes, for keeping them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for PartitionToken {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for PartitionToken {
    /// Leaves out the bytes: the statement is among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionToken({} bytes)", self.0.len())
    }
}
