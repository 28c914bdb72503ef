//! A private PostgreSQL cluster, made for this process and gone with it.
//!
//! As root it runs as user `postgres`, because PostgreSQL refuses root. It listens on 127.0.0.1, trusts
//! everybody who reaches it there, and does not care for what a power failure would lose.

mod access;
mod account;
mod backends;
mod database;
mod frozen;
mod port;
mod programs;
mod ready;
mod watchdog;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use self::{access::Access, account::Account, watchdog::Watchdog};
pub use self::{backends::Backend, database::Database, frozen::Frozen};
use crate::Error;

/// How often another port is tried, when another process was quicker.
const PORTS_TRIED: usize = 5;

/// Settings of every cluster: fast rather than durable, and with the session defaults that psql prints by.
const SETTINGS: [(&str, &str); 6] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "100"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// How a server is stopped, in PostgreSQL's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ends every connection with an error, then stops in order.
    Fast,
    /// Stops at once, as in a crash; the next start recovers.
    Immediate,
}

/// Settings for a cluster that is yet to start.
#[derive(Debug)]
pub struct Builder {
    settings: Vec<(String, String)>,
    /// The port of the cluster that this becomes a standby of.
    primary: Option<u16>,
    /// Where the cluster stays; a temporary folder otherwise.
    kept_in: Option<PathBuf>,
}

/// A running cluster. Dropped, or however this process ends, it is stopped and its files are removed, unless they are
/// [kept](Builder::kept_in).
#[derive(Debug)]
pub struct Postgres {
    access: Access,
    watchdog: Mutex<Watchdog>,
}

// === impl Builder ===

impl Builder {
    /// Sets one of PostgreSQL's settings, as in postgresql.conf; the last value counts.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the cluster in this folder, which is made if it is missing: the next one that is kept there finds its data.
    /// One that another version of PostgreSQL has made does not start.
    #[must_use]
    pub fn kept_in(mut self, folder: &Path) -> Self {
        self.kept_in = Some(folder.to_owned());
        self
    }

    /// Makes the cluster and waits until it accepts connections. Blocks, for about a second.
    ///
    /// # Errors
    ///
    /// If PostgreSQL is not installed or does not start; the error says what to do, or ends with its log.
    pub fn start(self) -> Result<Postgres, Error> {
        let (bin, account) = (Postgres::programs()?, Account::find()?);
        for _ in 1..PORTS_TRIED {
            match self.start_on(port::free()?, &bin, account) {
                Err(Error::PortTaken) => {}
                result => return result,
            }
        }
        self.start_on(port::free()?, &bin, account)
    }

    fn start_on(&self, port: u16, bin: &Path, account: Option<Account>) -> Result<Postgres, Error> {
        let folder = self.folder(account)?;
        let arguments = self.arguments(port, &folder);
        let watchdog = Watchdog::start(bin, folder, self.kept_in.is_some(), account, self.primary, &arguments)?;
        Ok(Postgres { access: Access { bin: bin.to_owned(), port }, watchdog: Mutex::new(watchdog) })
    }

    /// A folder for the watchdog: it owns it, and removes it unless it is kept.
    fn folder(&self, account: Option<Account>) -> Result<PathBuf, Error> {
        let own = |folder: &Path| account.map_or(Ok(()), |account| account.own(folder));
        if let Some(kept) = &self.kept_in {
            fs::create_dir_all(kept).map_err(Error::io(format!("make {}", kept.display())))?;
            own(kept)?;
            return std::path::absolute(kept).map_err(Error::io(format!("find {}", kept.display())));
        }
        let folder =
            tempfile::Builder::new().prefix("rowstream-pg-").tempdir().map_err(Error::io("make a temporary folder"))?;
        own(folder.path())?;
        Ok(folder.keep())
    }

