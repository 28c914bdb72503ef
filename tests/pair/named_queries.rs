//! Named queries in operation: files that change while the server runs, broken ones among them, and what is told of a
//! query. What a call does with its values is in `statements`.

use std::{fs, os::unix::fs::symlink, path::Path};

use rowstream_client::{Call, Error, Reason};
use rowstream_testkit::eventually;
use tempfile::TempDir;
use tonic::Code;

use crate::harness::{PATIENCE, Pair};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    folder
}

fn write(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join(name), content).expect("written");
}

async fn pair_with(folder: &TempDir, flags: &[&str]) -> Pair {
    let path = folder.path().to_str().expect("UTF-8");
    Pair::with(&[&["--queries", path], flags].concat()).await
}

/// What the one column of the one row says, or the reason of the failure.
async fn answer(pair: &Pair, name: &str) -> Result<String, Option<Reason>> {
    let row = pair.client().query(name).query_row().await;
    row.map(|row| row.get(0).expect("text")).map_err(|error| reason(&error))
}

fn reason(error: &Error) -> Option<Reason> {
    error.server().unwrap_or_else(|| panic!("{error}")).reason()
}

async fn until(pair: &Pair, name: &str, expected: Result<&str, Reason>) {
    let expected = expected.map(str::to_owned).map_err(Some);
    eventually(&format!("{name} answers {expected:?}"), PATIENCE, async || answer(pair, name).await == expected).await;
}

#[tokio::test]
async fn changes_are_taken_up_and_a_call_under_way_keeps_what_it_began_with() {
    let long = "-- param: which text = 'old'\nselect $1 as which, i, pg_sleep(0.001) from generate_series(1, 3000) i";
    let folder = folder(&[("long.sql", long), ("one.sql", "select '1'"), ("gone.sql", "select 'here'")]);
    let pair = pair_with(&folder, &[]).await;
    let mut rows = pair.client().query("long").stream().await.expect("rows");

    write(folder.path(), "long.sql", "select 'new'");
    // As editors write: beside it, and then in its place.
    write(folder.path(), "one.sql.tmp", "select '2'");
    fs::rename(folder.path().join("one.sql.tmp"), folder.path().join("one.sql")).expect("renamed");
    fs::remove_file(folder.path().join("gone.sql")).expect("removed");
    write(folder.path(), "added.sql", "select 'added'");
    until(&pair, "long", Ok("new")).await;
    for (name, expected) in [("one", Ok("2")), ("added", Ok("added")), ("gone", Err(Some(Reason::UnknownQuery)))] {
        assert_eq!(answer(&pair, name).await, expected.map(str::to_owned), "{name}");
    }
    while let Some(batch) = rows.next_batch().await.expect("rows") {
        assert!(batch.iter().all(|row| row.get::<&str>("which").expect("text") == "old"));
    }
    assert_eq!(rows.summary().expect("a summary").row_count, 3000);
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_broken_file_leaves_its_last_good_version_in_service() {
    let folder = folder(&[("header.sql", "select 'good'"), ("sql.sql", "select 'good'"), ("other.sql", "select '1'")]);
    let pair = pair_with(&folder, &[]).await;
    until(&pair, "sql", Ok("good")).await;
    write(folder.path(), "header.sql", "-- max_rows: many\nselect 'bad'");
    write(folder.path(), "sql.sql", "select 'bad' from nowhere");
    write(folder.path(), "never.sql", "-- param: x\nselect 1");
    write(folder.path(), "other.sql", "select '2'");
    until(&pair, "other", Ok("2")).await;
    for name in ["header", "sql"] {
        assert_eq!(answer(&pair, name).await, Ok("good".to_owned()), "{name}");
    }
    // There is no version that could serve: its callers read why, and where.
    let error = pair.client().query("never").stream().await.expect_err("broken");
    assert_eq!(error.server().map(rowstream_client::ServerError::code), Some(Code::FailedPrecondition));
    assert_eq!(reason(&error), Some(Reason::QueryBroken));
    assert!(error.to_string().contains("\"never\" is broken: line 1: param \"x\" is not of the form"), "{error}");
    write(folder.path(), "never.sql", "select 'mended'");
    until(&pair, "never", Ok("mended")).await;
}

#[tokio::test]
async fn a_folder_of_links_that_is_swapped_as_a_whole_is_taken_up() {
    // As Kubernetes mounts a ConfigMap.
    let folder = tempfile::tempdir().expect("a temporary folder");
    for version in ["v1", "v2"] {
        fs::create_dir(folder.path().join(version)).expect("a folder");
        write(&folder.path().join(version), "one.sql", &format!("select '{version}'"));
    }
    symlink("v1", folder.path().join("..data")).expect("a link");
    symlink("..data/one.sql", folder.path().join("one.sql")).expect("a link");
    let pair = pair_with(&folder, &[]).await;
    until(&pair, "one", Ok("v1")).await;
    symlink("v2", folder.path().join("..data_tmp")).expect("a link");
    fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).expect("renamed");
    until(&pair, "one", Ok("v2")).await;
}

