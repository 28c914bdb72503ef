//! A `QueryService` without a database: the name of the query says how it behaves.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use prost::Message as _;
use rowstream_contract::{
    reason::DOMAIN,
    rows::{Batch, RowBatch},
    v1::{
        CancelQueryRequest, CancelQueryResponse, Column, DescribeQueryRequest, DescribeQueryResponse, Header,
        ListQueriesRequest, ListQueriesResponse, ListTablesRequest, ListTablesResponse, ListValue, NamedQuery,
        Parameter, PlanEstimate, QueryRowRequest, QueryRowResponse, Statement, StreamQueryRequest, StreamQueryResponse,
        Summary, Value,
        query_service_server::{QueryService, QueryServiceServer},
        statement::Source,
        stream_query_response::Event,
        value::Kind,
    },
};
use tokio::runtime::Runtime;
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt as _};

type Events = Pin<Box<dyn Stream<Item = Result<StreamQueryResponse, Status>> + Send>>;

/// A running fake server; gone when dropped.
pub(crate) struct Fake {
    pub(crate) endpoint: String,
    dropped: Receiver<()>,
    blocked: Receiver<()>,
    cancelled: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = runtime.enter();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let endpoint = format!("http://{}", incoming.local_addr().unwrap());
        let (drops, dropped) = mpsc::channel();
        let (blocks, blocked) = mpsc::channel();
        let cancelled = Arc::new(Mutex::new(Vec::new()));
        let service = Service { drops, blocks, cancelled: cancelled.clone() };
        runtime.spawn(async move {
            let (reporter, health_service) = tonic_health::server::health_reporter();
            reporter.set_serving::<QueryServiceServer<Service>>().await;
            Server::builder()
                .add_service(QueryServiceServer::new(service))
                .add_service(health_service)
                .serve_with_incoming(incoming)
                .await
        });
        drop(guard);
        Self { endpoint, dropped, blocked, cancelled, _runtime: runtime }
    }

    /// Waits until a watched stream has been dropped: its call was cancelled.
    pub(crate) fn wait_until_dropped(&self) {
        self.dropped.recv().unwrap();
    }

    /// Waits until a watched stream has sent what it has, or what the client takes.
    pub(crate) fn wait_until_blocked(&self) {
        self.blocked.recv().unwrap();
    }

    /// The query ids that were cancelled since the last time.
    pub(crate) fn cancelled(&self) -> Vec<String> {
        std::mem::take(&mut self.cancelled.lock().unwrap())
    }
}

struct Service {
    drops: Sender<()>,
    blocks: Sender<()>,
    cancelled: Arc<Mutex<Vec<String>>>,
}

/// A stream that tells when it is dropped, and when its client has taken `quota` messages.
struct Watched {
    events: Events,
    quota: usize,
    drops: Sender<()>,
    blocks: Sender<()>,
}

impl Stream for Watched {
    type Item = Result<StreamQueryResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.quota = self.quota.wrapping_sub(1);
        if self.quota == 0 {
            let _ = self.blocks.send(());
        }
        self.events.as_mut().poll_next(cx)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.drops.send(());
    }
}

fn columns() -> Vec<Column> {
    let column = |name: &str, type_name: &str, type_oid| Column {
        name: name.into(),
        type_name: type_name.into(),
        type_oid,
        nullable: None,
    };
    vec![column("id", "int8", 20), column("name", "text", 25)]
}

fn event(event: Event) -> Result<StreamQueryResponse, Status> {
    Ok(StreamQueryResponse { event: Some(event) })
}

fn header(query: &str) -> Result<StreamQueryResponse, Status> {
    event(Event::Header(Header { query_id: query.into(), columns: columns(), deadline: None }))
}

fn body(names: &[Option<&str>], first: i64) -> Vec<u8> {
    let mut body = Vec::new();
    for (id, name) in (first + 1..).zip(names) {
        let name = name.map(|name| Kind::Text(name.to_owned()));
        let values = vec![Value { kind: Some(Kind::Int64(id)) }, Value { kind: name }];
        prost::encoding::bytes::encode(1, &ListValue { values }.encode_to_vec(), &mut body);
    }
    body
}

