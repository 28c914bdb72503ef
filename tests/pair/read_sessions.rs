//! Read sessions: their parts are together the rows of one snapshot, each row once, whatever is written meanwhile and
//! whoever serves them; and how sessions end.

use std::{collections::BTreeMap, time::Duration};

use rowstream_contract::{
    rows::Batch,
    v1::{
        self, CreateReadSessionRequest, CreateReadSessionResponse, DeleteReadSessionRequest, Encoding,
        PartitionStrategy, ReadPartitionRequest, RenewReadSessionRequest, Statement, Strategy, TableRead,
        read_partition_response::Event, statement::Source, value::Kind,
    },
};
use rowstream_testkit::eventually;
use tonic::{Code, Status};

use crate::harness::{PATIENCE, Pair, Raw, reason, statement};

type Client = v1::read_session_service_client::ReadSessionServiceClient<Raw>;

const OPEN: [&str; 2] = ["--tables", "public.*"];

fn table(name: &str) -> Statement {
    let read = TableRead { table: name.to_owned(), ..TableRead::default() };
    Statement { source: Some(Source::Table(read)), ..Statement::default() }
}

fn wish(statement: Statement, partitions: i32, strategy: PartitionStrategy) -> CreateReadSessionRequest {
    CreateReadSessionRequest {
        statement: Some(statement),
        partitions,
        partition_strategy: strategy.into(),
        ..CreateReadSessionRequest::default()
    }
}

async fn create(client: &mut Client, request: CreateReadSessionRequest) -> CreateReadSessionResponse {
    client.create_read_session(request).await.expect("a session").into_inner()
}

fn read(token: &[u8]) -> ReadPartitionRequest {
    ReadPartitionRequest { partition: token.to_vec(), ..ReadPartitionRequest::default() }
}

/// What a batch holds, with nothing written by hand.
#[derive(Clone, PartialEq, prost::Message)]
struct Rows {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<v1::ListValue>,
}

fn rows(batch: &Batch) -> Vec<String> {
    let rows = <Rows as prost::Message>::decode(batch.data.bytes().clone()).expect("rows").rows;
    let row = |row: &v1::ListValue| row.values.iter().map(shown).collect::<Vec<_>>().join("|");
    rows.iter().map(row).collect()
}

/// As psql shows it.
fn shown(value: &v1::Value) -> String {
    match &value.kind {
        None => String::new(),
        Some(Kind::Int64(value)) => value.to_string(),
        Some(Kind::Text(text) | Kind::Numeric(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// A part's rows, and the summary's count.
async fn part(client: &mut Client, request: ReadPartitionRequest) -> Result<Vec<String>, Status> {
    let mut stream = client.read_partition(request).await?.into_inner();
    let (mut all, mut summary) = (Vec::new(), None);
    while let Some(message) = stream.message().await? {
        match message.event.expect("an event") {
            Event::Header(_) => {}
            Event::Batch(batch) => all.extend(rows(&batch)),
            Event::Summary(last) => summary = Some(last),
        }
    }
    assert_eq!(summary.expect("a summary").row_count, i64::try_from(all.len()).expect("a count"));
    Ok(all)
}

/// The rows of all parts together, sorted.
async fn all(client: &mut Client, session: &CreateReadSessionResponse) -> Vec<String> {
    let mut all = Vec::new();
    for partition in &session.partitions {
        all.extend(part(client, read(&partition.token)).await.expect("rows"));
    }
    all.sort();
    all
}

/// The rows of a query in the session's snapshot, read by psql; sorted.
fn expected(pair: &Pair, session: &CreateReadSessionResponse, sql: &str) -> Vec<String> {
    let id = &session.snapshot.as_ref().expect("a snapshot").id;
    let rows = pair.psql(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{id}'; {sql}; COMMIT"
    ));
    let mut rows: Vec<_> = rows.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

async fn delete(client: &mut Client, session: &CreateReadSessionResponse) -> bool {
    let request = DeleteReadSessionRequest { session_id: session.session_id.clone() };
    client.delete_read_session(request).await.expect("an answer").into_inner().deleted
}

/// A table of some pages, and what changes every part of it.
const TABLE: &str = "CREATE TABLE t (id int8 PRIMARY KEY, v text);
    INSERT INTO t SELECT i, repeat('x', i % 300) FROM generate_series(1, 5000) i; ANALYZE t";
const CHANGES: &str = "DELETE FROM t WHERE id % 3 = 0; UPDATE t SET v = 'changed' WHERE id % 3 = 1;
    INSERT INTO t SELECT i, 'new' FROM generate_series(10001, 15000) i";

#[tokio::test]
async fn the_parts_of_a_table_are_the_rows_of_one_snapshot_whatever_is_written_meanwhile() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(TABLE);
    let mut client = pair.raw_sessions();
    for strategy in [
        PartitionStrategy::Unspecified,
        PartitionStrategy::Single,
        PartitionStrategy::Ctid,
        PartitionStrategy::KeyRange,
        PartitionStrategy::Hash,
    ] {
        pair.psql(
            "TRUNCATE t; INSERT INTO t SELECT i, repeat('x', i % 300) FROM generate_series(1, 5000) i; ANALYZE t",
        );
        let session = create(&mut client, wish(table("t"), 4, strategy)).await;
        let chosen = if strategy == PartitionStrategy::Unspecified { PartitionStrategy::Ctid } else { strategy };
        assert_eq!(session.partition_strategy(), chosen, "{}", session.partition_reason);
        assert_eq!(session.partitions.len(), if strategy == PartitionStrategy::Single { 1 } else { 4 });
        let rows: i64 = session.partitions.iter().map(|partition| partition.estimated_row_count).sum();
        assert!((4_900..5_100).contains(&rows), "{rows}");
        let before = expected(&pair, &session, "SELECT id, v FROM t");
        assert_eq!(before.len(), 5_000);
        pair.psql(CHANGES);
        assert_eq!(all(&mut client, &session).await, before, "{strategy:?}");
        pair.psql("VACUUM t");
        assert_eq!(all(&mut client, &session).await, before, "{strategy:?}");
        assert!(delete(&mut client, &session).await);
        assert!(!delete(&mut client, &session).await);
    }
    pair.stop().await;
}
