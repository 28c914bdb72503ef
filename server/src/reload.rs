//! SIGHUP: asks the server to read again what it has read from files. Whoever holds such files listens for itself
//! (every [`Hangups`] hears every signal); what reading again means is theirs.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The SIGHUPs of this process, from now on. Signals that come while nobody waits count as one.
#[derive(Debug)]
pub(crate) struct Hangups(Signal);

impl Hangups {
    /// Begins to listen; from here on SIGHUP no longer ends the process.
    ///
    /// # Errors
    /// Fails if the signal cannot be listened to.
    pub(crate) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime delivers no signals any more: it is going down.
            std::future::pending::<()>().await;
        }
    }
}
