//! What is run and what is refused: ad-hoc SQL, named queries, bad input, and what PostgreSQL's errors become.

use std::fs;

use rowstream_client::{Call, Client, Error, ServerError, Value};
use rowstream_contract::{
    reason::Reason,
    v1::{
        self, CancelQueryRequest, DescribeQueryRequest, ListQueriesRequest, QueryRowRequest, Statement,
        StreamQueryRequest, statement::Source,
    },
};
use rowstream_testkit::{Postgres, eventually};
use tempfile::TempDir;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::harness::{PATIENCE, Pair, fact, reason, sql, statement, text};

/// Things to damage, and functions that damage them.
const SCHEMA: &str = "
    create table victim (id int primary key, note text);
    insert into victim values (1, 'a'), (2, 'b'), (3, 'c');
    create sequence counter;
    create table copy_of (like victim);
    create function inserts() returns int language plpgsql as
        $$ begin insert into victim values (99, 'inserted'); return 1; end $$;
    create function creates() returns int language plpgsql as
        $$ begin execute 'create table made (x int)'; return 1; end $$;
    create function truncates() returns void language sql as 'truncate victim';
    create procedure removes() language sql as 'delete from victim';
    create function raises(state text) returns int language plpgsql as
        $$ begin raise exception 'told %', state using errcode = state; end $$";

/// Everything that a statement could have changed, in one line.
const FINGERPRINT: &str = "
    select concat_ws('|',
        (select string_agg(concat_ws(':', oid, relname, relfilenode, relacl), ',' order by oid) from pg_class where oid >= 16384),
        (select string_agg(concat_ws(':', oid, proname), ',' order by oid) from pg_proc where oid >= 16384),
        (select string_agg(victim::text, ',' order by id) from victim), (select count(*) from copy_of),
        (select concat_ws(':', last_value, is_called) from counter),
        (select count(*) from pg_largeobject_metadata), (select count(*) from pg_prepared_xacts),
        (select string_agg(setconfig::text, ',') from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
            where d.datname = current_database()),
        (select count(*) from pg_description where objoid >= 16384),
        (select count(*) from pg_locks l join pg_database d on d.oid = l.database
            where l.locktype = 'advisory' and d.datname = current_database()))";

async fn pair_with_victim(flags: &[&str]) -> Pair {
    let pair = Pair::with(flags).await;
    pair.psql(SCHEMA);
    pair
}

fn server(error: &Error) -> &ServerError {
    error.server().unwrap_or_else(|| panic!("not the server's: {error}"))
}

/// Cells of all rows: `,` between columns, `;` between rows.
async fn cells(call: Call) -> Result<String, Error> {
    use rowstream_client::sink::{CsvSink, Sink as _};
    let mut rows = call.deadline(PATIENCE).stream().await?;
    let (mut sink, mut out) = (CsvSink::default(), Vec::new());
    sink.begin(rows.columns(), &mut out);
    out.clear();
    while let Some(batch) = rows.next_batch().await? {
        sink.batch(&batch, &mut out)?;
    }
    Ok(String::from_utf8(out).expect("UTF-8").trim_end().replace('\n', ";"))
}

