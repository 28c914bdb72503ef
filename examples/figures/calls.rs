//! Calls of one row.

use std::time::{Duration, Instant};

use rowstream_client::Client;
use tokio::task::JoinSet;

use crate::{Result, quantile};

const CALLS: usize = 20_000;
const AT_A_TIME: usize = 100;
const ROUNDS: usize = 5;

/// Calls a second, and how long one takes, the median round of several.
pub(crate) async fn measure(client: &Client) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut times = round(client).await?;
        rounds.push((start.elapsed(), quantile(&mut times, 0.5), quantile(&mut times, 0.99)));
    }
    rounds.sort_unstable();
    let (took, p50, p99) = rounds[ROUNDS / 2];
    let calls = u32::try_from(CALLS)?;
    println!("{:.0} calls/s, p50 {p50:.1?}, p99 {p99:.1?}", f64::from(calls) / took.as_secs_f64());
    Ok(())
}

async fn round(client: &Client) -> Result<Vec<Duration>> {
    let mut callers = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let call = client.sql("select 1");
        callers.spawn(async move {
            let mut times = Vec::with_capacity(CALLS / AT_A_TIME);
            for _ in 0..CALLS / AT_A_TIME {
                let start = Instant::now();
                call.query_row().await?;
                times.push(start.elapsed());
            }
            Ok::<_, rowstream_client::Error>(times)
        });
    }
    let mut times = Vec::with_capacity(CALLS);
    while let Some(caller) = callers.join_next().await {
        times.extend(caller??);
    }
    Ok(times)
}
