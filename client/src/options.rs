//! What a call may ask of how its result is read and sent, and what its header says was done.

use std::fmt;

use rowstream_contract::v1;

/// How the server reads from PostgreSQL. [`Header::strategy`](crate::Header::strategy) tells which one was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// The server chooses, by the statement and the request.
    #[default]
    Auto,
    /// A cursor and one FETCH after another: the stream may pause for any time.
    Cursor,
    /// The statement runs once, as fast as its rows are taken, with a parallel plan if PostgreSQL makes one.
    Portal,
    /// The same as `COPY ... TO STDOUT`: the least work for the server. Only for statements to which no value is bound.
    Copy,
}

impl Strategy {
    pub(crate) fn into_wire(self) -> i32 {
        match self {
            Self::Auto => v1::Strategy::Unspecified,
            Self::Cursor => v1::Strategy::Cursor,
            Self::Portal => v1::Strategy::Portal,
            Self::Copy => v1::Strategy::Copy,
        }
        .into()
    }

    /// The one that was used; `None` if the server does not say, or names one that this client does not know.
    pub(crate) fn used(wire: i32) -> Option<Self> {
        match v1::Strategy::try_from(wire).ok()? {
            v1::Strategy::Unspecified | v1::Strategy::Auto => None,
            v1::Strategy::Cursor => Some(Self::Cursor),
            v1::Strategy::Portal => Some(Self::Portal),
            v1::Strategy::Copy => Some(Self::Copy),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cursor => "cursor",
            Self::Portal => "portal",
            Self::Copy => "copy",
        })
    }
}

/// How rows travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Rows of values, as [`RowStream`](crate::RowStream) reads them.
    #[default]
    Rows,
    /// Arrow record batches.
    Arrow,
}

impl Encoding {
    pub(crate) fn into_wire(self) -> i32 {
        match self {
            Self::Rows => v1::Encoding::Unspecified,
            Self::Arrow => v1::Encoding::Arrow,
        }
        .into()
    }

    /// The one of a stream; a server that does not say sends rows.
    pub(crate) fn from_wire(wire: i32) -> Option<Self> {
        match v1::Encoding::try_from(wire).ok()? {
            v1::Encoding::Unspecified | v1::Encoding::Rows => Some(Self::Rows),
            v1::Encoding::Arrow => Some(Self::Arrow),
        }
    }
}

/// What becomes of values on their way into Arrow. The default: nothing is compressed, and what Arrow cannot hold is an
/// error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct ArrowOptions {
    compression: ArrowCompression,
    unrepresentable_as_null: bool,
    arrays_as_text: bool,
}

impl ArrowOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compresses the bodies of record batches. They stay compressed in what
    /// [`Call::arrow_ipc`](crate::Call::arrow_ipc) yields. Default: none.
    pub fn compression(self, compression: ArrowCompression) -> Self {
        Self { compression, ..self }
    }

    /// Makes NULL of a value that the Arrow type of its column cannot hold (an infinite date, `24:00`, NaN in a decimal
    /// column). Default: it fails with OUT_OF_RANGE, reason UNREPRESENTABLE_VALUE.
    pub fn unrepresentable_as_null(self) -> Self {
        Self { unrepresentable_as_null: true, ..self }
    }

    /// Makes text of arrays, as PostgreSQL prints them. Default: lists.
    pub fn arrays_as_text(self) -> Self {
        Self { arrays_as_text: true, ..self }
    }

    pub(crate) fn into_wire(self) -> v1::ArrowOptions {
        let compression = match self.compression {
            ArrowCompression::None => v1::ArrowCompression::Unspecified,
            ArrowCompression::Lz4 => v1::ArrowCompression::Lz4,
            ArrowCompression::Zstd => v1::ArrowCompression::Zstd,
        };
        v1::ArrowOptions {
            compression: compression.into(),
            unrepresentable_as_null: self.unrepresentable_as_null,
            arrays_as_text: self.arrays_as_text,
        }
    }
}

/// How the bodies of record batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArrowCompression {
    /// Not.
    #[default]
    None,
    /// LZ4 frames: little work.
    Lz4,
    /// Zstandard: smaller, for more work.
    Zstd,
}

/// How gRPC compresses the messages of an answer.
#[cfg(feature = "compression")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// gzip: what every gRPC library knows, at several times the work of zstd.
    Gzip,
    /// Zstandard.
    Zstd,
}

#[cfg(feature = "compression")]
impl Compression {
    /// What the request's metadata `rowstream-compression` says.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    pub(crate) fn encoding(self) -> tonic::codec::CompressionEncoding {
        match self {
            Self::Gzip => tonic::codec::CompressionEncoding::Gzip,
            Self::Zstd => tonic::codec::CompressionEncoding::Zstd,
        }
    }
}
