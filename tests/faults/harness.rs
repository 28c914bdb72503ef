//! A server as a process of its own over a database of its own, and the invariants that hold after every fault.

use std::{net::SocketAddr, process::Command, time::Duration};

use futures_util::future::join_all;
use rowstream_testkit::{Database, PATIENCE, Postgres, Program, Proxy, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    calls::{Client, MARKER, client, http, origin, row_of},
    size::Size,
    watch::Watch,
};

/// In every server's database URL (PostgreSQL asks for none here), and never in a log.
const PASSWORD: &str = "password-5b1e";
/// Resident memory that may stay when everything else is back: what the allocator keeps for the next time.
const KEPT_BYTES: u64 = 24 << 20;
/// Within this time of the last call's end everything is back (invariant I1), at full size.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);
/// What the server has if its flags do not say.
const POOL_MAX: usize = 10;

/// A running server, its database, and what it took when it had nothing to do.
#[derive(Debug)]
pub(crate) struct Server {
    // The program ends before its database is dropped.
    pub(crate) program: Program,
    pub(crate) database: Database,
    pub(crate) address: SocketAddr,
    pub(crate) pool_max: usize,
    /// Whose connection is there from the beginning.
    client: Client,
    baseline: Taken,
}

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) memory: u64,
    /// Open files that are not connections to PostgreSQL: how many of those are kept is the pool's business.
    pub(crate) files: usize,
}

