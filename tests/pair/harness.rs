//! A server in this process on a free port, over a database of its own, and clients for it.

use std::time::Duration;

use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rowstream_client::Client;
use rowstream_contract::v1::{
    self, Statement, StreamQueryRequest, StreamQueryResponse, query_service_client::QueryServiceClient,
    read_session_service_client::ReadSessionServiceClient, statement::Source,
};
use rowstream_server::{Config, ServeError, serve};
use rowstream_testkit::{Database, Postgres, Proxy, eventually};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status, Streaming, body::Body};
use tonic_types::StatusExt as _;

/// Long enough for anything that is going to happen at all on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Within this time of a call's end, its connection and its permit are back (invariant I1).
pub(crate) const SETTLE: Duration = Duration::from_secs(5);

/// A plain HTTP/2 client.
pub(crate) type Raw = legacy::Client<HttpConnector, Body>;

/// A server and its database.
pub(crate) struct Pair {
    pub(crate) database: Database,
    pub(crate) url: String,
    pub(crate) shutdown: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
    pool_max: usize,
}

impl Pair {
    /// A server with ad-hoc SQL allowed.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with more flags.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let database = Postgres::shared().create_database().expect("a database");
        let url = database.url();
        Self::over(database, &url, flags).await
    }

    /// A server that reaches its database under another URL, through a proxy for instance.
    pub(crate) async fn over(database: Database, database_url: &str, flags: &[&str]) -> Self {
        Self::launch(database, database_url, &[&["--allow-sql"], flags].concat()).await
    }

    /// A server that runs named queries only.
    pub(crate) async fn without_sql(flags: &[&str]) -> Self {
        let database = Postgres::shared().create_database().expect("a database");
        let url = database.url();
        Self::launch(database, &url, flags).await
    }

    /// A second server of the same flags over another one's database.
    pub(crate) async fn beside(database_url: &str, flags: &[&str]) -> Self {
        let none = Postgres::shared().create_database().expect("a database");
        Self::over(none, database_url, flags).await
    }

    async fn launch(database: Database, database_url: &str, flags: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let fixed = ["--database-url", database_url];
        let config = Config::try_from_args(fixed.iter().chain(flags)).expect("a valid configuration");
        let pool_max =
            flags.iter().position(|flag| *flag == "--pool-max").map_or(10, |i| flags[i + 1].parse().expect("a number"));
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(config, listener, shutdown.clone()));
        let pair = Self { database, url, shutdown, server, pool_max };
        pair.assert_healthy().await;
        pair
    }

    /// A server whose connections to PostgreSQL all go through a proxy.
    pub(crate) async fn through_proxy(flags: &[&str]) -> (Self, Proxy) {
        let database = Postgres::shared().create_database().expect("a database");
        let port = Postgres::shared().port();
        let proxy = Proxy::start(([127, 0, 0, 1], port).into()).await.expect("a proxy");
        let url = database.url().replace(&format!(":{port}/"), &format!(":{}/", proxy.address().port()));
        (Self::over(database, &url, flags).await, proxy)
    }

    pub(crate) fn client(&self) -> Client {
        Client::builder([&self.url]).build().expect("a valid endpoint")
    }

    /// The generated client over a plain HTTP/2 connection: nothing between the test and the server's
    /// own answers (tonic's channel has a timer of its own for grpc-timeout).
    pub(crate) async fn raw(&self) -> QueryServiceClient<Raw> {
        let connector = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let origin = self.url.parse().expect("a URL");
        QueryServiceClient::with_origin(connector, origin).max_decoding_message_size(256 << 20)
    }

    /// The same for read sessions.
    pub(crate) fn raw_sessions(&self) -> ReadSessionServiceClient<Raw> {
        let connector = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let origin = self.url.parse().expect("a URL");
        ReadSessionServiceClient::with_origin(connector, origin).max_decoding_message_size(256 << 20)
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.database.psql(sql).expect("psql").trim_end().to_owned()
    }

    /// How many of the server's backends run a statement that contains `text` right now.
    pub(crate) fn active(&self, text: &str) -> usize {
        let backends = self.database.backends().expect("pg_stat_activity");
        backends.iter().filter(|backend| backend.is_active() && backend.query.contains(text)).count()
    }

    /// Waits until a backend runs a statement that contains `text`.
    pub(crate) async fn until_active(&self, text: &str) {
        eventually("the statement runs", PATIENCE, async || self.active(text) > 0).await;
    }

    pub(crate) async fn assert_healthy(&self) {
        let client = self.client();
        eventually("the server is healthy", PATIENCE, async || {
            matches!(client.health().await, Ok(rowstream_client::Health::Serving))
        })
        .await;
    }

    /// Waits until no backend works or holds a transaction open.
    pub(crate) async fn assert_idle(&self) {
        eventually("no backend is busy or in a transaction", SETTLE, async || {
            let backends = self.database.backends().expect("pg_stat_activity");
            backends.iter().all(|backend| !backend.is_active() && !backend.in_transaction())
        })
        .await;
    }

    /// No backend works or holds a transaction open (I2), and the whole pool can be had (I1).
    pub(crate) async fn assert_settled(&self) {
        self.assert_idle().await;
        let client = self.client();
        let calls = (0..self.pool_max * 2).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.sql("select pg_sleep(0.01)").deadline(PATIENCE).query_row().await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("no panic").expect("the whole pool serves");
        }
    }

    /// Tells the server to end, and waits until it has.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.expect("no panic").expect("a clean end");
    }
}

