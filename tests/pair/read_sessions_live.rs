//! Parts that are read without their session's snapshot: at the present state, for what cannot be ended in it.

use rowstream_contract::v1::{
    CreateReadSessionRequest, PartitionStrategy, ReadPartitionRequest, ResumeGuarantee, read_partition_response::Event,
};
use tonic::Code;

use crate::{
    harness::{Pair, reason, statement},
    read_sessions::{Client, OPEN, TABLE, create, delete, part, read, table, wish},
};

fn live(token: &[u8]) -> ReadPartitionRequest {
    ReadPartitionRequest { live: true, ..read(token) }
}

#[tokio::test]
async fn without_the_snapshot_parts_are_disjoint_and_complete_as_the_database_is_now() {
    let pair = Pair::with(&OPEN).await;
    pair.psql(TABLE);
    let mut client = pair.raw_sessions();
    for (what, strategy) in [
        (table("t"), PartitionStrategy::KeyRange),
        (table("t"), PartitionStrategy::Hash),
        (table("t"), PartitionStrategy::Single),
        (statement("SELECT id, v FROM t"), PartitionStrategy::KeyRange),
        (statement("SELECT id, v FROM t"), PartitionStrategy::Hash),
    ] {
        let session = create(&mut client, wish(what, 4, strategy)).await;
        assert!(delete(&mut client, &session).await);
        // Below, within and above all bounds.
        pair.psql("DELETE FROM t WHERE id % 7 = 0; INSERT INTO t SELECT i, 'new' FROM generate_series(-50, 0) i ON CONFLICT DO NOTHING; INSERT INTO t VALUES (99999999, NULL) ON CONFLICT DO NOTHING");
        let status = part(&mut client, read(&session.partitions[0].token)).await.expect_err("deleted");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "SESSION_EXPIRED"));
        let mut rows = Vec::new();
        for partition in &session.partitions {
            rows.extend(part(&mut client, live(&partition.token)).await.expect("rows"));
        }
        rows.sort();
        let now = pair.psql("SELECT id, v FROM t");
        let mut now: Vec<_> = now.lines().map(str::to_owned).collect();
        now.sort();
        assert_eq!(rows, now, "{strategy:?}");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_session_tells_by_what_columns_it_is_divided_and_whether_they_are_the_primary_key() {
    let pair = Pair::with(&OPEN).await;
    pair.psql(
        "CREATE TABLE t (v text, b int, a int, PRIMARY KEY (a, b)); CREATE TABLE heap (v text, a int);
        CREATE VIEW seen AS SELECT * FROM t; INSERT INTO t SELECT i, i, i FROM generate_series(1, 100) i",
    );
    let mut client = pair.raw_sessions();
    let sql = || statement("SELECT a, b FROM t");
    for (statement, strategy, by, columns, of_key) in [
        (table("t"), PartitionStrategy::Ctid, &[][..], &[][..], false),
        (table("t"), PartitionStrategy::Single, &[], &[], false),
        (table("t"), PartitionStrategy::KeyRange, &[], &["a"], true),
        (table("t"), PartitionStrategy::KeyRange, &["b"], &["b"], true),
        (table("t"), PartitionStrategy::KeyRange, &["v"], &["v"], false),
        (table("t"), PartitionStrategy::Hash, &[], &["a", "b"], true),
        (table("t"), PartitionStrategy::Hash, &["a", "v"], &["a", "v"], false),
        (table("heap"), PartitionStrategy::KeyRange, &[], &["v"], false),
        (table("heap"), PartitionStrategy::Hash, &[], &["v", "a"], false),
        (table("seen"), PartitionStrategy::Unspecified, &[], &["v", "b", "a"], false),
        (sql(), PartitionStrategy::Hash, &[], &[], false),
        (sql(), PartitionStrategy::Hash, &["b"], &["b"], false),
        (sql(), PartitionStrategy::KeyRange, &[], &["a"], false),
    ] {
        let partition_by = by.iter().map(|&name| name.to_owned()).collect();
        let request = CreateReadSessionRequest { partition_by, ..wish(statement, 3, strategy) };
        let session = create(&mut client, request).await;
        let told: Vec<_> = session.partition_by.iter().map(String::as_str).collect();
        assert_eq!((told.as_slice(), session.partition_by_primary_key), (columns, of_key), "{strategy:?} {by:?}");
        delete(&mut client, &session).await;
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_part_by_ctid_is_not_read_without_its_snapshot() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(TABLE);
    let mut client = pair.raw_sessions();
    let session = create(&mut client, wish(table("t"), 4, PartitionStrategy::Ctid)).await;
    let status = part(&mut client, live(&session.partitions[0].token)).await.expect_err("rows move");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("live: goes with no part by CTID"), "{}", status.message());
    delete(&mut client, &session).await;
    pair.stop().await;
}

/// The guarantee and the last token of a part.
async fn tokens(client: &mut Client, request: ReadPartitionRequest) -> (ResumeGuarantee, Vec<u8>) {
    let mut stream = client.read_partition(request).await.expect("a stream").into_inner();
    let (mut guarantee, mut token) = (ResumeGuarantee::Unspecified, Vec::new());
    while let Some(message) = stream.message().await.expect("a message") {
        if let Some(Event::Header(header)) = message.event {
            guarantee = header.resume_guarantee();
        }
        token = message.resume_token;
    }
    (guarantee, token)
}

#[tokio::test]
async fn what_was_read_in_the_snapshot_does_not_go_on_without_it() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(TABLE);
    let mut client = pair.raw_sessions();
    let session = create(&mut client, wish(table("t"), 2, PartitionStrategy::KeyRange)).await;
    let token = &session.partitions[0].token;
    let (exact, within) = tokens(&mut client, read(token)).await;
    let (keyset, now) = tokens(&mut client, live(token)).await;
    assert_eq!((exact, keyset), (ResumeGuarantee::ExactSnapshot, ResumeGuarantee::KeysetLive));
    let crossed = ReadPartitionRequest { resume_token: within, ..live(token) };
    assert_eq!(reason(&part(&mut client, crossed).await.expect_err("of the snapshot")), "INVALID_TOKEN");
    let crossed = ReadPartitionRequest { resume_token: now.clone(), ..read(token) };
    assert_eq!(reason(&part(&mut client, crossed).await.expect_err("of now")), "INVALID_TOKEN");
    let on = ReadPartitionRequest { resume_token: now, ..live(token) };
    let mut rest = client.read_partition(on).await.expect("goes on").into_inner();
    assert!(matches!(rest.message().await.expect("a header").and_then(|first| first.event), Some(Event::Header(_))));
    assert!(matches!(rest.message().await.expect("the end").and_then(|last| last.event), Some(Event::Summary(_))));
    drop(rest);
    delete(&mut client, &session).await;
    pair.stop().await;
}
