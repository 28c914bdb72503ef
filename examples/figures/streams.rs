//! A whole table, beside COPY; and how long until its first row.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rowstream_client::Client;
use rowstream_testkit::bin;
use tokio::{process::Command, time::sleep};

use crate::{Result, Server, cost, database::Source, quantile};

const QUERY: &str = "select * from tpch.lineitem";

/// From the call until the first rows are there, on a warm pool.
pub(crate) async fn first_rows(client: &Client) -> Result<()> {
    for (name, sql, times) in [("select * from lineitem", QUERY, 50), ("a query of one row", "select 1", 500)] {
        let mut measured = Vec::new();
        for _ in 0..times {
            let start = Instant::now();
            let mut rows = client.sql(sql).stream().await?;
            rows.next_batch().await?;
            measured.push(start.elapsed());
        }
        println!("{name}: p50 {:.2?}, p99 {:.2?}", quantile(&mut measured, 0.5), quantile(&mut measured, 0.99));
    }
    Ok(())
}

/// COPY, our client in this process that reads every value, and the program that prints CSV, in turns.
pub(crate) async fn compare(source: &Source, server: &Server, rounds: usize) -> Result<()> {
    let (mut copies, mut reads, mut prints) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rows, mut program_peak) = (0, 0);
    let (_, before) = server.cost()?;
    for _ in 0..rounds {
        copies.push(source.time_copy(QUERY).await?);
        let start = Instant::now();
        rows = read(&server.url).await?;
        reads.push(start.elapsed());
        let start = Instant::now();
        program_peak = program_peak.max(print(&server.url).await?);
        prints.push(start.elapsed());
    }
    let (peak, after) = server.cost()?;
    let copy = quantile(&mut copies, 0.5);
    let rate = |took: Duration| f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) / took.as_secs_f64();
    println!("COPY                                {:>9.0} rows/s", rate(copy));
    for (name, times) in
        [("ROWS, every value read            ", &mut reads), ("rowstream query --format csv      ", &mut prints)]
    {
        let took = quantile(times, 0.5);
        let ratio = copy.as_secs_f64() / took.as_secs_f64();
        println!("{name}  {:>9.0} rows/s, ratio {ratio:.2}", rate(took));
    }
    let streams = f64::from(u32::try_from(rounds * 2)?);
    let millions = f64::from(u32::try_from(rows)?) / 1e6;
    let per_million = (after - before) / streams / millions;
    println!("server: peak {} MiB, {per_million:.2} s of CPU per million rows", peak / 1024);
    println!("rowstream program: peak {:.1} MiB", f64::from(u32::try_from(program_peak)?) / 1024.0);
    Ok(())
}

/// Sizes of batches in turns, the default among them: rows a second, and the server's processor time.
pub(crate) async fn batches(server: &Server, rounds: usize) -> Result<()> {
    const SIZES: [u32; 4] = [64, 96, 128, 256];
    let mut times = SIZES.map(|_| Vec::new());
    let (mut spent, mut rows) = ([0.0; SIZES.len()], 0);
    for _ in 0..rounds {
        for (i, kib) in SIZES.into_iter().enumerate() {
            let ((_, before), start) = (server.cost()?, Instant::now());
            rows = read_in(&server.url, kib * 1024).await?;
            times[i].push(start.elapsed());
            spent[i] += server.cost()?.1 - before;
        }
    }
    let rows = f64::from(u32::try_from(rows)?);
    for (i, kib) in SIZES.into_iter().enumerate() {
        let took = quantile(&mut times[i], 0.5).as_secs_f64();
        let cpu = spent[i] / f64::from(u32::try_from(rounds)?) / rows * 1e6;
        println!(
            "batches of {kib:>3} KiB: {:>9.0} rows/s, {cpu:.2} s of the server's CPU per million rows",
            rows / took
        );
    }
    Ok(())
}

async fn read(url: &str) -> Result<u64> {
    read_in(url, 0).await
}

async fn read_in(url: &str, batch_bytes: u32) -> Result<u64> {
    let client = Client::builder([url]).build()?;
    let call = client.sql(QUERY).deadline(Duration::from_secs(3600)).max_batch_bytes(batch_bytes);
    let mut stream = call.stream().await?;
    let mut values = 0_u64;
    while let Some(batch) = stream.next_batch().await? {
        for row in batch.iter() {
            for value in row.values() {
                std::hint::black_box(value?);
                values += 1;
            }
        }
    }
    std::hint::black_box(values);
    Ok(stream.summary().ok_or("no summary")?.row_count)
}

/// Runs the program to its end, and answers its peak memory in KiB.
async fn print(url: &str) -> Result<u64> {
    let mut command = Command::new(bin("rowstream"));
    command.args(["--endpoint", url, "--deadline", "1h", "query", QUERY, "--format", "csv"]);
    let mut program = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pid = program.id().ok_or("no process")?;
    let mut peak = 0;
    loop {
        tokio::select! {
            status = program.wait() => {
                let status = status?;
                return if status.success() { Ok(peak) } else { Err(format!("rowstream: {status}").into()) };
            }
            () = sleep(Duration::from_millis(50)) => peak = cost(pid).map_or(peak, |(now, _)| now.max(peak)),
        }
    }
}
