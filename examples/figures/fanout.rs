//! Many calls at once: how exact the rate is, what a million calls take, and what hedging and an adaptive concurrency
//! bring.

use std::time::{Duration, Instant};

use rowstream_client::{
    Client, Error, blocking,
    fanout::{Adaptive, Concurrency, HedgePolicy, Rate, Report},
};

use crate::{Result, Server, cost, quantile};

/// Everything about fan-outs.
pub(crate) async fn measure(server: &Server, database_url: &str, rounds: usize) -> Result<()> {
    let client = Client::builder([&server.url]).build()?;
    println!("-- 10,000 calls of select 1, 100 at once, a pool of 10, {rounds} rounds");
    small_calls(&client, rounds).await?;
    println!("-- the rate after its burst, with calls that do nothing");
    for (rate, calls) in [(10.0, 100), (1_000.0, 10_000), (10_000.0, 100_000)] {
        rate_error(&client, rate, calls, false).await?;
    }
    println!("-- the rate after its burst, with select 1");
    for (rate, calls) in [(10.0, 100), (1_000.0, 10_000)] {
        rate_error(&client, rate, calls, true).await?;
    }
    println!("-- 100 calls of 100 ms, a pool of 50");
    let wide = Server::start_with(database_url, &["--pool-max", "50"]).await?;
    the_guides_table(&wide.url).await?;
    println!("-- calls of which 1 % stall for 500 ms");
    hedging(&Client::builder([&wide.url]).build()?).await?;
    println!("-- the best concurrency, by trying and by itself: calls of about 2 ms of work, a pool of 50");
    concurrency(&Client::builder([&wide.url]).build()?).await?;
    println!("-- memory of this process over a million calls of select 1");
    memory(&client).await
}

async fn small_calls(client: &Client, rounds: usize) -> Result<()> {
    const CALLS: u32 = 10_000;
    let (mut times, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        let report = run(client, "select 1", CALLS, 100).await?;
        times.push(start.elapsed());
        p99.push(report.latency.p99);
    }
    let took = quantile(&mut times, 0.5);
    println!("{:.0} calls/s, p99 {:.1?}", f64::from(CALLS) / took.as_secs_f64(), quantile(&mut p99, 0.5));
    Ok(())
}

/// Calls of one row, thrown away as they come.
async fn run(client: &Client, sql: &str, calls: u32, concurrency: impl Into<Concurrency>) -> Result<Report> {
    let call = client.sql(sql);
    let calls = (0..calls).map(move |_| call.clone().one_row());
    Ok(client.fanout().concurrency(concurrency).for_each(calls, async |outcome| outcome.result.map(drop)).await?)
}

/// How far the rate of beginnings is from what was asked for, the burst left out.
async fn rate_error(client: &Client, rate: f64, calls: usize, real: bool) -> Result<()> {
    let calls = (0..calls).map(move |_| {
        move |client: Client| async move {
            let begun = Instant::now();
            if real {
                client.sql("select 1").query_row().await?;
            }
            Ok::<_, Error>(begun)
        }
    });
    let results = client.fanout().rate(Rate::per_second(rate)?).concurrency(200).collect(calls).await;
    let begun =
        results.outcomes.into_iter().map(|outcome| outcome.result).collect::<std::result::Result<Vec<_>, _>>()?;
    // What comes at once is the burst, and as long as that takes at this rate the next tokens come.
    let burst = (rate / 100.0).max(2.0);
    let skip = begun.partition_point(|at| *at - begun[0] < Duration::from_secs_f64(burst / rate));
    let measured = &begun[skip..];
    let spent = *measured.last().ok_or("too few calls")? - measured[0];
    let got = f64::from(u32::try_from(measured.len() - 1)?) / spent.as_secs_f64();
    println!("{rate:>6}/s: {got:.2}/s, off by {:+.3} %", (got / rate - 1.0) * 100.0);
    Ok(())
}

/// One after another, by threads, at once.
async fn the_guides_table(url: &str) -> Result<()> {
    const CALLS: usize = 100;
    const SQL: &str = "select 1 from pg_sleep(0.1)";
    let client = Client::builder([url]).build()?;
    // Connections are opened before the clocks run.
    run(&client, SQL, 100, 50).await?;
    let start = Instant::now();
    for _ in 0..CALLS {
        client.sql(SQL).query_row().await?;
    }
    println!("one after another     {:.2?}", start.elapsed());

    let threads = blocking::Client::builder([url]).build()?;
    let elapsed = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| (0..CALLS / 50).try_for_each(|_| threads.sql(SQL).query_row().map(drop)));
            }
        });
        start.elapsed()
    });
    println!("by 50 threads         {:.2?}", elapsed.await?);

    let start = Instant::now();
    run(&client, SQL, 100, 50).await?;
    println!("at once, 50 at a time {:.2?}", start.elapsed());
    Ok(())
}

async fn hedging(client: &Client) -> Result<()> {
    const SQL: &str = "select case when random() < 0.01 then pg_sleep(0.5) else pg_sleep(0.005) end is null";
    let call = client.sql(SQL);
    for (name, policy) in [
        ("without      ", None),
        ("hedge p95    ", Some("p95")),
        ("hedge 50ms   ", Some("50ms")),
        ("without again", None),
    ] {
        let mut fanout = client.fanout().concurrency(16).rate(Rate::per_second(500.0)?);
        if let Some(policy) = policy {
            fanout = fanout.hedge(policy.parse::<HedgePolicy>()?);
        }
        let calls = (0..5_000).map(|_| call.clone().one_row());
        let report = fanout.for_each(calls, async |outcome| outcome.result.map(drop)).await?;
        let latency = report.latency;
        println!(
            "{name}: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}; {} attempts for {} calls",
            latency.p50, latency.p99, latency.p999, report.attempts, report.started
        );
    }
    Ok(())
}

async fn concurrency(client: &Client) -> Result<()> {
    const CALLS: u32 = 3_000;
    const SQL: &str = "select count(*) from generate_series(1, 12000)";
    let rate = |took: Duration| f64::from(CALLS) / took.as_secs_f64();
    let mut best = 0.0_f64;
    for fixed in [1, 2, 4, 8, 16, 32, 64] {
        let start = Instant::now();
        let report = run(client, SQL, CALLS, fixed).await?;
        let got = rate(start.elapsed());
        best = best.max(got);
        println!("{fixed:>3} at once: {got:.0} calls/s, p99 {:.1?}", report.latency.p99);
    }
    let start = Instant::now();
    let report = run(client, SQL, CALLS, Concurrency::Adaptive(Adaptive::up_to(64))).await?;
    let got = rate(start.elapsed());
    println!(
        "adaptive: {got:.0} calls/s, {:.2} of the best; {} at once in the end, p99 {:.1?}",
        got / best,
        report.limit,
        report.latency.p99
    );
    Ok(())
}

async fn memory(client: &Client) -> Result<()> {
    let resident = || -> Result<u64> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    };
    let before = resident()?;
    let call = client.sql("select 1");
    let calls = (0..1_000_000_u32).map(move |_| call.clone().one_row());
    let mut at = Vec::new();
    let fanout = client.fanout().concurrency(100);
    let taken = fanout.for_each(calls, async |outcome| {
        outcome.result?;
        if outcome.index % 200_000 == 100_000 {
            at.push(resident().unwrap_or_default());
        }
        Ok::<_, Error>(())
    });
    let report = taken.await?;
    let (_, cpu) = cost(std::process::id())?;
    println!("{before} MiB before; every 200,000 calls {at:?} MiB; {:.0?} in all, {cpu:.0} s of CPU", report.elapsed);
    Ok(())
}
