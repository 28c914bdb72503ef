//! The readers of the comparison that are written in Rust: rowstream's client library, and sqlx without a service.
//!
//! ```text
//! peers-reader sqlx DATABASE_URL SQL
//! peers-reader rowstream SERVER_URL SQL [--encoding rows|arrow] [--strategy auto|cursor|portal|copy]
//!     [--streams N | --partitions N [--table TABLE]]
//! ```
//!
//! Each reads all rows and all their values, throws them away, and prints one line of JSON: how many rows, how long it
//! took, how long until the first were there, and what it cost this process. The clock starts before the connection is
//! made. `benches/peers/run` runs it.

use std::time::Instant;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

mod cost;
mod rowstream;
mod sqlx;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Reads all rows of a statement, and says what that took.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    reader: Reader,
}

#[derive(Subcommand)]
enum Reader {
    /// sqlx's `fetch`, straight from PostgreSQL; the bytes of every value
    Sqlx { database_url: String, sql: String },
    /// A rowstream-server, by the client library
    Rowstream(rowstream::Args),
}

/// What reading has shown.
pub(crate) struct Read {
    pub(crate) rows: u64,
    /// When the first rows were there.
    pub(crate) first: Option<Instant>,
    /// What only this reader can tell.
    pub(crate) more: Value,
}

// One thread is enough for a stream, and what a program with nothing else to do would take.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    if let Reader::Rowstream(args) = &args.reader {
        rowstream::warm_up(args).await?;
    }
    let (cpu, start) = (cost::cpu_seconds()?, Instant::now());
    let read = match &args.reader {
        Reader::Sqlx { database_url, sql } => sqlx::read(database_url, sql).await?,
        Reader::Rowstream(args) => rowstream::read(args).await?,
    };
    let seconds = start.elapsed().as_secs_f64();
    let told = json!({
        "rows": read.rows,
        "seconds": seconds,
        "first_row_seconds": read.first.map(|first| (first - start).as_secs_f64()),
        "cpu_seconds": cost::cpu_seconds()? - cpu,
        "peak_kib": cost::peak_kib()?,
        "more": read.more,
    });
    println!("{told}");
    Ok(())
}
