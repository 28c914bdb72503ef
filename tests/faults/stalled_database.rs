//! Figure 7: connections to PostgreSQL that go silent, backends and whole clusters that hang. Calls end at their
//! deadlines, and what was lost is replaced.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowstream_testkit::{Frozen, PATIENCE, Postgres, Proxy, eventually};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    calls::{is, outcome, read_all, row_of, stream_of, within},
    harness::Server,
    size::{Size, figure},
};

const DEADLINE: Duration = Duration::from_secs(1);
const FULL_WITHIN: Duration = Duration::from_secs(6);

/// A cluster with room, a server that reaches it through a proxy, and so many connections.
async fn server(connections: usize) -> (Postgres, Server, Proxy) {
    let postgres = Postgres::builder().setting("max_connections", "250").start().expect("a cluster of its own");
    let database = postgres.create_database().expect("a database");
    let proxy = Proxy::start(([127, 0, 0, 1], postgres.port()).into()).await.expect("a proxy");
    let url = database.url().replace(&format!(":{}/", postgres.port()), &format!(":{}/", proxy.address().port()));
    let pool = connections.to_string();
    let flags = ["--pool-max", &pool, "--max-streams", &pool];
    let server = Server::launch(&mut rowstream_testkit::Program::command(), database, &url, &flags).await;
    (postgres, server, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_replaced_whether_they_work_or_rest() {
    let connections = Size::asked().count(10, 100);
    for working in [true, false] {
        let (_postgres, server, proxy) = server(connections).await;
        let mut watch = server.watch().await;
        let calls = async {
            let count = if working { connections } else { 0 };
            join_all((0..count).map(|_| async {
                let asleep = "select i, pg_sleep(0.05) from generate_series(1, 10000) i";
                read_all(&server.client(), within(DEADLINE, stream_of(asleep))).await.error()
            }))
            .await
        };
        let silence = async {
            if working {
                eventually("all work", PATIENCE, async || watch.busy().await == connections).await;
            }
            proxy.silence();
            Instant::now()
        };
        let (statuses, silent) = tokio::join!(calls, silence);
        for status in statuses {
            assert_eq!(outcome(&status), is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{status:?}");
        }
        until_whole_pool_serves(&server).await;
        let took = silent.elapsed();
        let what = if working { "at work, deadlines of 1 s" } else { "at rest" };
        figure(
            7,
            took <= FULL_WITHIN,
            format!("{connections} silent connections {what}: full capacity after {took:.1?}"),
        );
        // PostgreSQL's side of a silent connection is still open: it learns of the end when the proxy does.
        proxy.reset_all();
        server.assert_settled().await;
    }
}

/// Asks for all connections at once until they are there: each call gives up early, as one with a short deadline.
async fn until_whole_pool_serves(server: &Server) {
    eventually("the whole pool serves again", PATIENCE, async || {
        let calls = (0..server.pool_max).map(|_| async {
            let call = within(Duration::from_millis(500), row_of("select pg_sleep(0.1)"));
            server.client().query_row(call).await.is_ok()
        });
        join_all(calls).await.into_iter().all(|served| served)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_hangs_costs_its_own_call_and_no_other() {
    let rounds = Size::asked().count(2, 20);
    let server = Server::start(&["--pool-max", "4"]).await;
    let mut watch = server.watch().await;
    for _ in 0..rounds {
        let client = server.client();
        let hanging = tokio::spawn(async move {
            let slow = "select i, pg_sleep(0.01) /* hangs */ from generate_series(1, 10000) i";
            read_all(&client, within(DEADLINE, stream_of(slow))).await.error()
        });
        let theirs = "state = 'active' and query like '%/* hangs */%'";
        // Between two steps of a read it is idle: asked for once more, it need not be there.
        let mut pids = Vec::new();
        eventually("it works", PATIENCE, async || {
            pids = watch.pids(theirs).await;
            pids.len() == 1
        })
        .await;
        let frozen = Frozen::process(pids[0]).expect("stopped");
        let others = join_all((0..20).map(|_| async { server.client().query_row(row_of("select 1")).await }));
        assert!(others.await.iter().all(Result::is_ok), "other calls go on");
        let status = hanging.await.expect("no panic");
        assert_eq!(outcome(&status), is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        // Without it, as long as the backend hangs: its connection is given up.
        eventually("three others and a new one serve", PATIENCE, async || {
            let all = join_all((0..4).map(|_| async {
                let call = within(Duration::from_secs(1), row_of("select pg_sleep(0.2)"));
                server.client().query_row(call).await.is_ok()
            }));
            all.await.into_iter().all(|served| served)
        })
        .await;
        drop(frozen);
    }
    server.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_hangs_for_seconds_is_unavailable_and_then_serves_again() {
    let postgres = Postgres::start().expect("a cluster of its own");
    let server = Server::over(postgres.create_database().expect("a database"), &["--pool-max", "4"]).await;
    let frozen = postgres.freeze().expect("stopped");
    let calls = join_all((0..8).map(|_| async {
        let begun = Instant::now();
        let call = within(DEADLINE, row_of("select 1"));
        (server.client().query_row(call).await.expect_err("nobody answers"), begun.elapsed())
    }));
    for (status, took) in calls.await {
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        println!("PostgreSQL hangs: a deadline of 1 s is told after {took:.2?}");
    }
    server.until_health(ServingStatus::NotServing).await;
    drop(frozen);
    let serves = server.until_serving().await;
    println!("PostgreSQL goes on: the server serves after {serves:.1?}");
    server.assert_settled().await;
}
