//! The arguments of `rowstream fanout` as they are typed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use rowstream_client::{
    Code,
    fanout::{HedgePolicy, Rate},
};
use rowstream_contract::code;

use super::{input::InputFormat, mapping::ExtraColumns, output::OutputFormat};

/// What `rowstream fanout --help` says beyond the options.
const HELP: &str = "\
One call for each line of the input, many at once:
  rowstream fanout --query user_events --params ids.csv --rate 200/s --concurrency 50 \\
      --deadline 2s -o results.jsonl --checkpoint results.checkpoint

  A column is for the parameter of its name; with --sql the first is for $1, the second for $2.
  The exit code is 0 only if every call has succeeded, and 1 if some have failed.";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[group(id = "statement", required = true, multiple = false, args = ["name", "sql"])]
pub(crate) struct Fanout {
    /// The name of one of the server's named queries
    #[arg(long = "query", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The SQL text; the server must allow ad-hoc SQL
    #[arg(long, value_name = "SQL")]
    pub(crate) sql: Option<String>,
    #[command(flatten)]
    pub(crate) input: InputOptions,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputOptions {
    /// The inputs, a call each: CSV with a header or JSON lines; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) params: PathBuf,
    /// How they are written [default: as the extension tells: .csv, .jsonl, .ndjson, .json]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) params_format: Option<InputFormat>,
    /// The column for a parameter; with --sql the parameter is a number, such as 1 for $1
    #[arg(long, value_name = "COLUMN=PARAMETER")]
    pub(crate) map: Vec<String>,
    /// What happens to columns that are for no parameter [default: they are refused]
    #[arg(long, value_name = "WHAT")]
    pub(crate) extra_columns: Option<ExtraColumns>,
    /// The CSV field that is NULL, if it is not in quotes
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) null: String,
    /// Set lines aside that cannot be used, with the reason, and run the others [default: run nothing]
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "How fast, and how persistent")]
pub(crate) struct Limits {
    /// How fast calls begin, such as 200/s, 10/min or 1000/h [default: as fast as the concurrency lets them]
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<Rate>,
    /// How fast attempts begin at each server
    #[arg(long, value_name = "RATE")]
    pub(crate) rate_per_endpoint: Option<Rate>,
    /// How many calls are under way at once
    #[arg(long, short, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub(crate) concurrency: usize,
    /// How many attempts are under way at once at each server
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) concurrency_per_endpoint: Option<usize>,
    /// Find the concurrency that makes calls no slower, up to --concurrency
    #[arg(long)]
    pub(crate) adaptive: bool,
    /// Connections to each server
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// How long all calls together may take; what has not begun by then is not run
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) total_deadline: Option<Duration>,
    /// How many times a call is tried again
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) retries: u32,
    /// The codes of failures that are tried again, separated by commas
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "UNAVAILABLE", value_parser = code_of)]
    pub(crate) retry_on: Vec<Code>,
    /// Try again, too, what failed after its first row; nothing of a call is written before all of it is there
    #[arg(long)]
    pub(crate) retry_after_rows: bool,
    /// When a second attempt begins beside a slow one: after 50ms, or at p95 of the calls so far
    #[arg(long, value_name = "WHEN")]
    pub(crate) hedge: Option<HedgePolicy>,
    /// What a failure, or a success, means for the other calls
    #[arg(long, value_name = "MODE", default_value = "all")]
    pub(crate) mode: Mode,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// What to write
    #[arg(long, short, value_name = "FORMAT", default_value = "jsonl")]
    pub(crate) format: OutputFormat,
    /// Write to a file, which appears at the end; with --checkpoint it grows; - is stdout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write in the order of the input [default: as calls end]
    #[arg(long)]
    pub(crate) ordered: bool,
    /// Take at most so many rows of each call
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_rows: Option<u64>,
    /// Note what is done, so that the same command goes on after an interruption or a crash
    #[arg(long, value_name = "FILE", requires = "output")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Of what the checkpoint has as done, run the failures again
    #[arg(long, requires = "checkpoint")]
    pub(crate) only_failed: bool,
    /// Write the summary as JSON as well
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// Show no progress, no failures and no summary
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What one call's end means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Nothing: every call is run
    All,
    /// The first failure ends all, and decides the exit code
    FailFast,
    /// The first success ends all, and is the only one in the output
    First,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("write a whole number, 1 or more".to_owned()),
    }
}

/// A code by its name in the gRPC specification.
fn code_of(name: &str) -> Result<Code, String> {
    let failures = (1..=16).map(Code::from_i32);
    let found = failures.clone().find(|code| code::name(*code).eq_ignore_ascii_case(name));
    found.ok_or_else(|| format!("write some of {}", failures.map(code::name).collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::args::Arguments;

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        for (arguments, valid) in [
            (&["--query", "q", "--params", "a.csv"][..], true),
            (&["--sql", "select $1", "--params", "-"], true),
            (&["--params", "a.csv"], false),
            (&["--query", "q"], false),
            (&["--query", "q", "--sql", "select 1", "--params", "a.csv"], false),
            (&["--query", "q", "--params", "a.csv", "--checkpoint", "c"], false),
            (&["--query", "q", "--params", "a.csv", "--only-failed", "-o", "x"], false),
            (&["--query", "q", "--params", "a.csv", "--checkpoint", "c", "-o", "x", "--only-failed"], true),
            (&["--query", "q", "--params", "a.csv", "--concurrency", "0"], false),
            (&["--query", "q", "--params", "a.csv", "--rate", "fast"], false),
            (&["--query", "q", "--params", "a.csv", "--hedge", "p0"], false),
            (
                &[
                    "--query",
                    "q",
                    "--params",
                    "a.csv",
                    "--rate",
                    "200/s",
                    "--hedge",
                    "p95",
                    "--retry-on",
                    "ABORTED,internal",
                ],
                true,
            ),
            (&["--query", "q", "--params", "a.csv", "--retry-on", "OK"], false),
        ] {
            let all = ["rowstream", "fanout"].iter().chain(arguments);
            assert_eq!(Arguments::try_parse_from(all).is_ok(), valid, "{arguments:?}");
        }
    }
}
