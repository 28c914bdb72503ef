//! One HTTP/2 connection to one address: how it is opened, and the windows it is opened with. Several callers may wait
//! for the same one.
//!
//! Which connection a call takes is not decided here (`slots.rs`).

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt,
    future::ready,
    io,
    iter::{Once, once},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use tonic::transport::{Channel, Endpoint};

use super::Settings;

/// Streams on one connection at most: the server's default for `--max-connection-streams`.
pub(super) const STREAMS: usize = 256;

/// What HTTP/2 allows (RFC 9113, 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// The largest frame that a server may send: a batch then comes in one piece, for one write there and one look here,
/// instead of sixteen.
const FRAME: u32 = 512 * 1024;

/// A connection that is open, or will be; all clones are of the same one.
pub(super) type Connecting = Shared<BoxFuture<'static, Result<Channel, Cause>>>;

/// Why no connection came about, for all who waited for it.
#[derive(Clone, Debug)]
pub(crate) struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    pub(super) fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// What all connections to an endpoint have in common. Without tonic's timeout for connecting, which would hide that it
/// was the connecting that failed.
///
/// The connection's window has room for the window of every stream that it may carry: however many of them are not
/// read, what they hold back is their own, and the next one flows. With less, a few unread streams use up what all of
/// them share (RFC 9113, 5.2.1). A window is leave to send, not memory: memory is taken by what has arrived and was not
/// read. That is 2 MiB for each stream that nobody reads, and so 512 MiB for 256 of them, on however many connections.
pub(super) fn tune(endpoint: Endpoint, settings: &Settings) -> Endpoint {
    let streams = u32::try_from(STREAMS).unwrap_or(u32::MAX);
    endpoint
        .http2_keep_alive_interval(settings.keepalive)
        .keep_alive_timeout(settings.keepalive)
        .keep_alive_while_idle(true)
        .max_frame_size(FRAME)
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.stream_window_bytes.saturating_mul(streams).min(LARGEST_WINDOW))
}

/// Starts to open a connection, in a task: it goes on when who asked for it has given up, because others wait for it
/// as well. Needs a tokio runtime.
pub(super) fn open(endpoint: &Endpoint, address: SocketAddr, settings: &Settings) -> Connecting {
    let (connected, timeout) = (connect(endpoint.clone(), address, settings), settings.connect_timeout);
    let task = tokio::spawn(async move {
        match tokio::time::timeout(timeout, connected).await {
            Ok(outcome) => outcome.map_err(Cause::new),
            Err(_) => Err(Cause::new(timed_out("connecting", timeout))),
        }
    });
    task.map(|outcome| outcome.unwrap_or_else(|error| Err(Cause::new(error)))).boxed().shared()
}

/// Over TCP; with the feature `testing`, to a fake server of this process through memory.
fn connect(
    endpoint: Endpoint,
    address: SocketAddr,
    settings: &Settings,
) -> BoxFuture<'static, Result<Channel, tonic::transport::Error>> {
    #[cfg(feature = "testing")]
    if let Some(connector) = crate::testing::connector(address) {
        return async move { endpoint.connect_with_connector(connector).await }.boxed();
    }
    let connector = connector(address, settings);
    async move { endpoint.connect_with_connector(connector).await }.boxed()
}

pub(super) fn timed_out(what: &str, timeout: Duration) -> io::Error {
    let message = format!("{what} took longer than {}", humantime::format_duration(timeout));
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// Connects to this address, whatever the endpoint's host resolves to: the host stays for TLS and for the requests.
fn connector(
    address: SocketAddr,
    settings: &Settings,
) -> HttpConnector<
    impl Clone + Send + Sync + tower::Service<Name, Response = Once<SocketAddr>, Error = Infallible, Future: Send> + use<>,
> {
    let resolver = tower::service_fn(move |_: Name| ready(Ok::<_, Infallible>(once(address))));
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(settings.keepalive));
    connector.set_connect_timeout(Some(settings.connect_timeout));
    connector
}