fn batch(body: Vec<u8>, row_count: i64, first_row: i64) -> Result<StreamQueryResponse, Status> {
    event(Event::Batch(Batch { rows: RowBatch(body.into()), row_count, first_row }))
}

/// Header, two batches and a summary of three rows, with one thing changed.
fn three_rows(query: &str, names: &[Option<&str>]) -> Vec<Result<StreamQueryResponse, Status>> {
    let split = names.len().min(1);
    let (first, second) = (body(&names[..split], 0), body(&names[split..], 1));
    let all = [&first[..], &second].concat();
    let count = |names: &[Option<&str>]| i64::try_from(names.len()).unwrap();
    let summary = Summary {
        row_count: count(names) + i64::from(query == "wrong_count"),
        byte_count: i64::try_from(all.len()).unwrap() - i64::from(query == "wrong_bytes"),
        checksum: crc32c::crc32c(&all) ^ u32::from(query == "wrong_checksum"),
        truncated: query == "truncated",
        ..Summary::default()
    };
    let mut events = vec![header(query)];
    if split > 0 {
        events.push(batch(first, 1, 0));
        events.push(batch(second, count(&names[split..]), 1));
    }
    events.push(event(Event::Summary(summary)));
    match query {
        "no_summary" => drop(events.pop()),
        "no_header" => drop(events.remove(0)),
        "two_headers" => events.insert(1, header(query)),
        "after_summary" => events.push(event(Event::Summary(summary))),
        "gap" => events[1] = batch(body(&[None], 0), 1, 7),
        "garbage" => events[1] = batch(vec![0x0a, 200, 1], 1, 0),
        "fails_midway" => events[2] = Err(Status::internal("boom")),
        "empty" => events.clear(),
        _ => {}
    }
    events
}

fn failure(code: Code, message: &str, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let metadata: HashMap<_, _> = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    if code == Code::ResourceExhausted {
        details.set_retry_info(Some(Duration::from_millis(250)));
    }
    Status::with_error_details(code, message, details)
}

