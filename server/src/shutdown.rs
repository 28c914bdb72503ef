//! How the process is told to end, and how it does.

use std::{process, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{stop::Cause, stream::calls::Calls};

/// How long stopped calls have to end their statements and give their connections back.
const CLEAN_UP: Duration = Duration::from_millis(400);

/// Cancels `shutdown` on the first SIGTERM or SIGINT; exits at once, with status 1, on the second.
///
/// # Errors
/// Fails if the signals cannot be listened to.
pub fn on_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        next(&mut terminate, &mut interrupt).await;
        shutdown.cancel();
        tracing::info!("draining; a second signal ends at once");
        next(&mut terminate, &mut interrupt).await;
        process::exit(1);
    });
    Ok(())
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Lets calls end within the grace period, then stops them.
pub(crate) async fn drain(tasks: &TaskTracker, calls: &Calls, grace_period: Duration) {
    tasks.close();
    if timeout(grace_period, tasks.wait()).await.is_err() {
        tracing::warn!(calls = tasks.len(), "the grace period is over; stopping what is left");
        calls.stop_all(Cause::Draining);
        if timeout(CLEAN_UP, tasks.wait()).await.is_err() {
            tracing::warn!(calls = tasks.len(), "calls did not end in time");
        }
    }
}
