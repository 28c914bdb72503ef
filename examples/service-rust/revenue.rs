//! The state, and how it is kept fresh.

use std::time::{Duration, Instant};

use rowstream_client::{Client, Error};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// One row of the query. numeric comes as text, because every Rust number would round it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Month {
    month: String,
    items: i64,
    revenue: String,
}

/// All months, as they were at one instant.
#[derive(Debug)]
pub(crate) struct Revenue {
    pub(crate) months: Vec<Month>,
    pub(crate) read_at: Instant,
}

/// Reads the whole again and again. A failure is told, and leaves what there is.
pub(crate) async fn keep_fresh(
    client: &Client,
    every: Duration,
    deadline: Duration,
    state: &watch::Sender<Option<Revenue>>,
) {
    loop {
        let wait = match read(client, deadline).await {
            Ok(revenue) => {
                state.send_replace(Some(revenue));
                every
            }
            Err(error) => {
                eprintln!("refresh failed: {error}");
                retry_after(&error).unwrap_or(every).min(every)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Reads all months within the deadline. A stream that ends without an error is complete: its rows have
/// been counted and checked against the server's summary. So a part is never taken for the whole.
async fn read(client: &Client, deadline: Duration) -> Result<Revenue, Error> {
    let call = client.query("revenue_by_month").bind_named("from", "1992-01-01").deadline(deadline);
    let mut rows = call.stream().await?;
    let mut months = Vec::new();
    while let Some(batch) = rows.next_batch().await? {
        for row in batch.iter() {
            months.push(row.deserialize()?);
        }
    }
    Ok(Revenue { months, read_at: Instant::now() })
}

/// When the server says that trying again may help, after how long.
fn retry_after(error: &Error) -> Option<Duration> {
    error.server()?.retry_delay()
}
