//! How much of a result is wanted, in what pieces, and how it is to be read and to travel.

use rowstream_contract::v1;

use super::request::invalid;
use crate::{encode::batch::BatchLimits, error::Error};

/// What a stream's request asks for beside the statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadOptions {
    pub(crate) max_rows: Option<i64>,
    pub(crate) limits: BatchLimits,
    pub(crate) encoding: Encoding,
    pub(crate) strategy: Strategy,
}

/// How rows travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Rows,
    Arrow(ArrowOptions),
}

/// How Arrow record batches are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArrowOptions {
    pub(crate) compression: ArrowCompression,
    pub(crate) unrepresentable_as_null: bool,
    pub(crate) arrays_as_text: bool,
}

/// How the bodies of record batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ArrowCompression {
    #[default]
    None,
    Lz4,
    Zstd,
}

/// How the caller wants PostgreSQL to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    Auto,
    Cursor,
    Portal,
    Copy,
}

impl Encoding {
    /// For the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Arrow(_) => "arrow",
        }
    }

    pub(super) fn try_new(request: &v1::StreamQueryRequest) -> Result<Self, Error> {
        let encoding = v1::Encoding::try_from(request.encoding)
            .map_err(|_| invalid("encoding", "is not one of ENCODING_ROWS and ENCODING_ARROW"))?;
        match (encoding, &request.arrow) {
            (v1::Encoding::Arrow, options) => {
                options.map(ArrowOptions::try_new).transpose().map(|options| Self::Arrow(options.unwrap_or_default()))
            }
            (v1::Encoding::Unspecified | v1::Encoding::Rows, None) => Ok(Self::Rows),
            (v1::Encoding::Unspecified | v1::Encoding::Rows, Some(_)) => {
                Err(invalid("arrow", "is for ENCODING_ARROW; leave it unset, or ask for that encoding"))
            }
        }
    }
}

impl ArrowOptions {
    fn try_new(options: v1::ArrowOptions) -> Result<Self, Error> {
        let compression = match v1::ArrowCompression::try_from(options.compression) {
            Ok(v1::ArrowCompression::Unspecified | v1::ArrowCompression::None) => ArrowCompression::None,
            Ok(v1::ArrowCompression::Lz4) => ArrowCompression::Lz4,
            Ok(v1::ArrowCompression::Zstd) => ArrowCompression::Zstd,
            Err(_) => return Err(invalid("arrow.compression", "is not one of NONE, LZ4 and ZSTD")),
        };
        let (unrepresentable_as_null, arrays_as_text) = (options.unrepresentable_as_null, options.arrays_as_text);
        Ok(Self { compression, unrepresentable_as_null, arrays_as_text })
    }
}

impl Strategy {
    pub(super) fn try_new(strategy: i32) -> Result<Self, Error> {
        match v1::Strategy::try_from(strategy) {
            Ok(v1::Strategy::Unspecified | v1::Strategy::Auto) => Ok(Self::Auto),
            Ok(v1::Strategy::Cursor) => Ok(Self::Cursor),
            Ok(v1::Strategy::Portal) => Ok(Self::Portal),
            Ok(v1::Strategy::Copy) => Ok(Self::Copy),
            Err(_) => Err(invalid("strategy", "is not one of AUTO, CURSOR, PORTAL and COPY")),
        }
    }
}