#[tokio::test]
async fn without_the_folder_the_last_set_serves_until_it_is_back() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let (path, away) = (root.path().join("queries"), root.path().join("away"));
    fs::create_dir(&path).expect("a folder");
    write(&path, "one.sql", "select '1'");
    write(&path, "marker.sql", "select '1'");
    let pair = Pair::with(&["--queries", path.to_str().expect("UTF-8")]).await;
    fs::rename(&path, &away).expect("renamed");
    write(&away, "one.sql", "select '2'");
    assert_eq!(answer(&pair, "one").await, Ok("1".to_owned()));
    fs::rename(&away, &path).expect("renamed");
    until(&pair, "one", Ok("2")).await;
}

// === What is told of a query

#[tokio::test]
async fn descriptions_and_limits_of_a_file_are_told() {
    let file = "-- description: One\n-- param: a int -- the first\n-- param: b text = 'x' -- the second\n\
                -- max_batch_bytes: 2KiB\nselect repeat($2, $1) from generate_series(1, 100)";
    let folder = folder(&[("told.sql", file)]);
    let pair = pair_with(&folder, &[]).await;
    let listed = pair.client().list_queries().await.expect("the list").remove(0);
    let about = pair.client().query("told").describe().await.expect("a description");
    assert_eq!((listed.max_batch_bytes, about.max_batch_bytes), (Some(2048), Some(2048)));
    for parameters in [listed.parameters, about.parameters] {
        let told: Vec<_> = parameters.iter().map(|parameter| parameter.description.as_str()).collect();
        assert_eq!(told, ["the first", "the second"]);
    }
    assert!(about.plan_estimate.is_none(), "not asked for");
    // The file's bound holds against what the caller asks for: 100 rows of 500 bytes, a few to each batch.
    let mut rows = pair.client().query("told").bind(500).max_batch_bytes(1 << 20).stream().await.expect("rows");
    while let Some(batch) = rows.next_batch().await.expect("rows") {
        assert!((1..=5).contains(&batch.len()), "{} rows", batch.len());
    }
}

const SKEWED: &str = "create table skewed (key int, note text);
    insert into skewed select case when i <= 9000 then 0 else i end, 'x' from generate_series(1, 10000) i;
    create index on skewed (key); analyze skewed";

async fn rows(call: Call) -> (f64, bool) {
    let estimate = call.describe_with_plan().await.expect("a description").plan_estimate.expect("asked for");
    assert!(estimate.total_cost >= estimate.startup_cost && estimate.total_cost > 0.0, "{estimate:?}");
    assert_eq!(estimate.parallel_workers, 0, "a cursor gets none: {estimate:?}");
    (estimate.rows, estimate.generic)
}

