//! Read sessions through the client library: all partitions are one state of the database, by rows and by record batches,
//! also when their connections are cut; a session is kept alive while it is held.

use std::{collections::BTreeSet, time::Duration};

use arrow_array::{cast::AsArray as _, types::Int64Type};
use rowstream_client::{Client, Code, Error, Partition, PartitionStrategy, Reason, ResumeGuarantee};
use rowstream_testkit::{Proxy, eventually};

use crate::harness::{PATIENCE, Pair};

const TABLE: &str = "
    create table t (id bigint primary key, line text);
    insert into t select i, repeat(md5(i::text), 8) from generate_series(1, 20000) i";
const HELD: &str = "select count(*) from pg_stat_activity where application_name like 'rowstream session %'";

async fn pair() -> Pair {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(TABLE);
    pair
}

/// The ids of a partition, in the order they come in, and how often it had to be resumed.
async fn ids(client: &Client, partition: &Partition) -> (Vec<i64>, u32) {
    let mut rows = client.read_partition(partition.token.clone()).stream().await.expect("a stream");
    let mut ids = Vec::new();
    while let Some(batch) = rows.next_batch().await.expect("a batch") {
        ids.extend(batch.iter().map(|row| row.get::<i64>(0).expect("an id")));
    }
    assert_eq!(rows.summary().expect("a summary").row_count, ids.len() as u64);
    (ids, rows.resumed())
}

#[tokio::test]
async fn partitions_are_one_state_of_the_database_by_rows_and_by_record_batches() {
    let pair = pair().await;
    let client = pair.client();
    let session = client.create_read_session(client.table("t").call()).partitions(4).create().await.expect("a session");
    assert_eq!((session.strategy(), session.partitions().len()), (PartitionStrategy::Ctid, 4));
    assert_eq!(session.resume_guarantee(), ResumeGuarantee::ExactSnapshot);
    assert_eq!(session.columns().len(), 2);
    pair.psql("update t set id = -id where id % 3 = 0; delete from t where id % 3 = 1; insert into t select i, 'new' from generate_series(30000, 31000) i");
    let mut by_rows = Vec::new();
    let mut by_batches = Vec::new();
    for partition in session.partitions() {
        by_rows.extend(ids(&client, partition).await.0);
        let mut batches =
            client.read_partition(partition.token.clone()).record_batches().await.expect("record batches");
        while let Some(batch) = batches.next_batch().await.expect("a batch") {
            by_batches.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
        }
    }
    assert_eq!(by_rows, by_batches);
    assert_eq!(by_rows.len(), 20_000);
    assert_eq!(by_rows.into_iter().collect::<BTreeSet<_>>(), (1..=20_000).collect());
    assert!(client.delete_read_session(session.id()).await.expect("an answer"));
    assert!(!client.delete_read_session(session.id()).await.expect("an answer"), "it is gone");
    let Err(Error::Status(lost)) = client.read_partition(session.partitions()[0].token.clone()).stream().await else {
        panic!("the session is gone")
    };
    assert_eq!((lost.code(), lost.reason()), (Code::FailedPrecondition, Some(Reason::SessionExpired)));
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_partition_whose_connection_is_cut_goes_on_in_its_snapshot() {
    let pair = pair().await;
    let proxy =
        Proxy::start(pair.url.trim_start_matches("http://").parse().expect("an address")).await.expect("a proxy");
    let client = Client::builder([format!("http://{}", proxy.address())]).build().expect("a valid endpoint");
    let session = client.create_read_session(client.table("t").call()).partitions(3).create().await.expect("a session");
    pair.psql("delete from t where id % 2 = 0");
    let (mut all, mut resumed) = (Vec::new(), 0);
    for partition in session.partitions() {
        proxy.cut_after(400_000);
        let (ids, times) = ids(&client, partition).await;
        all.extend(ids);
        resumed += times;
    }
    assert!(resumed > 0, "no cut was met");
    assert_eq!(all.len(), 20_000, "no row twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (1..=20_000).collect());
    client.delete_read_session(session.id()).await.expect("an answer");
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_session_lives_while_it_is_held_and_not_for_long_after() {
    let pair = pair().await;
    let client = pair.client();
    let (life, call) = (Duration::from_secs(2), client.sql("select 1 as one"));
    let session = client.create_read_session(call).time_to_live(life).create().await.expect("a session");
    let token = session.partitions()[0].token.clone();
    tokio::time::sleep(life * 2).await;
    tokio::time::sleep(life * 2).await;
    let mut rows = client.read_partition(token.clone()).stream().await.expect("it was renewed");
    assert_eq!(rows.next_batch().await.expect("no error").expect("a batch").len(), 1);
    drop(rows);
    drop(session);
    eventually("its snapshot is let go", PATIENCE, async || pair.psql(HELD) == "0").await;
    let Err(Error::Status(gone)) = client.read_partition(token).stream().await else { panic!("it has expired") };
    assert!(matches!(gone.reason(), Some(Reason::SessionExpired | Reason::SnapshotLost)), "{gone}");
    pair.assert_settled().await;
}
