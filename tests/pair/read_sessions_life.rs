//! How read sessions end: in time, with their servers, by those who are asked to delete them; and what is told then.

use std::time::Duration;

use rowstream_contract::v1::{
    CreateReadSessionRequest, CreateReadSessionResponse, DeleteReadSessionRequest, PartitionStrategy,
    RenewReadSessionRequest, read_partition_response::Event,
};
use rowstream_testkit::eventually;
use tonic::Code;

use crate::{
    harness::{PATIENCE, Pair, TokenKeys, reason, statement},
    read_sessions::{CHANGES, Client, HOLDERS, OPEN, TABLE, all, create, delete, expected, part, read, table, wish},
};

/// What the next read of a partition, and the next renewal, are told; OK and no reason if nothing is wrong.
async fn told(client: &mut Client, session: &CreateReadSessionResponse) -> [(Code, String); 2] {
    let request = RenewReadSessionRequest { session_id: session.session_id.clone(), time_to_live: None };
    let read = part(client, read(&session.partitions[0].token)).await.map(drop);
    let renewed = client.renew_read_session(request).await.map(drop);
    [read, renewed]
        .map(|answer| answer.map_or_else(|status| (status.code(), reason(&status)), |()| (Code::Ok, String::new())))
}

fn live(millis: u64) -> Option<prost_types::Duration> {
    Duration::from_millis(millis).try_into().ok()
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_renewed_and_no_longer_than_a_snapshot_may() {
    let pair = Pair::with(&["--max-snapshot-age", "4s"]).await;
    let mut client = pair.raw_sessions();
    let request = CreateReadSessionRequest {
        time_to_live: live(500),
        ..wish(statement("select 1"), 1, PartitionStrategy::Single)
    };
    let expired = create(&mut client, request.clone()).await;
    let renewed = create(&mut client, request).await;
    let renew = |millis| RenewReadSessionRequest { session_id: renewed.session_id.clone(), time_to_live: live(millis) };
    let first = client.renew_read_session(renew(3_600_000)).await.expect("renewed").into_inner().expire_time;
    let again = client.renew_read_session(renew(3_600_000)).await.expect("renewed").into_inner().expire_time;
    let difference = again.expect("a time").seconds - first.expect("a time").seconds;
    assert!(difference <= 1, "both at the greatest age");
    let token = expired.partitions[0].token.clone();
    eventually("the session has expired", PATIENCE, async || part(&mut client.clone(), read(&token)).await.is_err())
        .await;
    eventually("and stays so", PATIENCE, async || {
        told(&mut client.clone(), &expired)
            .await
            .iter()
            .all(|told| *told == (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned()))
    })
    .await;
    assert_eq!(part(&mut client, read(&renewed.partitions[0].token)).await.expect("rows"), ["1"]);
    eventually("the snapshot is too old", PATIENCE, async || {
        matches!(part(&mut client.clone(), read(&renewed.partitions[0].token)).await, Err(status) if reason(&status) == "SESSION_EXPIRED")
    })
    .await;
    assert!(!delete(&mut client, &renewed).await);
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_stream_that_has_begun_goes_on_when_its_session_is_deleted() {
    let pair = Pair::start().await;
    pair.psql("CREATE TABLE wide AS SELECT i AS id, repeat('x', 1000) AS v FROM generate_series(1, 20000) i");
    let mut client = pair.raw_sessions();
    let session =
        create(&mut client, wish(statement("select id from wide, pg_sleep(0.1)"), 1, PartitionStrategy::Single)).await;
    let mut stream = client.read_partition(read(&session.partitions[0].token)).await.expect("headers").into_inner();
    let first = stream.message().await.expect("a message").and_then(|message| message.event);
    assert!(matches!(first, Some(Event::Header(_))));
    assert!(delete(&mut client, &session).await);
    pair.psql("DELETE FROM wide");
    let mut summary = None;
    while let Some(message) = stream.message().await.expect("a message") {
        if let Some(Event::Summary(last)) = message.event {
            summary = Some(last);
        }
    }
    assert_eq!(summary.expect("a summary").row_count, 20_000);
    assert_eq!(told(&mut client, &session).await[0], (Code::FailedPrecondition, "SESSION_EXPIRED".to_owned()));
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_lost_snapshot_is_told_and_never_another_one_taken_for_it() {
    let pair = Pair::start().await;
    pair.psql(TABLE);
    let mut client = pair.raw_sessions();
    let session = create(&mut client, wish(statement("select id, v from t"), 4, PartitionStrategy::Hash)).await;
    let holder =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'rowstream session %'
        AND datname = current_database()";
    assert_eq!(pair.psql(holder), "t");
    pair.psql("DELETE FROM t");
    let status = part(&mut client, read(&session.partitions[0].token)).await.expect_err("lost");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "SNAPSHOT_LOST"));
    eventually("the loss is known", PATIENCE, async || {
        told(&mut client.clone(), &session)
            .await
            .iter()
            .all(|told| *told == (Code::Aborted, "SNAPSHOT_LOST".to_owned()))
    })
    .await;
    pair.assert_settled().await;
}

#[tokio::test]
async fn there_are_no_more_sessions_than_the_server_allows_and_a_deleted_one_makes_room() {
    let pair = Pair::with(&["--max-read-sessions", "2"]).await;
    let mut client = pair.raw_sessions();
    let one = || wish(statement("select 1"), 1, PartitionStrategy::Single);
    let session = create(&mut client, one()).await;
    create(&mut client, one()).await;
    let status = client.create_read_session(one()).await.expect_err("too many");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_MANY_SESSIONS"));
    // What fails takes no room.
    delete(&mut client, &session).await;
    eventually("there is room again", PATIENCE, async || {
        client
            .clone()
            .create_read_session(wish(statement("select nothing"), 1, PartitionStrategy::Single))
            .await
            .is_err_and(|status| reason(&status) == "SQL_ERROR")
    })
    .await;
    create(&mut client, one()).await;
    pair.stop().await;
}

#[tokio::test]
async fn any_server_with_the_same_keys_serves_the_partitions_of_another() {
    let keys = TokenKeys::new();
    let flags = ["--tables", "public.*", "--token-keys", keys.path()];
    let first = Pair::without_sql(&flags).await;
    first.psql(TABLE);
    let second = Pair::beside(&first.database.url(), &flags).await;
    let stranger = Pair::beside(&first.database.url(), &OPEN).await;
    let session = create(&mut first.raw_sessions(), wish(table("t"), 4, PartitionStrategy::Unspecified)).await;
    let before = expected(&first, &session, "SELECT id, v FROM t");
    first.psql(CHANGES);
    assert_eq!(all(&mut second.raw_sessions(), &session).await, before);
    let status = part(&mut stranger.raw_sessions(), read(&session.partitions[0].token)).await.expect_err("other keys");
    assert_eq!(reason(&status), "INVALID_TOKEN");
    assert!(delete(&mut second.raw_sessions(), &session).await, "whoever holds it");
    eventually("nobody holds it any more", PATIENCE, async || first.psql(HOLDERS) == "0").await;
    eventually("the snapshot is gone for all", PATIENCE, async || {
        told(&mut second.raw_sessions(), &session).await[0] == (Code::Aborted, "SNAPSHOT_LOST".to_owned())
    })
    .await;
    stranger.stop().await;
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_a_second_server_holds_outlives_the_first_and_serves_a_third() {
    let keys = TokenKeys::new();
    let flags = ["--tables", "public.*", "--token-keys", keys.path()];
    let first = Pair::without_sql(&flags).await;
    first.psql(TABLE);
    let servers =
        [Pair::beside(&first.database.url(), &flags).await, Pair::beside(&first.database.url(), &flags).await];
    let session = create(&mut first.raw_sessions(), wish(table("t"), 4, PartitionStrategy::Unspecified)).await;
    let before = expected(&first, &session, "SELECT id, v FROM t");
    let renew = RenewReadSessionRequest { session_id: session.session_id.clone(), time_to_live: live(60_000) };
    servers[1].raw_sessions().renew_read_session(renew.clone()).await.expect("held twice");
    first.psql(CHANGES);
    first.shutdown.cancel();
    eventually("the first holder is gone", PATIENCE, async || first.psql(HOLDERS) == "1").await;
    for server in &servers {
        assert_eq!(all(&mut server.raw_sessions(), &session).await, before);
    }
    assert!(servers[1].raw_sessions().renew_read_session(renew).await.is_ok());
    // Rewritten, the table would be empty in the snapshot.
    first.psql("TRUNCATE t");
    let status = part(&mut servers[0].raw_sessions(), read(&session.partitions[0].token)).await.expect_err("rewritten");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "SCHEMA_CHANGED"));
    assert!(delete(&mut servers[0].raw_sessions(), &session).await);
    eventually("nobody holds it any more", PATIENCE, async || first.psql(HOLDERS) == "0").await;
    for server in servers {
        server.stop().await;
    }
    first.stop().await;
}