/// A request for ad-hoc SQL.
/// A file of keys that several servers have, as long as it is not dropped.
pub(crate) struct TokenKeys(tempfile::NamedTempFile);

impl TokenKeys {
    pub(crate) fn new() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, "0123456789abcdef".repeat(4)).expect("written");
        Self(file)
    }

    /// The value of `--token-keys`.
    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }
}

pub(crate) fn sql(text: &str) -> StreamQueryRequest {
    StreamQueryRequest { statement: Some(statement(text)), ..StreamQueryRequest::default() }
}

pub(crate) fn statement(text: &str) -> Statement {
    Statement { source: Some(Source::Sql(text.to_owned())), ..Statement::default() }
}

pub(crate) fn text(value: &str) -> v1::Value {
    v1::Value { kind: Some(v1::value::Kind::Text(value.to_owned())) }
}

/// A request whose grpc-timeout is set, with no timer on this side.
pub(crate) fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let millis = format!("{}m", timeout.as_millis());
    request.metadata_mut().insert("grpc-timeout", millis.parse().expect("ASCII"));
    request
}

/// The reason in a status, and one fact of its metadata.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| format!("no ErrorInfo: {status:?}"), |info| info.reason)
}

pub(crate) fn fact(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info().and_then(|info| info.metadata.get(key).cloned())
}

/// How a statement is read and what its rows are sent as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) strategy: v1::Strategy,
    pub(crate) encoding: v1::Encoding,
}

impl Way {
    pub(crate) const fn rows(strategy: v1::Strategy) -> Self {
        Self { strategy, encoding: v1::Encoding::Rows }
    }

    pub(crate) const fn arrow(strategy: v1::Strategy) -> Self {
        Self { strategy, encoding: v1::Encoding::Arrow }
    }

    /// A request for ad-hoc SQL.
    pub(crate) fn sql(self, text: &str) -> StreamQueryRequest {
        let Self { strategy, encoding } = self;
        StreamQueryRequest { strategy: strategy.into(), encoding: encoding.into(), ..sql(text) }
    }

    /// The same strategy for a call of the client's, which sends rows.
    pub(crate) fn strategy(self) -> rowstream_client::Strategy {
        match self.strategy {
            v1::Strategy::Unspecified | v1::Strategy::Auto => rowstream_client::Strategy::Auto,
            v1::Strategy::Cursor => rowstream_client::Strategy::Cursor,
            v1::Strategy::Portal => rowstream_client::Strategy::Portal,
            v1::Strategy::Copy => rowstream_client::Strategy::Copy,
        }
    }
}

/// One test for each strategy out of a function that takes a [`Way`]: `name::by_cursor`, `by_portal`, `by_copy`; with
/// `and arrow` for each strategy in Arrow, too. What follows `:` goes to `tokio::test`.
macro_rules! by_each_strategy {
    ($name:ident and arrow $(: $($how:tt)*)?) => {
        mod $name {
            $crate::harness::by_each_strategy!(@tests $name [$($($how)*)?]
                by_cursor rows Cursor, by_portal rows Portal, by_copy rows Copy,
                by_cursor_in_arrow arrow Cursor, by_portal_in_arrow arrow Portal, by_copy_in_arrow arrow Copy);
        }
    };
    ($name:ident $(: $($how:tt)*)?) => {
        mod $name {
            $crate::harness::by_each_strategy!(@tests $name [$($($how)*)?]
                by_cursor rows Cursor, by_portal rows Portal, by_copy rows Copy);
        }
    };
    (@tests $name:ident $how:tt $($test:ident $encoding:ident $strategy:ident),+) => {
        $($crate::harness::by_each_strategy!(@test $name $how $test $encoding $strategy);)+
    };
    (@test $name:ident [$($how:tt)*] $test:ident $encoding:ident $strategy:ident) => {
        #[tokio::test($($how)*)]
        async fn $test() {
            super::$name($crate::harness::Way::$encoding(rowstream_contract::v1::Strategy::$strategy)).await;
        }
    };
}
pub(crate) use by_each_strategy;

/// Reads on until the call's error, which comes before any summary.
pub(crate) async fn error_of(mut stream: Streaming<StreamQueryResponse>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(message)) => assert!(!matches!(message.event, Some(v1::stream_query_response::Event::Summary(_)))),
            Ok(None) => panic!("the stream ended without an error"),
            Err(status) => return status,
        }
    }
}
