//! The PostgreSQL that all readers of `benches/peers` read from: made once, loaded once, and kept between runs.
//!
//! ```text
//! peers-database --folder DIR --scale 1 lineitem events lineitem_10x
//! ```
//!
//! Prints one line of JSON when the tables are there, and lives until its stdin ends. What happens before that is on
//! stderr. Which data the tables hold is in [`tables`]; nothing is measured here.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
};

use clap::Parser;
use rowstream_testkit::Postgres;
use serde_json::json;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

#[path = "../../../examples/demo/copy.rs"]
mod copy;
mod tables;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What differs from PostgreSQL's defaults, and from the testkit's: as little as a fair measurement allows.
const SETTINGS: [(&str, &str); 6] = [
    ("shared_buffers", "256MB"),
    ("max_wal_size", "4GB"),
    ("max_connections", "300"),
    // Its processor time would be counted as that of a reader.
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    // So that a LIMIT gives everybody the same rows.
    ("synchronize_seqscans", "off"),
];

/// A private PostgreSQL with the tables of the comparison.
#[derive(Parser)]
struct Args {
    /// Where the cluster is kept
    #[arg(long)]
    folder: PathBuf,
    /// TPC-H's scale factor: 1 is 6,001,215 line items and 5,000,000 events
    #[arg(long)]
    scale: f64,
    /// Which tables must be there
    #[arg(required = true)]
    tables: Vec<tables::Table>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut builder = Postgres::builder().kept_in(&args.folder);
    for (name, value) in SETTINGS {
        builder = builder.setting(name, value);
    }
    let postgres = builder.start()?;
    let url = postgres.url("postgres");
    let loaded = load(&url, &args).await?;
    let postmaster: u32 =
        postgres.psql("postgres", "SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)")?.parse()?;
    let version = postgres.psql("postgres", "SHOW server_version")?;
    let settings = postgres.psql(
        "postgres",
        "SELECT name || '=' || current_setting(name) FROM pg_settings WHERE source = 'command line' AND name NOT IN ('port', 'listen_addresses', 'unix_socket_directories') ORDER BY name",
    )?;
    let settings: Vec<&str> = settings.lines().collect();
    let answer = json!({
        "url": url, "postmaster": postmaster, "version": version, "settings": settings, "tables": loaded,
        "psql": postgres.bin("psql"),
    });
    println!("{answer}");
    std::io::stdout().flush()?;
    let mut rest = Vec::new();
    // However stdin ends, the server does too.
    let _ = std::io::stdin().read_to_end(&mut rest);
    Ok(())
}

/// Makes the tables that are missing, and tells of all that were asked for.
async fn load(url: &str, args: &Args) -> Result<serde_json::Value> {
    let options: PgConnectOptions = url.parse()?;
    let mut database: PgConnection = options.disable_statement_logging().connect().await?;
    tables::prepare(&mut database).await?;
    let mut told = serde_json::Map::new();
    for table in &args.tables {
        told.insert(table.name().to_owned(), table.ready(&mut database, args.scale).await?);
    }
    Ok(told.into())
}