#[tokio::test]
async fn a_table_cannot_be_rewritten_while_its_snapshot_is_held() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(TABLE);
    let mut client = pair.raw_sessions();
    let session = create(&mut client, wish(table("t"), 2, PartitionStrategy::Hash)).await;
    let refused = pair.database.psql("SET lock_timeout = '50ms'; TRUNCATE t").expect_err("locked").to_string();
    assert!(refused.contains("lock timeout"), "{refused}");
    assert_eq!(all(&mut client, &session).await.len(), 5_000);
    delete(&mut client, &session).await;
    eventually("the lock is gone", PATIENCE, async || {
        pair.database.psql("SET lock_timeout = '50ms'; TRUNCATE t").is_ok()
    })
    .await;
    pair.stop().await;
}

#[tokio::test]
async fn a_session_that_holds_back_too_much_is_revoked_and_says_so() {
    let pair = Pair::with(&["--max-snapshot-transactions", "100"]).await;
    let mut client = pair.raw_sessions();
    let session = create(&mut client, wish(statement("select 1"), 1, PartitionStrategy::Single)).await;
    pair.psql("DO $$ BEGIN FOR i IN 1..200 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$");
    eventually("it is revoked", PATIENCE, async || {
        let read = part(&mut client.clone(), read(&session.partitions[0].token)).await;
        read.is_err_and(|status| status.message().contains("revoked") && reason(&status) == "SNAPSHOT_LOST")
    })
    .await;
    assert_eq!(told(&mut client, &session).await[1], (Code::Aborted, "SNAPSHOT_LOST".to_owned()));
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_session_that_could_not_be_deleted_everywhere_can_be_deleted_again() {
    let keys = TokenKeys::new();
    let flags = ["--tables", "public.*", "--token-keys", keys.path()];
    let (asked, proxy) = Pair::through_proxy(&flags).await;
    asked.psql(TABLE);
    let holder = Pair::beside(&asked.database.url(), &flags).await;
    let session = create(&mut holder.raw_sessions(), wish(table("t"), 2, PartitionStrategy::Unspecified)).await;
    proxy.stall();
    let request = DeleteReadSessionRequest { session_id: session.session_id.clone() };
    let delete_again = async || asked.raw_sessions().delete_read_session(request.clone()).await;
    let status = delete_again().await.expect_err("the database does not answer");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    assert_eq!(all(&mut holder.raw_sessions(), &session).await.len(), 5_000, "it lives");
    // What was asked then must not come through later.
    proxy.reset_all();
    proxy.resume();
    // A connection of its own may still be one that was reset.
    eventually("it is deleted", PATIENCE, async || {
        delete_again().await.is_ok_and(|answer| answer.into_inner().deleted)
    })
    .await;
    eventually("nobody holds it any more", PATIENCE, async || asked.psql(HOLDERS) == "0").await;
    assert!(!delete(&mut asked.raw_sessions(), &session).await);
    holder.stop().await;
    asked.stop().await;
}