    fn arguments(&self, port: u16, folder: &Path) -> Vec<String> {
        // The path of a socket has to be short, and who says where a cluster is kept need not care: it has none then.
        let sockets = if self.kept_in.is_some() { String::new() } else { folder.display().to_string() };
        let place = [
            ("port".to_owned(), port.to_string()),
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("unix_socket_directories".to_owned(), sockets),
        ];
        let defaults = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all = defaults.into_iter().chain(self.settings.iter().cloned()).chain(place);
        all.flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]).collect()
    }
}

// === impl Postgres ===

impl Postgres {
    /// A cluster with the default settings. Blocks, for about a second.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// To choose settings.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { settings: Vec::new(), primary: None, kept_in: None }
    }

    /// To make a hot standby of this cluster, from a base backup.
    #[must_use]
    pub fn standby(&self) -> Builder {
        Builder { settings: Vec::new(), primary: Some(self.port()), kept_in: None }
    }

    /// The one cluster that all tests of a binary share, started by the first of them.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// The folder of PostgreSQL's programs, whether or not a cluster runs.
    ///
    /// # Errors
    ///
    /// If PostgreSQL is not installed; the error says what to do.
    pub fn programs() -> Result<PathBuf, Error> {
        programs::find()
    }

    /// The address of one of its databases for programs and drivers, as superuser and without a password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.access.url(database)
    }

    /// The port on 127.0.0.1; it stays the same over a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.access.port
    }

    /// PostgreSQL's major version, such as 17.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn major(&self) -> Result<u32, Error> {
        let number = self.psql("postgres", "show server_version_num")?;
        let failed = || Error::Failed { program: "psql".to_owned(), output: format!("no version: {number}") };
        number.trim().parse::<u32>().map(|number| number / 10_000).map_err(|_| failed())
    }

    /// The path of one of PostgreSQL's programs, such as `psql` or `pg_dump`.
    #[must_use]
    pub fn bin(&self, name: &str) -> PathBuf {
        self.access.bin.join(name)
    }

    /// What the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.watchdog().log()
    }

    /// A new, empty database, which ends when it is dropped.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn create_database(&self) -> Result<Database, Error> {
        Database::create(self.access.clone())
    }

    /// A database that exists already: a standby's copy, for instance. Dropped, it is removed if that is possible.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        Database::existing(self.access.clone(), name)
    }

    /// Runs SQL, statement by statement, each in a transaction of its own, up to the first that fails. Returns the
    /// rows: `|` between columns, a line a row, no last line break.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        self.access.psql(database, sql)
    }

    /// What `COPY (sql) TO STDOUT (FORMAT csv, HEADER)` prints, to the byte.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn psql_csv(&self, database: &str, sql: &str) -> Result<Vec<u8>, Error> {
        self.access.csv(database, sql)
    }

    /// The connections to a database, ordered by pid, without the one that asks.
    ///
    /// # Errors
    ///
    /// With what psql says.
    pub fn backends(&self, database: &str) -> Result<Vec<Backend>, Error> {
        self.access.backends(database)
    }

    /// Stops the server and waits until its process has ended. Nothing happens if it is stopped already.
    ///
    /// # Errors
    ///
    /// If the watchdog does not answer.
    pub fn stop(&self, mode: StopMode) -> Result<(), Error> {
        let signal = match mode {
            StopMode::Fast => "INT",
            StopMode::Immediate => "QUIT",
        };
        self.watchdog().stop(signal)
    }

    /// Starts the server again on the same port, after a fast stop if it runs, and waits until it accepts
    /// connections.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn restart(&self) -> Result<(), Error> {
        self.watchdog().restart()
    }

    /// Stops all its processes in the middle of what they do, as a machine that hangs.
    ///
    /// # Errors
    ///
    /// With what psql or kill says.
    pub fn freeze(&self) -> Result<Frozen, Error> {
        let postmaster = self.psql("postgres", "SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)")?;
        let others = self.psql("postgres", "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")?;
        // The first of them first: it would start what ends.
        let frozen = Frozen(std::iter::once(postmaster).chain(others.lines().map(str::to_owned)).collect());
        frozen.signal("STOP")?;
        Ok(frozen)
    }

    fn watchdog(&self) -> MutexGuard<'_, Watchdog> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
