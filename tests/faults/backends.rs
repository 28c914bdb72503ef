//! Backends that are killed while streams read from them: no row is lost or doubled in silence.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    calls::{read_all, row_of},
    harness::Server,
    reference::Reference,
    size::Size,
    watch::Watch,
};

const READERS: usize = 4;
const ROWS: usize = 50_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_backend_is_killed_is_complete_or_fails() {
    let kills = Size::asked().count(20, 500);
    let server = Server::start(&["--pool-max", "4"]).await;
    Reference::create(&server.database, ROWS);
    let reference = Reference::read(&server.client(), ROWS).await;
    let over = CancellationToken::new();
    let readers = (0..READERS).map(|_| async {
        let (mut complete, mut lost) = (0, 0);
        while !over.is_cancelled() {
            let reading = read_all(&server.client(), Reference::request()).await;
            if reference.check_complete_or_lost(&reading) { complete += 1 } else { lost += 1 }
        }
        (complete, lost)
    });
    let killer = async {
        kill(&mut server.watch().await, kills).await;
        over.cancel();
    };
    let (ends, ()) = tokio::join!(join_all(readers), killer);
    let (complete, lost) = ends.iter().fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1));
    println!(
        "figure 6: {kills} backends killed under streams of {ROWS} rows: {complete} complete, {lost} failed as \
         UNAVAILABLE, 0 wrong"
    );
    assert!(lost > 0, "no stream was hit");
    server.client().query_row(row_of("select 1")).await.expect("a row");
    server.assert_settled().await;
}

/// Ends backends that are reading the table, one after another at random.
async fn kill(watch: &mut Watch, count: usize) {
    let mut killed = 0;
    while killed < count {
        sleep(Duration::from_micros(fastrand::u64(0..20_000))).await;
        let reading = watch.pids("state <> 'idle' and application_name like 'rowstream %'").await;
        if let Some(pid) = fastrand::choice(reading) {
            watch.run(&format!("select pg_terminate_backend({pid})")).await;
            killed += 1;
        }
    }
}
