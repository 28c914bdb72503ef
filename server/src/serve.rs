//! Puts the server together, runs it, and takes it apart again.

use std::{io, sync::Arc, time::Duration};

use rowstream_contract::{
    FILE_DESCRIPTOR_SET,
    v1::query_service_server::{QueryServiceServer, SERVICE_NAME},
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{
    admission::{Admission, AdmissionConfig},
    config::{Args, Config},
    db::{Database, DatabaseConfig, health},
    layers,
    plan::{Source, request::RequestPolicy},
    queries::Queries,
    service::{CallPolicy, Queryable},
    shutdown::drain,
    stream::{calls::Calls, engine::Engine, plans::Plans, tables::Tables},
    transport::{self, TransportConfig},
};

/// The largest request: SQL text and values.
const MAX_REQUEST_BYTES: usize = 4 << 20;
/// Room for calls that hold no stream (ListQueries, CancelQuery, health) beside all that do or wait.
const SPARE_CALLS: usize = 256;
/// How much longer than a caller may stall PostgreSQL lets a transaction wait: it only has to act if this
/// program no longer does.
const IDLE_SLACK: Duration = Duration::from_secs(60);
/// How long checking one named query may take.
const CHECK: Duration = Duration::from_secs(10);
/// How long the last bytes of ended calls have to reach their callers.
const FLUSH: Duration = Duration::from_millis(400);

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder of named queries cannot be read.
    #[error("--queries {folder}: {source}")]
    Queries {
        /// As it was given.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// The reflection service does not accept the descriptors.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves on `listener` until `shutdown` is cancelled and the calls under way have ended, at the
/// latest when the grace period is over.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(config: Config, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
    let args = &config.args;
    let queries = load_queries(args)?;
    let engine = Arc::new(engine(&config));
    let background = Background::start(&engine, args.pool_min, &queries, &shutdown);
    let service = Queryable {
        engine: engine.clone(),
        queries,
        requests: request_policy(args),
        calls: CallPolicy { max_deadline: args.max_deadline, default_deadline: args.default_deadline },
        draining: shutdown.clone(),
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening");
    }
    let (connections, abort) = (TaskTracker::new(), CancellationToken::new());
    let routes = routes(args, service, background.health)?;
    transport::run(listener, routes, transport_config(args), connections.clone(), shutdown, abort.clone()).await;
    drain(&engine.tasks, &engine.calls, args.grace_period).await;
    connections.close();
    if timeout(FLUSH, connections.wait()).await.is_err() {
        abort.cancel();
        connections.wait().await;
    }
    background.end.cancel();
    tracing::info!("ended");
    Ok(())
}

fn load_queries(args: &Args) -> Result<Queries, ServeError> {
    let Some(folder) = &args.queries else { return Ok(Queries::default()) };
    Queries::load(folder).map_err(|source| ServeError::Queries { folder: folder.display().to_string(), source })
}

fn engine(config: &Config) -> Engine {
    let args = &config.args;
    Engine {
        database: Database::new(&DatabaseConfig {
            options: config.database.clone(),
            pool_max: args.pool_max,
            wait_timeout: args.queue_timeout,
            connect_timeout: args.connect_timeout,
            idle_limit: args.stall_timeout + IDLE_SLACK,
        }),
        admission: Admission::new(AdmissionConfig {
            max_streams: args.max_streams,
            max_queue: args.max_queue,
            queue_timeout: args.queue_timeout,
            max_buffered_bytes: bytes(args.max_buffered_bytes),
        }),
        plans: Plans::default(),
        tables: Tables::new(config.tables.clone()),
        calls: Calls::default(),
        tasks: TaskTracker::new(),
        stall_timeout: args.stall_timeout,
    }
}

fn request_policy(args: &Args) -> RequestPolicy {
    RequestPolicy {
        allow_sql: args.allow_sql,
        max_message_bytes: bytes(args.max_message_bytes),
        max_row_bytes: bytes(args.max_row_bytes),
    }
}

fn bytes(size: bytesize::ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// What runs beside the calls.
struct Background {
    health: HealthReporter,
    end: CancellationToken,
}

impl Background {
    fn start(engine: &Arc<Engine>, pool_min: usize, queries: &Queries, shutdown: &CancellationToken) -> Self {
        let health = HealthReporter::new();
        let (healthy, watching) = watch::channel(false);
        let end = CancellationToken::new();
        tokio::spawn(health::watch(engine.database.clone(), pool_min, healthy, end.clone()));
        tokio::spawn(report(health.clone(), watching.clone(), shutdown.clone()));
        tokio::spawn(check_queries(engine.clone(), queries.clone(), watching));
        Self { health, end }
    }
}

/// Tells grpc.health.v1 whether PostgreSQL answers; never again once the server is shutting down.
async fn report(health: HealthReporter, mut healthy: watch::Receiver<bool>, shutdown: CancellationToken) {
    loop {
        let serving = *healthy.borrow_and_update() && !shutdown.is_cancelled();
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", SERVICE_NAME] {
            health.set_service_status(service, status).await;
        }
        if shutdown.is_cancelled() {
            return;
        }
        tokio::select! {
            changed = healthy.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => {}
        }
    }
}

/// Has PostgreSQL check each named query once it answers, so that the log names the broken ones.
async fn check_queries(engine: Arc<Engine>, queries: Queries, mut healthy: watch::Receiver<bool>) {
    if healthy.wait_for(|healthy| *healthy).await.is_err() {
        return;
    }
    for query in queries.all() {
        let Ok(call) = engine.calls.begin(None, "", CHECK) else { return };
        if let Err(error) = engine.describe(call, Source::Named(query.clone())).await {
            tracing::error!(query = query.name, %error, "named query does not pass");
        }
    }
}

/// All services under all layers, the outermost first.
fn routes(args: &Args, service: Queryable, health: HealthReporter) -> Result<layers::Routes, ServeError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(QueryServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(HealthServer::new(HealthService::from_health_reporter(health)))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    Ok(layers::stack(routes, args.max_streams + args.max_queue + SPARE_CALLS))
}

fn transport_config(args: &Args) -> TransportConfig {
    TransportConfig {
        max_connections: args.max_connections,
        max_connection_streams: args.max_connection_streams,
        keepalive_interval: args.keepalive_interval,
        keepalive_timeout: args.keepalive_timeout,
    }
}
