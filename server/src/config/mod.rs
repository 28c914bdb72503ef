//! The server's settings: every one is an entry in `Args`, and they are checked here once.
//!
//! Flags, environment and file come together in `sources`; `file` reads the file, `print` writes one.

mod file;
mod print;
mod sources;

use std::{env, ffi::OsString, fmt, fs, net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::{CommandFactory as _, Parser, ValueEnum, error::ErrorKind};

use self::sources::Sources;
use crate::{
    db::{self, ConnectOptions},
    plan::table::name::Pattern,
    token::Keys,
};

/// Serves PostgreSQL result sets of any size as gRPC streams.
///
/// Durations are written like 30s, 5m or 1h; sizes like 4MiB.
#[derive(Clone, Parser)]
#[command(name = "rowstream-server", version)]
pub(crate) struct Args {
    /// File of settings, in TOML; flags and environment variables count more than it
    #[arg(long, env = "ROWSTREAM_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Check the settings, the named queries, the certificate, and PostgreSQL if it can be reached; then end
    #[arg(long, conflicts_with = "print_config")]
    pub(crate) check_config: bool,

    /// Print all settings as a file for --config, each with where it comes from; then end
    #[arg(long)]
    pub(crate) print_config: bool,

    /// Where PostgreSQL is: postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,

    /// File that holds the database URL, instead of giving it
    #[arg(long, env = "ROWSTREAM_DATABASE_URL_FILE", value_name = "FILE")]
    pub(crate) database_url_file: Option<PathBuf>,

    /// Where to listen
    #[arg(long, env = "ROWSTREAM_LISTEN", default_value = "127.0.0.1:50051", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    /// Where to serve /metrics, /livez and /readyz over HTTP; nowhere without it
    #[arg(long, env = "ROWSTREAM_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<SocketAddr>,

    /// Allow --listen beyond this machine although callers are not authenticated
    #[arg(long, env = "ROWSTREAM_ALLOW_UNAUTHENTICATED_REMOTE")]
    pub(crate) allow_unauthenticated_remote: bool,

    /// The server's certificate in PEM, followed by those between it and the root; callers then need TLS
    #[arg(long, env = "ROWSTREAM_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key in PEM, not encrypted
    #[arg(long, env = "ROWSTREAM_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Allow ad-hoc SQL; without it, callers can run named queries only
    #[arg(long, env = "ROWSTREAM_ALLOW_SQL")]
    pub(crate) allow_sql: bool,

    /// Folder of named queries, one .sql file each
    #[arg(long, env = "ROWSTREAM_QUERIES", value_name = "DIR")]
    pub(crate) queries: Option<PathBuf>,

    /// Take up changes in that folder while serving; SIGHUP does it in any case
    #[arg(
        long,
        env = "ROWSTREAM_WATCH_QUERIES",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub(crate) watch_queries: bool,
    /// Tables open to reading without SQL, such as public.*, sales.orders or *.lineitem; none by default
    #[arg(long, env = "ROWSTREAM_TABLES", value_delimiter = ',', value_name = "PATTERN")]
    pub(crate) tables: Vec<String>,

    /// File of the keys that tokens are signed with; without it, no other server takes those of this one
    #[arg(long, env = "ROWSTREAM_TOKEN_KEYS", value_name = "FILE")]
    pub(crate) token_keys: Option<PathBuf>,

    /// Size that no message passes, unless it holds a single larger row
    #[arg(long, env = "ROWSTREAM_MAX_MESSAGE_BYTES", default_value = "4MiB", value_name = "SIZE")]
    pub(crate) max_message_bytes: ByteSize,

    /// Size of a row beyond which the call fails with ROW_TOO_LARGE
    #[arg(long, env = "ROWSTREAM_MAX_ROW_BYTES", default_value = "128MiB", value_name = "SIZE")]
    pub(crate) max_row_bytes: ByteSize,

    /// Memory that rows on their way may take in all
    #[arg(long, env = "ROWSTREAM_MAX_BUFFERED_BYTES", default_value = "256MiB", value_name = "SIZE")]
    pub(crate) max_buffered_bytes: ByteSize,

    /// Database connections to keep open
    #[arg(long, env = "ROWSTREAM_POOL_MIN", default_value_t = 1, value_name = "N")]
    pub(crate) pool_min: usize,

    /// Database connections at most; two more are reserved for cancelling
    #[arg(long, env = "ROWSTREAM_POOL_MAX", default_value_t = 10, value_name = "N")]
    pub(crate) pool_max: usize,

    /// How long opening a database connection may take
    #[arg(long, env = "ROWSTREAM_CONNECT_TIMEOUT", default_value = "5s", value_parser = duration, value_name = "DUR")]
    pub(crate) connect_timeout: Duration,

    /// Streams and rows in work at the same time
    #[arg(long, env = "ROWSTREAM_MAX_STREAMS", default_value_t = 256, value_name = "N")]
    pub(crate) max_streams: usize,

    /// Calls that may wait for one of them
    #[arg(long, env = "ROWSTREAM_MAX_QUEUE", default_value_t = 2048, value_name = "N")]
    pub(crate) max_queue: usize,

    /// How long a call may wait for a stream, and then for a database connection
    #[arg(long, env = "ROWSTREAM_QUEUE_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DUR")]
    pub(crate) queue_timeout: Duration,

    /// Read sessions at most; each holds a database connection of its own, and its snapshot
    #[arg(long, env = "ROWSTREAM_MAX_READ_SESSIONS", default_value_t = 16, value_name = "N")]
    pub(crate) max_read_sessions: usize,

    /// Longest life of a read session, however often it is renewed
    #[arg(long, env = "ROWSTREAM_MAX_SNAPSHOT_AGE", default_value = "1h", value_parser = duration, value_name = "DUR")]
    pub(crate) max_snapshot_age: Duration,

    /// Transactions that may begin in the database before a read session is revoked: its snapshot holds back vacuum
    #[arg(long, env = "ROWSTREAM_MAX_SNAPSHOT_TRANSACTIONS", default_value_t = 50_000_000, value_name = "N")]
    pub(crate) max_snapshot_transactions: u32,

    /// Longest time a call may take, whatever its caller asks for
    #[arg(long, env = "ROWSTREAM_MAX_DEADLINE", default_value = "1h", value_parser = duration, value_name = "DUR")]
    pub(crate) max_deadline: Duration,

    /// Time a call may take if its caller sends no grpc-timeout
    #[arg(long, env = "ROWSTREAM_DEFAULT_DEADLINE", default_value = "5m", value_parser = duration, value_name = "DUR")]
    pub(crate) default_deadline: Duration,

    /// Time within which a caller has to take a batch
    #[arg(long, env = "ROWSTREAM_STALL_TIMEOUT", default_value = "60s", value_parser = duration, value_name = "DUR")]
    pub(crate) stall_timeout: Duration,

    /// Time that streams have to end after SIGTERM or SIGINT
    #[arg(long, env = "ROWSTREAM_GRACE_PERIOD", default_value = "30s", value_parser = duration, value_name = "DUR")]
    pub(crate) grace_period: Duration,

    /// Open client connections at most; further ones wait to be accepted
    #[arg(long, env = "ROWSTREAM_MAX_CONNECTIONS", default_value_t = 10_000, value_name = "N")]
    pub(crate) max_connections: usize,

    /// Calls under way on one client connection at most
    #[arg(long, env = "ROWSTREAM_MAX_CONNECTION_STREAMS", default_value_t = 256, value_name = "N")]
    pub(crate) max_connection_streams: u32,

    /// A client connection that has been silent this long is pinged
    #[arg(long, env = "ROWSTREAM_KEEPALIVE_INTERVAL", default_value = "30s", value_parser = duration, value_name = "DUR")]
    pub(crate) keepalive_interval: Duration,

    /// A client connection that does not answer a ping this long is closed
    #[arg(long, env = "ROWSTREAM_KEEPALIVE_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DUR")]
    pub(crate) keepalive_timeout: Duration,

    /// What to log, as in RUST_LOG: info, or rowstream_server=debug
    #[arg(long, env = "ROWSTREAM_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,

    /// How to log: text, json, or auto (text on a terminal, json otherwise)
    #[arg(long, env = "ROWSTREAM_LOG_FORMAT", default_value = "auto", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Auto,
    Text,
    Json,
}

/// What the program is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Serve.
    Serve,
    /// `--check-config`.
    Check,
    /// `--print-config`.
    Print,
}

