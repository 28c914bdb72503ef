//! Everything rowstream does, on one machine and in one go:
//!
//! ```text
//! make demo
//! ```
//!
//! - `database`: a private PostgreSQL, or the one that DATABASE_URL names;
//! - `tpch`: tables `tpch.customer`, `tpch.orders`, `tpch.lineitem` with TPC-H data;
//! - `serving`: the server, in this process, with the named queries of `examples/queries`;
//! - `speed`: lineitem through the client, beside psql's COPY;
//! - `stopping`: a deadline and a cancel that reach PostgreSQL, seen in pg_stat_activity;
//! - `hints`: lines to try at another terminal, while it serves until Ctrl-C.

mod copy;
mod database;
mod hints;
mod serving;
mod speed;
mod stopping;
mod tpch;

use std::{error::Error, net::SocketAddr, process::ExitCode};

use clap::Parser;
use rowstream_client::Client;

use self::{database::Source, serving::Serving};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Serves TPC-H data from PostgreSQL, and shows what that is like
#[derive(Debug, Parser)]
struct Args {
    /// How much data: 1 is 6 million rows in lineitem, about 1.3 GB in PostgreSQL
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// The address to serve on; any free port if it is taken
    #[arg(long, default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// How often lineitem is read both ways; the median counts, because a single run says little
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// End after the measurements instead of serving until Ctrl-C
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let source = Source::open()?;
    let mut database = source.connect("rowstream demo").await?;
    println!("\n== TPC-H data, scale {}", args.scale);
    let lineitems = tpch::load(&mut database, args.scale).await?;

    let serving = Serving::start(source.url(), args.listen).await?;
    println!("\n== rowstream-server at {}", serving.endpoint());
    let client = Client::builder([serving.endpoint()]).build()?;

    println!("\n== lineitem, {lineitems} rows");
    speed::compare(&client, &source, lineitems, args.rounds).await?;

    println!("\n== a deadline");
    stopping::deadline(&client, &mut database).await?;
    println!("\n== a cancel");
    stopping::cancel(&client, &mut database).await?;

    if !args.once {
        hints::print(serving.endpoint(), source.shell_url());
        tokio::signal::ctrl_c().await?;
    }
    serving.stop().await
}