/// Runs statements that must all fail so, and asserts after each that nothing has changed.
async fn assert_refused(probes: &[(&str, Code, Reason)]) {
    let pair = pair_with_victim(&[]).await;
    let before = pair.psql(FINGERPRINT);
    let client = pair.client();
    for (statement, code, reason) in probes {
        for call in [client.sql(*statement), client.sql(format!("{statement}\n"))] {
            let error = call.deadline(PATIENCE).stream().await.expect_err(statement);
            assert_eq!(
                (server(&error).code(), server(&error).reason()),
                (*code, Some(*reason)),
                "{statement}: {error}"
            );
        }
        let error = client.sql(*statement).query_row().await.expect_err(statement);
        assert_eq!(server(&error).reason(), Some(*reason), "{statement}: {error}");
        assert_eq!(pair.psql(FINGERPRINT), before, "{statement}");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn what_is_not_exactly_one_row_returning_statement_is_refused() {
    let probes = [
        // Several statements, openly and in hiding.
        "select 1; select 2",
        "select 1; drop table victim",
        "select 1; /* */ drop table victim",
        "select 1; -- comment\ndrop table victim",
        "select 1;;; delete from victim;",
        "; delete from victim",
        "select 1) as q; drop table victim; --",
        "select 1) as q(c0); drop table victim; select (1",
        "select 1 /* ; */ ; commit; drop table victim",
        "select '1[1,2)'::text; rollback; drop table victim --",
        "select $$;$$; drop table victim",
        "select E'\\'; drop table victim; --",
        "select 'a''; drop table victim; --",
        "select 1 -- \u{2028}\n; drop table victim",
        "/* /* nested */ */ drop table victim",
        // Writing.
        "insert into victim values (4, 'd')",
        "insert into victim values (4, 'd') returning id",
        "update victim set note = 'x' returning id",
        "delete from victim",
        "delete from victim returning *",
        "merge into victim v using copy_of c on v.id = c.id when matched then delete",
        "truncate victim",
        "with gone as (delete from victim returning id) select * from gone",
        "with new as (insert into victim values (4, 'd') returning id) table new",
        "with changed as (update victim set note = 'x' returning id) select 1",
        "select * into made from victim",
        "select 1 as x into temp made",
        "create table made as select 1",
        "create temp table made (x int)",
        "create materialized view made as select 1",
        "alter table victim add column x int",
        "drop table victim",
        "comment on table victim is 'x'",
        "grant all on victim to public",
        "refresh materialized view made",
        "reindex table victim",
        "copy victim to stdout",
        "copy (select 1) to '/tmp/rowstream-probe'",
        "copy victim from '/dev/null'",
        "copy victim to program 'true'",
        // Running something else.
        "do $$ begin delete from victim; end $$",
        "call removes()",
        "explain select 1",
        "explain analyze select inserts()",
        "explain analyze delete from victim",
        "prepare p as select 1",
        "execute p",
        "deallocate all",
        "declare c cursor for select 1",
        "fetch 1 from rowstream",
        "move 1 in rowstream",
        "close all",
        // The session and the transaction.
        "show work_mem",
        "set work_mem = '1GB'",
        "set local role postgres",
        "reset all",
        "discard all",
        "begin",
        "commit",
        "rollback",
        "savepoint s",
        "set transaction read write",
        "start transaction read write",
        "listen channel",
        "notify channel",
        "lock table victim",
        "vacuum victim",
        "analyze victim",
        "checkpoint",
        "load 'plpgsql'",
        // No statement at all.
        ";",
        "-- nothing",
        "/* nothing */",
        "select 'unterminated",
        "select \"unterminated",
        "select /* unterminated",
        "select $$ unterminated",
        "select $tag$ unterminated $$",
        "select 1 +",
        "selectx",
        "\\dt",
        "(select 1",
        "select 1)",
    ];
    let probes = probes.map(|statement| (statement, Code::InvalidArgument, Reason::StatementRefused));
    assert_refused(&probes).await;
}

#[tokio::test]
async fn a_statement_that_writes_when_it_runs_is_stopped_by_read_only() {
    let probes = [
        "select nextval('counter')",
        "select setval('counter', 1000)",
        "select inserts()",
        "select creates()",
        "select truncates()",
        "select id, inserts(), '[1,2)'::int4range from victim",
        "select * from victim for update",
        "select * from victim for share",
        "select *, '[1,2)'::int4range as wrapped from victim order by id for no key update skip locked",
        "with v as (select * from victim for update) select * from v",
        "select lo_put(lo, 0, 'x') from (select 1::oid) as o(lo)",
        "values (nextval('counter'))",
    ];
    let probes = probes.map(|statement| (statement, Code::PermissionDenied, Reason::ReadOnly));
    let pair = Pair::start().await;
    // lo_put is stopped by READ ONLY from version 16 on; before, by there being no such object.
    let old = pair.psql("show server_version_num").parse::<u32>().is_ok_and(|version| version < 160_000);
    let probes: Vec<_> = probes.into_iter().filter(|(statement, ..)| !(old && statement.contains("lo_put"))).collect();
    assert_refused(&probes).await;
}

/// What READ ONLY lets pass has to be gone with the call.
#[tokio::test]
async fn side_effects_that_postgresql_allows_end_with_the_call() {
    let pair = pair_with_victim(&["--pool-max", "1"]).await;
    let (client, before) = (pair.client(), pair.psql(FINGERPRINT));
    for statement in [
        "select pg_advisory_lock(7)",
        "select pg_try_advisory_lock(7), pg_advisory_lock_shared(8), '[1,2)'::int4range",
        "select pg_advisory_xact_lock(9)",
        "select lo_create(0)",
        "select lo_from_bytea(0, 'x')",
        "select pg_notify('channel', 'x')",
        "select pg_export_snapshot()",
    ] {
        let allowed = [cells(client.sql(statement)).await.err(), client.sql(statement).query_row().await.err()];
        for error in allowed.into_iter().flatten() {
            assert_eq!(server(&error).reason(), Some(Reason::ReadOnly), "{statement}: {error}");
        }
        pair.assert_idle().await;
        assert_eq!(pair.psql(FINGERPRINT), before, "{statement}");
    }
}

#[tokio::test]
async fn settings_that_a_statement_makes_do_not_reach_the_next_call() {
    let pair = pair_with_victim(&["--pool-max", "1"]).await;
    let settings = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
                    where name not in ('application_name', 'statement_timeout', 'transaction_read_only')";
    let client = pair.client();
    // The first function in PL/pgSQL adds that language's settings.
    client.sql("select inserts()").query_row().await.expect_err("READ ONLY");
    let before = cells(client.sql(settings)).await.expect("a row");
    for (name, value) in [
        ("work_mem", "123MB"),
        ("search_path", "nowhere"),
        ("timezone", "Asia/Tokyo"),
        ("datestyle", "German"),
        ("role", "pg_monitor"),
        ("default_transaction_read_only", "off"),
        ("standard_conforming_strings", "off"),
        ("statement_timeout", "0"),
        ("rowstream.custom", "x"),
    ] {
        for local in ["false", "true"] {
            let set = format!("select set_config('{name}', '{value}', {local}), '[1,2)'::int4range");
            cells(client.sql(set)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert_eq!(cells(client.sql(settings)).await.expect("a row"), before, "{name}");
        let written = client.sql("select inserts()").query_row().await.expect_err("still READ ONLY");
        assert_eq!(server(&written).reason(), Some(Reason::ReadOnly), "{name}");
    }
    let seen = cells(client.sql("select current_setting('rowstream.custom', true), current_user")).await;
    assert!(matches!(seen.as_deref(), Ok("\"\",postgres" | ",postgres")), "{seen:?}");
}

#[tokio::test]
async fn read_only_cannot_be_left_from_inside() {
    let pair = pair_with_victim(&[]).await;
    let before = pair.psql(FINGERPRINT);
    for statement in [
        "select set_config('transaction_read_only', 'off', true)",
        "select set_config('transaction_read_only', 'off', true), inserts()",
        "select inserts() from (select set_config('transaction_read_only', 'off', false) offset 0) as q",
    ] {
        cells(pair.client().sql(statement)).await.expect_err(statement);
        assert_eq!(pair.psql(FINGERPRINT), before, "{statement}");
    }
}

#[tokio::test]
async fn every_form_of_a_query_runs() {
    let pair = pair_with_victim(&[]).await;
    for (statement, expected) in [
        ("select 1", "1"),
        ("SELECT 1;", "1"),
        ("select 1 ; ;; \n", "1"),
        ("select 1; -- the end", "1"),
        ("select 1 -- the end", "1"),
        ("select 1; /* the ; end */", "1"),
        ("-- first\n/* second */ select 1", "1"),
        ("select ';' as a, $$;$$ as b, $x$ ';$$$x$ as c", ";,;, ';$$"),
        ("select e'it\\'s;';", "it's;"),
        ("select \"id\" from victim where note = 'a';", "1"),
        ("values (1, 'x'), (2, 'y')", "1,x;2,y"),
        ("table victim", "1,a;2,b;3,c"),
        ("(select 1)", "1"),
        ("(select 1 union select 2) order by 1 desc", "2;1"),
        ("with v as (select * from victim) select count(*) from v", "3"),
        ("with recursive n(i) as (values (1) union all select i + 1 from n where i < 4) select i from n", "1;2;3;4"),
        ("select id from victim order by id desc limit 2", "3;2"),
        ("select id from victim order by id offset 1 fetch first row only", "2"),
        ("select generate_series(1, 3)", "1;2;3"),
        ("select * from generate_series(1, 2) as a, generate_series(8, 9) as b", "1,8;1,9;2,8;2,9"),
        ("select 'ünï ☃ 𝄞' as \"spalte ü\" -- ümlaut", "ünï ☃ 𝄞"),
        ("select id, row_number() over (order by id desc) from victim order by id", "1,3;2,2;3,1"),
        ("select v.id, w.n from victim v cross join lateral (select v.id * 2 as n) as w order by 1", "1,2;2,4;3,6"),
        ("select exists (select from victim)", "t"),
        ("select", ""),
        ("select 1 where false", ""),
    ] {
        let told = |error| panic!("{statement}: {error}");
        assert_eq!(cells(pair.client().sql(statement)).await.unwrap_or_else(told), expected, "{statement}");
    }
}

/// A column that needs a cast puts a query of ours around the statement.
#[tokio::test]
async fn a_statement_runs_the_same_with_a_query_around_it() {
    let pair = pair_with_victim(&[]).await;
    for (statement, expected) in [
        ("select '[1,3)'::int4range", "\"[1,3)\""),
        ("select id, int4range(id, 9) from victim order by id desc; -- the end", "3,\"[3,9)\";2,\"[2,9)\";1,\"[1,9)\""),
        ("select int4range(id, 9) from victim order by note desc limit 2 -- the end", "\"[3,9)\";\"[2,9)\""),
        ("-- begin\nselect 1 as a, 2 as a, '::1'::inet as a, 3 /* ; */ ;", "1,2,::1,3"),
        ("values (1, '(1,2)'::point), (2, null)", "1,\"(1,2)\";2,"),
        ("with v as (select '{[1,3)}'::int4multirange as m) table v", "\"{[1,3)}\""),
        ("(select row(1, 'x') as r union all select row(2, 'y')) order by 1 desc", "\"(2,y)\";\"(1,x)\""),
        ("select array['[1,2)'::int4range, null], ';' as \"c0\"", "\"{\"\"[1,2)\"\",NULL}\",;"),
        ("select 1 as \"?column?\", B'101' as q", "1,101"),
    ] {
        let told = |error| panic!("{statement}: {error}");
        assert_eq!(cells(pair.client().sql(statement)).await.unwrap_or_else(told), expected, "{statement}");
    }
    let names = pair.client().sql("select 1 as a, 2 as a, '::1'::inet as a, 3").stream().await.expect("a row");
    assert_eq!(names.columns().iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["a", "a", "a", "?column?"]);
    let call = pair.client().sql("select id, $1::int4range, $2 from victim where id > $3 order by id desc; -- $4");
    let call = call.bind("[1,2)").bind("text").bind(1);
    assert_eq!(cells(call).await.expect("rows"), "3,\"[1,2)\",text;2,\"[1,2)\",text");
    let large = "select i, int4range(i, i + 1) as r from generate_series(1, 5000) i order by md5(i::text)";
    let theirs = String::from_utf8(pair.database.psql_csv(large).expect("psql")).expect("UTF-8");
    let expected = theirs.trim_end().split_once('\n').expect("a header").1.replace('\n', ";");
    assert_eq!(cells(pair.client().sql(large)).await.expect("rows"), expected);
}

#[tokio::test]
async fn an_error_points_into_the_callers_text() {
    let pair = pair_with_victim(&[]).await;
    for (statement, at) in [
        ("select nope from victim", "nope"),
        ("select 'ünï ☃ 𝄞', nope from victim", "nope"),
        ("-- ☃\nselect 1,\n  nope from victim", "nope"),
        ("select id, '[1,2)'::int4range, nope from victim", "nope"),
        ("select '☃'::text, '[1,2)'::int4range, 'x'::int4", "'x'::int4"),
        ("select $1::int4 + nope from victim", "nope"),
        ("select * from victim where id = $1 and nowhere(id)", "nowhere"),
        ("select * from nowhere", "nowhere"),
        ("delete from victim", "delete"),
        ("select 1 +", ""),
        ("select 'unterminated", "'unterminated"),
    ] {
        let call = pair.client().sql(statement).bind(1);
        let call = if statement.contains("$1") { call } else { pair.client().sql(statement) };
        for error in [call.stream().await.err(), call.query_row().await.err(), call.describe().await.err()] {
            let error = error.expect(statement);
            let byte = if at.is_empty() { statement.len() } else { statement.find(at).expect("in the text") };
            let expected = statement[..byte].chars().count() + 1;
            assert_eq!(server(&error).position(), Some(expected), "{statement}: {error}");
        }
    }
}

#[tokio::test]
async fn the_application_name_tells_a_dba_whose_statement_runs() {
    let folder = queries(&[("nightly_report.sql", "select pg_sleep(100)")]);
    let pair = pair_with_victim(&["--queries", path(&folder)]).await;
    let client = pair.client();
    for (call, id, expected) in [
        (client.sql("select pg_sleep(101)"), "mine-1", "rowstream mine-1 sql"),
        (client.query("nightly_report"), "mine-2", "rowstream mine-2 nightly_report"),
        (client.sql("select pg_sleep(102), $1::int4range").bind("[1,2)"), "mine:3", "rowstream mine:3 sql"),
    ] {
        let call = tokio::spawn(async move { call.query_id(id).stream().await });
        eventually("it runs under its name", PATIENCE, async || {
            let backends = pair.database.backends().expect("pg_stat_activity");
            backends.iter().any(|backend| backend.is_active() && backend.application_name == expected)
        })
        .await;
        assert!(client.cancel(id).await.expect("an answer"));
        let error = call.await.expect("no panic").expect_err("cancelled");
        assert_eq!(server(&error).reason(), Some(Reason::CancelRequested));
    }
    pair.assert_settled().await;
}

// === Named queries

fn queries(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().expect("UTF-8")
}

const ABOVE: &str = "\
-- description: Victims above a floor
-- param: floor int
-- param: label text = 'it''s'
-- param: since date = NULL
-- param: span int4range = [1,5)
-- max_rows: 2
-- max_deadline: 30s
select id, $2 as label, $3 as since, $4 as span
from victim where id >= $1 order by id;
";

/// A server that runs named queries only.
async fn pair_with_queries() -> (Pair, TempDir) {
    let folder = queries(&[
        ("above.sql", ABOVE),
        ("declared.sql", "-- param: n int8\n-- param: words text[]\nselect $1 as n, $2 as words, 'x' || $1 as joined"),
        ("broken.sql", "-- description: ümlaut ☃\nselect id\nfrom nowhere"),
        ("writes.sql", "-- description: must not\n\ndelete from victim"),
        ("miscounted.sql", "-- param: a int\nselect $1, $2::text"),
        ("mistyped.sql", "-- param: a no_such_type\nselect $1"),
        ("bad_header.sql", "-- max_rows: many\nselect 1"),
        ("ignored.txt", "select 1"),
    ]);
    let pair = Pair::without_sql(&["--queries", path(&folder)]).await;
    pair.psql(SCHEMA);
    (pair, folder)
}

#[tokio::test]
async fn a_named_query_takes_values_by_position_by_name_and_by_default() {
    let (pair, _folder) = pair_with_queries().await;
    let above = || pair.client().query("above");
    let default = "1,it's,,\"[1,5)\";2,it's,,\"[1,5)\"";
    for (call, expected) in [
        (above().bind(1), default),
        (above().bind("1"), default),
        (above().bind_named("floor", 1), default),
        (above().bind(3).bind("x"), "3,x,,\"[1,5)\""),
        (above().bind(3).bind(Value::null()).bind("2024-01-01").bind("empty"), "3,,2024-01-01,empty"),
        (above().bind_named("floor", 3).bind_named("since", "2024-01-01"), "3,it's,2024-01-01,\"[1,5)\""),
        (above().bind_named("span", "[2,3)").bind_named("floor", 3).bind_named("label", ""), "3,\"\",,\"[2,3)\""),
    ] {
        assert_eq!(cells(call).await.expect("rows"), expected);
    }
}

#[tokio::test]
async fn a_wrong_value_of_a_named_query_is_called_by_its_name() {
    let (pair, _folder) = pair_with_queries().await;
    let above = || pair.client().query("above");
    for (call, told) in [
        (above(), "\"floor\": no value is given"),
        (above().bind_named("label", "x"), "\"floor\": no value is given"),
        (above().bind("many"), "\"floor\": text \"many\" cannot be a int4: "),
        (above().bind(1).bind("x").bind("soon"), "\"since\": text \"soon\" cannot be a date: "),
        (above().bind_named("floor", 1).bind_named("roof", 1), "\"roof\": query \"above\" has no such parameter"),
        (above().bind(1).bind("x").bind("2024-01-01").bind("[1,2)").bind(5), "$5: "),
    ] {
        let error = call.stream().await.expect_err(told);
        let told_us = (server(&error).code(), server(&error).reason());
        assert_eq!(told_us, (Code::InvalidArgument, Some(Reason::InvalidParameter)), "{error}");
        assert!(error.to_string().starts_with(&format!("parameter {told}")), "{error}");
    }
}

#[tokio::test]
async fn a_named_querys_own_limits_hold() {
    let (pair, _folder) = pair_with_queries().await;
    for (asked, expected, truncated) in [(0, 2, true), (1, 1, true), (5, 2, true)] {
        let mut rows = pair.client().query("above").bind(1).max_rows(asked).stream().await.expect("rows");
        let left = rows.header().deadline.expect("a deadline").duration_since(std::time::SystemTime::now());
        assert!(left.expect("in the future").as_secs() <= 30);
        while rows.next_batch().await.expect("rows").is_some() {}
        let summary = rows.summary().expect("a summary");
        assert_eq!((summary.row_count, summary.truncated), (expected, truncated), "max_rows {asked}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_named_query_is_told_with_its_line() {
    let (pair, _folder) = pair_with_queries().await;
    for (name, message) in [
        ("broken", "line 3, column 6: relation \"nowhere\" does not exist"),
        ("writes", "line 3, column 1: not exactly one row-returning statement"),
        ("bad_header", "line 1: max_rows \"many\" is not a number above 0"),
        ("miscounted", "line 2: the file declares 1 parameters, the statement has 2"),
        ("mistyped", "line 1: parameter \"a\": there is no type \"no_such_type\""),
    ] {
        for error in [
            pair.client().query(name).stream().await.expect_err(name),
            pair.client().query(name).query_row().await.expect_err(name),
            pair.client().query(name).describe().await.expect_err(name),
        ] {
            let told = (server(&error).code(), server(&error).reason());
            assert_eq!(told, (Code::FailedPrecondition, Some(Reason::QueryBroken)), "{error}");
            assert!(error.to_string().contains(message) && error.to_string().contains(name), "{error}");
        }
    }
    // It is mended without a restart, if what it lacked comes to be.
    pair.psql("create table nowhere (id int)");
    assert_eq!(cells(pair.client().query("broken")).await.expect("no rows"), "");
}

#[tokio::test]
async fn an_unknown_name_is_not_found() {
    let (pair, _folder) = pair_with_queries().await;
    for name in ["nothing", "ignored", "ABOVE"] {
        let request = StreamQueryRequest { statement: Some(named(name)), ..StreamQueryRequest::default() };
        let status = pair.raw().await.stream_query(request).await.expect_err(name);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "UNKNOWN_QUERY"));
        let resource = status.get_details_resource_info().expect("ResourceInfo");
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("named query", name));
    }
}

#[tokio::test]
async fn ad_hoc_sql_is_off_unless_it_is_allowed() {
    let (pair, _folder) = pair_with_queries().await;
    let call = pair.client().sql("select 1");
    for error in [call.stream().await.err(), call.query_row().await.err(), call.describe().await.err()] {
        let error = error.expect("refused");
        let told = (server(&error).code(), server(&error).reason());
        assert_eq!(told, (Code::PermissionDenied, Some(Reason::SqlNotAllowed)));
    }
    assert_eq!(cells(pair.client().query("above").bind(3)).await.expect("a row"), "3,it's,,\"[1,5)\"");
}

#[tokio::test]
async fn the_named_queries_are_listed_page_by_page() {
    let (pair, _folder) = pair_with_queries().await;
    let all = ["above", "broken", "declared", "miscounted", "mistyped", "writes"];
    for page_size in [0, 1, 2, 4, 6, 7, 100_000] {
        let (mut names, mut pages, mut page_token) = (Vec::new(), 0, String::new());
        loop {
            let request = ListQueriesRequest { page_size, page_token };
            let page = pair.raw().await.list_queries(request).await.expect("a page").into_inner();
            assert!(page_size == 0 || page.queries.len() <= usize::try_from(page_size).expect("positive"));
            names.extend(page.queries.into_iter().map(|query| query.name));
            pages += 1;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(names, all, "page_size {page_size}");
        let expected = if page_size == 0 { 1 } else { (5 + page_size) / page_size };
        assert_eq!(pages, expected, "page_size {page_size}");
    }
    let listed = pair.client().list_queries().await.expect("the list");
    let above = &listed[0];
    assert_eq!((above.description.as_str(), above.max_rows), ("Victims above a floor", Some(2)));
    let parameters: Vec<_> = above.parameters.iter().map(|p| (p.position, p.name.as_str(), p.required)).collect();
    assert_eq!(parameters, [(1, "floor", true), (2, "label", false), (3, "since", false), (4, "span", false)]);
}

#[tokio::test]
async fn a_description_tells_what_a_statement_takes_and_gives() {
    let (pair, _folder) = pair_with_queries().await;
    let about = pair.client().query("above").describe().await.expect("a description");
    let parameters: Vec<_> = about.parameters.iter().map(|p| (p.name.as_str(), p.type_name.as_str())).collect();
    assert_eq!(parameters, [("floor", "int4"), ("label", "text"), ("since", "date"), ("span", "int4range")]);
    let defaults: Vec<_> = about.parameters.iter().map(|p| p.default_value.as_ref().map(Value::as_text)).collect();
    assert_eq!(defaults, [None, Some(Some("it's")), Some(None), Some(Some("[1,5)"))]);
    let columns: Vec<_> = about.columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str())).collect();
    assert_eq!(columns, [("id", "int4"), ("label", "text"), ("since", "date"), ("span", "int4range")]);
    assert_eq!((about.description.as_str(), about.max_rows), ("Victims above a floor", Some(2)));
    assert_eq!(about.max_deadline.map(|limit| limit.as_secs()), Some(30));

    // The declared types govern, not what PostgreSQL would have guessed.
    let declared = pair.client().query("declared").describe().await.expect("a description");
    assert_eq!(declared.parameters.iter().map(|p| p.type_name.as_str()).collect::<Vec<_>>(), ["int8", "text[]"]);
    let call = pair.client().query("declared").bind(1_i64 << 40).bind(vec!["a b", "c"]);
    assert_eq!(cells(call).await.expect("a row"), "1099511627776,\"{\"\"a b\"\",c}\",x1099511627776");
}

#[tokio::test]
async fn describing_ad_hoc_sql_runs_nothing() {
    let pair = pair_with_victim(&[]).await;
    let before = pair.psql(FINGERPRINT);
    let call = pair.client().sql("select nextval('counter'), $1::int4range as r, $2 || 'x' as t, 1 / 0 as n");
    let about = call.describe().await.expect("a description");
    let parameters: Vec<_> = about.parameters.iter().map(|p| (p.position, p.type_name.as_str(), p.required)).collect();
    assert_eq!(parameters, [(1, "int4range", true), (2, "text", true)]);
    let columns: Vec<_> = about.columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str())).collect();
    assert_eq!(columns, [("nextval", "int8"), ("r", "int4range"), ("t", "text"), ("n", "int4")]);
    assert_eq!(pair.psql(FINGERPRINT), before);
}

