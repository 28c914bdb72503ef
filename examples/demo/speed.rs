//! How fast a table comes through the pair, beside psql's COPY in the same run.
//!
//! psql throws its bytes away unread; our client takes every batch, counts its rows and checks the sum over its bytes.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use rowstream_client::Client;

use crate::{Result, database::Source};

const QUERY: &str = "SELECT * FROM tpch.lineitem";

/// Prints what both ways take, and the ratio. Both take turns `rounds` times, and the medians count.
pub(crate) async fn compare(client: &Client, source: &Source, rows: u64, rounds: u32) -> Result<()> {
    let (mut copies, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        copies.push(source.time_copy(QUERY).await?);
        streams.push(stream(client, rows).await?);
    }
    let (copy, stream) = (median(copies), median(streams));
    println!("psql, COPY in binary, to nowhere   {} rows/s", rate(rows, copy));
    println!("rowstream, one stream              {} rows/s", rate(rows, stream));
    println!("ratio                              {:.2}", copy.as_secs_f64() / stream.as_secs_f64());
    Ok(())
}

/// Streams the table once.
async fn stream(client: &Client, rows: u64) -> Result<Duration> {
    let progress =
        ProgressBar::new(rows).with_style(ProgressStyle::with_template("{wide_bar} {human_pos} rows {per_sec}")?);
    let start = Instant::now();
    let mut stream = client.sql(QUERY).deadline(Duration::from_secs(3600)).stream().await?;
    while let Some(batch) = stream.next_batch().await? {
        progress.inc(batch.len() as u64);
    }
    let elapsed = start.elapsed();
    progress.finish_and_clear();
    let summary = stream.summary().ok_or("a stream that ended well has a summary")?;
    println!(
        "streamed {} rows, {} in {elapsed:.2?}: PostgreSQL {:.2?}, encoding {:.2?}, waiting for us {:.2?}",
        HumanCount(summary.row_count),
        HumanBytes(summary.byte_count),
        summary.database,
        summary.encode,
        summary.client_wait,
    );
    Ok(elapsed)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
fn rate(rows: u64, elapsed: Duration) -> HumanCount {
    HumanCount((rows as f64 / elapsed.as_secs_f64()) as u64)
}