/// Checked settings.
#[derive(Clone)]
pub struct Config {
    pub(crate) args: Args,
    pub(crate) database: ConnectOptions,
    sources: Sources,
    /// Of `--tables`.
    pub(crate) tables: Vec<Pattern>,
    /// Of `--token-keys`.
    pub(crate) token_keys: Keys,
}

impl fmt::Debug for Config {
    /// Without the database URL: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("listen", &self.args.listen).finish_non_exhaustive()
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line is wrong, or only asks for help or the version.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A value cannot be read or used; the message names it as it was given, and what would be right.
    #[error("{0}")]
    Value(String),
}

impl Config {
    /// Reads the process's own command line and environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn try_from_command_line() -> Result<Self, ConfigError> {
        Self::read(env::args_os().collect(), |name| env::var_os(name))
    }

    /// Reads arguments without the program's name, the environment, and the file that they name.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn try_from_args<I>(args: I) -> Result<Self, ConfigError>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let name = OsString::from("rowstream-server");
        Self::read([name].into_iter().chain(args.into_iter().map(Into::into)).collect(), |name| env::var_os(name))
    }

    /// Where to listen.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.args.listen
    }

    /// What the program is asked to do.
    #[must_use]
    pub fn task(&self) -> Task {
        match (self.args.check_config, self.args.print_config) {
            (true, _) => Task::Check,
            (_, true) => Task::Print,
            _ => Task::Serve,
        }
    }

    /// All settings as a file for `--config`, each with where it comes from, and without passwords.
    #[must_use]
    pub fn print(&self) -> String {
        print::file(&self.sources)
    }

    /// A message that names flags, with each named as its value was given.
    #[must_use]
    pub fn as_written(&self, message: &str) -> String {
        self.sources.as_written(message)
    }

    fn read(arguments: Vec<OsString>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let (args, sources) = sources::resolve(arguments, variable)?;
        match Self::check(args, sources.clone()) {
            Err(ConfigError::Value(message)) => Err(ConfigError::Value(sources.as_written(&message))),
            checked => checked,
        }
    }

    fn check(args: Args, sources: Sources) -> Result<Self, ConfigError> {
        let wrong = |message: String| Err(ConfigError::Value(message));
        if !args.listen.ip().is_loopback() && !args.allow_unauthenticated_remote {
            return wrong(format!(
                "--listen {} is reachable from other machines, and callers are not authenticated; listen on 127.0.0.1, \
                 or add --allow-unauthenticated-remote if the network is closed to all but trusted callers",
                args.listen
            ));
        }
        for (flag, value) in [
            ("--pool-max", args.pool_max),
            ("--max-streams", args.max_streams),
            ("--max-connections", args.max_connections),
            ("--max-snapshot-transactions", usize::try_from(args.max_snapshot_transactions).unwrap_or(0)),
            ("--max-connection-streams", usize::try_from(args.max_connection_streams).unwrap_or(0)),
        ] {
            if value == 0 {
                return wrong(format!("{flag} 0 would serve nobody; give 1 or more"));
            }
        }
        if args.pool_min > args.pool_max {
            return wrong(format!("--pool-min {} is more than --pool-max {}", args.pool_min, args.pool_max));
        }
        if args.default_deadline > args.max_deadline {
            let show = humantime::format_duration;
            let (default, max) = (show(args.default_deadline), show(args.max_deadline));
            return wrong(format!("--default-deadline {default} is more than --max-deadline {max}"));
        }
        for (flag, size, least) in [
            ("--max-message-bytes", args.max_message_bytes, 64 * 1024),
            ("--max-row-bytes", args.max_row_bytes, 1024),
            ("--max-buffered-bytes", args.max_buffered_bytes, 1 << 20),
        ] {
            if !(least..=i32::MAX as u64).contains(&size.as_u64()) {
                return wrong(format!("{flag} {size} is not between {} and 2 GiB", ByteSize::b(least)));
            }
        }
        if args.tls_cert.is_some() != args.tls_key.is_some() {
            return wrong("--tls-cert and --tls-key belong together: give both, or none of them".to_owned());
        }
        let pattern =
            |text: &String| Pattern::parse(text).map_err(|message| ConfigError::Value(format!("--tables: {message}")));
        let tables = args.tables.iter().map(pattern).collect::<Result<_, _>>()?;
        let database = database(&args)?;
        let token_keys = token_keys(&args)?;
        Ok(Self { args, database, tables, token_keys, sources })
    }
}

