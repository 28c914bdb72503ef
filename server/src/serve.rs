//! Puts the server together, runs it, and takes it apart again.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rowstream_contract::{
    FILE_DESCRIPTOR_SET,
    v1::{query_service_server::QueryServiceServer, read_session_service_server::ReadSessionServiceServer},
};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::{
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{
    admin::{self, Admin},
    admission::{Admission, AdmissionConfig},
    background::{Background, Checker},
    config::{Args, Config},
    db::{Database, DatabaseConfig},
    incoming::Requests,
    layers,
    metrics::Metrics,
    plan::request::RequestPolicy,
    preflight,
    queries::{Folder, Queries, follow::Follower},
    reload::Hangups,
    service::{CallPolicy, Queryable, ReadSessions},
    shutdown::drain,
    snapshot::{SnapshotLimits, Snapshots},
    stream::{calls::Calls, engine::Engine, plans::Plans, tables::Tables},
    tls::{self, Tls},
    transport::{self, TransportConfig},
};

/// The largest request: SQL text and values.
const MAX_REQUEST_BYTES: usize = 4 << 20;
/// All requests together, of calls that arrive, wait or run.
const MAX_REQUESTS_BYTES: usize = 64 << 20;
/// Room for calls that hold no stream (ListQueries, CancelQuery, health) beside all that do or wait.
const SPARE_CALLS: usize = 256;
/// How much longer than a caller may stall PostgreSQL lets a transaction wait: it only has to act if this
/// program no longer does.
const IDLE_SLACK: Duration = Duration::from_secs(60);
/// How long the last bytes of ended calls have to reach their callers, if the grace period is over.
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
    /// The certificate or its key cannot be served.
    #[error("{0}")]
    Tls(String),
    /// PostgreSQL does not admit as many connections as the settings ask for.
    #[error("{0}")]
    Pool(String),
    /// The admin address cannot be listened on.
    #[error("--admin-listen {address}: {source}")]
    Admin {
        /// As it was given.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// SIGHUP cannot be listened to.
    #[error("signals: {0}")]
    Signals(io::Error),
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
    let metrics = Metrics::new();
    let follower = load_queries(args, &metrics)?;
    let queries = follower.as_ref().map_or_else(Queries::default, Follower::queries);
    // Also without anything to reload: a SIGHUP must not end the server.
    let hangups = Hangups::listen().map_err(ServeError::Signals)?;
    let admin_listener = bind_admin(args).await?;
    let engine = Arc::new(engine(&config, &metrics));
    let mut background = Background::start(&engine, args.pool_min, &shutdown);
    let refused = preflight::admit(&config, background.healthy.clone(), shutdown.clone());
    let transport = TransportConfig { tls: start_tls(args, &background.end)?, ..transport_config(args) };
    if let Some(follower) = follower {
        let check = Checker { engine: engine.clone(), counts: metrics.calls.clone() };
        background.follow(follower, args.watch_queries, hangups, check);
    }
    if let Some(listener) = admin_listener {
        let admin = Admin {
            metrics: metrics.clone(),
            engine: engine.clone(),
            max_connections: args.max_connections,
            healthy: background.healthy.clone(),
            draining: shutdown.clone(),
        };
        background.serve_admin(listener, admin);
    }
    let service = Queryable {
        engine: engine.clone(),
        queries,
        requests: request_policy(args),
        calls: CallPolicy { max_deadline: args.max_deadline, default_deadline: args.default_deadline },
        counts: metrics.calls.clone(),
        draining: shutdown.clone(),
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening");
    }
    let (connections, abort) = (TaskTracker::new(), CancellationToken::new());
    let routes = routes(&config, service, background.health.clone())?;
    let counts = metrics.connections;
    transport::run(listener, routes, transport, counts, connections.clone(), shutdown, abort.clone()).await;
    let grace = Instant::now() + args.grace_period;
    drain(&engine.tasks, &engine.calls, args.grace_period).await;
    // Other servers may read in these snapshots: they are kept as long as this one has calls to finish itself.
    engine.snapshots.drain().await;
    background.end_watches().await;
    connections.close();
    if timeout_at(grace.max(Instant::now() + FLUSH), connections.wait()).await.is_err() {
        abort.cancel();
        connections.wait().await;
    }
    background.end().await;
    tracing::info!("ended");
    refused.borrow().clone().map_or(Ok(()), |problem| Err(ServeError::Pool(problem)))
}

fn start_tls(args: &Args, end: &CancellationToken) -> Result<Option<Tls>, ServeError> {
    tls::Files::of(args).map(|files| Tls::start(files, end.clone())).transpose().map_err(ServeError::Tls)
}

async fn bind_admin(args: &Args) -> Result<Option<TcpListener>, ServeError> {
    let Some(address) = args.admin_listen else { return Ok(None) };
    admin::bind(address).await.map(Some).map_err(|source| ServeError::Admin { address, source })
}

fn load_queries(args: &Args, metrics: &Metrics) -> Result<Option<Follower>, ServeError> {
    let Some(path) = &args.queries else { return Ok(None) };
    let failed = |source| ServeError::Queries { folder: path.display().to_string(), source };
    Follower::start(Folder::new(path.clone()), metrics.queries.clone()).map(Some).map_err(failed)
}

fn engine(config: &Config, metrics: &Metrics) -> Engine {
    let args = &config.args;
    let database = DatabaseConfig {
        options: config.database.clone(),
        pool_max: args.pool_max,
        holders: args.max_read_sessions,
        wait_timeout: args.queue_timeout,
        connect_timeout: args.connect_timeout,
        idle_limit: args.stall_timeout + IDLE_SLACK,
    };
    let database = Database::new(&database, &metrics.database);
    let limits = SnapshotLimits {
        sessions: args.max_read_sessions,
        age: args.max_snapshot_age,
        transactions: args.max_snapshot_transactions.into(),
    };
    Engine {
        snapshots: Snapshots::new(limits, database.clone()),
        database,
        admission: Admission::new(AdmissionConfig {
            max_streams: args.max_streams,
            max_queue: args.max_queue,
            queue_timeout: args.queue_timeout,
            max_buffered_bytes: bytes(args.max_buffered_bytes),
        }),
        plans: Plans::new(metrics.database.plans.clone()),
        tables: Tables::new(config.tables.clone()),
        calls: Calls::default(),
        token_keys: config.token_keys.clone(),
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

/// All services under all layers, the outermost first.
fn routes(config: &Config, service: Queryable, health: HealthReporter) -> Result<layers::Routes, ServeError> {
    let args = &config.args;
    let counts = service.counts.clone();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // For those who ask (`layers::choose_compression`).
    let sessions = ReadSessions { queryable: service.clone(), keys: config.token_keys.clone() };
    let read_session_service = ReadSessionServiceServer::new(sessions)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .send_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip);
    let query_service = QueryServiceServer::new(service)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .send_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip);
    let routes = Routes::new(query_service)
        .add_service(read_session_service)
        .add_service(HealthServer::new(HealthService::from_health_reporter(health)))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    let max_calls = args.max_streams + args.max_queue + SPARE_CALLS;
    Ok(layers::stack(routes, max_calls, Requests::new(MAX_REQUESTS_BYTES), counts))
}

fn transport_config(args: &Args) -> TransportConfig {
    TransportConfig {
        tls: None,
        max_connections: args.max_connections,
        max_connection_streams: args.max_connection_streams,
        keepalive_interval: args.keepalive_interval,
        keepalive_timeout: args.keepalive_timeout,
    }
}
