//! TLS on the server's port: handshakes with the certificate of now.
//!
//! The files are looked at every second, by content: so a Kubernetes secret, whose symbolic links are swapped,
//! counts like a file that is written anew. Content that still changes is left alone until it has stood for one
//! look; SIGHUP has it taken at once. A new pair that cannot be served is logged, and the old one stays.
//! Connections keep the certificate that they began with.

mod pair;
mod plain;

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{net::TcpStream, sync::watch, time::sleep};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

pub(crate) use self::pair::Files;
use self::pair::{Contents, Pair};
use crate::{config::Args, reload::Hangups};

/// Between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first byte of a TLS connection: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// What makes connections secret. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    current: watch::Receiver<Arc<ServerConfig>>,
}

/// Reads the files once, to know whether they can be served now.
///
/// # Errors
/// Names the flag, the file and what is wrong.
pub(crate) fn check(files: &Files) -> Result<(), String> {
    let pair = files.read().and_then(|contents| files.pair(&contents))?;
    pair.check_time().map_err(|problem| format!("--tls-cert {}: {problem}", files.certificate.display()))
}

impl Files {
    /// The files that the settings name, if TLS is to be spoken.
    pub(crate) fn of(args: &Args) -> Option<Self> {
        let (certificate, key) = (args.tls_cert.clone()?, args.tls_key.clone()?);
        Some(Self { certificate, key })
    }
}

impl Tls {
    /// Reads the files, and watches them until `end`.
    ///
    /// # Errors
    /// Names the flag, the file and what is wrong; or SIGHUP cannot be listened to.
    pub(crate) fn start(files: Files, end: CancellationToken) -> Result<Self, String> {
        let hangups = Hangups::listen().map_err(|error| format!("signals: {error}"))?;
        let contents = files.read()?;
        let pair = files.pair(&contents)?;
        if let Err(problem) = pair.check_time() {
            // Served nevertheless: callers with a clock of their own may see it otherwise, and tell clearly.
            tracing::error!(file = %files.certificate.display(), problem, "callers will refuse the certificate");
        }
        tracing::info!(expires = %pair.not_after, "TLS certificate read");
        let (send, current) = watch::channel(pair.config);
        tokio::spawn(watch_files(files, contents, hangups, send, end));
        Ok(Self { current })
    }

    /// Shakes hands. `None` for a caller who does not speak TLS: it has been told.
    ///
    /// # Errors
    /// Whatever goes wrong with it.
    pub(crate) async fn accept(&self, mut stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        if stream.peek(&mut first).await? > 0 && first[0] != HANDSHAKE {
            plain::refuse(&mut stream).await?;
            return Ok(None);
        }
        let config = self.current.borrow().clone();
        TlsAcceptor::from(config).accept(stream).await.map(Some)
    }
}

async fn watch_files(
    files: Files,
    served: Contents,
    mut hangups: Hangups,
    send: watch::Sender<Arc<ServerConfig>>,
    end: CancellationToken,
) {
    // What has been judged is not judged again, unless a person asks.
    let (mut judged, mut seen) = (Ok(served), None);
    loop {
        let at_once = tokio::select! {
            () = end.cancelled() => return,
            () = hangups.next() => true,
            () = sleep(INTERVAL) => false,
        };
        let now = files.read();
        if !at_once && (now == judged || seen.as_ref() != Some(&now)) {
            seen = Some(now);
            continue;
        }
        match now.as_ref().map_err(Clone::clone).and_then(|contents| new_pair(&files, contents)) {
            Ok(pair) => {
                tracing::info!(expires = %pair.not_after, "TLS certificate read again");
                send.send_replace(pair.config);
            }
            Err(reason) => tracing::error!(reason, "the new TLS certificate cannot be served; the old one stays"),
        }
        (judged, seen) = (now, None);
    }
}

fn new_pair(files: &Files, contents: &Contents) -> Result<Pair, String> {
    let pair = files.pair(contents)?;
    pair.check_time().map_err(|problem| format!("--tls-cert {}: {problem}", files.certificate.display()))?;
    Ok(pair)
}
