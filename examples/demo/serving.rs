//! The server, in this process.

use std::net::SocketAddr;

use rowstream_server::{Config, ServeError, serve};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::Result;

const QUERIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/queries");

/// A running server.
pub(crate) struct Serving {
    endpoint: String,
    shutdown: CancellationToken,
    task: JoinHandle<std::result::Result<(), ServeError>>,
}

impl Serving {
    /// Serves a database, with ad-hoc SQL, the demo's tables and the named queries of `examples/queries`.
    pub(crate) async fn start(database_url: &str, listen: SocketAddr) -> Result<Self> {
        let listener = match TcpListener::bind(listen).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((listen.ip(), 0)).await?,
        };
        let address = listener.local_addr()?;
        let listen = address.to_string();
        let open = ["--allow-sql", "--tables", "tpch.*", "--queries", QUERIES];
        let arguments = [&["--database-url", database_url, "--listen", &listen][..], &open].concat();
        let config = Config::try_from_args(arguments)?;
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(config, listener, shutdown.clone()));
        Ok(Self { endpoint: format!("http://{address}"), shutdown, task })
    }

    /// The address as clients take it.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Lets calls end, and ends.
    pub(crate) async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        Ok(self.task.await??)
    }
}
