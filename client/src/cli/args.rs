//! The arguments as they are typed. What they mean together is settled by the commands.

use std::{io, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    bench::Bench,
    export::Export,
    fanout::Fanout,
    formats::{Columnar, Format, GrpcCompression, Strategy},
};

/// Reads PostgreSQL result sets of any size through rowstream-server.
#[derive(Debug, Parser)]
#[command(name = "rowstream", version, arg_required_else_help = true, after_help = super::exit::HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) profile: Profile,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print the .proto files of the contract, or write them below DIR, and end
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub(crate) print_proto: Option<Option<PathBuf>>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Where settings come from that neither a flag nor an environment variable gives.
#[derive(Args, Debug)]
pub(crate) struct Profile {
    /// The profile to take settings from [default: the file's `default`]
    #[arg(long, global = true, value_name = "NAME", env = "ROWSTREAM_PROFILE")]
    pub(crate) profile: Option<String>,
    /// The file of profiles [default: rowstream/config.toml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, global = true, value_name = "FILE", env = "ROWSTREAM_PROFILES_FILE")]
    pub(crate) profiles_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Connection {
    /// A server, as http://HOST:PORT, or https:// for TLS; repeat it, or separate by commas, for several
    /// [default: http://127.0.0.1:50051]
    #[arg(long, global = true, value_name = "URL", env = "ROWSTREAM_ENDPOINT", value_delimiter = ',')]
    pub(crate) endpoint: Vec<String>,
    /// Certificate authorities to trust for https://, in PEM [default: the system's]
    #[arg(long, global = true, value_name = "FILE", env = "ROWSTREAM_CACERT")]
    pub(crate) cacert: Option<PathBuf>,
    /// The name that the server's certificate must have [default: the endpoint's host]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// How long a call may take as a whole, such as 30s or 5m [default: the server's]
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) deadline: Option<Duration>,
    /// How long connecting may take [default: 10s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) connect_timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one, for as long as the program runs
pub(crate) enum Command {
    /// Run a query and print its rows
    Query(Query),
    /// Run a query for each line of a file: many calls at once, each with its outcome
    Fanout(Box<Fanout>),
    /// Write one snapshot into files, in several streams; goes on after a crash
    Export(Box<Export>),
    /// Put a load of calls on a server, and measure: latencies, throughput, failures
    Bench(Box<Bench>),
    /// Show the parameters and columns of a query, without running it
    Describe(Describe),
    /// List the server's named queries
    Queries(ListFormat),
    /// List the tables that can be read without SQL
    Tables(ListFormat),
    /// Ask whether the server serves queries: prints SERVING, or exits with 69
    Health,
    /// Cancel a running query, in PostgreSQL too
    Cancel(Cancel),
    /// List the profiles of the profiles file
    Profiles,
    /// Print a script that completes this program's arguments in a shell
    Completions(Completions),
    /// Write the manual pages, one for each command
    Man(Man),
}

/// What to run: exactly one of the three.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Source {
    /// The SQL text, or - to read it from stdin; the server must allow ad-hoc SQL
    #[arg(value_name = "SQL")]
    pub(crate) sql: Option<String>,
    /// The name of one of the server's named queries
    #[arg(long = "query", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A table to read without SQL: schema.table, or table in schema public
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
}

