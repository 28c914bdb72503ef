//! The connections: several to each endpoint, opened when first used, taken in turn.
//!
//! One tonic channel is one HTTP/2 connection, whose window its streams share: a few streams that
//! nobody reads would starve all others on it. Hence several connections, and a connection window of
//! many stream windows. Which connection a call takes does not depend on their load.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tonic::transport::{Channel, Endpoint};

/// Holds several batches, so that the server writes the next one while we read this one.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How connections are made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) connections_per_endpoint: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) keepalive: Duration,
}

/// All connections of a client.
#[derive(Debug)]
pub(crate) struct Channels {
    connections: Vec<Connection>,
    next: AtomicUsize,
}

/// One connection: opened on first use, and again when it broke.
#[derive(Debug)]
struct Connection {
    name: Arc<str>,
    endpoint: Endpoint,
    channel: OnceLock<Channel>,
}

impl Channels {
    /// Connections to each of the endpoints (never none), in an order that spreads consecutive calls
    /// over the endpoints first.
    pub(crate) fn new(endpoints: &[(String, Endpoint)], settings: &Settings) -> Self {
        let round = || endpoints.iter().map(|(name, endpoint)| Connection::new(name, endpoint, settings));
        let connections = (0..settings.connections_per_endpoint.max(1)).flat_map(|_| round()).collect();
        Self { connections, next: AtomicUsize::new(0) }
    }

    /// The connection for the next call. Needs a tokio runtime.
    pub(crate) async fn lease(&self, _avoid: &[BackendId]) -> Lease {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let connection = &self.connections[turn];
        let channel = connection.channel.get_or_init(|| connection.endpoint.connect_lazy());
        Lease { channel: channel.clone(), endpoint: connection.name.clone(), backend: BackendId(turn) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendId(usize);

#[derive(Debug)]
pub(crate) struct Lease {
    channel: Channel,
    endpoint: Arc<str>,
    backend: BackendId,
}

impl Lease {
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }
    pub(crate) fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }
    pub(crate) fn backend(&self) -> BackendId {
        self.backend
    }
    pub(crate) fn first_message(&mut self) {}
    pub(crate) fn failed(&mut self, _error: &crate::Error) {}
}

impl Connection {
    fn new(name: &str, endpoint: &Endpoint, settings: &Settings) -> Self {
        let endpoint = endpoint
            .clone()
            .connect_timeout(settings.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(settings.keepalive))
            .http2_keep_alive_interval(settings.keepalive)
            .keep_alive_timeout(settings.keepalive)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Self { name: name.into(), endpoint, channel: OnceLock::new() }
    }
}
