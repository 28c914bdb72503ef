//! kill -9 of the server in the middle of streams: its callers get an error, PostgreSQL works for nobody, and the
//! next server serves at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowstream_testkit::{PATIENCE, Postgres, eventually};
use tokio::time::sleep;

use crate::{
    calls::{MARKER, read_all, row_of, stream_of},
    harness::Server,
    reference::Reference,
    size::{Size, Times, figure},
};

const ROWS: usize = 20_000;
/// `client_connection_check_interval` is a second.
const GONE_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_no_backend_and_no_wrong_row() {
    let kills = Size::asked().count(3, 100);
    let mut database = Postgres::shared().create_database().expect("a database");
    Reference::create(&database, ROWS);
    let (mut gone, mut again) = (Times::default(), Times::default());
    let mut reference: Option<Reference> = None;
    for _ in 0..kills {
        let begun = Instant::now();
        let mut server = Server::over(database, &["--pool-max", "8"]).await;
        again.push(begun.elapsed());
        if reference.is_none() {
            reference = Some(Reference::read(&server.client(), ROWS).await);
        }
        let reference = reference.as_ref().expect("read once");
        let mut watch = server.watch().await;
        let under_way = under_way(&server, reference);
        let kill = async {
            sleep(Duration::from_micros(fastrand::u64(0..60_000))).await;
            server.program.signal("KILL");
            Instant::now()
        };
        let ((), killed) = tokio::join!(under_way, kill);
        eventually("no backend is left", PATIENCE, async || watch.count("true").await == 0).await;
        gone.push(killed.elapsed());
        eventually("the program has ended", PATIENCE, async || server.program.has_ended()).await;
        server.assert_log();
        database = server.into_database();
    }
    println!("kill -9 in mid-stream, {kills} times: a new server serves after {again}");
    figure(6, gone.most() <= GONE_WITHIN, format!("{kills} times kill -9: no backend is left after {gone}"));
    let server = Server::over(database, &["--pool-max", "8"]).await;
    server.assert_settled().await;
}

/// A machine that vanishes closes nothing: only its silence can tell.
#[tokio::test]
async fn a_backend_asks_whether_a_silent_server_still_lives() {
    let server = Server::start(&[]).await;
    // What the kernel has been told for this socket.
    let settings = "current_setting('tcp_keepalives_idle') || '+' || current_setting('tcp_keepalives_count') || '*' || \
                    current_setting('tcp_keepalives_interval')";
    let answer = server.client().query_row(row_of(&format!("select {settings}"))).await.expect("a row").into_inner();
    let row = answer.row.expect("a row").0;
    assert!(row.ends_with(b"30+3*10"), "{row:?}");
    server.assert_settled().await;
}

/// Calls of every kind, until the server is gone: rows, a statement that sleeps, one that computes.
async fn under_way(server: &Server, reference: &Reference) {
    let reading = join_all((0..4).map(|_| async {
        // Until it is cut off.
        while reference.check(&read_all(&server.client(), Reference::request()).await).is_ok() {}
    }));
    let asleep = async { server.client().query_row(row_of("select pg_sleep(60)")).await };
    let sql = format!("select i, '{MARKER}' from generate_series(1, 100000000) i order by i % 7, i");
    let client = server.client();
    let busy = read_all(&client, stream_of(&sql));
    let (_, asleep, busy) = tokio::join!(reading, asleep, busy);
    asleep.expect_err("cut off");
    busy.error();
}
