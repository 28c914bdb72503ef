//! Measures what the project promises: on a private PostgreSQL, with the built programs as processes of
//! their own, each figure beside its base in the same run. Nothing here asserts; tests do that.
//!
//! `make figures`, or `make figures FIGURES_ARGS="--scale 1 --rounds 5"`.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use clap::Parser;
use rowstream_client::{Client, Health};
use rowstream_testkit::bin;
use tokio::process::{Child, Command};

mod calls;
#[path = "../demo/copy.rs"]
mod copy;
#[path = "../demo/database.rs"]
mod database;
mod endings;
mod fanout;
mod streams;
#[path = "../demo/tpch.rs"]
mod tpch;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures rowstream beside COPY.
#[derive(Parser)]
struct Args {
    /// TPC-H's scale factor: 1 is 6,001,215 line items
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// How often COPY and each stream take turns; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many cancels and deadlines
    #[arg(long, default_value_t = 1000)]
    endings: usize,
    /// Measure fan-outs alone
    #[arg(long)]
    fanout: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let source = database::Source::open()?;
    if args.fanout {
        let server = Server::start(source.url()).await?;
        return fanout::measure(&server, source.url(), args.rounds).await;
    }
    tpch::load(&mut source.connect("figures").await?, args.scale).await?;
    println!("the server reads {}", source.shell_url());
    let server = Server::start(source.url()).await?;
    let client = Client::builder([&server.url]).build()?;

    println!("== small calls: select 1, 100 at a time, a pool of 10");
    calls::measure(&client).await?;
    println!("== fan-outs");
    fanout::measure(&server, source.url(), args.rounds).await?;
    println!("== first rows");
    streams::first_rows(&client).await?;
    println!("== lineitem, {} rounds, beside psql's COPY in binary", args.rounds);
    streams::compare(&source, &server, args.rounds).await?;
    println!("== lineitem in batches of several sizes, {} rounds", args.rounds);
    streams::batches(&server, args.rounds).await?;
    println!("== {} cancels: from dropping the call until the backend is idle", args.endings);
    endings::cancels(&client, &source, args.endings).await?;
    println!("== {} deadlines of 50 ms in mid-fetch: how late the answer is, by the server's own clock", args.endings);
    endings::deadlines(&server.url, args.endings).await
}

/// The server, as a process of its own.
pub(crate) struct Server {
    pub(crate) url: String,
    process: Child,
}

impl Server {
    async fn start(database_url: &str) -> Result<Self> {
        Self::start_with(database_url, &[]).await
    }

    pub(crate) async fn start_with(database_url: &str, further: &[&str]) -> Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let SocketAddr::V4(address) = free else { return Err("not an IPv4 address".into()) };
        let mut command = Command::new(bin("rowstream-server"));
        command.args(["--database-url", database_url, "--listen", &address.to_string(), "--allow-sql"]).args(further);
        let process = command.stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let url = format!("http://{address}");
        let client = Client::builder([&url]).build()?;
        rowstream_testkit::eventually("the server serves", Duration::from_secs(30), async || {
            matches!(client.health().await, Ok(Health::Serving))
        })
        .await;
        Ok(Self { url, process })
    }

    /// Peak memory in KiB, and processor time in seconds so far.
    pub(crate) fn cost(&self) -> Result<(u64, f64)> {
        cost(self.process.id().ok_or("the server has ended")?)
    }
}

/// Peak memory in KiB and processor time in seconds of a process.
pub(crate) fn cost(pid: u32) -> Result<(u64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // utime and stime, in ticks of a hundredth of a second.
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok((peak.trim().trim_end_matches(" kB").parse()?, ticks / 100.0))
}

/// The value below which a share of the values lies.
pub(crate) fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = ((values.len() - 1) as f64 * share).round() as usize;
    values[index]
}
