//! The arguments of `rowstream export` as they are typed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use rowstream_client::{PartitionStrategy, fanout::Rate};
use serde::{Deserialize, Serialize};

use crate::cli::{
    args::TableOptions,
    formats::{Columnar, Format, TextCompression, at_least_a_mebibyte},
};

/// How large files become if nobody says.
pub(super) const FILE_BYTES: u64 = 512 << 20;

/// What `rowstream export --help` says beyond the options.
const HELP: &str = "\
One snapshot of the database into a directory, in several streams:
  rowstream export --table tpch.lineitem --partitions 8 --format parquet -o lineitem/
  rowstream export --verify lineitem/

  The same command goes on after an interruption, a crash, a full disk or a lost server.
  Complete files stay; manifest.json, written last, says that the export is complete.";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[group(id = "statement", required = true, multiple = false, args = ["table", "name", "sql", "verify"])]
pub(crate) struct Export {
    /// The table to export: schema.table, or table in schema public
    #[arg(long, value_name = "TABLE")]
    pub(super) table: Option<String>,
    /// The name of the named query to export
    #[arg(long = "query", value_name = "NAME")]
    pub(super) name: Option<String>,
    /// The SQL text to export; the server must allow ad-hoc SQL
    #[arg(long, value_name = "SQL")]
    pub(super) sql: Option<String>,
    #[command(flatten)]
    pub(super) table_options: TableOptions,
    /// A parameter, as in query
    #[arg(short, long = "param", value_name = "[NAME=]VALUE", allow_hyphen_values = true, conflicts_with = "table")]
    pub(super) param: Vec<String>,
    /// A parameter that is NULL, as in query
    #[arg(long, value_name = "NAME", conflicts_with = "table")]
    pub(super) null: Vec<String>,
    #[command(flatten)]
    pub(super) division: Division,
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    pub(super) limits: Limits,
    #[command(flatten)]
    pub(super) columnar: Columnar,
    /// Check the files of a complete export against its manifest (names, sizes, checksums, rows), and end
    #[arg(long, value_name = "DIR")]
    pub(crate) verify: Option<PathBuf>,
}

#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[command(next_help_heading = "How the result is divided")]
#[serde(rename_all = "kebab-case")]
pub(super) struct Division {
    /// How many partitions are wished for; there may be fewer
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) partitions: u32,
    /// By what
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(super) partition_strategy: DivideBy,
    /// The columns to divide by: one for key-range, one or more for hash
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(super) partition_by: Vec<String>,
}

impl Division {
    /// Whether rows can stay in their partition while others write, so that the rest of them can be read later. Of a
    /// table the server says by what it has divided.
    ///
    /// # Errors
    /// They cannot: what would be right.
    pub(super) fn can_be_read_live(&self, table: bool) -> Result<(), String> {
        let refused = |problem: &str| Err(format!("{CONTINUE_LIVE} cannot go with {problem}"));
        match self.partition_strategy {
            DivideBy::Ctid => refused(
                "--partition-strategy ctid: rows that are updated move from one partition to another; use key-range",
            ),
            _ if table || self.partitions == 1 || !self.partition_by.is_empty() => Ok(()),
            DivideBy::Single => Ok(()),
            DivideBy::Hash | DivideBy::KeyRange => {
                refused("columns that the server chooses, which may change: name some that do not, with --partition-by")
            }
            DivideBy::Auto => refused(
                "partitions as the server sees fit: say --partition-strategy key-range or hash and --partition-by with \
                 columns that do not change, or --partitions 1",
            ),
        }
    }
}

const CONTINUE_LIVE: &str = "--on-snapshot-lost continue-live";

