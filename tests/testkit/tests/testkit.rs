//! The testkit's own promises:
//!
//! - a cluster starts, answers, restarts, and leaves neither a process nor a folder behind, even after kill -9;
//! - a database is empty, seen in pg_stat_activity, and gone when dropped;
//! - a cluster freezes and goes on; its standby follows, and can be promoted;
//! - the proxy counts round trips, stalls, falls silent, resets and cuts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream as BlockingStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rowstream_testkit::{Postgres, Proxy, StopMode, bin, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const SOON: Duration = Duration::from_secs(10);

/// The folder of a cluster, from the server itself.
fn folder_of(postgres: &Postgres) -> PathBuf {
    let data = postgres.psql("postgres", "SHOW data_directory").unwrap();
    Path::new(&data).parent().unwrap().to_owned()
}

fn listens(port: u16) -> bool {
    BlockingStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
}

#[test]
fn a_dropped_cluster_leaves_nothing_behind() {
    let postgres = Postgres::builder().setting("work_mem", "3MB").start().unwrap();
    assert_eq!(postgres.psql("postgres", "SELECT 1, 'a'; SELECT 2").unwrap(), "1|a\n2");
    assert_eq!(postgres.psql("postgres", "SHOW work_mem").unwrap(), "3MB");
    let (folder, port) = (folder_of(&postgres), postgres.port());
    assert!(folder.is_dir());
    drop(postgres);
    assert!(!folder.exists());
    assert!(!listens(port));
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_behind() {
    let mut command = Command::new(bin("examples/postgres"));
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let port = url.trim().rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
    assert!(listens(port));
    let mut psql = Command::new(Postgres::shared().bin("psql"));
    let data = psql.args(["-XAt", "-c", "SHOW data_directory", url.trim()]).output().unwrap().stdout;
    let folder = Path::new(str::from_utf8(&data).unwrap().trim()).parent().unwrap().to_owned();
    assert!(folder.is_dir());
    process.kill().unwrap();
    process.wait().unwrap();
    eventually("the server has ended", SOON, async || !listens(port)).await;
    eventually("its files are gone", SOON, async || !folder.exists()).await;
}

#[test]
fn a_kept_cluster_is_found_again_with_its_data() {
    let folder = tempfile::tempdir().unwrap();
    // Beyond the temporary folder itself, which user postgres cannot search.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let kept = folder.path().join("cluster");
    let start = || Postgres::builder().kept_in(&kept).start().unwrap();
    start().psql("postgres", "CREATE TABLE kept AS SELECT 7 AS n").unwrap();
    assert!(kept.join("data").is_dir());
    let again = start();
    assert_eq!(again.psql("postgres", "SELECT n FROM kept").unwrap(), "7");
    assert!(again.log().contains("database system was shut down at"), "{}", again.log());
}

#[test]
fn a_cluster_that_cannot_start_says_why() {
    let error = Postgres::builder().setting("no_such_setting", "1").start().unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}

#[test]
fn a_restarted_cluster_keeps_its_port_and_its_data() {
    let postgres = Postgres::start().unwrap();
    let port = postgres.port();
    postgres.psql("postgres", "CREATE TABLE kept AS SELECT 7 AS n; CHECKPOINT").unwrap();
    for mode in [StopMode::Immediate, StopMode::Fast] {
        postgres.stop(mode).unwrap();
        assert!(!listens(port));
        assert!(postgres.psql("postgres", "SELECT 1").is_err());
        postgres.restart().unwrap();
        assert_eq!(postgres.psql("postgres", "SELECT n FROM kept").unwrap(), "7");
    }
}

#[test]
fn a_frozen_cluster_answers_nobody_until_it_goes_on() {
    let postgres = Postgres::start().unwrap();
    let frozen = postgres.freeze().unwrap();
    // `ps` calls it T.
    let stopped = |pid: &str| {
        let ps = Command::new("ps").args(["-o", "state=", "-p", pid]).output().unwrap().stdout;
        ps.trim_ascii_start().starts_with(b"T")
    };
    assert!(listens(postgres.port()), "the system accepts for it");
    let pids = frozen.pids().to_vec();
    assert!(pids.len() > 1 && pids.iter().all(|pid| stopped(pid)), "{pids:?}");
    drop(frozen);
    assert_eq!(postgres.psql("postgres", "SELECT 1").unwrap(), "1");
}

#[tokio::test]
async fn a_standby_follows_its_primary_and_can_be_promoted() {
    let primary = Postgres::start().unwrap();
    let standby = primary.standby().start().unwrap();
    assert_eq!(standby.psql("postgres", "SELECT pg_is_in_recovery()").unwrap(), "t");
    primary.psql("postgres", "CREATE TABLE t AS SELECT 7 AS i").unwrap();
    eventually("the standby has it", SOON, async || {
        standby.psql("postgres", "SELECT i FROM t").is_ok_and(|rows| rows == "7")
    })
    .await;
    assert_eq!(standby.psql("postgres", "SELECT pg_promote(); INSERT INTO t VALUES (8)").unwrap(), "t");
}

#[tokio::test]
async fn a_database_is_empty_watched_and_gone_when_dropped() {
    let postgres = Postgres::shared();
    let database = postgres.create_database().unwrap();
    assert_eq!(database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
    assert_eq!(database.psql_csv("VALUES (1, 'a,b'), (2, NULL)").unwrap(), b"column1,column2\n1,\"a,b\"\n2,\n");
    assert_eq!(database.backends().unwrap(), []);
    let error = database.psql("SELECT 1;\nSELECT nothing").unwrap_err().to_string();
    assert!(error.contains("nothing"), "{error}");

    let mut command = Command::new(postgres.bin("psql"));
    let mut sleeper =
        command.arg(database.url()).args(["-c", "SELECT pg_sleep(600)"]).stderr(Stdio::null()).spawn().unwrap();
    eventually("the sleeper is seen", SOON, async || {
        let backends = database.backends().unwrap();
        backends.iter().any(|one| one.is_active() && one.wait_event.as_deref() == Some("PgSleep"))
    })
    .await;

    let name = database.name().to_owned();
    drop(database);
    assert!(!sleeper.wait().unwrap().success());
    assert_eq!(postgres.psql("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{name}'")).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_counts_the_round_trips_of_postgres() {
    let postgres = Postgres::shared();
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], postgres.port()))).await.unwrap();
    let mut command = Command::new(postgres.bin("psql"));
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable&gssencmode=disable", proxy.address());
    let mut psql = command.args(["-XAtq", &url]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut ask, mut answers) = (psql.stdin.take().unwrap(), BufReader::new(psql.stdout.take().unwrap()));
    let mut query = |sql: &str| {
        writeln!(ask, "{sql}").unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(query("SELECT 1;"), "1\n");
    proxy.reset_counts();
    assert_eq!(query("SELECT 2;"), "2\n");
    assert_eq!(query("SELECT 3;"), "3\n");
    assert_eq!(proxy.round_trips(), 2);
    assert_eq!(proxy.connections(), 1);
    drop(ask);
    psql.wait().unwrap();
    eventually("the connection has ended", SOON, async || proxy.connections() == 0).await;
}