#[tokio::test]
async fn a_plan_is_estimated_for_the_values_given_or_for_any() {
    let folder = folder(&[("skewed.sql", "-- param: key int\nselect * from skewed where key = $1")]);
    let pair = pair_with(&folder, &["--pool-max", "1"]).await;
    pair.psql(SKEWED);
    let (common, generic) = rows(pair.client().query("skewed").bind(0)).await;
    assert!(common > 8000.0 && !generic, "{common}");
    let (rare, generic) = rows(pair.client().query("skewed").bind_named("key", "9500")).await;
    assert!(rare < 100.0 && !generic, "{rare}");
    for call in [pair.client().query("skewed"), pair.client().sql("select * from skewed where key = $1")] {
        let (any, generic) = rows(call).await;
        assert!(any < common && generic, "{any}");
    }
    let (all, generic) = rows(pair.client().sql("select * from skewed;")).await;
    assert_eq!((all, generic), (10_000.0, false));
    let error = pair.client().query("skewed").bind("many").describe_with_plan().await.expect_err("no number");
    assert_eq!(reason(&error), Some(Reason::InvalidParameter));
    let error = pair.client().query("skewed").bind_named("kee", 1).describe_with_plan().await.expect_err("unknown");
    assert_eq!(reason(&error), Some(Reason::InvalidParameter));
    pair.assert_settled().await;
}

#[tokio::test]
async fn an_estimate_runs_nothing_and_leaves_nothing_on_its_connection() {
    let folder = folder(&[]);
    let pair = pair_with(&folder, &["--pool-max", "1"]).await;
    pair.psql("create sequence counter; create table t (i int)");
    let client = pair.client();
    let about = client.sql("select nextval('counter'), pg_sleep(60), 1 / i from t").describe_with_plan().await;
    let json = about.expect("an estimate").plan_estimate.expect("asked for").json;
    assert!(json.contains("Seq Scan"), "{json}");
    assert_eq!(pair.psql("select is_called from counter"), "f");
    for sql in ["explain select 1", "explain analyze select 1", "delete from t", "select 1; select 2"] {
        let error = client.sql(sql).describe_with_plan().await.expect_err(sql);
        assert_eq!(reason(&error), Some(Reason::StatementRefused), "{sql}");
    }
    // Constants are folded when a plan is made: here with an error, for values and for any.
    for call in [client.sql("select 1 / 0"), client.sql("select 1 / 0, $1::int")] {
        let error = call.describe_with_plan().await.expect_err("division by zero");
        assert_eq!(reason(&error), Some(Reason::SqlError));
        let left = client.sql("select count(*) from pg_prepared_statements where name = 'rowstream_estimate'");
        assert_eq!(left.query_row().await.expect("a row").get::<i64>(0).expect("a count"), 0);
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn callers_who_may_run_no_sql_are_shown_figures_and_no_plan() {
    let folder = folder(&[("one.sql", "select relname from pg_class where relname = 'a secret'")]);
    let pair = Pair::without_sql(&["--queries", folder.path().to_str().expect("UTF-8")]).await;
    let about = pair.client().query("one").describe_with_plan().await.expect("a description");
    let estimate = about.plan_estimate.expect("asked for");
    assert!(estimate.rows >= 1.0 && estimate.width_bytes > 0, "{estimate:?}");
    assert_eq!(estimate.json, "");
}

#[tokio::test]
async fn an_estimate_ends_with_its_deadline() {
    let folder = folder(&[]);
    let pair = pair_with(&folder, &[]).await;
    // A plan folds what is declared immutable, whatever it does.
    pair.psql("create function slow(int) returns int immutable language sql as 'select 1 from pg_sleep(60)'");
    let call = pair.client().sql("select slow(1)").deadline(std::time::Duration::from_millis(300));
    let error = call.describe_with_plan().await.expect_err("too late");
    assert!(matches!(error, Error::DeadlineExceeded { .. }) || reason(&error) == Some(Reason::DeadlineExceeded));
    pair.assert_settled().await;
}
