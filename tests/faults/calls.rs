//! Calls through the generated client over plain HTTP/2 connections: nothing between a test and the server's own
//! answers (tonic's channel has a timer of its own for grpc-timeout).

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rowstream_contract::v1::{
    QueryRowRequest, Statement, Strategy, StreamQueryRequest, StreamQueryResponse, Summary,
    query_service_client::QueryServiceClient, statement::Source, stream_query_response::Event,
};
use tonic::{Code, Request, Status, Streaming, body::Body};
use tonic_types::StatusExt as _;

pub(crate) type Http = legacy::Client<HttpConnector, Body>;
pub(crate) type Client = QueryServiceClient<Http>;
pub(crate) type Events = Streaming<StreamQueryResponse>;

const STRATEGIES: [Strategy; 3] = [Strategy::Cursor, Strategy::Portal, Strategy::Copy];

/// What each row of these tests contains, and no line of the log may.
pub(crate) const MARKER: &str = "row-data-7f3a";

/// A client with a connection of its own, and windows so small that a stream which is not read stalls soon.
pub(crate) fn client(address: SocketAddr) -> Client {
    QueryServiceClient::with_origin(http(), origin(address)).max_decoding_message_size(256 << 20)
}

pub(crate) fn http() -> Http {
    let mut connector = HttpConnector::new();
    // Without it a request's body waits 40 ms for its headers to be acknowledged.
    connector.set_nodelay(true);
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.http2_only(true).http2_initial_stream_window_size(64 * 1024).http2_initial_connection_window_size(32 << 20);
    builder.build(connector)
}

pub(crate) fn origin(address: SocketAddr) -> hyper::Uri {
    format!("http://{address}").parse().expect("a URL")
}

pub(crate) fn statement(sql: &str) -> Statement {
    Statement { source: Some(Source::Sql(sql.to_owned())), ..Statement::default() }
}

/// By each strategy in turn: what goes wrong meets all of them.
pub(crate) fn stream_of(sql: &str) -> StreamQueryRequest {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let strategy = STRATEGIES[NEXT.fetch_add(1, Relaxed) % STRATEGIES.len()];
    StreamQueryRequest { statement: Some(statement(sql)), strategy: strategy.into(), ..StreamQueryRequest::default() }
}

pub(crate) fn row_of(sql: &str) -> QueryRowRequest {
    QueryRowRequest { statement: Some(statement(sql)), ..QueryRowRequest::default() }
}

/// A request whose grpc-timeout is set, with no timer on this side.
pub(crate) fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let millis = format!("{}m", timeout.as_millis());
    request.metadata_mut().insert("grpc-timeout", millis.parse().expect("ASCII"));
    request
}

/// `count` rows of a hundred bytes, numbered from 1.
pub(crate) fn rows(count: usize) -> String {
    format!("select i, repeat('{MARKER}', 8) from generate_series(1, {count}) i")
}

/// Rows for ever, a hundred a second after the first 64.
pub(crate) fn endless() -> String {
    format!(
        "select i, '{MARKER}', pg_sleep(case when i > 64 then 0.01 else 0 end) from generate_series(1, 100000000) i"
    )
}

/// What came of a stream that was read to its end.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Bytes of the encoded rows.
    pub(crate) bytes: usize,
    /// CRC-32C over the rows, as the summary has it.
    pub(crate) checksum: u32,
    /// The one terminal status: a summary that agrees with what was read, or the error.
    pub(crate) ended: Result<Summary, Status>,
}

/// Sends a call and reads its stream to the end.
pub(crate) async fn read_all(client: &Client, request: impl tonic::IntoRequest<StreamQueryRequest>) -> Reading {
    match client.clone().stream_query(request).await {
        Ok(response) => read(response.into_inner()).await,
        Err(status) => Reading { bytes: 0, checksum: 0, ended: Err(status) },
    }
}

/// Opens a stream and takes nothing from it.
pub(crate) async fn open(client: &Client, sql: &str) -> Events {
    client.clone().stream_query(stream_of(sql)).await.expect("headers").into_inner()
}

/// Reads a stream to its end. Every batch must follow the one before; a summary must be the last message and agree
/// with what was read; a stream without a status of its own fails in tonic.
pub(crate) async fn read(mut events: Events) -> Reading {
    let (mut rows, mut bytes, mut checksum, mut summary) = (0, 0, 0, None);
    let ended = loop {
        let message = match events.message().await {
            Ok(Some(message)) => message,
            Ok(None) => break summary.ok_or_else(|| Status::data_loss("a clean end without a summary")),
            Err(status) => break Err(status),
        };
        assert!(summary.is_none(), "the summary is the last message");
        match message.event.expect("an event") {
            Event::Header(_) => assert_eq!(rows, 0, "the header is the first message"),
            Event::Batch(batch) => {
                assert_eq!(batch.first_row, rows, "no row is lost or doubled between batches");
                rows += batch.row_count;
                bytes += batch.data.bytes().len();
                checksum = crc32c::crc32c_append(checksum, batch.data.bytes());
            }
            Event::Summary(last) => summary = Some(last),
        }
    };
    if let Ok(summary) = &ended {
        let told = (summary.row_count, usize::try_from(summary.byte_count).expect("small"), summary.checksum);
        assert_eq!(told, (rows, bytes, checksum), "the summary agrees with what was read");
    }
    Reading { bytes, checksum, ended }
}

impl Reading {
    /// The error that the stream ended with.
    pub(crate) fn error(self) -> Status {
        self.ended.expect_err("the stream has no end of its own")
    }
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

/// One fact of a status's metadata.
pub(crate) fn fact(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info().and_then(|info| info.metadata.get(key).cloned())
}
