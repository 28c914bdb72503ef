//! rowstream: one stream of the client library, or several at once.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use clap::{Args as ClapArgs, ValueEnum};
use futures_util::future::try_join_all;
use rowstream_client::{Call, Client, Header, Health, RecordBatchStream, Strategy};
use serde_json::json;

use crate::{Read, Result};

/// Far beyond what any measurement takes.
const DEADLINE: Duration = Duration::from_secs(3600);

#[derive(ClapArgs)]
pub(crate) struct Args {
    server_url: String,
    sql: String,
    #[arg(long, value_enum, default_value_t = Encoding::Rows)]
    encoding: Encoding,
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    strategy: Way,
    /// How many streams at once, each of all rows
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Read one snapshot in so many partitions, each by a stream
    #[arg(long, conflicts_with = "streams")]
    partitions: Option<u32>,
    /// The table that the statement reads whole, to be read without SQL
    #[arg(long)]
    table: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Encoding {
    Rows,
    Arrow,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    Auto,
    Cursor,
    Portal,
    Copy,
}

impl Way {
    fn strategy(self) -> Strategy {
        match self {
            Self::Auto => Strategy::Auto,
            Self::Cursor => Strategy::Cursor,
            Self::Portal => Strategy::Portal,
            Self::Copy => Strategy::Copy,
        }
    }
}

/// Waits until the server serves, and has it open the connections to PostgreSQL that it will need: a service that has
/// been running for a while has them.
pub(crate) async fn warm_up(args: &Args) -> Result<()> {
    let client = Client::builder([&args.server_url]).build()?;
    rowstream_testkit::eventually("the server serves", Duration::from_secs(60), async || {
        matches!(client.health().await, Ok(Health::Serving))
    })
    .await;
    let partitions = args.partitions.unwrap_or(0) as usize;
    let calls = (0..args.streams.max(partitions)).map(|_| {
        let call = client.sql("select pg_sleep(0.01)");
        async move { call.query_row().await }
    });
    try_join_all(calls).await?;
    Ok(())
}

/// Reads `streams` times the statement's rows, or once in partitions.
pub(crate) async fn read(args: &Args) -> Result<Read> {
    let client = Client::builder([&args.server_url]).build()?;
    let start = Instant::now();
    let streams = match args.partitions {
        Some(partitions) => in_partitions(&client, args, partitions).await?,
        None => try_join_all((0..args.streams).map(|_| one(&client, args))).await?,
    };
    let seconds: Vec<f64> = streams.iter().map(|stream| (stream.end - start).as_secs_f64()).collect();
    let first_seconds: Vec<f64> =
        streams.iter().filter_map(|stream| Some((stream.first? - start).as_secs_f64())).collect();
    let used = streams.first().map(|stream| &stream.used);
    Ok(Read {
        rows: streams.iter().map(|stream| stream.rows).sum(),
        first: streams.iter().filter_map(|stream| stream.first).min(),
        more: json!({"strategy": used, "stream_seconds": seconds, "stream_first_row_seconds": first_seconds}),
    })
}

/// One stream that has ended.
struct Stream {
    rows: u64,
    first: Option<Instant>,
    end: Instant,
    used: String,
}

/// One snapshot, whose making counts.
async fn in_partitions(client: &Client, args: &Args, count: u32) -> Result<Vec<Stream>> {
    let call = match &args.table {
        Some(table) => client.table(table).call(),
        None => client.sql(&args.sql),
    };
    let session = client.create_read_session(call.deadline(DEADLINE)).partitions(count).create().await?;
    let reads = session.partitions().iter().map(|partition| {
        let read = client.read_partition(partition.token.clone()).deadline(DEADLINE);
        async move { batches(read.record_batches().await?, Strategy::Auto).await }
    });
    let streams = try_join_all(reads).await?;
    client.delete_read_session(session.id()).await?;
    Ok(streams)
}

async fn one(client: &Client, args: &Args) -> Result<Stream> {
    let call = client.sql(&args.sql).deadline(DEADLINE).strategy(args.strategy.strategy());
    match args.encoding {
        Encoding::Rows => rows(&call, args.strategy.strategy()).await,
        Encoding::Arrow => record_batches(&call, args.strategy.strategy()).await,
    }
}

async fn rows(call: &Call, asked: Strategy) -> Result<Stream> {
    let mut stream = call.stream().await?;
    let used = used(stream.header(), asked)?;
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
    Ok(Stream { rows, first, end: Instant::now(), used })
}

async fn record_batches(call: &Call, asked: Strategy) -> Result<Stream> {
    batches(call.record_batches().await?, asked).await
}

async fn batches(mut stream: RecordBatchStream, asked: Strategy) -> Result<Stream> {
    let used = used(stream.header(), asked)?;
    let mut first = None;
    while let Some(batch) = stream.next_batch().await? {
        first.get_or_insert_with(Instant::now);
        black_box(batch);
    }
    let rows = stream.summary().ok_or("no summary")?.row_count;
    Ok(Stream { rows, first, end: Instant::now(), used })
}

/// How the server reads. What it was not asked for is measured under no other's name.
fn used(header: &Header, asked: Strategy) -> Result<String> {
    match header.strategy {
        Some(used) if asked == Strategy::Auto || used == asked => Ok(used.to_string()),
        Some(used) => Err(format!("the server reads by {used}, and was asked for {asked}").into()),
        None if asked == Strategy::Auto => Ok("not said".to_owned()),
        None => Err(format!("the server does not say how it reads, and was asked for {asked}").into()),
    }
}