/// What to read of a table.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[command(next_help_heading = "Options for --table")]
#[serde(rename_all = "kebab-case")]
pub(crate) struct TableOptions {
    /// Columns to read, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with_all = ["sql", "name"])]
    pub(crate) columns: Vec<String>,
    /// One more column to read, whatever is in its name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["sql", "name"])]
    pub(crate) column: Vec<String>,
    /// A condition, such as 'price >= 10'; all of them must hold
    #[arg(long = "where", value_name = "CONDITION", conflicts_with_all = ["sql", "name"])]
    #[serde(rename = "where")]
    pub(crate) conditions: Vec<String>,
    /// A condition in JSON, as the contract's message Filter
    #[arg(long, value_name = "JSON", conflicts_with_all = ["sql", "name"])]
    pub(crate) filter: Vec<String>,
    /// A column to sort by, such as 'price desc nulls last'; the first is the most significant
    #[arg(long, value_name = "ORDER", conflicts_with_all = ["sql", "name"])]
    pub(crate) order_by: Vec<String>,
    /// Read at most so many rows
    #[arg(long, value_name = "N", conflicts_with_all = ["sql", "name"], value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

impl Source {
    /// Replaces the SQL text `-` by what stdin holds.
    pub(crate) fn read_stdin(&mut self) -> io::Result<()> {
        if self.sql.as_deref() == Some("-") {
            self.sql = Some(io::read_to_string(io::stdin().lock())?);
        }
        Ok(())
    }
}

#[derive(Args, Debug)]
#[command(after_help = format!("{}\n\n{}", super::parameters::HELP, super::conditions::HELP))]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) table_options: TableOptions,
    /// A parameter: name=value for a named query; for SQL the value alone, $1 first
    #[arg(short, long = "param", value_name = "[NAME=]VALUE", allow_hyphen_values = true, conflicts_with = "table")]
    pub(crate) param: Vec<String>,
    /// A parameter that is NULL, by name; for SQL by position, such as 2 for $2
    #[arg(long, value_name = "NAME", conflicts_with = "table")]
    pub(crate) null: Vec<String>,
    /// How to print rows, or in which format to keep them [default: what the name of the file says (.csv, .jsonl,
    /// .arrow, .arrows, .parquet); table on a terminal, otherwise csv]
    #[arg(long, short)]
    pub(crate) format: Option<Format>,
    /// Write to a file, which appears when it is complete; - is stdout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print at most so many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_rows: Option<u64>,
    /// How the server reads from PostgreSQL [default: auto]
    #[arg(long)]
    pub(crate) strategy: Option<Strategy>,
    /// Columns that are unique together: rows come in their order, and a query that is cut off goes on by itself; * is
    /// a table's primary key
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) resume_key: Vec<String>,
    /// Compress what the server sends [default: none]
    #[arg(long, value_name = "CODEC")]
    pub(crate) grpc_compression: Option<GrpcCompression>,
    #[command(flatten)]
    pub(crate) columnar: Columnar,
    /// An id of your own, to find and cancel this call by
    #[arg(long, value_name = "ID")]
    pub(crate) query_id: Option<String>,
    /// Show no progress and no summary
    #[arg(long, short, visible_alias = "no-progress")]
    pub(crate) quiet: bool,
    /// Print a summary to stderr: rows, bytes, and where the time went
    #[arg(long, short, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Describe {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Also show what PostgreSQL estimates of the plan: rows, cost, and with ad-hoc SQL allowed the plan itself
    #[arg(long)]
    pub(crate) plan: bool,
    /// A parameter to estimate for, as in query; without any, the estimate is for any values
    #[arg(short, long = "param", value_name = "[NAME=]VALUE", allow_hyphen_values = true, requires = "plan")]
    pub(crate) param: Vec<String>,
    /// A parameter that is NULL, as in query
    #[arg(long, value_name = "NAME", requires = "plan")]
    pub(crate) null: Vec<String>,
    #[command(flatten)]
    pub(crate) format: ListFormat,
}

#[derive(Args, Debug)]
pub(crate) struct ListFormat {
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: TextOrJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    /// For people
    Text,
    /// One JSON document
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Cancel {
    /// The query id, as --query-id gave it, or the server's log or pg_stat_activity shows it
    pub(crate) query_id: String,
}

#[derive(Args, Debug)]
#[command(after_help = super::completions::HELP)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// The folder to write rowstream.1, rowstream-query.1, ... into; made if it is missing
    pub(crate) dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn endpoints_can_be_repeated_or_listed() {
        let arguments = Arguments::try_parse_from([
            "rowstream",
            "health",
            "--endpoint",
            "http://a:1,http://b:1",
            "--endpoint",
            "http://c:1",
        ])
        .unwrap();
        assert_eq!(arguments.connection.endpoint, ["http://a:1", "http://b:1", "http://c:1"]);
    }

    #[test]
    fn a_query_is_sql_or_a_name_and_never_both_or_neither() {
        for (arguments, valid) in [
            (&["query", "select 1"][..], true),
            (&["query", "--query", "q"], true),
            (&["query"], false),
            (&["query", "select 1", "--query", "q"], false),
            (&["query", "select $1", "-p", "-1", "--quiet", "-v"], false),
            (&["query", "select $1", "-p", "-1"], true),
            (&["query", "select 1", "--max-rows", "0"], false),
            (&["query", "--table", "t", "--where", "a = 1", "--limit", "1"], true),
            (&["query", "--table", "t", "-p", "1"], false),
            (&["query", "--table", "t", "--query", "q"], false),
            (&["query", "select 1", "--where", "a = 1"], false),
            (&["describe", "--table", "t"], true),
        ] {
            let all = ["rowstream"].iter().chain(arguments);
            assert_eq!(Arguments::try_parse_from(all).is_ok(), valid, "{arguments:?}");
        }
    }
}
