//! Figure 3: deadlines by the thousand, in every phase. Each is answered as a deadline, in its phase, soon after its
//! instant; PostgreSQL stops working for it; and the whole pool is there again.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::{Connection as _, PgConnection};
use tokio::{task::JoinHandle, time::sleep};
use tonic::{Code, Status};

use crate::{
    calls::{Client, MARKER, client, endless, fact, is, outcome, read, read_all, row_of, stream_of, within},
    harness::Server,
    size::{Size, Times, figure},
    watch::Watch,
};

const POOL: usize = 16;
/// How many rows of a kilobyte: more than all buffers between the server and a caller who does not read. Larger rows
/// would keep PostgreSQL busy with the first FETCH until the deadline.
const UNREAD: usize = 20_000;
/// Within this time of the last deadline all backends are idle.
const IDLE_WITHIN: Duration = Duration::from_millis(500);
const LATE_BY: Duration = Duration::from_millis(50);

/// What was measured in one phase.
#[derive(Default)]
struct Measured {
    late: Times,
    idle: Times,
}

/// Where a call is to be when its deadline passes.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Queue,
    Plan,
    Fetch,
    Send,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_deadline_is_told_in_its_phase_and_leaves_nothing_running() {
    let count = Size::asked().count(32, 2_500);
    let server = Server::start(&["--pool-max", "16", "--max-streams", "48"]).await;
    server.psql("create table locked as select 1 as i");
    let (mut late, mut idle) = (Times::default(), Times::default());
    for phase in [Phase::Queue, Phase::Plan, Phase::Fetch, Phase::Send] {
        let measured = phase.measure(&server, count).await;
        println!("figure 3: {} deadlines in {phase:?}: late by {}", measured.late.len(), measured.late);
        late.extend(measured.late);
        idle.extend(measured.idle);
    }
    figure(3, late.percentile(99) <= LATE_BY, format!("{} deadlines, late by {late}", late.len()));
    figure(
        3,
        idle.most() <= IDLE_WITHIN,
        format!("after {} waves of them, all backends idle after {idle}", idle.len()),
    );
    server.assert_settled().await;
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Queue => "QUEUE",
            Self::Plan => "PLAN",
            Self::Fetch => "FETCH",
            Self::Send => "SEND",
        }
    }

    async fn measure(self, server: &Server, count: usize) -> Measured {
        let mut measured = Measured::default();
        let mut watch = server.watch().await;
        let obstacle = Obstacle::place(self, server, &mut watch).await;
        // Those who queue for a connection, and those who queue behind them for a stream.
        let wave = if matches!(self, Self::Queue) { POOL * 4 } else { POOL };
        let clients: Vec<Client> = (0..4).map(|_| client(server.address)).collect();
        while measured.late.len() < count {
            let calls = (0..wave).map(|i| self.late_by(&clients[i % clients.len()], i));
            for late in join_all(calls).await {
                measured.late.push(late);
            }
            // In the queue no backend works for these calls.
            if !matches!(self, Self::Queue) {
                let theirs = "state <> 'idle' and application_name like 'rowstream %'";
                let start = Instant::now();
                while watch.count(theirs).await > 0 {
                    assert!(start.elapsed() < rowstream_testkit::PATIENCE, "a statement outlives its deadline");
                }
                measured.idle.push(start.elapsed());
            }
        }
        obstacle.remove().await;
        measured
    }

    /// Makes one call whose deadline passes, and tells how much later the answer is.
    async fn late_by(self, client: &Client, number: usize) -> Duration {
        // Long enough to come into the phase on a busy machine.
        let (ci, full) = match self {
            // It begins there.
            Self::Queue => (500, 100),
            Self::Plan | Self::Fetch => (3_000, 100),
            Self::Send => (3_000, 300),
        };
        let base = Size::asked().count(ci, full) as u64;
        let timeout = Duration::from_millis(fastrand::u64(base..base * 2));
        let start = Instant::now();
        let (status, due) = match self {
            Self::Send => unread(client, timeout).await,
            _ => (read_all(client, within(timeout, stream_of(&self.sql(number)))).await.error(), start + timeout),
        };
        let late = due.elapsed();
        assert_eq!(outcome(&status), is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        assert_eq!(fact(&status, "phase").as_deref(), Some(self.name()));
        late
    }

    fn sql(self, number: usize) -> String {
        match self {
            Self::Queue => "select 1".to_owned(),
            Self::Plan => format!("select i, '{MARKER}' from locked"),
            Self::Fetch if number.is_multiple_of(2) => "select pg_sleep(60)".to_owned(),
            Self::Fetch => endless(),
            Self::Send => format!("select i, repeat('{MARKER}', 80) from generate_series(1, {UNREAD}) i"),
        }
    }
}

/// A stream that is not read before its deadline has passed: only then its caller can learn so.
async fn unread(client: &Client, timeout: Duration) -> (Status, Instant) {
    let request = within(timeout, stream_of(&Phase::Send.sql(0)));
    let events = match client.clone().stream_query(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (status, Instant::now()),
    };
    // The server's time began before its headers came; what is on the way is read after its end.
    sleep(timeout + Duration::from_millis(10)).await;
    let due = Instant::now();
    (read(events).await.error(), due)
}

/// What keeps calls in a phase.
enum Obstacle {
    None,
    /// Every connection is taken.
    Taken(Vec<JoinHandle<()>>),
    /// Somebody else holds the table's lock.
    Locked(PgConnection),
}

impl Obstacle {
    async fn place(phase: Phase, server: &Server, watch: &mut Watch) -> Self {
        match phase {
            Phase::Fetch | Phase::Send => Self::None,
            Phase::Plan => {
                let mut locker = PgConnection::connect(&server.database.url()).await.expect("PostgreSQL answers");
                sqlx::raw_sql("begin; lock table locked").execute(&mut locker).await.expect("the lock");
                Self::Locked(locker)
            }
            Phase::Queue => {
                let take = |_| {
                    let mut client = server.client();
                    tokio::spawn(async move {
                        client.query_row(within(Duration::from_secs(3000), row_of("select pg_sleep(3000)"))).await.ok();
                    })
                };
                let taken = (0..POOL).map(take).collect();
                while watch.count("state = 'active' and query like '%pg_sleep(3000)%'").await < POOL {}
                Self::Taken(taken)
            }
        }
    }

    async fn remove(self) {
        match self {
            Self::None => {}
            Self::Taken(calls) => calls.iter().for_each(JoinHandle::abort),
            Self::Locked(locker) => locker.close().await.expect("closed"),
        }
    }
}
