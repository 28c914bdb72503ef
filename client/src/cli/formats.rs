//! The formats of `rowstream query`, and the choices that belong to reading and encoding, as they are typed.

use std::path::Path;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use rowstream_client::{
    ArrowOptions, Compression,
    sink::{DEFAULT_ROW_GROUP_BYTES, FileCompression},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Aligned, for people
    Table,
    /// As PostgreSQL's COPY ... (FORMAT csv, HEADER): NULL is empty, an empty string is ""
    Csv,
    /// One JSON object a line; a repeated column name gets the suffix _2, _3, ...
    Jsonl,
    /// Arrow's IPC format: the file format in a file, the streaming format in a pipe or a file named *.arrows
    Arrow,
    /// Parquet, compressed by zstd
    Parquet,
}

impl Format {
    /// What a file's name says.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "arrow" | "arrows" | "feather" => Some(Self::Arrow),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// Whether it holds columns of values, and not text.
    pub(crate) fn is_columnar(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }

    /// As it is typed.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// As the server sees fit
    Auto,
    /// By a cursor, which may pause for any time
    Cursor,
    /// In one go, with a parallel plan if PostgreSQL makes one
    Portal,
    /// The same by COPY, with the least work for the server; only without parameters
    Copy,
}

impl From<Strategy> for rowstream_client::Strategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Auto => Self::Auto,
            Strategy::Cursor => Self::Cursor,
            Strategy::Portal => Self::Portal,
            Strategy::Copy => Self::Copy,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrpcCompression {
    None,
    Gzip,
    Zstd,
}

impl GrpcCompression {
    pub(crate) fn compression(self) -> Option<Compression> {
        match self {
            Self::None => None,
            Self::Gzip => Some(Compression::Gzip),
            Self::Zstd => Some(Compression::Zstd),
        }
    }
}

/// How files of text are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TextCompression {
    #[default]
    None,
    Gzip,
    Zstd,
}

impl TextCompression {
    /// What a compressed file's name has at its end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

impl From<TextCompression> for FileCompression {
    fn from(compression: TextCompression) -> Self {
        match compression {
            TextCompression::None => Self::None,
            TextCompression::Gzip => Self::Gzip,
            TextCompression::Zstd => Self::Zstd,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ArrowCompression {
    None,
    Lz4,
    Zstd,
}

impl From<ArrowCompression> for rowstream_client::ArrowCompression {
    fn from(compression: ArrowCompression) -> Self {
        match compression {
            ArrowCompression::None => Self::None,
            ArrowCompression::Lz4 => Self::Lz4,
            ArrowCompression::Zstd => Self::Zstd,
        }
    }
}

/// What has a meaning in Arrow only.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Options for --format arrow and parquet")]
pub(crate) struct Columnar {
    /// Compress record batches, as the server sends them and as they are in the file [default: none]
    #[arg(long, value_name = "CODEC")]
    arrow_compression: Option<ArrowCompression>,
    /// Make NULL of values that Arrow cannot hold, such as infinite dates; without it they are an error
    #[arg(long)]
    null_unrepresentable: bool,
    /// Make text of arrays, as PostgreSQL prints them, instead of lists
    #[arg(long)]
    arrays_as_text: bool,
    /// The size of a Parquet file's row groups, such as 16MiB; memory grows with it [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) row_group_bytes: Option<usize>,
}

fn size(text: &str) -> Result<usize, String> {
    let size = at_least_a_mebibyte(text, DEFAULT_ROW_GROUP_BYTES as u64)?;
    usize::try_from(size).map_err(|_| "it is more than this machine can address".to_owned())
}

/// Reads a size such as 16MiB, which must not be so small that it makes no sense.
pub(crate) fn at_least_a_mebibyte(text: &str, usual: u64) -> Result<u64, String> {
    match text.parse::<ByteSize>()?.as_u64() {
        bytes if bytes >= 1 << 20 => Ok(bytes),
        _ => Err(format!("it must be 1MiB or more; {} is usual", ByteSize::b(usual))),
    }
}

impl Columnar {
    /// Refuses what would do nothing in such a format.
    pub(crate) fn check(&self, format: Format) -> Result<(), String> {
        for (flag, given, holds) in [
            // Parquet has a compression of its own.
            ("--arrow-compression", self.arrow_compression.is_some(), format == Format::Arrow),
            ("--null-unrepresentable", self.null_unrepresentable, format.is_columnar()),
            ("--arrays-as-text", self.arrays_as_text, format.is_columnar()),
            ("--row-group-bytes", self.row_group_bytes.is_some(), format == Format::Parquet),
        ] {
            if given && !holds {
                return Err(format!("{flag} has no meaning for --format {}", format.name()));
            }
        }
        Ok(())
    }

    pub(crate) fn options(&self) -> ArrowOptions {
        let mut options = ArrowOptions::new();
        if let Some(compression) = self.arrow_compression {
            options = options.compression(compression.into());
        }
        if self.null_unrepresentable {
            options = options.unrepresentable_as_null();
        }
        if self.arrays_as_text {
            options = options.arrays_as_text();
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_its_format() {
        for (name, format) in [
            ("a.csv", Some(Format::Csv)),
            ("a.ndjson", Some(Format::Jsonl)),
            ("dir.parquet/a.ARROW", Some(Format::Arrow)),
            ("a.arrows", Some(Format::Arrow)),
            ("a.b.parquet", Some(Format::Parquet)),
            ("parquet", None),
            ("a.txt", None),
            ("-", None),
        ] {
            assert_eq!(Format::of_file(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn a_flag_that_would_do_nothing_is_refused() {
        let columnar = Columnar { arrow_compression: Some(ArrowCompression::Lz4), ..Columnar::default() };
        assert_eq!(columnar.check(Format::Arrow), Ok(()));
        let told = columnar.check(Format::Parquet).unwrap_err();
        assert_eq!(told, "--arrow-compression has no meaning for --format parquet");
        let columnar = Columnar { arrays_as_text: true, ..Columnar::default() };
        assert!(columnar.check(Format::Parquet).is_ok() && columnar.check(Format::Jsonl).is_err());
    }

    #[test]
    fn a_row_group_has_a_size_that_makes_sense() {
        assert_eq!(size("16MiB"), Ok(16 << 20));
        assert!(size("1kB").unwrap_err().contains("1MiB or more"));
        assert!(size("many").is_err());
    }
}
