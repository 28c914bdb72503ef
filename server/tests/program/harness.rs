//! The program over a database of its own, and generated clients for it.

use std::{net::SocketAddr, time::Duration};

use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rowstream_contract::v1::{
    QueryRowRequest, Statement, StreamQueryRequest, StreamQueryResponse, Summary, Value,
    query_service_client::QueryServiceClient, statement::Source, stream_query_response::Event, value::Kind,
};
use rowstream_testkit::{Database, Postgres, eventually};
use tonic::{Code, Request, Status, Streaming, body::Body};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::process::Program;

pub(crate) use rowstream_testkit::PATIENCE;
/// Rows for ever, a hundred a second.
pub(crate) const ENDLESS: &str = "select i, pg_sleep(0.01) from generate_series(1, 1000000) i";

/// A plain HTTP/2 client: nothing between the test and the server's own answers (tonic's channel has a
/// timer of its own for grpc-timeout).
pub(crate) type Http = legacy::Client<HttpConnector, Body>;
pub(crate) type Client = QueryServiceClient<Http>;
pub(crate) type Events = Streaming<StreamQueryResponse>;

/// A program that serves, and its database.
#[derive(Debug)]
pub(crate) struct Server {
    // The program ends before its database is dropped.
    pub(crate) program: Program,
    pub(crate) database: Database,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// With ad-hoc SQL allowed, on a free port, and more flags.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::spawn(Program::command().args(flags)).await
    }

    /// The same with a command of the caller's.
    pub(crate) async fn spawn(command: &mut std::process::Command) -> Self {
        let database = Postgres::shared().create_database().expect("a database");
        command.args(["--listen", "127.0.0.1:0", "--allow-sql", "--database-url", &database.url()]);
        let mut program = Program::spawn(command);
        let address = program.address().await;
        let server = Self { program, database, address };
        until_serving(server.address).await;
        server
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> Client {
        client(self.address)
    }

    /// How many of the program's backends run a statement that contains `text` right now.
    pub(crate) fn active(&self, text: &str) -> usize {
        let backends = self.database.backends().expect("pg_stat_activity");
        backends.iter().filter(|backend| backend.is_active() && backend.query.contains(text)).count()
    }

    /// Waits until no backend works or holds a transaction open.
    pub(crate) async fn assert_idle(&self) {
        eventually("no backend is busy or in a transaction", PATIENCE, async || {
            let backends = self.database.backends().expect("pg_stat_activity");
            backends.iter().all(|backend| !backend.in_transaction())
        })
        .await;
    }

    /// Waits until PostgreSQL knows none of the program's connections any more.
    pub(crate) async fn assert_no_backend(&self) {
        eventually("no backend is left", PATIENCE, async || {
            self.database.backends().expect("pg_stat_activity").is_empty()
        })
        .await;
    }
}

fn http() -> Http {
    legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn origin(address: SocketAddr) -> http::Uri {
    format!("http://{address}").parse().expect("a URL")
}

pub(crate) fn client(address: SocketAddr) -> Client {
    QueryServiceClient::with_origin(http(), origin(address))
}

/// What the health service says of the whole server, over a connection of its own.
pub(crate) async fn health(address: SocketAddr) -> Result<ServingStatus, Status> {
    let answer = HealthClient::with_origin(http(), origin(address)).check(HealthCheckRequest::default()).await?;
    Ok(answer.into_inner().status())
}

/// The health service's answers as they change.
pub(crate) async fn watch_health(address: SocketAddr) -> Streaming<HealthCheckResponse> {
    let watch = HealthClient::with_origin(http(), origin(address)).watch(HealthCheckRequest::default()).await;
    watch.expect("health is served").into_inner()
}

pub(crate) async fn until_serving(address: SocketAddr) {
    eventually("the server says that it serves", PATIENCE, async || {
        matches!(health(address).await, Ok(ServingStatus::Serving))
    })
    .await;
}

/// A statement of ad-hoc SQL.
pub(crate) fn statement(text: &str) -> Statement {
    Statement { source: Some(Source::Sql(text.to_owned())), ..Statement::default() }
}

/// The same with one parameter.
pub(crate) fn statement_with(sql: &str, parameter: &str) -> Statement {
    let value = Value { kind: Some(Kind::Text(parameter.to_owned())) };
    Statement { parameters: vec![value], ..statement(sql) }
}

pub(crate) fn stream_of(text: &str) -> StreamQueryRequest {
    StreamQueryRequest { statement: Some(statement(text)), ..StreamQueryRequest::default() }
}

pub(crate) fn row_of(text: &str) -> QueryRowRequest {
    QueryRowRequest { statement: Some(statement(text)), ..QueryRowRequest::default() }
}

/// A request whose grpc-timeout is set, with no timer on this side.
pub(crate) fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let millis = format!("{}m", timeout.as_millis());
    request.metadata_mut().insert("grpc-timeout", millis.parse().expect("ASCII"));
    request
}

/// Opens a stream and takes nothing from it.
pub(crate) async fn open(client: &Client, sql: &str) -> Events {
    client.clone().stream_query(stream_of(sql)).await.expect("headers").into_inner()
}

/// Reads a stream to its end, which is a summary of what was read or an error.
pub(crate) async fn read(mut events: Events) -> Result<Summary, Status> {
    let (mut rows, mut summary) = (0, None);
    while let Some(message) = events.message().await? {
        assert!(summary.is_none(), "the summary is the last message");
        match message.event.expect("an event") {
            Event::Header(_) => {}
            Event::Batch(batch) => rows += batch.row_count,
            Event::Summary(last) => summary = Some(last),
        }
    }
    let summary = summary.expect("a stream that ends well has a summary");
    assert_eq!(summary.row_count, rows);
    Ok(summary)
}

/// A status's code, and the reason in it.
pub(crate) fn outcome(status: &Status) -> (Code, String) {
    let reason =
        status.get_details_error_info().map_or_else(|| format!("no ErrorInfo: {status:?}"), |info| info.reason);
    (status.code(), reason)
}

/// The outcome that the contract names.
pub(crate) fn is(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}
