//! HTTP/2 connections: accepted up to a bound, hardened, and ended gracefully.
//!
//! Not tonic's own transport: its timer for `grpc-timeout` cannot be turned off, covers only a part of
//! a call, and answers CANCELLED; on a busy machine it now and then fires before ours, which covers
//! all of it. And it knows neither a bound on connections nor a pause when file descriptors run out.

use std::{io, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{BoxError, Service};

use crate::{
    linger::{self, Kept},
    metrics::connections::{ConnectionCounts, Failure, OpenConnection, PLAINTEXT, TLS},
    preface,
    tls::Tls,
};

/// How long accepting pauses after an error that is about the process, not about one connection.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a new connection may take for a TLS handshake, and then to send HTTP/2's preface.
const PREFACE: Duration = Duration::from_secs(10);
/// HTTP/2 flow-control windows for what callers send: requests are small.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one stream's answers that may lie between the encoder and the socket.
const SEND_BUFFER: usize = 256 * 1024;
/// Metadata of a request at most.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Streams that a caller has reset and that wait to be cleaned up, before the connection is closed.
const MAX_PENDING_RESETS: usize = 64;
/// Streams that break the protocol in ways that end them alone, before the connection is closed.
const MAX_LOCAL_RESETS: usize = 128;

/// The bounds that are the operator's to choose.
#[derive(Clone, Debug)]
pub(crate) struct TransportConfig {
    pub(crate) tls: Option<Tls>,
    pub(crate) max_connections: usize,
    pub(crate) max_connection_streams: u32,
    pub(crate) keepalive_interval: Duration,
    pub(crate) keepalive_timeout: Duration,
}

/// Accepts and serves connections until `shutdown`; those that are open then end with their last call.
/// `connections` tracks them, and `abort` ends them whatever they do.
pub(crate) async fn run<S, B>(
    listener: TcpListener,
    service: S,
    config: TransportConfig,
    counts: ConnectionCounts,
    connections: TaskTracker,
    shutdown: CancellationToken,
    abort: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let tls = config.tls.clone();
    let http2 = builder(config);
    loop {
        // Beyond the bound, connections wait in the listen queue.
        let accepting = async { (permits.clone().acquire_owned().await, accept(&listener, &counts).await) };
        let (permit, stream) = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = accepting => accepted,
        };
        let open = counts.accepted(if tls.is_some() { TLS } else { PLAINTEXT });
        let connection = connection(stream, open, tls.clone(), http2.clone(), service.clone(), shutdown.clone());
        let abort = abort.clone();
        connections.spawn(async move {
            let _permit = permit;
            abort.run_until_cancelled(connection).await;
        });
    }
}

fn builder(config: TransportConfig) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(config.max_connection_streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout);
    builder
}

/// One connection. Its handshake is made here, in its own task and under its permit: one that is silent holds
/// up nobody.
async fn connection<S, B>(
    stream: TcpStream,
    open: OpenConnection,
    tls: Option<Tls>,
    http2: http2::Builder<TokioExecutor>,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    // Each boxed, so that an idle connection takes the room of what it is in, not of the largest it might be in.
    let Some(tls) = tls else { return Box::pin(serve(stream, open, http2, service, shutdown)).await };
    let Some(accepted) = shutdown.run_until_cancelled(timeout(PREFACE, Box::pin(tls.accept(stream)))).await else {
        return;
    };
    match accepted {
        Ok(Ok(Some(stream))) => Box::pin(serve(stream, open, http2, service, shutdown)).await,
        Ok(Ok(None)) => open.failed(Failure::Error),
        Ok(Err(error)) => {
            open.failed(Failure::Error);
            tracing::debug!(%error, "TLS handshake failed");
        }
        Err(_) => open.failed(Failure::Silent),
    }
}

async fn serve<T, S, B>(
    stream: T,
    open: OpenConnection,
    http2: http2::Builder<TokioExecutor>,
    service: S,
    shutdown: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let stream = match shutdown.run_until_cancelled(preface::read(stream, PREFACE)).await {
        Some(Ok(stream)) => stream,
        Some(Err(failure)) => return open.failed(failure),
        // It has no call that could be waited for.
        None => return,
    };
    // Boxed: inside this function's state it would be there several times over, in every idle connection.
    let (stream, kept) = Kept::new(stream);
    let mut connection = Box::pin(http2.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            (&mut connection).await
        }
    };
    drop(connection);
    match ended {
        Ok(()) => linger::until_closed(kept).await,
        Err(error) => {
            open.failed(Failure::Error);
            tracing::debug!(%error, "connection ended");
        }
    }
}

async fn accept(listener: &TcpListener, counts: &ConnectionCounts) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it, the last bytes of a message wait for an acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                return stream;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                counts.accept_failed();
                tracing::warn!(%error, "cannot accept connections; trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
