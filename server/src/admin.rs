//! The admin port: `/metrics`, `/livez` and `/readyz` over HTTP/1, on an address of its own.
//!
//! For the monitoring and the process manager, not for callers: it reads and changes nothing. A
//! connection serves one request within a few seconds, so that silent ones cannot pile up.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    metrics::{Metrics, gauges::State},
    stream::engine::Engine,
};

/// Connections at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 32;
/// How long a request may take to arrive.
const HEADER: Duration = Duration::from_secs(5);
/// How long a connection may last, with its request and its answer.
const CONNECTION: Duration = Duration::from_secs(15);
/// The size of a request's head at most; hyper's smallest.
const HEADER_BYTES: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// How long answers under way have at the end.
const FLUSH: Duration = Duration::from_millis(400);
/// How long accepting pauses after an error.
const PAUSE: Duration = Duration::from_millis(50);

const TEXT: &str = "text/plain; charset=utf-8";
/// Prometheus's text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the port tells about.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) metrics: Metrics,
    pub(crate) engine: Arc<Engine>,
    pub(crate) max_connections: usize,
    /// Whether PostgreSQL answers.
    pub(crate) healthy: watch::Receiver<bool>,
    /// Cancelled when the server takes no new calls.
    pub(crate) draining: CancellationToken,
}

/// Serves until `end`.
pub(crate) async fn run(listener: TcpListener, admin: Arc<Admin>, end: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepting = async { (permits.clone().acquire_owned().await, accept(&listener).await) };
        let (permit, stream) = tokio::select! {
            () = end.cancelled() => break,
            accepted = accepting => accepted,
        };
        let (admin, end) = (admin.clone(), end.clone());
        connections.spawn(async move {
            let _permit = permit;
            if timeout(CONNECTION, connection(stream, admin, end)).await.is_err() {
                tracing::debug!("admin connection took too long");
            }
        });
    }
    connections.close();
    let _ = timeout(FLUSH, connections.wait()).await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept admin connections; trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, admin: Arc<Admin>, end: CancellationToken) {
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .keep_alive(false);
    let answer = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(&request)) }
    });
    let mut connection = std::pin::pin!(http1.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "admin connection ended");
    }
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => match self.metrics.render(&self.state()) {
                Ok(metrics) => response(StatusCode::OK, EXPOSITION, metrics),
                Err(error) => {
                    tracing::error!(%error, "metrics cannot be written");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "the log tells more\n")
                }
            },
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            _ => text(StatusCode::NOT_FOUND, "/metrics, /livez or /readyz\n"),
        }
    }

    fn readiness(&self) -> Response<String> {
        if self.draining.is_cancelled() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else if *self.healthy.borrow() {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "PostgreSQL does not answer\n")
        }
    }

    fn state(&self) -> State {
        let [streams, queue, memory] = self.engine.admission.used();
        let [calls_pool, control_pool, holders_pool] = self.engine.database.used();
        State {
            streams,
            queue,
            memory,
            plans: self.engine.plans.used(),
            calls_pool,
            control_pool,
            holders_pool,
            max_connections: self.max_connections,
            database_up: *self.healthy.borrow(),
            draining: self.draining.is_cancelled(),
        }
    }
}

fn text(status: StatusCode, body: &str) -> Response<String> {
    response(status, TEXT, body.to_owned())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Listens on the port.
pub(crate) async fn bind(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "admin listening");
    Ok(listener)
}
