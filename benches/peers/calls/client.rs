//! Our load beside the peer's: so many calls of `select 1` by the library's fan-out, so many at once. Prints one line
//! of JSON.
//!
//! ```text
//! peers URL CALLS AT_ONCE
//! ```
//!
//! The first calls warm up and are not counted: as many as are at once, ten times. `benches/peers/calls/run` runs it.

use std::time::{Duration, Instant};

use rowstream_client::{
    Client, Error, Health,
    fanout::{OneRow, Outcome},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, calls, at_once] = arguments.as_slice() else { return Err("write: peers URL CALLS AT_ONCE".into()) };
    let (calls, at_once) = (calls.parse()?, at_once.parse()?);
    let client = Client::builder([url]).build()?;
    rowstream_testkit::eventually("the server serves", Duration::from_secs(60), async || {
        matches!(client.health().await, Ok(Health::Serving))
    })
    .await;
    load(&client, at_once * 10, at_once).await?;
    let (cpu, start) = (cpu_seconds()?, Instant::now());
    load(&client, calls, at_once).await?;
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    println!(r#"{{"seconds": {seconds}, "cpu_seconds": {cpu_seconds}}}"#);
    Ok(())
}

async fn load(client: &Client, calls: usize, at_once: usize) -> Result<()> {
    let call = client.sql("select 1").one_row();
    let calls = std::iter::repeat_n(call, calls);
    let fanout = client.fanout().concurrency(at_once);
    let check = async |outcome: Outcome<OneRow>| {
        let value: i64 = outcome.result?.get(0)?;
        if value == 1 { Ok(()) } else { Err(Error::Protocol(format!("select 1 is {value}"))) }
    };
    fanout.for_each(calls, check).await?;
    Ok(())
}

/// Processor time of this process so far.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // utime and stime, in ticks of a hundredth of a second.
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
