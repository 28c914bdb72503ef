//! A caller with a TCP connection in its own hands, which it can end by a reset instead of any farewell.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rowstream_contract::v1::query_service_client::QueryServiceClient;
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::{body::Body, codegen::Service};

use crate::calls::origin;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) client: QueryServiceClient<Sender>,
    connection: JoinHandle<()>,
}

/// Sends requests over one connection.
#[derive(Clone, Debug)]
pub(crate) struct Sender(SendRequest<Body>);

impl Direct {
    /// Connects; a stream that is not read stalls after 64 KiB.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        // Closing it then sends a reset.
        stream.set_zero_linger().expect("a TCP socket");
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(64 * 1024);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
        let connection = tokio::spawn(async { drop(connection.await) });
        Self { client: QueryServiceClient::with_origin(Sender(sender), origin(address)), connection }
    }

    /// Ends the connection by a reset, whatever is under way on it.
    pub(crate) async fn reset(self) {
        self.connection.abort();
        // Cancelled: the socket is closed.
        let _ = self.connection.await;
    }
}

impl Service<Request<Body>> for Sender {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