/// The keys of the file, or one that nobody else has.
fn token_keys(args: &Args) -> Result<Keys, ConfigError> {
    let Some(file) = &args.token_keys else {
        return Keys::random().map_err(|error| ConfigError::Value(format!("--token-keys: {error}")));
    };
    Keys::read(file).map_err(|message| ConfigError::Value(format!("--token-keys {}: {message}", file.display())))
}

/// The database's address, given or from its file.
fn database(args: &Args) -> Result<ConnectOptions, ConfigError> {
    const FORM: &str = "of the form postgres://user:password@host:port/database";
    let wrong = |message: String| Err(ConfigError::Value(message));
    match (&args.database_url, &args.database_url_file) {
        (Some(_), Some(_)) => wrong("--database-url and --database-url-file are both given: keep one".to_owned()),
        (None, None) => {
            let message = "where is PostgreSQL? Give --database-url (or DATABASE_URL), or --database-url-file";
            Err(Args::command().error(ErrorKind::MissingRequiredArgument, message).into())
        }
        (Some(url), None) => match db::connect_options(url) {
            Some(options) => Ok(options),
            None => wrong(format!("--database-url is not {FORM}")),
        },
        (None, Some(file)) => match fs::read_to_string(file).map(|text| db::connect_options(text.trim())) {
            Ok(Some(options)) => Ok(options),
            Ok(None) => wrong(format!("--database-url-file {}: its content is not {FORM}", file.display())),
            Err(error) => wrong(format!("--database-url-file {}: {error}", file.display())),
        },
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be more than 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it like 30s, 5m or 1h")),
    }
}

