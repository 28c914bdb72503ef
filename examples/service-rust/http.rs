//! Just enough of HTTP/1.1 to answer GET with JSON, one request a connection. A real service would take a
//! framework here; what matters for the example is where the answer comes from.

use std::{io, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use crate::revenue::Revenue;

const LONGEST_REQUEST: usize = 8 << 10;
const CONNECTIONS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(5);

type State = watch::Receiver<Option<Revenue>>;

/// Answers until accepting fails.
pub(crate) async fn serve(listener: TcpListener, state: State) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        let state = state.clone();
        tokio::spawn(async move {
            // A caller that goes, or says nothing, is its own affair.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &state)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() >= LONGEST_REQUEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, body) = match line {
        b"GET /revenue HTTP/1.1" => revenue(state),
        _ => ("404 Not Found", json!({ "error": "try GET /revenue" }).to_string()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await
}

/// The state as it is now, with its age; 503 before the first refresh has succeeded.
fn revenue(state: &State) -> (&'static str, String) {
    match &*state.borrow() {
        Some(revenue) => {
            let age = revenue.read_at.elapsed().as_secs();
            ("200 OK", json!({ "age_seconds": age, "months": revenue.months }).to_string())
        }
        None => ("503 Service Unavailable", json!({ "error": "not filled yet" }).to_string()),
    }
}