impl Server {
    /// Over a database of the shared PostgreSQL, with ad-hoc SQL allowed, and more flags.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::over(Postgres::shared().create_database().expect("a database"), flags).await
    }

    /// Over this database.
    pub(crate) async fn over(database: Database, flags: &[&str]) -> Self {
        let url = database.url();
        Self::launch(&mut Program::command(), database, &url, flags).await
    }

    /// With every connection to the shared PostgreSQL through a proxy.
    pub(crate) async fn through_proxy(flags: &[&str]) -> (Self, Proxy) {
        let database = Postgres::shared().create_database().expect("a database");
        let port = Postgres::shared().port();
        let proxy = Proxy::start(([127, 0, 0, 1], port).into()).await.expect("a proxy");
        let url = database.url().replace(&format!(":{port}/"), &format!(":{}/", proxy.address().port()));
        (Self::launch(&mut Program::command(), database, &url, flags).await, proxy)
    }

    /// With a command and a database URL of the test's own.
    pub(crate) async fn launch(command: &mut Command, database: Database, url: &str, flags: &[&str]) -> Self {
        let url = url.replace("postgres@", &format!("postgres:{PASSWORD}@"));
        // At full size a line for every step of every call would be most of the work.
        let log = if Size::asked() == Size::Full { "info" } else { "info,rowstream_server=debug,sqlx=debug" };
        command.args(["--listen", "127.0.0.1:0", "--allow-sql", "--log", log, "--database-url", &url]).args(flags);
        let mut program = Program::spawn(command);
        let address = program.address().await;
        let pool_max = flags.iter().position(|flag| *flag == "--pool-max");
        let pool_max = pool_max.map_or(POOL_MAX, |flag| flags[flag + 1].parse().expect("a number"));
        let baseline = Taken { memory: 0, files: 0 };
        let mut server = Self { program, database, address, pool_max, client: client(address), baseline };
        server.until_serving().await;
        server.assert_whole_pool().await;
        server.baseline = server.taken().await;
        server
    }

    /// Ends the server, if it still runs, and keeps its database for the next.
    pub(crate) fn into_database(self) -> Database {
        self.database
    }

    /// A client that shares one connection with all others that this gives out.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client with a connection of its own, which must be gone before [`Self::assert_settled`].
    pub(crate) fn new_client(&self) -> Client {
        client(self.address)
    }

    pub(crate) async fn watch(&self) -> Watch {
        Watch::of(&self.database).await
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.database.psql(sql).expect(sql)
    }

    /// Where `--admin-listen 127.0.0.1:0` has led to.
    pub(crate) fn admin(&self) -> SocketAddr {
        admin(&self.program)
    }

    /// What the health service says of the whole server; `None` if nobody answers.
    pub(crate) async fn health(&self) -> Option<ServingStatus> {
        let mut health = HealthClient::with_origin(http(), origin(self.address));
        health.check(HealthCheckRequest::default()).await.ok().map(|answer| answer.into_inner().status())
    }

    pub(crate) async fn until_health(&self, status: ServingStatus) -> Duration {
        let told = format!("the health service says {status:?}");
        eventually(&told, PATIENCE, async || self.health().await == Some(status)).await
    }

    pub(crate) async fn until_serving(&self) -> Duration {
        self.until_health(ServingStatus::Serving).await
    }

    /// What it takes now, once every connection that is being closed is closed.
    pub(crate) async fn taken(&self) -> Taken {
        let mut files = self.files();
        eventually("connections are closed", PATIENCE, async || {
            let now = self.files();
            now == std::mem::replace(&mut files, now)
        })
        .await;
        Taken { memory: self.program.memory(), files }
    }

    fn files(&self) -> usize {
        let backends = self.database.backends().expect("pg_stat_activity").len();
        self.program.open_files().saturating_sub(backends)
    }

    /// Every connection can be had at the same time: no permit is lost (I1).
    pub(crate) async fn assert_whole_pool(&self) {
        const ALL: &str = "select pg_sleep(60) /* all of them */";
        let mut watch = self.watch().await;
        // A connection takes no more calls than --max-connection-streams.
        let further = (0..self.pool_max / 200).map(|_| self.new_client());
        let clients: Vec<_> = std::iter::once(self.client()).chain(further).collect();
        let holding = join_all((0..self.pool_max).map(|i| {
            let mut client = clients[i % clients.len()].clone();
            async move { client.query_row(row_of(ALL)).await }
        }));
        let all = eventually("the whole pool serves", PATIENCE, async || {
            watch.count("state = 'active' and query like '%/* all of them */%'").await == self.pool_max
        });
        tokio::select! {
            _ = holding => panic!("a call that takes a minute has ended"),
            _ = all => {}
        }
        watch.until_idle(PATIENCE).await;
    }

    /// What must hold after every fault, when the last call has ended: no backend works or holds a transaction open
    /// (I2), the whole pool can be had (I1), files and memory are back (I4), each call has ended once and nothing has
    /// panicked (I5), and neither rows nor a password are in the log (I6).
    pub(crate) async fn assert_settled(&self) {
        self.assert_settled_keeping(KEPT_BYTES).await;
    }

    /// As [`Self::assert_settled`], where the allocator may keep more.
    pub(crate) async fn assert_settled_keeping(&self, kept: u64) {
        let limit = if Size::asked() == Size::Full { SETTLED_WITHIN } else { PATIENCE };
        self.watch().await.until_idle(limit).await;
        self.assert_whole_pool().await;
        eventually("files and sockets are closed", PATIENCE, async || self.files() <= self.baseline.files).await;
        let memory = self.program.memory();
        let allowed = self.baseline.memory + kept;
        assert!(memory <= allowed, "resident memory is {memory} bytes; it was {} at first", self.baseline.memory);
        self.assert_log();
    }

    /// The part of [`Self::assert_settled`] that needs neither PostgreSQL nor a server that runs.
    pub(crate) fn assert_log(&self) {
        assert!(!self.program.has_written(PASSWORD), "a password in the log");
        assert_log(&self.program);
    }
}

/// Where a program's `--admin-listen 127.0.0.1:0` has led to.
pub(crate) fn admin(program: &Program) -> SocketAddr {
    let log = program.log();
    let line = log.iter().find(|line| line.message() == "admin listening").expect("an admin port");
    line.text("address").parse().expect("an address")
}

/// One metric, all its labels together.
pub(crate) async fn metric(admin: SocketAddr, name: &str) -> u64 {
    let mut socket = TcpStream::connect(admin).await.expect("the admin port");
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    let samples = answer.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Each call has ended once, nothing has panicked (I5), and no rows are in the log (I6).
pub(crate) fn assert_log(program: &Program) {
    assert!(!program.has_written(MARKER), "row data in the log");
    // A panic's message is no JSON: reading the log fails.
    let log = program.log();
    let mut ids = std::collections::HashSet::new();
    for line in log.iter().filter(|line| line.message() == "call") {
        assert_ne!(line.text("outcome"), "INTERNAL", "{line:?}");
        assert!(ids.insert(line.text("query_id")), "two ends of one call: {line:?}");
    }
    assert!(!log.iter().any(|line| line.message() == "a handler panicked"));
}
