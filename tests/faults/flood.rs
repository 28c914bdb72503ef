//! Floods of frames over a few connections, and an honest caller beside them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rowstream_testkit::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::OwnedReadHalf,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    calls::{client, row_of},
    frames::Raw,
    size::Times,
};

/// How many frames go into one write.
const CHUNK: usize = 500;
/// How long a write may wait: a server that reads no more has had enough of this connection.
const UNREAD: Duration = Duration::from_secs(2);

/// What an attack sends.
pub(crate) trait Attack: Send {
    /// Appends what comes before the frames of a new connection.
    fn begin(&mut self, _out: &mut Vec<u8>) {}
    /// Appends one more frame, or the few that belong together, and answers how many that were.
    fn frames(&mut self, out: &mut Vec<u8>) -> usize;
    /// Whether the answers are read.
    fn reads(&self) -> bool {
        true
    }
    /// Whether the server must end the connection.
    fn is_ended(&self) -> bool {
        false
    }
}

/// What a flood came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flooded {
    pub(crate) frames: usize,
    pub(crate) connections: usize,
    pub(crate) took: Duration,
}

/// Sends that many frames, and goes on until the honest caller has made that many calls meanwhile; a connection that
/// the server closes is followed by another one.
pub(crate) async fn flood<A: Attack>(
    address: SocketAddr,
    frames: usize,
    (honest, calls): (&Honest, usize),
    attack: impl Fn() -> A,
) -> Flooded {
    let start = Instant::now();
    let mut flooded = Flooded::default();
    while flooded.frames < frames || honest.calls() < calls {
        flooded.connections += 1;
        flooded.frames += connection(address, frames, attack()).await;
    }
    flooded.took = start.elapsed();
    flooded
}

/// One connection, until it has sent so many frames or the server has closed it.
async fn connection(address: SocketAddr, frames: usize, mut attack: impl Attack) -> usize {
    let Ok(raw) = Raw::connect(address).await else { return 0 };
    let (reader, mut writer) = raw.into_socket().into_split();
    let closed = Arc::new(AtomicBool::new(false));
    let draining = attack.reads().then(|| drain(reader, closed.clone()));
    let (mut sent, mut out) = (0, Vec::new());
    attack.begin(&mut out);
    while sent < frames && !closed.load(Ordering::Relaxed) {
        let mut now = 0;
        while now < CHUNK.min(frames - sent) {
            now += attack.frames(&mut out);
        }
        if !matches!(timeout(UNREAD, writer.write_all(&out)).await, Ok(Ok(()))) {
            sent += now;
            break;
        }
        sent += now;
        out.clear();
    }
    if let Some(draining) = draining {
        if attack.is_ended() {
            timeout(PATIENCE, draining).await.expect("the server ends the connection").expect("no panic");
            return sent;
        }
        // What the server still has of it, it works off before it sees the end.
        let _ = writer.shutdown().await;
        let _ = timeout(UNREAD, draining).await;
    }
    sent
}

/// Reads to the end of a connection.
fn drain(mut reader: OwnedReadHalf, closed: Arc<AtomicBool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
        closed.store(true, Ordering::Relaxed);
    })
}

/// A caller of small rows, one after another on a connection of its own, until it is told to end. It has a thread of
/// its own: what it waits for is the server, and not the attacker beside it.
#[derive(Debug)]
pub(crate) struct Honest {
    end: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    thread: thread::JoinHandle<Times>,
}

impl Honest {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (end, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (end.clone(), calls.clone());
        let calling = async move {
            let mut client = client(address);
            let mut times = Times::default();
            while !told.load(Ordering::Relaxed) {
                let start = Instant::now();
                client.query_row(row_of("select 1")).await.expect("an honest caller is served");
                times.push(start.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
            }
            times
        };
        let thread = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(calling)
        });
        Self { end, calls, thread }
    }

    /// How many calls it has made.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Ends it, and answers how long its calls took.
    pub(crate) async fn end(self) -> Times {
        self.end.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await.expect("no panic");
        joined.expect("no call has failed")
    }
}