/// Why a table cannot be read live that was not divided by its primary key.
pub(super) fn no_primary_key(by: &[String]) -> String {
    let by = by.join(", ");
    format!(
        "{CONTINUE_LIVE} cannot go with a table that has no primary key, divided by {by}, which may change: name columns \
         that do not with --partition-by, or say --partitions 1"
    )
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Files")]
pub(super) struct Files {
    /// The directory to write into; made if it is missing
    #[arg(long, short, value_name = "DIR", required_unless_present = "verify", conflicts_with = "verify")]
    pub(super) output: Option<PathBuf>,
    /// The format of the files
    #[arg(long, short, value_name = "FORMAT", default_value = "parquet")]
    pub(super) format: Format,
    /// Compress csv and jsonl
    #[arg(long, value_name = "CODEC", default_value = "none")]
    pub(super) compress: TextCompression,
    /// How large a file of a partition becomes before the next one is begun, about. What a crash has cut is read again
    /// from the last complete file on [default: 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| at_least_a_mebibyte(text, FILE_BYTES))]
    pub(super) file_size: Option<u64>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "How fast, and how persistent")]
pub(super) struct Limits {
    /// How many partitions are read at once [default: all, at most 8]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) concurrency: Option<u16>,
    /// How fast reads of partitions begin, such as 2/s [default: as fast as the concurrency lets them]
    #[arg(long, value_name = "RATE")]
    pub(super) rate: Option<Rate>,
    /// How many times the read of a partition is tried again, beside going on by itself where it was cut
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(super) retries: u32,
    /// How long the server keeps the snapshot when this program has ended before the export was complete
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(super) time_to_live: Duration,
    /// What happens when the snapshot is gone before the export is complete
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    pub(super) on_snapshot_lost: OnSnapshotLost,
    /// Show no progress and no summary; what is wrong with the export is told all the same
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// What happens when the snapshot is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnSnapshotLost {
    /// Nothing more: the export ends with an error, and its files stay
    Fail,
    /// The files are removed, and everything is exported from a new snapshot
    Restart,
    /// Partitions that are not complete are read at the database's present state, and the manifest says which; not
    /// for ctid: auto is key-range for a table, and what has no primary key needs --partition-by
    ContinueLive,
}

/// How a result is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DivideBy {
    /// As the server sees fit
    Auto,
    /// Not at all
    Single,
    /// Ranges of the places where a table's rows lie
    Ctid,
    /// Ranges of one column's values
    KeyRange,
    /// A hash of columns
    Hash,
}

impl From<DivideBy> for PartitionStrategy {
    fn from(by: DivideBy) -> Self {
        match by {
            DivideBy::Auto => Self::Auto,
            DivideBy::Single => Self::Single,
            DivideBy::Ctid => Self::Ctid,
            DivideBy::KeyRange => Self::KeyRange,
            DivideBy::Hash => Self::Hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::args::Arguments;

    #[test]
    fn an_export_has_one_source_and_a_directory_or_is_a_verification() {
        for (arguments, valid) in [
            (&["--table", "t", "-o", "d"][..], true),
            (&["--query", "q", "-p", "a=1", "-o", "d"], true),
            (&["--sql", "select 1", "-o", "d", "--file-size", "1MiB", "--compress", "zstd"], true),
            (&["--table", "t", "--where", "a = 1", "-o", "d"], true),
            (&["--table", "t"], false),
            (&["-o", "d"], false),
            (&["--table", "t", "--query", "q", "-o", "d"], false),
            (&["--table", "t", "-p", "1", "-o", "d"], false),
            (&["--sql", "select 1", "--where", "a = 1", "-o", "d"], false),
            (&["--table", "t", "-o", "d", "--partitions", "0"], false),
            (&["--table", "t", "-o", "d", "--partitions", "1001"], false),
            (&["--table", "t", "-o", "d", "--file-size", "1kB"], false),
            (&["--table", "t", "-o", "d", "--on-snapshot-lost", "continue-live"], true),
            (&["--verify", "d"], true),
            (&["--verify", "d", "--table", "t"], false),
            (&["--verify", "d", "-o", "e"], false),
            (&["--verify", "d", "--endpoint", "http://h:1"], true),
        ] {
            let all = ["rowstream", "export"].iter().chain(arguments);
            assert_eq!(Arguments::try_parse_from(all).is_ok(), valid, "{arguments:?}");
        }
    }
}
