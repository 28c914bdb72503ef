//! Read sessions: their parts are together the rows of one snapshot, each row once, whatever is written meanwhile.

use rowstream_contract::{
    rows::Batch,
    v1::{
        self, CreateReadSessionRequest, CreateReadSessionResponse, DeleteReadSessionRequest, Encoding,
        PartitionStrategy, ReadPartitionRequest, Statement, Strategy, TableRead, read_partition_response::Event,
        statement::Source, value::Kind,
    },
};
use tonic::{Code, Status};

use crate::harness::{Pair, Raw, reason, statement};

pub(crate) type Client = v1::read_session_service_client::ReadSessionServiceClient<Raw>;

pub(crate) const OPEN: [&str; 2] = ["--tables", "public.*"];

pub(crate) fn table(name: &str) -> Statement {
    let read = TableRead { table: name.to_owned(), ..TableRead::default() };
    Statement { source: Some(Source::Table(read)), ..Statement::default() }
}

pub(crate) fn wish(statement: Statement, partitions: i32, strategy: PartitionStrategy) -> CreateReadSessionRequest {
    CreateReadSessionRequest {
        statement: Some(statement),
        partitions,
        partition_strategy: strategy.into(),
        ..CreateReadSessionRequest::default()
    }
}

pub(crate) async fn create(client: &mut Client, request: CreateReadSessionRequest) -> CreateReadSessionResponse {
    client.create_read_session(request).await.expect("a session").into_inner()
}

pub(crate) fn read(token: &[u8]) -> ReadPartitionRequest {
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
        other => format!("{other:?}"),
    }
}

