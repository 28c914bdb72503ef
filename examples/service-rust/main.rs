//! A small service that stands on rowstream-server: it keeps the revenue by month in memory, filled from
//! a stream with a deadline, and answers from there.
//!
//! ```text
//! make demo                                                   # at one terminal
//! cargo run --example service-rust -- --listen 127.0.0.1:8080 # at another
//! curl http://127.0.0.1:8080/revenue
//! ```
//!
//! - `revenue`: one read of the named query `revenue_by_month`, all or nothing, and when to try again;
//! - `http`: just enough of HTTP to answer with it.
//!
//! What is worth copying: callers of the service never wait for the database; a refresh that fails leaves
//! the last good state, whose age is told; every refresh has a deadline; the server's word on when to try
//! again is followed.

mod http;
mod revenue;

use std::{error::Error, net::SocketAddr, process::ExitCode, time::Duration};

use clap::Parser;
use rowstream_client::Client;
use tokio::{net::TcpListener, sync::watch};

use self::revenue::Revenue;

/// Serves the revenue by month from memory
#[derive(Debug, Parser)]
struct Args {
    /// Where rowstream-server is
    #[arg(long, env = "ROWSTREAM_ENDPOINT", default_value = "http://127.0.0.1:50051")]
    endpoint: String,
    /// The address to serve on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How long to wait between two refreshes
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// How long one refresh may take
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    deadline: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let client = Client::builder([args.endpoint]).build()?;
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    // The one place of the state: a refresh replaces it, requests borrow it.
    let (state, seen) = watch::channel(None::<Revenue>);
    tokio::select! {
        () = revenue::keep_fresh(&client, args.every, args.deadline, &state) => {}
        outcome = http::serve(listener, seen) => outcome?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