// === Bad input

fn named(name: &str) -> Statement {
    Statement { source: Some(Source::Query(name.to_owned())), ..Statement::default() }
}

/// The status names the field, and says that the request is at fault.
#[track_caller]
fn assert_names(status: &Status, field: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"), "{status:?}");
    let violations = status.get_details_bad_request().expect("BadRequest").field_violations;
    assert_eq!(violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>(), [field]);
    assert!(!violations[0].description.is_empty() && status.message().starts_with(field), "{status:?}");
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let pair = Pair::start().await;
    let mut raw = pair.raw().await;
    let one = || sql("select 1");
    let by_name = [("a".to_owned(), text("x"))];
    let both = Statement { parameters: vec![text("x")], named_parameters: by_name.clone().into(), ..named("q") };
    let with =
        |statement: Statement| StreamQueryRequest { statement: Some(statement), ..StreamQueryRequest::default() };
    let many = vec![v1::Value::default(); 65_536];
    for (request, field) in [
        (StreamQueryRequest::default(), "statement"),
        (with(Statement::default()), "statement"),
        (sql(""), "statement.sql"),
        (sql(" \n\t"), "statement.sql"),
        (sql("select '\0'"), "statement.sql"),
        (sql(&format!("select 1 --{}", "x".repeat(1 << 20))), "statement.sql"),
        (with(named("")), "statement.query"),
        (with(named("no name")), "statement.query"),
        (with(named("../above")), "statement.query"),
        (with(Statement { named_parameters: by_name.into(), ..statement("select 1") }), "statement.named_parameters"),
        (with(Statement { parameters: many, ..statement("select 1") }), "statement.parameters"),
        (StreamQueryRequest { max_rows: -1, ..one() }, "max_rows"),
        (StreamQueryRequest { max_batch_rows: -1, ..one() }, "max_batch_rows"),
        (StreamQueryRequest { max_batch_bytes: i32::MIN, ..one() }, "max_batch_bytes"),
        (StreamQueryRequest { query_id: "two words".to_owned(), ..one() }, "query_id"),
        (StreamQueryRequest { query_id: "x".repeat(37), ..one() }, "query_id"),
    ] {
        assert_names(&raw.stream_query(request).await.expect_err(field), field);
    }
    let folder = queries(&[("q.sql", "-- param: a text\nselect $1")]);
    let pair = Pair::with(&["--queries", path(&folder)]).await;
    let mut raw = pair.raw().await;
    assert_names(&raw.stream_query(with(both)).await.expect_err("both"), "statement.parameters");

    let row = QueryRowRequest { statement: Some(statement("select 1")), query_id: "ü".to_owned() };
    assert_names(&raw.query_row(row).await.expect_err("query_id"), "query_id");
    assert_names(&raw.query_row(QueryRowRequest::default()).await.expect_err("statement"), "statement");
    let described = raw.describe_query(DescribeQueryRequest::default()).await;
    assert_names(&described.expect_err("statement"), "statement");
    let page = ListQueriesRequest { page_size: -1, ..ListQueriesRequest::default() };
    assert_names(&raw.list_queries(page).await.expect_err("page_size"), "page_size");
    let cancel = CancelQueryRequest { query_id: String::new() };
    assert_names(&raw.cancel_query(cancel).await.expect_err("query_id"), "query_id");
    for timeout in ["5", "1s", "-1S", "123456789S", "soon"] {
        let mut request = Request::new(one());
        request.metadata_mut().insert("grpc-timeout", timeout.parse().expect("ASCII"));
        assert_names(&raw.stream_query(request).await.expect_err(timeout), "grpc-timeout");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn what_is_at_a_limit_but_not_over_it_is_taken() {
    let pair = Pair::start().await;
    let prefix = "select 1 --";
    let longest = format!("{prefix}{}", "x".repeat((1 << 20) - prefix.len()));
    assert_eq!(cells(pair.client().sql(longest)).await.expect("a row"), "1");
    let all = "-._:09AZaz".repeat(4)[..36].to_owned();
    let rows = pair.client().sql("select 1").query_id(&all).stream().await.expect("a row");
    assert_eq!(rows.query_id(), all);
    let many: Vec<_> = (1..=2000).map(|i| format!("${i}::int4")).collect();
    let call = (0..2000).fold(pair.client().sql(format!("select {}", many.join(" + "))), |call, i: i32| call.bind(i));
    assert_eq!(cells(call).await.expect("a row"), "1999000");
    let limits = StreamQueryRequest {
        max_rows: i64::MAX,
        max_batch_rows: i32::MAX,
        max_batch_bytes: i32::MAX,
        ..sql("select 1")
    };
    pair.raw().await.stream_query(limits).await.expect("a stream");
}

#[tokio::test]
async fn the_number_of_values_must_be_the_statements() {
    let pair = Pair::start().await;
    let three = || pair.client().sql("select $1::int4, $2::int4, $3::int4");
    for (call, told) in [
        (three(), "parameter $1: no value is given; the statement has 3 parameters"),
        (three().bind(1).bind(2), "parameter $3: no value is given; the statement has 3 parameters"),
        (three().bind(1).bind(2).bind(3).bind(4), "parameter $4: is one too many; the statement has 3 parameters"),
        (pair.client().sql("select 1").bind(1), "parameter $1: is one too many; the statement has 0 parameters"),
    ] {
        let error = call.stream().await.expect_err(told);
        let told_us = (server(&error).code(), server(&error).reason());
        assert_eq!(told_us, (Code::InvalidArgument, Some(Reason::InvalidParameter)), "{error}");
        assert!(error.to_string().starts_with(told), "{error}");
    }
}

// === What PostgreSQL's errors become

async fn assert_mapped(client: &Client, sql: &str, code: Code, reason: Reason, sqlstate: &str) {
    for error in [client.sql(sql).stream().await.err(), client.sql(sql).query_row().await.err()] {
        let error = error.expect(sql);
        let told = server(&error);
        assert_eq!((told.code(), told.reason()), (code, Some(reason)), "{sql}: {error}");
        let expected = if code == Code::Internal { None } else { Some(sqlstate) };
        assert_eq!(told.sqlstate(), expected, "{sql}: {error}");
        assert!(told.query_id().is_some_and(|id| !id.is_empty()), "{sql}");
        let again = matches!(code, Code::Aborted | Code::Unavailable);
        assert_eq!(told.retry_delay().is_some(), again, "{sql}");
    }
}

#[tokio::test]
async fn every_class_of_sqlstate_has_its_code_and_reason() {
    let pair = pair_with_victim(&[]).await;
    let client = pair.client();
    for (sql, code, reason, sqlstate) in [
        ("select 1 / 0", Code::InvalidArgument, Reason::SqlError, "22012"),
        ("select 'x'::int4", Code::InvalidArgument, Reason::SqlError, "22P02"),
        ("select '2023-02-29'::date", Code::InvalidArgument, Reason::SqlError, "22008"),
        ("select * from nowhere", Code::InvalidArgument, Reason::SqlError, "42P01"),
        ("select nope from victim", Code::InvalidArgument, Reason::SqlError, "42703"),
        ("select nowhere()", Code::InvalidArgument, Reason::SqlError, "42883"),
        ("select id from copy_of group by note", Code::InvalidArgument, Reason::SqlError, "42803"),
        ("select nextval('counter')", Code::PermissionDenied, Reason::ReadOnly, "25006"),
        ("delete from victim", Code::InvalidArgument, Reason::StatementRefused, "42601"),
        ("select set_config('transaction_read_only', 'off', true)", Code::InvalidArgument, Reason::SqlError, "25001"),
    ] {
        assert_mapped(&client, sql, code, reason, sqlstate).await;
    }
    for (sqlstate, code, reason) in [
        ("0A000", Code::Unimplemented, Reason::Unsupported),
        ("22023", Code::InvalidArgument, Reason::SqlError),
        ("23505", Code::InvalidArgument, Reason::SqlError),
        ("25006", Code::PermissionDenied, Reason::ReadOnly),
        ("40001", Code::Aborted, Reason::Conflict),
        ("40P01", Code::Aborted, Reason::Conflict),
        ("42501", Code::PermissionDenied, Reason::InsufficientPrivilege),
        ("53100", Code::Unavailable, Reason::DatabaseUnavailable),
        ("53200", Code::Unavailable, Reason::DatabaseUnavailable),
        ("54001", Code::InvalidArgument, Reason::SqlError),
        ("57014", Code::Aborted, Reason::AdminCancelled),
        ("57P03", Code::Unavailable, Reason::DatabaseUnavailable),
        ("58030", Code::Unavailable, Reason::DatabaseUnavailable),
        ("AB123", Code::InvalidArgument, Reason::SqlError),
        ("P0001", Code::FailedPrecondition, Reason::Raised),
        ("P0002", Code::FailedPrecondition, Reason::Raised),
        ("XX000", Code::Internal, Reason::Internal),
    ] {
        assert_mapped(&client, &format!("select raises('{sqlstate}')"), code, reason, sqlstate).await;
    }
    let raised = client.sql("select raises('P0001')").query_row().await.expect_err("raised");
    assert_eq!(server(&raised).message(), "told P0001");
    for hidden in ["XX000", "53200"] {
        let error = client.sql(format!("select raises('{hidden}')")).query_row().await.expect_err("raised");
        assert!(!error.to_string().contains("told"), "{error}");
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_role_without_a_privilege_is_told_so() {
    let database = Postgres::shared().create_database().expect("a database");
    let role = format!("{}_reader", database.name());
    database.psql(&format!("{SCHEMA}; create role {role} login; grant select (id) on victim to {role}")).expect("psql");
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let pair = Pair::over(database, &url, &[]).await;
    assert_eq!(cells(pair.client().sql("select id from victim order by id")).await.expect("rows"), "1;2;3");
    for sql in ["select note from victim", "table copy_of", "select pg_read_file('/etc/passwd')"] {
        assert_mapped(&pair.client(), sql, Code::PermissionDenied, Reason::InsufficientPrivilege, "42501").await;
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_query_id_is_taken_once_at_a_time() {
    let pair = Pair::start().await;
    let first = pair.client().sql("select pg_sleep(100)").query_id("taken");
    let first = tokio::spawn(async move { first.stream().await });
    pair.until_active("pg_sleep(100)").await;
    let request = StreamQueryRequest { query_id: "taken".to_owned(), ..sql("select 1") };
    let status = pair.raw().await.stream_query(request.clone()).await.expect_err("taken");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "QUERY_ID_IN_USE"));
    assert_eq!(fact(&status, "query_id").as_deref(), Some("taken"));
    assert!(pair.client().cancel("taken").await.expect("an answer"));
    first.await.expect("no panic").expect_err("cancelled");
    pair.raw().await.stream_query(request).await.expect("free again");
}