/// A part's rows, and the summary's count.
pub(crate) async fn part(client: &mut Client, request: ReadPartitionRequest) -> Result<Vec<String>, Status> {
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
pub(crate) async fn all(client: &mut Client, session: &CreateReadSessionResponse) -> Vec<String> {
    let mut all = Vec::new();
    for partition in &session.partitions {
        all.extend(part(client, read(&partition.token)).await.expect("rows"));
    }
    all.sort();
    all
}

/// The rows of a query in the session's snapshot, read by psql; sorted.
pub(crate) fn expected(pair: &Pair, session: &CreateReadSessionResponse, sql: &str) -> Vec<String> {
    let id = &session.snapshot.as_ref().expect("a snapshot").id;
    let rows = pair.psql(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{id}'; {sql}; COMMIT"
    ));
    let mut rows: Vec<_> = rows.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

/// How many transactions hold a snapshot.
pub(crate) const HOLDERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'rowstream session %' AND datname = current_database()";

pub(crate) async fn delete(client: &mut Client, session: &CreateReadSessionResponse) -> bool {
    let request = DeleteReadSessionRequest { session_id: session.session_id.clone() };
    client.delete_read_session(request).await.expect("an answer").into_inner().deleted
}

/// A table of some pages, and what changes every part of it.
pub(crate) const TABLE: &str = "CREATE TABLE t (id int8 PRIMARY KEY, v text);
    INSERT INTO t SELECT i, repeat('x', i % 300) FROM generate_series(1, 5000) i; ANALYZE t";
pub(crate) const CHANGES: &str = "DELETE FROM t WHERE id % 3 = 0; UPDATE t SET v = 'changed' WHERE id % 3 = 1;
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

#[tokio::test]
async fn a_statement_with_values_is_divided_by_a_hash_or_a_key_nulls_included() {
    let pair = Pair::start().await;
    pair.psql(TABLE);
    pair.psql(
        "CREATE TABLE n (k int, v text); INSERT INTO n SELECT nullif(i % 10, 3), i FROM generate_series(1, 1000) i",
    );
    let mut client = pair.raw_sessions();
    let parameters = vec![v1::Value { kind: Some(Kind::Int64(2_000)) }];
    let with_value = Statement { parameters, ..statement("select id, v from t where id > $1; -- the end") };
    for (statement, sql) in [
        (with_value, "SELECT id, v FROM t WHERE id > 2000"),
        (statement("select k, v from n"), "SELECT k, v FROM n"),
        (statement("select k, v, k from n"), "SELECT k, v, k FROM n"),
    ] {
        for strategy in [PartitionStrategy::Hash, PartitionStrategy::KeyRange, PartitionStrategy::Unspecified] {
            let session = create(&mut client, wish(statement.clone(), 5, strategy)).await;
            pair.psql("INSERT INTO t SELECT i, 'new' FROM generate_series(10001, 11000) i; DELETE FROM n WHERE k = 5");
            assert!(session.partitions.len() > 1, "{strategy:?} {}", session.partition_reason);
            let before = expected(&pair, &session, sql);
            assert!(before.len() >= 900);
            assert_eq!(all(&mut client, &session).await, before, "{sql} {strategy:?}");
            delete(&mut client, &session).await;
            pair.psql("DELETE FROM t WHERE id > 10000; INSERT INTO n SELECT 5, i FROM generate_series(1, 100) i");
        }
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn every_strategy_and_encoding_reads_a_part() {
    let pair = Pair::with(&OPEN).await;
    pair.psql(TABLE);
    let mut client = pair.raw_sessions();
    let session = create(&mut client, wish(table("t"), 2, PartitionStrategy::Ctid)).await;
    let token = &session.partitions[1].token;
    let rows = part(&mut client, read(token)).await.expect("rows").len();
    for strategy in [Strategy::Cursor, Strategy::Portal, Strategy::Copy] {
        for encoding in [Encoding::Rows, Encoding::Arrow] {
            let request = ReadPartitionRequest { strategy: strategy.into(), encoding: encoding.into(), ..read(token) };
            let mut stream = client.read_partition(request).await.expect("headers").into_inner();
            let (mut header, mut summary) = (None, None);
            while let Some(message) = stream.message().await.expect("a message") {
                match message.event.expect("an event") {
                    Event::Header(first) => header = Some(first),
                    Event::Batch(_) => {}
                    Event::Summary(last) => summary = Some(last),
                }
            }
            let header = header.expect("a header");
            assert_eq!((header.strategy(), header.encoding()), (strategy, encoding));
            assert_eq!(header.columns, session.columns);
            assert_eq!(summary.expect("a summary").row_count, i64::try_from(rows).expect("a count"));
        }
    }
    delete(&mut client, &session).await;
    pair.assert_settled().await;
}

// === Places

/// Partitioned two levels deep, with an empty leaf, a dropped column and rows that have moved; and a family of tables.
const FAMILIES: &str = "
    CREATE TABLE parts (gone int, k int NOT NULL, v text) PARTITION BY RANGE (k);
    CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (1000);
    CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM (1000) TO (3000) PARTITION BY LIST ((k % 2));
    CREATE TABLE \"Parts b 0\" PARTITION OF parts_b FOR VALUES IN (0);
    CREATE TABLE parts_b_1 PARTITION OF parts_b FOR VALUES IN (1);
    CREATE TABLE parts_empty PARTITION OF parts FOR VALUES FROM (3000) TO (4000);
    ALTER TABLE parts DROP COLUMN gone;
    INSERT INTO parts SELECT i, repeat('x', i % 500) FROM generate_series(0, 2999) i;
    UPDATE parts SET k = k + 1000 WHERE k < 500; UPDATE parts SET v = v || 'y' WHERE k % 7 = 0;
    CREATE TABLE base (k int, v text); CREATE TABLE child (more int) INHERITS (base);
    CREATE TABLE other (v text, k int); ALTER TABLE other INHERIT base;
    INSERT INTO base SELECT i, 'base' FROM generate_series(1, 500) i;
    INSERT INTO child SELECT i, 'child', i FROM generate_series(1, 500) i;
    INSERT INTO other SELECT 'other', i FROM generate_series(1, 500) i;
    CREATE MATERIALIZED VIEW kept AS SELECT k, v FROM parts; ANALYZE";

#[tokio::test]
async fn a_part_by_ctid_can_be_the_first_that_a_connection_reads_in_any_way() {
    for strategy in [Strategy::Portal, Strategy::Cursor, Strategy::Copy] {
        let pair = Pair::without_sql(&OPEN).await;
        pair.psql(TABLE);
        let mut client = pair.raw_sessions();
        let session = create(&mut client, wish(table("t"), 3, PartitionStrategy::Ctid)).await;
        let mut rows = Vec::new();
        for partition in &session.partitions {
            let request = ReadPartitionRequest { strategy: strategy.into(), ..read(&partition.token) };
            rows.extend(part(&mut client, request).await.expect("rows"));
        }
        rows.sort();
        assert_eq!(rows, expected(&pair, &session, "SELECT id, v FROM t"), "{strategy:?}");
        delete(&mut client, &session).await;
        pair.stop().await;
    }
}

#[tokio::test]
async fn tables_that_consist_of_tables_are_divided_by_their_pages() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(FAMILIES);
    let mut client = pair.raw_sessions();
    for (name, columns) in [("parts", "k, v"), ("base", "k, v"), ("child", "k, v, more"), ("kept", "k, v")] {
        for partitions in [1, 2, 7, 1000] {
            let session = create(&mut client, wish(table(name), partitions, PartitionStrategy::Ctid)).await;
            assert_eq!(session.resume_guarantee(), v1::ResumeGuarantee::ExactSnapshot);
            let before = expected(&pair, &session, &format!("SELECT {columns} FROM {name}"));
            if name != "kept" {
                pair.psql(&format!(
                    "UPDATE {name} SET v = v || 'z' WHERE k % 5 = 0; DELETE FROM {name} WHERE k % 11 = 0"
                ));
            }
            assert_eq!(all(&mut client, &session).await, before, "{name} {partitions}");
            delete(&mut client, &session).await;
        }
    }
    pair.stop().await;
}

#[tokio::test]
async fn what_has_no_pages_of_its_own_falls_back_to_what_works() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(TABLE);
    pair.psql(
        "CREATE VIEW seen AS SELECT id, v FROM t; CREATE TABLE tiny (id int PRIMARY KEY, v text); INSERT INTO tiny VALUES (1, 'a');
         CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE far (v text) SERVER files OPTIONS (program 'printf \"x\\ny\\nz\"');
         CREATE TABLE mixed (v text); ALTER FOREIGN TABLE far INHERIT mixed; INSERT INTO mixed VALUES ('own'); ANALYZE tiny",
    );
    let mut client = pair.raw_sessions();
    for (name, columns, strategy) in [
        ("seen", "id, v", PartitionStrategy::Hash),
        ("far", "v", PartitionStrategy::Hash),
        ("mixed", "v", PartitionStrategy::Hash),
        ("tiny", "id, v", PartitionStrategy::Ctid),
    ] {
        let session = create(&mut client, wish(table(name), 4, PartitionStrategy::Unspecified)).await;
        assert_eq!(session.partition_strategy(), strategy, "{name}: {}", session.partition_reason);
        let before = expected(&pair, &session, &format!("SELECT {columns} FROM {name}"));
        assert_eq!(all(&mut client, &session).await, before, "{name}");
        if strategy != PartitionStrategy::Ctid {
            let refused = client.create_read_session(wish(table(name), 4, PartitionStrategy::Ctid)).await;
            assert!(refused.expect_err("no pages").message().contains("CTID is not possible"), "{name}");
        }
        delete(&mut client, &session).await;
    }
    // A limit holds for the whole, so there is but one part.
    let read = TableRead { table: "t".to_owned(), limit: 10, ..TableRead::default() };
    let limited = Statement { source: Some(Source::Table(read)), ..Statement::default() };
    let session = create(&mut client, wish(limited, 4, PartitionStrategy::Unspecified)).await;
    assert_eq!(all(&mut client, &session).await.len(), 10);
    pair.stop().await;
}

#[tokio::test]
async fn a_part_that_was_cut_goes_on_behind_its_last_row_in_the_same_snapshot() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(FAMILIES);
    pair.psql(
        "CREATE TABLE keyed (k int PRIMARY KEY, v text); INSERT INTO keyed SELECT i, i FROM generate_series(1, 3000) i",
    );
    let mut client = pair.raw_sessions();
    for (name, strategy) in [("parts", PartitionStrategy::Ctid), ("keyed", PartitionStrategy::KeyRange)] {
        goes_on(&pair, &mut client, name, strategy).await;
    }
    pair.stop().await;
}