#[cfg(test)]
mod source_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(args: &[&str]) -> String {
        let all = ["--database-url", "postgres://u:secret@h/d"].iter().chain(args);
        Config::try_from_args(all).expect_err("refused").to_string()
    }

    #[test]
    fn a_bad_value_is_refused_with_its_flag_and_what_would_be_right() {
        for (args, expected) in [
            (&["--listen", "0.0.0.0:1"][..], "--listen 0.0.0.0:1 is reachable from other machines"),
            (&["--pool-max", "0"], "--pool-max 0 would serve nobody"),
            (&["--pool-min", "11"], "--pool-min 11 is more than --pool-max 10"),
            (&["--default-deadline", "2h"], "--default-deadline 2h is more than --max-deadline 1h"),
            (&["--max-message-bytes", "1"], "--max-message-bytes 1 B is not between 64.0 KiB and 2 GiB"),
            (&["--tables", "orders"], "--tables: \"orders\" has no schema; write public.orders"),
            (&["--tables", "public.*,a.b.c"], "--tables: \"a.b.c\" has more than two parts"),
            (&["--stall-timeout", "soon"], "write it like 30s, 5m or 1h"),
            (&["--tls-key", "key.pem"], "--tls-cert and --tls-key belong together"),
            (&["--database-url-file", "url"], "--database-url and --database-url-file are both given"),
        ] {
            let message = refusal(args);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_password() {
        let config = Config::try_from_args(["--database-url", "postgres://u:secret@h/d"]).expect("valid");
        assert!(!format!("{config:?}").contains("secret"));
        let error = Config::try_from_args(["--database-url", "mysql:/u:secret@h:x/d"]).expect_err("refused");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