/// What the client sent, as names of rows.
fn echo(statement: &Statement) -> Vec<Option<String>> {
    let text = |value: &Value| match &value.kind {
        Some(Kind::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let mut named: Vec<_> = statement.named_parameters.iter().collect();
    named.sort_by_key(|(name, _)| name.as_str());
    let named = named.into_iter().map(|(name, value)| match text(value) {
        Some(value) => Some(format!("{name}={value}")),
        None => Some(name.clone()),
    });
    statement.parameters.iter().map(text).chain(named).collect()
}

impl Service {
    fn events(&self, statement: &Statement) -> Result<Events, Status> {
        let (Some(Source::Sql(query)) | Some(Source::Query(query))) = &statement.source else {
            return Err(Status::invalid_argument("no source"));
        };
        let watched = |events: Events, quota| {
            Box::pin(Watched { events, quota, drops: self.drops.clone(), blocks: self.blocks.clone() })
        };
        Ok(match query.as_str() {
            "select foo" => {
                let metadata = [("sqlstate", "42703"), ("position", "8"), ("query_id", "q-1")];
                return Err(failure(Code::InvalidArgument, "column \"foo\" does not exist", "SQL_ERROR", &metadata));
            }
            "unknown" => return Err(failure(Code::NotFound, "no query \"unknown\"", "UNKNOWN_QUERY", &[])),
            "forbidden" => return Err(failure(Code::PermissionDenied, "no SQL here", "SQL_NOT_ALLOWED", &[])),
            "full" => return Err(failure(Code::ResourceExhausted, "the queue is full", "QUEUE_FULL", &[])),
            "down" => return Err(failure(Code::Unavailable, "PostgreSQL is away", "DATABASE_UNAVAILABLE", &[])),
            "silent" => watched(stream::iter([header(query)]).chain(stream::pending()).boxed(), 0),
            "then_silent" => {
                let events = [header(query), batch(body(&[Some("a")], 0), 1, 0)];
                watched(stream::iter(events).chain(stream::pending()).boxed(), 3)
            }
            "endless" => {
                // More than a pipe, the program's buffers and the windows hold until it blocks.
                let names = vec![Some("some text that takes its room"); 4000];
                let rows = move |number: i64| batch(body(&names, number * 4000), 4000, number * 4000);
                let batches = stream::iter(0..).map(rows);
                watched(stream::iter([header(query)]).chain(batches).boxed(), 8)
            }
            "echo" => {
                let sent = echo(statement);
                let sent: Vec<_> = sent.iter().map(Option::as_deref).collect();
                Box::pin(stream::iter(three_rows(query, &sent)))
            }
            query => Box::pin(stream::iter(three_rows(query, &[Some("a"), Some("b,c"), None]))),
        })
    }
}

fn parameters() -> Vec<Parameter> {
    let id = Parameter {
        position: 1,
        name: "id".into(),
        type_name: "int8".into(),
        type_oid: 20,
        required: true,
        default_value: None,
        description: "the key".into(),
    };
    let default_value = Some(Value { kind: Some(Kind::Text("2024-01-01".into())) });
    let since = Parameter {
        position: 2,
        name: "since".into(),
        type_name: "date".into(),
        type_oid: 1082,
        required: false,
        default_value,
        description: String::new(),
    };
    vec![id, since]
}

#[tonic::async_trait]
impl QueryService for Service {
    type StreamQueryStream = Events;

    async fn stream_query(&self, request: Request<StreamQueryRequest>) -> Result<Response<Events>, Status> {
        let statement = request.into_inner().statement.unwrap_or_default();
        if statement.source == Some(Source::Query("never".into())) {
            std::future::pending::<()>().await;
        }
        self.events(&statement).map(Response::new)
    }

    async fn query_row(&self, _: Request<QueryRowRequest>) -> Result<Response<QueryRowResponse>, Status> {
        Err(Status::unimplemented("the program does not call it"))
    }

    async fn describe_query(
        &self,
        request: Request<DescribeQueryRequest>,
    ) -> Result<Response<DescribeQueryResponse>, Status> {
        let request = request.into_inner();
        // As many rows as values were sent.
        let plan_estimate = request.plan_estimate.then(|| PlanEstimate {
            rows: request
                .statement
                .as_ref()
                .map_or(0, |statement| u32::try_from(statement.named_parameters.len()).unwrap())
                .into(),
            width_bytes: 12,
            total_cost: 1.25,
            json: "[{}]".into(),
            ..PlanEstimate::default()
        });
        Ok(Response::new(DescribeQueryResponse {
            parameters: parameters(),
            columns: columns(),
            description: "The first.".into(),
            max_deadline: Duration::from_secs(30).try_into().ok(),
            max_rows: 5,
            plan_estimate,
            max_batch_bytes: 65_536,
        }))
    }

    /// One query a page.
    async fn list_tables(&self, _: Request<ListTablesRequest>) -> Result<Response<ListTablesResponse>, Status> {
        Ok(Response::new(ListTablesResponse::default()))
    }

    async fn list_queries(
        &self,
        request: Request<ListQueriesRequest>,
    ) -> Result<Response<ListQueriesResponse>, Status> {
        let first = NamedQuery {
            name: "first".into(),
            description: "The first.".into(),
            parameters: parameters(),
            ..NamedQuery::default()
        };
        let second = NamedQuery { name: "second".into(), ..NamedQuery::default() };
        let (query, next_page_token) = match request.into_inner().page_token.as_str() {
            "" => (first, "2".to_owned()),
            _ => (second, String::new()),
        };
        Ok(Response::new(ListQueriesResponse { queries: vec![query], next_page_token }))
    }

    async fn cancel_query(
        &self,
        request: Request<CancelQueryRequest>,
    ) -> Result<Response<CancelQueryResponse>, Status> {
        self.cancelled.lock().unwrap().push(request.into_inner().query_id);
        Ok(Response::new(CancelQueryResponse { running: true }))
    }
}
