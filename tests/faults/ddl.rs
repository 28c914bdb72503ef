//! DDL in the middle of reads and between them, and the locks that readers and DDL wait for.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use rowstream_testkit::{PATIENCE, Postgres, eventually};
use tonic::{Code, Status};

use crate::{
    calls::{fact, is, open, outcome, read, read_all, row_of, stream_of, within},
    harness::Server,
    reference::Reference,
    watch::Watch,
};

const ROWS: usize = 20_000;

/// Statements that must wait for readers, and what a read after each of them gives.
const DDL: [(&str, After); 8] = [
    ("alter table numbered add column more int", After::Rows(ROWS)),
    ("alter table numbered drop column t", After::Sqlstate("42703")),
    ("alter table numbered alter column i type bigint", After::Rows(ROWS)),
    ("alter table numbered alter column t type varchar(100)", After::Rows(ROWS)),
    ("alter table numbered rename column t to other", After::Sqlstate("42703")),
    ("truncate numbered", After::Rows(0)),
    ("vacuum full numbered", After::Rows(ROWS)),
    ("drop table numbered", After::Sqlstate("42P01")),
];

#[derive(Clone, Copy, Debug)]
enum After {
    Rows(usize),
    Sqlstate(&'static str),
}

/// Another session that runs a statement.
struct Session(Child);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_reads_its_snapshot_to_the_end_while_ddl_waits_for_it() {
    let server = Server::start(&["--pool-max", "4"]).await;
    let mut watch = server.watch().await;
    for (ddl, after) in DDL {
        Reference::create(&server.database, ROWS);
        let reference = Reference::read(&server.client(), ROWS).await;
        // Nobody reads: the transaction stays open.
        let stream = open(&server.client(), Reference::SQL).await;
        let session = Session::run(&server, &mut watch, ddl).await;
        // Who comes later waits behind the DDL, and no longer than its deadline.
        let late = within(Duration::from_millis(200), stream_of("select count(*) from numbered"));
        let status = read_all(&server.client(), late).await.error();
        assert_eq!(outcome(&status), is(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{ddl}: {status:?}");

        reference.check(&read(stream).await).unwrap_or_else(|status| panic!("{ddl}: {status:?}"));
        session.end();
        let now = read_all(&server.client(), Reference::request()).await;
        after.check(ddl, now.ended.map(|summary| summary.row_count));
        server.psql("drop table if exists numbered");
    }
    server.assert_settled().await;
}

impl After {
    fn check(self, ddl: &str, ended: Result<i64, Status>) {
        match (self, ended) {
            (Self::Rows(rows), Ok(count)) => assert_eq!(usize::try_from(count), Ok(rows), "{ddl}"),
            (Self::Sqlstate(sqlstate), Err(status)) => {
                assert_eq!(status.code(), Code::InvalidArgument, "{ddl}: {status:?}");
                assert_eq!(fact(&status, "sqlstate").as_deref(), Some(sqlstate), "{ddl}");
            }
            (_, ended) => panic!("{ddl}: {ended:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ddl_that_waits_for_a_caller_who_does_not_read_waits_no_longer_than_the_stall_timeout() {
    let server = Server::start(&["--pool-max", "4", "--stall-timeout", "1s"]).await;
    Reference::create(&server.database, 200_000);
    let stream = open(&server.client(), Reference::SQL).await;
    let mut watch = server.watch().await;
    let session = Session::run(&server, &mut watch, "alter table numbered add column more int").await;
    session.end();
    let status = read(stream).await.error();
    assert_eq!(outcome(&status), is(Code::Aborted, "CONSUMER_STALLED"));
    server.client().query_row(row_of("select more from numbered limit 1")).await.expect("the column is there");
    server.assert_settled().await;
}

/// Columns that change while a statement's plan is known, again and again: a caller sees the old ones or the new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_change_between_reads_are_never_mixed_up() {
    let rounds = crate::size::Size::asked().count(20, 500);
    let server = Server::start(&["--pool-max", "4"]).await;
    server.psql("create table changing as select 1 as i");
    let mut ddl = <sqlx::PgConnection as sqlx::Connection>::connect(&server.database.url()).await.expect("a session");
    let changes = async {
        for round in 0..rounds {
            let (from, to) = if round % 2 == 0 { ("int", "text") } else { ("text", "int") };
            let sql = format!("alter table changing alter column i type {to} using i::{from}::{to}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str())).execute(&mut ddl).await.expect(&sql);
        }
    };
    let reads = async {
        for _ in 0..rounds * 4 {
            match server.client().query_row(row_of("select i from changing")).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    let text = answer.columns[0].type_name == "text";
                    // The value's kind is that of the column's type.
                    let row = answer.row.expect("a row").0;
                    let expected: &[u8] = if text { &[0x0a, 3, 0x22, 1, b'1'] } else { &[0x0a, 2, 0x10, 1] };
                    assert_eq!(&row[..], expected, "{:?}", answer.columns);
                }
                Err(status) => assert_eq!(outcome(&status), is(Code::Aborted, "SCHEMA_CHANGED"), "{status:?}"),
            }
        }
    };
    tokio::join!(changes, reads);
    server.assert_settled().await;
}

impl Session {
    /// Begins a statement, and waits until it waits for a lock.
    async fn run(server: &Server, watch: &mut Watch, sql: &str) -> Self {
        let mut command = Command::new(Postgres::shared().bin("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, &server.database.url()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("psql");
        let waits = format!("wait_event_type = 'Lock' and query = '{sql}'");
        eventually("the DDL waits", PATIENCE, async || watch.count(&waits).await == 1).await;
        Self(child)
    }

    /// Waits until the statement is done.
    fn end(mut self) {
        let status = tokio::task::block_in_place(|| self.0.wait()).expect("a child of this process");
        assert!(status.success(), "the DDL failed");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only if the test fails before its end.
        let _ = self.0.kill();
    }
}