/// A server that sends back what it gets, and the proxy before it.
async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
            });
        }
    });
    Proxy::start(address).await.unwrap()
}

#[tokio::test]
async fn a_stalled_proxy_holds_everything_back_until_it_resumes() {
    let proxy = echo().await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.stall();
    client.write_all(b"held").await.unwrap();
    let mut answer = [0; 4];
    let silent = tokio::time::timeout(Duration::from_millis(100), client.read_exact(&mut answer)).await;
    assert!(silent.is_err());
    proxy.resume();
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"held");
    assert_eq!((proxy.round_trips(), proxy.counts().client_bytes, proxy.counts().server_bytes), (1, 4, 4));
}

#[tokio::test]
async fn a_silent_proxy_forwards_nothing_more_and_serves_later_connections() {
    let proxy = echo().await;
    let mut before = TcpStream::connect(proxy.address()).await.unwrap();
    before.write_all(b"a").await.unwrap();
    assert_eq!(before.read_u8().await.unwrap(), b'a');
    proxy.silence();
    before.write_all(b"b").await.unwrap();
    let mut after = TcpStream::connect(proxy.address()).await.unwrap();
    after.write_all(b"c").await.unwrap();
    assert_eq!(after.read_u8().await.unwrap(), b'c');
    assert_eq!(proxy.connections(), 2, "the silent one is still open");
    assert!(tokio::time::timeout(Duration::from_millis(50), before.read_u8()).await.is_err());
    proxy.reset_all();
    before.read_u8().await.unwrap_err();
}

#[tokio::test]
async fn a_reset_reaches_stalled_connections_and_spares_later_ones() {
    let proxy = echo().await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    eventually("the connection is open", SOON, async || proxy.connections() == 1).await;
    proxy.stall();
    // The connection to the echo server may still be under way: a reset concerns what is connected.
    eventually("the client is reset", SOON, async || {
        proxy.reset_all();
        let read = tokio::time::timeout(Duration::from_millis(10), client.read_u8()).await;
        matches!(read, Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset)
    })
    .await;
    proxy.resume();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_cut_comes_after_exactly_so_many_bytes() {
    let proxy = echo().await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.cut_after(5);
    client.write_all(b"123456789").await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.ok();
    assert_eq!(answer, b"12345");
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
}
