//! A hot standby: reads that recovery is in the way of, and its promotion in the middle of streams.

use std::time::Duration;

use rowstream_testkit::{PATIENCE, Postgres, eventually};
use tokio::time::sleep;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

use crate::{
    calls::{is, open, outcome, read, read_all, row_of},
    harness::Server,
    reference::Reference,
};

const ROWS: usize = 20_000;

/// A primary, its standby, a server over the standby, and the table.
async fn pair(setting: (&str, &str)) -> (Postgres, Postgres, Server) {
    let primary = Postgres::start().expect("a primary");
    let standby = primary.standby().setting(setting.0, setting.1).start().expect("a standby");
    // Made on the primary; its name leads to the standby's copy.
    let database = primary.create_database().expect("a database");
    Reference::create(&database, ROWS);
    let copy = standby.database(database.name());
    let replayed = format!("select count(*) from numbered having count(*) = {ROWS}");
    eventually("the standby has the table", PATIENCE, async || copy.psql(&replayed).is_ok_and(|rows| !rows.is_empty()))
        .await;
    // The standby cannot drop what is the primary's; the cluster's end removes both.
    std::mem::forget(database);
    let server = Server::over(copy, &["--pool-max", "4"]).await;
    (primary, standby, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_recovery_is_in_the_way_of_is_aborted_and_may_be_repeated() {
    let (primary, _standby, server) = pair(("max_standby_streaming_delay", "0")).await;
    let name = server.database.name().to_owned();
    for conflict in [
        // Rows that our snapshot still sees are removed.
        "delete from numbered where i % 2 = 0; vacuum numbered",
        // The table itself is locked.
        "alter table numbered add column more int",
    ] {
        let sql = "select i, t, pg_sleep(case when i > 64 then 0.01 else 0 end) from numbered";
        let stream = open(&server.client(), sql).await;
        primary.psql(&name, conflict).expect(conflict);
        let status = read(stream).await.error();
        assert_eq!(outcome(&status), is(Code::Aborted, "CONFLICT"), "{conflict}: {status:?}");
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
        // What the primary sends later may be in its way as well.
        eventually("the next one is let in", PATIENCE, async || {
            server.client().query_row(row_of("select count(*) from numbered")).await.is_ok()
        })
        .await;
    }
    server.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_is_not_noticed_by_anybody() {
    let (_primary, standby, server) = pair(("max_standby_streaming_delay", "30s")).await;
    let reference = Reference::read(&server.client(), ROWS).await;
    let before = open(&server.client(), Reference::SQL).await;
    let during = async {
        loop {
            reference.check(&read_all(&server.client(), Reference::request()).await).expect("reads go on");
            if server.psql("select pg_is_in_recovery()") == "f" {
                return;
            }
            assert_eq!(server.health().await, Some(ServingStatus::Serving));
        }
    };
    let promote = async {
        sleep(Duration::from_millis(20)).await;
        tokio::task::block_in_place(|| standby.psql("postgres", "select pg_promote()")).expect("promoted");
    };
    tokio::join!(during, promote);
    reference.check(&read(before).await).expect("a stream from before the promotion");
    reference.check(&read_all(&server.client(), Reference::request()).await).expect("a stream from after it");
    assert_eq!(server.health().await, Some(ServingStatus::Serving));
    server.assert_settled().await;
}
