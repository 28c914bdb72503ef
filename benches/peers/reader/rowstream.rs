//! rowstream: one stream of the client library, or several at once.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use clap::Args as ClapArgs;
use futures_util::future::try_join_all;
use rowstream_client::{Client, Health};
use serde_json::json;

use crate::{Read, Result};

/// Far beyond what any measurement takes.
const DEADLINE: Duration = Duration::from_secs(3600);

#[derive(ClapArgs)]
pub(crate) struct Args {
    server_url: String,
    sql: String,
    #[arg(long, default_value = "rows")]
    encoding: String,
    #[arg(long, default_value = "auto")]
    strategy: String,
    /// How many streams at once, each of all rows
    #[arg(long, default_value_t = 1)]
    streams: usize,
}

/// Waits until the server serves, and has it open the connections to PostgreSQL that it will need: a service that has
/// been running for a while has them.
pub(crate) async fn warm_up(args: &Args) -> Result<()> {
    let client = Client::builder([&args.server_url]).build()?;
    rowstream_testkit::eventually("the server serves", Duration::from_secs(60), async || {
        matches!(client.health().await, Ok(Health::Serving))
    })
    .await;
    let calls = (0..args.streams).map(|_| {
        let call = client.sql("select pg_sleep(0.01)");
        async move { call.query_row().await }
    });
    try_join_all(calls).await?;
    Ok(())
}

/// Reads `streams` times the statement's rows.
pub(crate) async fn read(args: &Args) -> Result<Read> {
    let client = Client::builder([&args.server_url]).build()?;
    let start = Instant::now();
    let streams = try_join_all((0..args.streams).map(|_| one(&client, args))).await?;
    let seconds: Vec<f64> = streams.iter().map(|stream| (stream.end - start).as_secs_f64()).collect();
    let first_seconds: Vec<f64> =
        streams.iter().filter_map(|stream| Some((stream.first? - start).as_secs_f64())).collect();
    Ok(Read {
        rows: streams.iter().map(|stream| stream.rows).sum(),
        first: streams.iter().filter_map(|stream| stream.first).min(),
        more: json!({"stream_seconds": seconds, "stream_first_row_seconds": first_seconds}),
    })
}

struct Stream {
    rows: u64,
    first: Option<Instant>,
    end: Instant,
}

async fn one(client: &Client, args: &Args) -> Result<Stream> {
    if args.encoding != "rows" || args.strategy != "auto" {
        return Err(format!("the client library has no {} by {} yet", args.encoding, args.strategy).into());
    }
    let mut stream = client.sql(&args.sql).deadline(DEADLINE).stream().await?;
    let mut first = None;
    while let Some(batch) = stream.next_batch().await? {
        first.get_or_insert_with(Instant::now);
        for row in batch.iter() {
            for value in row.values() {
                black_box(value?);
            }
        }
    }
    let rows = stream.summary().ok_or("no summary")?.row_count;
    Ok(Stream { rows, first, end: Instant::now() })
}
