//! The Rust of the documents, word for word, run against a server; and a test that it is word for word.
//!
//! Each snippet stands in a function of its own, below what it takes for granted. Comments, line breaks and
//! commas before a bracket may differ: the formatter sees to them here, and the page's width there.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use rowstream_client::{
    ArrowOptions, Client, Code, Error, Filter, Reason, blocking, col,
    fanout::{Concurrency, HedgePolicy, Rate, RetryPolicy},
    sink::{CsvSink, Sink as _},
};
use serde::Deserialize;

use crate::harness::Pair;

type Result = std::result::Result<(), Error>;

/// A server with the named query that the documents speak of, and rows for it.
async fn served() -> Pair {
    let pair = Pair::with(&[
        "--tables",
        "tpch.*,sales.*",
        "--queries",
        concat!(env!("CARGO_MANIFEST_DIR"), "/examples/queries"),
    ])
    .await;
    pair.psql(
        "create schema tpch; create table tpch.orders (o_orderkey bigint, o_custkey bigint, o_orderdate date, \
         o_orderstatus char(1), o_totalprice numeric(15, 2), o_comment text); \
         insert into tpch.orders values (7, 4, '1998-01-02', 'O', 12.50, ''), (8, 4, '1997-01-02', 'O', 1.00, ''); \
         create schema sales; create table sales.orders (id bigint, total numeric)",
    );
    pair
}

#[allow(dead_code, reason = "it is compiled; what it does is run below")]
mod readme {
    use std::time::Duration;

    use futures_util::TryStreamExt as _;
    use rowstream_client::Client;