async fn goes_on(pair: &Pair, client: &mut Client, name: &str, strategy: PartitionStrategy) {
    let session = create(client, wish(table(name), 2, strategy)).await;
    for partition in &session.partitions {
        let whole = part(client, read(&partition.token)).await.expect("rows");
        pair.psql(&format!("UPDATE {name} SET v = v || 'z' WHERE k % 5 = 0; DELETE FROM {name} WHERE k % 11 = 0"));
        let (mut rows_so_far, mut token) = (Vec::new(), Vec::new());
        loop {
            let request =
                ReadPartitionRequest { max_batch_rows: 100, resume_token: token.clone(), ..read(&partition.token) };
            let mut stream = client.read_partition(request).await.expect("headers").into_inner();
            let (mut batches, mut done) = (0, false);
            while let Some(message) = stream.message().await.expect("a message") {
                assert!(!message.resume_token.is_empty());
                match message.event.expect("an event") {
                    Event::Header(header) => {
                        assert_eq!(header.resume_guarantee(), v1::ResumeGuarantee::ExactSnapshot);
                        assert_eq!(header.columns, session.columns);
                    }
                    Event::Batch(batch) => {
                        assert_eq!(batch.first_row, i64::try_from(rows_so_far.len()).expect("a count"));
                        rows_so_far.extend(rows(&batch));
                        batches += 1;
                    }
                    Event::Summary(_) => done = true,
                }
                token = message.resume_token;
                if batches == 3 {
                    break;
                }
            }
            if done {
                break;
            }
        }
        assert_eq!(rows_so_far, whole);
    }
    // A place is of one part, and of no other.
    let request = ReadPartitionRequest { max_batch_rows: 1, ..read(&session.partitions[0].token) };
    let mut stream = client.read_partition(request).await.expect("headers").into_inner();
    let token = stream.message().await.expect("a message").expect("not the end").resume_token;
    let other = ReadPartitionRequest { resume_token: token, ..read(&session.partitions[1].token) };
    let status = part(client, other).await.expect_err("of another part");
    assert_eq!(reason(&status), "INVALID_TOKEN");
    delete(client, &session).await;
}

