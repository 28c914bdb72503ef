//! A server for these tests: it does what its script says, and can be killed and started again at the same address.

use std::{
    collections::HashSet,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use prost::Message as _;
use rowstream_contract::{
    rows::{Batch, Data, RowBatch},
    v1::{
        CancelQueryRequest, CancelQueryResponse, Column, DescribeQueryRequest, DescribeQueryResponse, Header,
        ListQueriesRequest, ListQueriesResponse, ListTablesRequest, ListTablesResponse, ListValue, QueryRowRequest,
        QueryRowResponse, StreamQueryRequest, StreamQueryResponse, Value,
        query_service_server::{QueryService, QueryServiceServer},
        stream_query_response::Event,
        value::Kind,
    },
};
use tokio::runtime::{self, Runtime};
use tonic::{
    Request, Response, Status,
    transport::{Server as Transport, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The size of a batch, roughly.
pub(super) const BATCH_BYTES: usize = 32 << 10;

#[derive(Default)]
pub(super) struct Script {
    /// Calls answered, well or badly.
    pub(super) answered: AtomicUsize,
    pub(super) delay_millis: AtomicU64,
    /// Every call is UNAVAILABLE.
    pub(super) fails: AtomicBool,
    pub(super) not_serving: AtomicBool,
    /// Questions for its health.
    pub(super) probes: AtomicUsize,
    /// The query that CancelQuery finds.
    pub(super) running: Mutex<String>,
    /// For each stream how many batches its connection has taken.
    pub(super) taken: Mutex<Vec<Arc<AtomicUsize>>>,
    /// Who has called: an address for each connection.
    pub(super) peers: Mutex<HashSet<SocketAddr>>,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) script: Arc<Script>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts one at a free port of this loopback address. Clients connect from 127.0.0.1, so that the port of another
    /// loopback address stays free when the server is killed.
    pub(super) fn start(host: &str) -> Self {
        Self::start_at(SocketAddr::new(host.parse().unwrap(), 0))
    }

    pub(super) fn start_at(address: SocketAddr) -> Self {
        let mut server = Self { address, script: Arc::default(), runtime: None };
        server.run();
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn answered(&self) -> usize {
        self.script.answered.load(SeqCst)
    }

    /// Starts it, again.
    pub(super) fn run(&mut self) {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = runtime.enter();
        let incoming = TcpIncoming::bind(self.address).unwrap();
        self.address = incoming.local_addr().unwrap();
        let service = QueryServiceServer::new(Service(self.script.clone()));
        let health = HealthServer::new(Service(self.script.clone()));
        let server = Transport::builder().add_service(health).add_service(service);
        runtime.spawn(server.serve_with_incoming(incoming));
        drop(guard);
        self.runtime = Some(runtime);
    }

    /// Kills it, connections and all, and waits until its port is closed.
    pub(super) async fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
        while tokio::net::TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Service(Arc<Script>);

impl Service {
    /// What every call goes through.
    async fn answer<T, M>(&self, request: &Request<T>, message: M) -> Result<Response<M>, Status> {
        self.0.peers.lock().unwrap().extend(request.remote_addr());
        tokio::time::sleep(Duration::from_millis(self.0.delay_millis.load(SeqCst))).await;
        self.0.answered.fetch_add(1, SeqCst);
        if self.0.fails.load(SeqCst) { Err(Status::unavailable("as told")) } else { Ok(Response::new(message)) }
    }
}

/// A header, and batches of one row without end, counted as they are taken.
fn endless(taken: Arc<AtomicUsize>) -> Messages<StreamQueryResponse> {
    let column = Column { name: "text".into(), type_name: "text".into(), type_oid: 25, nullable: None };
    let header = Header { query_id: "endless".into(), columns: vec![column], ..Header::default() };
    let values = vec![Value { kind: Some(Kind::Text("x".repeat(BATCH_BYTES))) }];
    let mut rows = Vec::new();
    prost::encoding::bytes::encode(1, &ListValue { values }.encode_to_vec(), &mut rows);
    let data = Data::Rows(RowBatch(rows.into()));
    let batch = move |number| {
        taken.fetch_add(1, SeqCst);
        Event::Batch(Batch { data: data.clone(), row_count: 1, first_row: number })
    };
    let events = stream::iter([Event::Header(header)]).chain(stream::iter((0..).map(batch)));
    events.map(|event| Ok(StreamQueryResponse { event: Some(event), ..StreamQueryResponse::default() })).boxed()
}

#[tonic::async_trait]
impl QueryService for Service {
    type StreamQueryStream = Messages<StreamQueryResponse>;

    async fn stream_query(
        &self,
        request: Request<StreamQueryRequest>,
    ) -> Result<Response<Self::StreamQueryStream>, Status> {
        let taken = Arc::new(AtomicUsize::new(0));
        self.0.taken.lock().unwrap().push(taken.clone());
        self.answer(&request, endless(taken)).await
    }

    async fn query_row(&self, request: Request<QueryRowRequest>) -> Result<Response<QueryRowResponse>, Status> {
        self.answer(&request, QueryRowResponse::default()).await
    }

    async fn describe_query(
        &self,
        request: Request<DescribeQueryRequest>,
    ) -> Result<Response<DescribeQueryResponse>, Status> {
        self.answer(&request, DescribeQueryResponse::default()).await
    }

    async fn list_tables(&self, request: Request<ListTablesRequest>) -> Result<Response<ListTablesResponse>, Status> {
        self.answer(&request, ListTablesResponse::default()).await
    }

    async fn list_queries(
        &self,
        request: Request<ListQueriesRequest>,
    ) -> Result<Response<ListQueriesResponse>, Status> {
        self.answer(&request, ListQueriesResponse::default()).await
    }

    async fn cancel_query(
        &self,
        request: Request<CancelQueryRequest>,
    ) -> Result<Response<CancelQueryResponse>, Status> {
        let running = *self.0.running.lock().unwrap() == request.get_ref().query_id;
        self.answer(&request, CancelQueryResponse { running }).await
    }
}

#[tonic::async_trait]
impl Health for Service {
    type WatchStream = Messages<HealthCheckResponse>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.probes.fetch_add(1, SeqCst);
        let status = if self.0.not_serving.load(SeqCst) { ServingStatus::NotServing } else { ServingStatus::Serving };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("nobody watches"))
    }
}
