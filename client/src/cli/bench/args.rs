//! The arguments of `rowstream bench` as they are typed.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{call::Encoding, compare::Check, schedule::RateRange};
use crate::cli::{
    args::{Source, TableOptions},
    formats::{GrpcCompression, Strategy},
};

/// What `rowstream bench --help` says beyond the options.
const HELP: &str = "\
An open loop, where calls begin by the clock, as those of many users do:
  rowstream bench --query user_events -p id=7 --rate 200/s --duration 30s
  rowstream bench --query user_events -p id=7 --rate 100/s..1000/s --steps 10 --html steps.html

A closed loop, where a call begins when one has ended:
  rowstream bench --table sales.orders --concurrency 4 --count 100 --json orders.json

The report goes to stdout. Failed calls are counted, and do not end the run unless the first
ten fail in the same way. Ctrl-C ends it early; the report is of what there was.
docs/bench.md tells what is measured, and what not to conclude from it.";

/// What `rowstream bench compare --help` says beyond the options.
const COMPARE_HELP: &str = "\
  rowstream bench compare before.json after.json --fail-over 5% --check p99,rate

The exit code is 0 whatever differs; with --fail-over it is 1 if something that is checked
has become worse by more than that.";

#[derive(Args, Debug)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) other: Option<Other>,
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) table_options: TableOptions,
    /// A parameter, the same in every call: name=value for a named query; for SQL the value alone, $1 first
    #[arg(short, long = "param", value_name = "[NAME=]VALUE", allow_hyphen_values = true, conflicts_with = "table")]
    pub(crate) param: Vec<String>,
    /// A parameter that is NULL, by name; for SQL by position, such as 2 for $2
    #[arg(long, value_name = "NAME", conflicts_with = "table")]
    pub(crate) null: Vec<String>,
    #[command(flatten)]
    pub(crate) read: ReadOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    pub(crate) output: OutputOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    /// Compare two reports that --json has written
    Compare(Compare),
}

#[derive(Args, Debug)]
#[command(next_help_heading = "What each call does")]
pub(crate) struct ReadOptions {
    /// How rows travel
    #[arg(long, value_name = "ENCODING", default_value = "rows")]
    pub(crate) encoding: Encoding,
    /// How the server reads from PostgreSQL [default: auto]
    #[arg(long)]
    pub(crate) strategy: Option<Strategy>,
    /// Compress what the server sends [default: none]
    #[arg(long, value_name = "CODEC")]
    pub(crate) grpc_compression: Option<GrpcCompression>,
    /// Take at most so many rows of each call
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_rows: Option<u64>,
    /// Read every value, as a program would that works with them [default: what arrives is checked and counted]
    #[arg(long)]
    pub(crate) read_values: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadOptions {
    /// Open loop: how fast calls arrive, such as 200/s; 100/s..1000/s rises evenly, or with --steps in steps
    #[arg(long, value_name = "RATE[..RATE]", conflicts_with = "concurrency")]
    pub(crate) rate: Option<RateRange>,
    /// In so many steps, each at a constant rate for the same time
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u64).range(2..=100))]
    pub(crate) steps: Option<u64>,
    /// Closed loop: how many calls are under way at all times [default: 1, without --rate]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) concurrency: Option<u64>,
    /// How long calls begin, after the warm-up [default: 10s]
    #[arg(long, value_name = "DURATION", conflicts_with = "count", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// How many calls to make, after the warm-up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// How long calls are made that are not measured, before the others [default: 2s; none with --count]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) warmup: Option<Duration>,
    /// Open loop: the most calls under way at once; those due beyond it wait, and their waiting is in the latency
    /// [default: 1000]
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) max_in_flight: Option<u64>,
    /// How long calls under way may still take when the duration is over
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) grace: Duration,
    /// Connections to each server
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = connections)]
    pub(crate) connections: usize,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputOptions {
    /// Write the report as JSON, too, with whole histograms; `bench compare` reads it
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as a page with plots, too, which needs nothing beside itself
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short, visible_alias = "no-progress")]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
#[command(after_help = COMPARE_HELP)]
pub(crate) struct Compare {
    /// The report to compare with
    #[arg(value_name = "A.json")]
    pub(crate) before: PathBuf,
    /// The report that is compared
    #[arg(value_name = "B.json")]
    pub(crate) after: PathBuf,
    /// Exit with 1 if something that is checked is worse in B than in A by more than this, such as 5%
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    pub(crate) fail_over: Option<f64>,
    /// What is checked: percentiles such as p50 or p99.9, mean, max, rate (calls a second), rows (a second)
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "p99,rate", requires = "fail_over")]
    pub(crate) check: Vec<Check>,
}

fn connections(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1_000).contains(number));
    number.ok_or_else(|| "write a whole number, 1 to 1000".to_owned())
}

/// A percentage, as a share of one.
fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse::<f64>();
    let share = number.ok().map(|percent| percent / 100.0).filter(|share| (0.0..=1000.0).contains(share));
    share.ok_or_else(|| "write a percentage, 0 or more, such as 5%".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::args::Arguments;

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        for (arguments, valid) in [
            (&["select 1"][..], true),
            (&["--query", "q", "--rate", "200/s", "--duration", "30s", "-p", "a=1"], true),
            (&["--query", "q", "--rate", "100/s..1000/s", "--steps", "10", "--count", "5"], true),
            (&["--table", "t", "--concurrency", "4", "--where", "a = 1"], true),
            (&[], false),
            (&["--query", "q", "--rate", "200/s", "--concurrency", "4"], false),
            (&["--query", "q", "--duration", "1s", "--count", "4"], false),
            (&["--query", "q", "--steps", "4"], false),
            (&["--query", "q", "--rate", "1/s..9/s", "--steps", "1"], false),
            (&["--query", "q", "--max-in-flight", "4"], false),
            (&["--query", "q", "--rate", "fast"], false),
            (&["compare", "a.json", "b.json"], true),
            (&["compare", "a.json", "b.json", "--fail-over", "5%", "--check", "p50,p99.9,rate,rows,max,mean"], true),
            (&["compare", "a.json", "b.json", "--fail-over", "5%", "--check", "p101"], false),
            (&["compare", "a.json", "b.json", "--fail-over", "much"], false),
            (&["compare", "a.json", "b.json", "--check", "p50"], false),
            (&["compare", "a.json"], false),
            (&["--query", "q", "compare", "a.json", "b.json"], false),
        ] {
            let all = ["rowstream", "bench"].iter().chain(arguments);
            assert_eq!(Arguments::try_parse_from(all).is_ok(), valid, "{arguments:?}");
        }
    }
}
