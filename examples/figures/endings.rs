//! How soon a cancel and a deadline have their effect.

use std::time::{Duration, Instant};

use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rowstream_client::Client;
use rowstream_contract::{
    deadline,
    v1::{Statement, StreamQueryRequest, query_service_client::QueryServiceClient, statement::Source as Text},
};
use sqlx::PgConnection;

use crate::{Result, database::Source, quantile};

/// Works for seconds before its first row.
const BUSY: &str = "select i from generate_series(1, 30000000) i order by i % 7, i";
/// Rows come at once, and then slowly.
const SLOW: &str = "select i, pg_sleep(case when i > 64 then 0.005 else 0 end) from generate_series(1, 100000) i";
const DEADLINE: Duration = Duration::from_millis(50);

/// From dropping a call to its backend being idle, seen in `pg_stat_activity`.
pub(crate) async fn cancels(client: &Client, source: &Source, count: usize) -> Result<()> {
    let mut watcher = source.connect("figures watch").await?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let id = format!("cancel-{number}");
        let call = client.sql(BUSY).query_id(id.as_str());
        let running = tokio::spawn(async move { call.stream().await.map(drop) });
        let pid = until_active(&mut watcher, &id).await?;
        running.abort();
        let start = Instant::now();
        while is_active(&mut watcher, pid, &id).await? {}
        times.push(start.elapsed());
    }
    print("cancel to idle", &mut times);
    Ok(())
}

async fn until_active(watcher: &mut PgConnection, id: &str) -> Result<i32> {
    let sql =
        "select pid from pg_stat_activity where state = 'active' and application_name like 'rowstream ' || $1 || ' %'
               and query like '%generate_series%' and now() - query_start > '1 ms'";
    loop {
        let found: Option<i32> = sqlx::query_scalar(sql).bind(id).fetch_optional(&mut *watcher).await?;
        if let Some(pid) = found {
            return Ok(pid);
        }
    }
}

async fn is_active(watcher: &mut PgConnection, pid: i32, id: &str) -> Result<bool> {
    let sql = "select exists (select from pg_stat_activity where pid = $1 and state <> 'idle'
               and application_name like 'rowstream ' || $2 || ' %')";
    Ok(sqlx::query_scalar(sql).bind(pid).bind(id).fetch_one(watcher).await?)
}

/// How much later a call is answered than the server's work on it was to end. A plain HTTP/2 client, without a timer of its
/// own: the answer is the server's.
pub(crate) async fn deadlines(url: &str, count: usize) -> Result<()> {
    let mut connector = HttpConnector::new();
    // Or the request's body waits 40 ms for its headers to be acknowledged.
    connector.set_nodelay(true);
    let connection = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    let mut client = QueryServiceClient::with_origin(connection, url.parse()?);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let source = Some(Text::Sql(SLOW.to_owned()));
        let statement = Some(Statement { source, ..Statement::default() });
        let mut request = tonic::Request::new(StreamQueryRequest { statement, ..StreamQueryRequest::default() });
        request.metadata_mut().insert("grpc-timeout", format!("{}m", DEADLINE.as_millis()).parse()?);
        let start = Instant::now();
        let status = ending(&mut client, request).await?;
        if status.code() != tonic::Code::DeadlineExceeded {
            return Err(status.into());
        }
        times.push(start.elapsed().saturating_sub(deadline::without_margin(DEADLINE)));
    }
    print("overshoot", &mut times);
    Ok(())
}

type Plain = legacy::Client<HttpConnector, tonic::body::Body>;

async fn ending(
    client: &mut QueryServiceClient<Plain>,
    request: tonic::Request<StreamQueryRequest>,
) -> Result<tonic::Status> {
    let mut stream = match client.stream_query(request).await {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Ok(status),
    };
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Err("the stream ended without an error".into()),
            Err(status) => return Ok(status),
        }
    }
}

fn print(name: &str, times: &mut [Duration]) {
    let (p50, p99, most) = (quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1.0));
    println!("{name}: p50 {p50:.2?}, p99 {p99:.2?}, most {most:.2?}");
}
