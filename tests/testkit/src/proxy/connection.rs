//! Forwards one connection, until either side ends it or a fault does.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

use super::counts::Meter;

const BUFFER_BYTES: usize = 16 * 1024;

/// The faults asked for.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) stalled: watch::Sender<bool>,
    /// Counts the silences asked for; a connection that is open when it changes carries nothing more.
    pub(super) silences: watch::Sender<u64>,
    /// Counts the resets asked for; a connection ends when it changes.
    pub(super) resets: watch::Sender<u64>,
    pub(super) budget: Budget,
}

/// How many bytes may still pass from server to client; `None` is no limit.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Option<u64>>);

/// Carries both directions. The sockets close on return.
pub(super) async fn forward(mut client: TcpStream, mut server: TcpStream, meter: &Meter, faults: &Faults) {
    // Without this the proxy adds waits of its own to what a test measures. A closed socket fails here; reading tells.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut resets, mut silences) = (faults.resets.subscribe(), faults.silences.subscribe());
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let both = async {
        tokio::try_join!(
            upstream(client_read, server_write, meter, faults),
            downstream(server_read, client_write, meter, faults),
        )
    };
    // What was asked for before a stall is ended comes before anything that was held back.
    let both_or_silence = async {
        tokio::select! {
            biased;
            _ = silences.changed() => std::future::pending().await,
            _ = both => {}
        }
    };
    let reset = tokio::select! {
        biased;
        _ = resets.changed() => true,
        () = both_or_silence => false,
    };
    if reset {
        // Fails only on a socket that is closed already.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn upstream(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, meter: &Meter, faults: &Faults) -> io::Result<()> {
    let mut gate = faults.stalled.subscribe();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = read(&mut from, &mut buffer, &mut gate).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        meter.count_client(count);
        to.write_all(&buffer[..count]).await?;
    }
}

async fn downstream(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, meter: &Meter, faults: &Faults) -> io::Result<()> {
    let mut gate = faults.stalled.subscribe();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = read(&mut from, &mut buffer, &mut gate).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let (allowed, cut) = faults.budget.take(count);
        meter.count_server(allowed);
        to.write_all(&buffer[..allowed]).await?;
        if cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// Reads what has come; while stalled it neither reads nor gives out what it has read.
async fn read(from: &mut ReadHalf<'_>, buffer: &mut [u8], gate: &mut watch::Receiver<bool>) -> io::Result<usize> {
    open(gate).await?;
    let count = from.read(buffer).await?;
    open(gate).await?;
    Ok(count)
}

async fn open(gate: &mut watch::Receiver<bool>) -> io::Result<()> {
    gate.wait_for(|stalled| !stalled).await.map(drop).map_err(io::Error::other)
}

// === impl Budget ===

impl Budget {
    pub(super) fn set(&self, bytes: u64) {
        *self.lock() = Some(bytes);
    }

    /// How many of `count` bytes may pass, and whether the connection ends with them, which lifts the limit.
    fn take(&self, count: usize) -> (usize, bool) {
        let mut left = self.lock();
        match *left {
            None => (count, false),
            Some(bytes) if bytes > count as u64 => {
                *left = Some(bytes - count as u64);
                (count, false)
            }
            Some(bytes) => {
                *left = None;
                (usize::try_from(bytes).unwrap_or(count), true)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