// === How sessions end

#[tokio::test]
async fn altered_tokens_and_those_of_other_kinds_are_refused() {
    let pair = Pair::start().await;
    let mut client = pair.raw_sessions();
    let session = create(&mut client, wish(statement("select 1"), 1, PartitionStrategy::Single)).await;
    let token = session.partitions[0].token.clone();
    let mut altered = token.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    for bad in [altered, token[..token.len() - 1].to_vec(), b"x".to_vec(), session.session_id.clone().into_bytes()] {
        let status = part(&mut client, read(&bad)).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_TOKEN"));
    }
    let status = part(&mut client, read(b"")).await.expect_err("refused");
    assert_eq!(reason(&status), "INVALID_REQUEST");
    for session_id in ["x", "~", &session.session_id[1..]] {
        let request = DeleteReadSessionRequest { session_id: session_id.to_owned() };
        let status = client.delete_read_session(request).await.expect_err("refused");
        assert_eq!(reason(&status), "INVALID_TOKEN", "{session_id}");
    }
    assert_eq!(part(&mut client, read(&token)).await.expect("rows"), ["1"]);
    pair.stop().await;
}

#[tokio::test]
async fn ranges_of_a_skewed_key_are_as_even_as_its_values_allow() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(
        "CREATE TABLE skewed AS SELECT i AS id, CASE WHEN i % 10 > 0 THEN 5000 ELSE i END AS k FROM generate_series(1, 20000) i;
         ANALYZE skewed",
    );
    let mut client = pair.raw_sessions();
    for (by, heaviest, others) in [("k", 18_000..18_500, 500), ("id", 2_400..2_600, 2_600)] {
        let request = CreateReadSessionRequest {
            partition_by: vec![by.to_owned()],
            ..wish(table("skewed"), 8, PartitionStrategy::KeyRange)
        };
        let session = create(&mut client, request).await;
        let mut sizes = Vec::new();
        for partition in &session.partitions {
            let rows = part(&mut client, read(&partition.token)).await.expect("rows").len();
            assert!((partition.estimated_row_count - i64::try_from(rows).expect("a count")).abs() < 100);
            sizes.push(rows);
        }
        sizes.sort_unstable();
        assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (8, 20_000), "{sizes:?}");
        assert!(heaviest.contains(&sizes[7]) && sizes[6] <= others, "{by}: {sizes:?}");
        delete(&mut client, &session).await;
    }
    pair.stop().await;
}