    #[tokio::main]
    async fn main() -> Result<(), rowstream_client::Error> {
        let client = Client::builder(["http://127.0.0.1:50051"]).build()?;
        let mut rows = client
            .query("orders_of_customer")
            .bind_named("customer_id", 4)
            .deadline(Duration::from_secs(10))
            .stream()
            .await?;
        while let Some(row) = rows.try_next().await? {
            let (key, total): (i64, String) = (row.get("o_orderkey")?, row.get("o_totalprice")?);
            println!("{key} {total}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_client_is_built() -> Result {
    let client = Client::builder(["http://10.0.0.1:50051", "http://10.0.0.2:50051"])
        .connections_per_endpoint(4)
        .connect_timeout(Duration::from_secs(2))
        .keepalive(Duration::from_secs(20))
        .build()?;
    drop(client);
    Ok(())
}

#[allow(dead_code, reason = "it is compiled; there is no such file")]
fn a_client_trusts_an_authority() -> Result {
    let client = Client::builder(["https://rows.internal:50051"])
        .ca_certificate(std::fs::read("/etc/rowstream/ca.crt").expect("readable"))
        .server_name("rows.internal")
        .build()?;
    drop(client);
    Ok(())
}

#[tokio::test]
async fn tables_are_read() -> Result {
    let pair = served().await;
    let client = pair.client();
    {
        let read =
            client.table("sales.orders").columns(["id", "total"]).filter(col("total").ge(100)).order_by(["total desc"]);
        let mut rows = read.limit(10).stream().await?;
        assert!(rows.try_next().await?.is_none());
    }
    let mut rows = client
        .table("tpch.orders")
        .columns(["o_orderkey", "o_totalprice"])
        .filter(Filter::and([col("o_totalprice").ge(100_000), !col("o_comment").like("%special%")]))
        .order_by(["o_totalprice desc"])
        .limit(10)
        .stream()
        .await?;
    assert!(rows.try_next().await?.is_none());
    Ok(())
}

#[allow(dead_code, reason = "it is compiled")]
async fn record_batches_are_read(client: Client) -> Result {
    let call = client.table("tpch.orders").call().arrow_options(ArrowOptions::new().unrepresentable_as_null());
    let mut batches = call.record_batches().await?;
    println!("{}, read by {:?}", batches.schema(), batches.header().strategy);
    while let Some(batch) = batches.next_batch().await? {
        println!("{} rows", batch.num_rows());
    }
    Ok(())
}

#[tokio::test]
async fn a_blocking_client_reads_rows() {
    let pair = served().await;
    let url = pair.url.clone();
    tokio::task::spawn_blocking(move || read_blocking(&url)).await.expect("no panic").expect("rows");
}

#[allow(unused_variables, dead_code, reason = "as above")]
fn read_blocking(url: &str) -> Result {
    #[derive(Deserialize)]
    struct Order {
        o_orderkey: i64,
    }

    {
        let client = blocking::Client::builder(["http://127.0.0.1:50051"]).build()?;
    }
    let client = blocking::Client::builder([url]).build()?;
    let mut rows = client.query("orders_of_customer").bind_named("customer_id", 4).stream()?;
    for row in rows.by_ref() {
        let order: Order = row?.deserialize()?;
    }
    let summary = rows.summary();
    assert_eq!(summary.expect("complete").row_count, 2);
    Ok(())
}

#[allow(unused_variables, dead_code, reason = "a page shows how to get at a value, not what to do with it")]
#[tokio::test]
async fn rows_are_read_one_by_one_or_in_batches() -> Result {
    let pair = served().await;
    let client = pair.client();
    let call = client
        .query("orders_of_customer")
        .bind_named("customer_id", 4)
        .deadline(Duration::from_secs(30))
        .max_rows(1000)
        .query_id("nightly-1");

    {
        let mut rows = call.stream().await?;
        while let Some(row) = rows.try_next().await? {
            let (key, total): (i64, String) = (row.get("o_orderkey")?, row.get(3)?);
        }
    }

    #[derive(Deserialize)]
    struct Order {
        o_orderkey: i64,
        o_orderdate: String,
        o_totalprice: String,
    }

    let mut rows = call.stream().await?;
    while let Some(batch) = rows.next_batch().await? {
        for row in batch.iter() {
            let order: Order = row.deserialize()?;
        }
    }
    let summary = rows.summary().expect("set once the stream has ended without an error");
    println!("{} rows, truncated: {}", summary.row_count, summary.truncated);
    assert_eq!(summary.row_count, 2);
    Ok(())
}

#[tokio::test]
async fn one_row_is_read() -> Result {
    let pair = served().await;
    let client = pair.client();
    let row =
        client.sql("SELECT $1::int + $2::int, $3::text").bind(40).bind("2").bind(None::<String>).query_row().await?;
    let (sum, text): (i32, Option<String>) = (row.get(0)?, row.get(1)?);
    assert_eq!((sum, text), (42, None));
    Ok(())
}

#[tokio::test]
async fn an_error_is_told_by_its_reason() -> Result {
    let pair = served().await;
    let client = pair.client();
    match client.sql("SELECT foo").query_row().await {
        Err(Error::Status(error)) if error.reason() == Some(Reason::SqlError) => {
            println!("{:?} at {:?}: {error}", error.sqlstate(), error.position());
        }
        other => drop(other?),
    }
    Ok(())
}

#[tokio::test]
async fn what_stands_beside_calls_works() -> Result {
    let pair = served().await;
    let client = pair.client();
    client.health().await?;
    client.list_queries().await?;
    client.tables().await?;
    client.query("orders_of_customer").describe().await?;
    client.cancel("nightly-1").await?;

    let mut rows = client.sql("SELECT i FROM generate_series(1, 3) i").stream().await?;
    let (mut sink, mut out) = (CsvSink::default(), Vec::new());
    sink.begin(rows.columns(), &mut out);
    while let Some(batch) = rows.next_batch().await? {
        sink.batch(&batch, &mut out)?;
    }
    sink.end(&mut out);
    assert_eq!(out, b"i\n1\n2\n3\n");

    client.query("orders_of_customer").bind_named("customer_id", 42).stream().await?;
    client.query("orders_of_customer").bind(42).bind("1997-01-01").stream().await?;
    Ok(())
}

/// docs/testing.md: no database is behind these.
#[allow(clippy::unwrap_used, reason = "as a reader would write tests")]
mod testing {
    use std::time::Duration;

    use futures_util::TryStreamExt as _;
    use rowstream_client::{
        Client, Code, Error, Reason, Value,
        testing::{Answer, Damage, FakeServer},
    };
    use tokio::time::Instant;

    async fn logins(client: &Client, user: i64) -> Result<usize, Error> {
        let call = client.query("user_events").bind_named("user", user).deadline(Duration::from_secs(2));
        let mut rows = call.stream().await?;
        let mut logins = 0;
        while let Some(row) = rows.try_next().await? {
            logins += usize::from(row.get::<&str>("event")? == "login");
        }
        Ok(logins)
    }

    #[tokio::test(start_paused = true)]
    async fn logins_are_counted() {
        let server = FakeServer::start().await;
        let events = [(1, "login"), (2, "logout"), (3, "login")];
        server.on("user_events", Answer::rows([("id", "int8"), ("event", "text")], events));

        assert_eq!(logins(&server.client(), 7).await.unwrap(), 2);

        let request = &server.calls()[0].request;
        assert_eq!(request.parameter("user").and_then(Value::as_i64), Some(7));
        assert_eq!(request.timeout, Some(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_are_missing_are_not_overlooked() {
        let server = FakeServer::start().await;
        let events = Answer::rows([("id", "int8"), ("event", "text")], [(1, "login"), (2, "login")]).batch_rows(1);
        for bad_day in [
            events.clone().cut_after(1),
            events.clone().error_after(1, Code::Unavailable, Reason::DatabaseUnavailable),
            events.clone().hang_after(1),
            events.clone().damaged(Damage::NoSummary),
            events.damaged(Damage::Checksum),
            Answer::error(Code::ResourceExhausted, Reason::QueueFull).retry_after(Duration::from_millis(250)),
            Answer::hang(),
        ] {
            server.on("user_events", bad_day);
            assert!(logins(&server.client(), 7).await.is_err());
        }
        server.until_idle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_silent_costs_two_seconds_and_nothing_else() {
        let server = FakeServer::start().await;
        server.otherwise(Answer::hang());
        let start = Instant::now();

        let error = logins(&server.client(), 7).await.unwrap_err();

        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        server.until_idle().await;
        assert_eq!(server.cancelled(), 1);
    }
}

#[tokio::test]
async fn calls_fan_out() -> Result {
    let pair = served().await;
    let client = pair.client();
    let ids = 0..10;
    let calls = ids.into_iter().map(|id| client.query("orders_of_customer").bind_named("customer_id", id));
    let results = client
        .fanout()
        .rate(Rate::per_second(200.0)?)
        .concurrency(50)
        .deadline(Duration::from_secs(2))
        .collect(calls)
        .await;
    for outcome in &results.outcomes {
        match &outcome.result {
            Ok(rows) => println!("call {}: {} rows in {:?}", outcome.index, rows.len(), outcome.latency),
            Err(error) => println!("call {}: {error}, after {} attempts", outcome.index, outcome.attempts),
        }
    }
    println!("{} of {} succeeded", results.report.succeeded, results.report.started);
    assert_eq!(results.report.succeeded, 10);

    let totals = client
        .fanout()
        .try_collect([4, 5].map(|id| {
            move |client: Client| async move {
                let mut rows = client.query("orders_of_customer").bind_named("customer_id", id).stream().await?;
                let mut count = 0;
                while rows.try_next().await?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        }))
        .await;
    assert_eq!(totals.ok(), Some(vec![2, 0]));

    let calls = (0..10).map(|id| client.query("orders_of_customer").bind_named("customer_id", id));
    let mut lines = Vec::new();
    let report = client
        .fanout()
        .concurrency(Concurrency::adaptive(64))
        .retry(RetryPolicy::default().max_retries(5).codes([Code::Unavailable, Code::ResourceExhausted]))
        .hedge(HedgePolicy::percentile(95.0)?)
        .for_each(calls, async |outcome| {
            lines.push(format!("{} {}", outcome.index, outcome.result?.len()));
            Ok::<_, Error>(())
        })
        .await?;
    assert_eq!((report.succeeded, lines.len()), (10, 10));
    Ok(())
}

#[test]
fn every_snippet_of_the_documents_stands_here() {
    let here = plain(include_str!("documents.rs"));
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for snippet in text.split("```rust\n").skip(1) {
            let snippet = snippet.split("```").next().expect("the rest");
            // Imports stand together, at the top of a module.
            let body: String = snippet.lines().filter(|line| !line.starts_with("use ")).collect::<Vec<_>>().join("\n");
            let statements = body.split("\n\n").map(plain).filter(|part| !part.is_empty());
            for part in statements {
                assert!(here.contains(&part), "{}: not in {}, or not the same:\n{snippet}", page.display(), file!());
            }
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).expect("the documents").map(|entry| entry.expect("a file").path());
    docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .chain([root.join("README.md")])
        .collect()
}

/// Code without comments, white space and commas before a closing bracket.
fn plain(code: &str) -> String {
    let lines = code.lines().map(|line| match line.find("//") {
        // The two slashes of a URL are no comment.
        Some(at) if !line[..at].ends_with(':') => &line[..at],
        _ => line,
    });
    let mut plain: String = lines.collect::<String>().split_whitespace().collect();
    for bracket in [")", "}", "]"] {
        plain = plain.replace(&format!(",{bracket}"), bracket);
    }
    plain
}
