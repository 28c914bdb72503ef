//! Which PostgreSQL the demo runs on.

use std::{
    env,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use rowstream_testkit::Postgres;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::process::Command;

use crate::Result;

/// A database, and PostgreSQL's own client to compare with.
pub(crate) struct Source {
    url: String,
    psql: PathBuf,
    /// Stopped, with all its data, when this is dropped.
    private: Option<Postgres>,
}

impl Source {
    /// The database that DATABASE_URL names, or else one in a PostgreSQL of our own.
    pub(crate) fn open() -> Result<Self> {
        let psql = Postgres::programs()?.join("psql");
        if let Ok(url) = env::var("DATABASE_URL") {
            println!("== the PostgreSQL of DATABASE_URL; the data stays there, in schema tpch");
            return Ok(Self { url, psql, private: None });
        }
        println!("== a private PostgreSQL, with the programs in {}", Postgres::programs()?.display());
        let postgres = Postgres::builder().setting("shared_buffers", "256MB").setting("max_wal_size", "4GB").start()?;
        let url = postgres.url("postgres");
        println!("{url}");
        Ok(Self { url, psql, private: Some(postgres) })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The URL as a shell takes it: the user's own holds perhaps a password, and is not for the screen.
    pub(crate) fn shell_url(&self) -> &str {
        if self.private.is_some() { &self.url } else { "\"$DATABASE_URL\"" }
    }

    /// A connection beside those of the server.
    pub(crate) async fn connect(&self, application_name: &str) -> Result<PgConnection> {
        let options: PgConnectOptions = self.url.parse()?;
        Ok(options.application_name(application_name).disable_statement_logging().connect().await?)
    }

    /// How long psql takes to read all rows of a query by COPY in binary, and throw them away.
    pub(crate) async fn time_copy(&self, query: &str) -> Result<Duration> {
        let start = Instant::now();
        let mut psql = Command::new(&self.psql);
        psql.args(["--no-psqlrc", "--quiet", "--dbname", &self.url]);
        psql.args(["--command", &format!("COPY ({query}) TO STDOUT (FORMAT binary)")]);
        let status = psql.stdin(Stdio::null()).stdout(Stdio::null()).status().await?;
        if status.success() { Ok(start.elapsed()) } else { Err(format!("psql: {status}").into()) }
    }
}
