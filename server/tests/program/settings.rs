//! Flags and environment variables, and the exit status that says what is wrong with them.

use std::net::TcpListener;

use rowstream_testkit::Postgres;
use tempfile::{TempDir, tempdir};

use crate::{
    harness::{client, row_of, until_serving},
    process::{Ended, Program},
};

/// Nobody listens there; the programs of these tests do not get as far as asking.
const URL: &str = "postgres://user:hush-hush@127.0.0.1:1/db";

/// Asserts an exit status, a message on stderr, nothing on stdout, and no password anywhere.
fn assert_refused(ended: &Ended, status: i32, message: &str) {
    assert_eq!(ended.status, Some(status), "{ended:?}");
    assert!(ended.stderr.contains(message), "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert!(!ended.stderr.contains("hush-hush"), "{ended:?}");
}

#[tokio::test]
async fn a_wrong_command_line_is_status_64_with_the_usage_on_stderr() {
    for (args, message) in [
        (&["--database-url", URL, "--no-such-flag"][..], "--no-such-flag"),
        (&[], "--database-url"),
        (&["--database-url", URL, "--listen", "nowhere"], "--listen"),
        (&["--database-url", URL, "--grace-period", "soon"], "--grace-period"),
        (&["--database-url", URL, "a-word"], "a-word"),
    ] {
        let ended = Program::run(args).await;
        assert_refused(&ended, 64, message);
        assert!(ended.stderr.contains("--help"), "{ended:?}");
    }
    assert!(Program::run(&["--no-such-flag"]).await.stderr.contains("Usage: rowstream-server"));
}

#[tokio::test]
async fn help_and_version_are_status_0_and_on_stdout() {
    for (flag, expected) in [("--help", "--database-url <URL>"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let ended = Program::run(&[flag]).await;
        assert_eq!(ended.status, Some(0));
        assert!(ended.stdout.contains(expected), "{ended:?}");
        assert_eq!(ended.stderr, "");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_status_78() {
    for (args, message) in [
        (&["--database-url", URL, "--listen", "0.0.0.0:0"][..], "--allow-unauthenticated-remote"),
        (&["--database-url", "mysql://user:hush-hush@127.0.0.1/db"], "--database-url"),
        (&["--database-url", "postgres://user:hush-hush@127.0.0.1:port/db"], "--database-url"),
        (&["--database-url", URL, "--pool-max", "0"], "--pool-max"),
        (&["--database-url", URL, "--log", "=!"], "--log"),
    ] {
        assert_refused(&Program::run(args).await, 78, message);
    }
}

#[tokio::test]
async fn a_folder_of_queries_that_is_not_there_is_status_78() {
    let folder = tempdir().expect("a folder");
    let missing = folder.path().join("missing");
    let missing = missing.to_str().expect("UTF-8");
    let ended = Program::run(&["--database-url", URL, "--listen", "127.0.0.1:0", "--queries", missing]).await;
    assert_refused(&ended, 78, &format!("--queries {missing}"));
}

#[tokio::test]
async fn an_address_in_use_is_status_69() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = Program::run(&["--database-url", URL, "--listen", &address]).await;
    assert_refused(&ended, 69, &format!("--listen {address}"));
}

#[tokio::test]
async fn environment_variables_work_like_flags() {
    let database = Postgres::shared().create_database().expect("a database");
    let mut command = Program::command();
    command.env("DATABASE_URL", database.url()).env("ROWSTREAM_LISTEN", "127.0.0.1:0");
    let mut program = Program::spawn(command.env("ROWSTREAM_ALLOW_SQL", "true"));
    let address = program.address().await;
    until_serving(address).await;
    client(address).query_row(row_of("select 1")).await.expect("ad-hoc SQL is allowed");
    assert_eq!(program.terminate().await.status, Some(0));
}

#[tokio::test]
async fn a_flag_counts_more_than_its_environment_variable() {
    let mut command = Program::command();
    command.env("DATABASE_URL", URL).env("ROWSTREAM_LISTEN", "0.0.0.0:0");
    let mut program = Program::spawn(command.args(["--listen", "127.0.0.1:0"]));
    assert!(program.address().await.ip().is_loopback());
    assert_eq!(program.terminate().await.status, Some(0));
}

/// A program over a database of the shared cluster, whose settings are all in a file.
fn file(folder: &TempDir, content: &str) -> String {
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, content).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test]
async fn a_file_holds_all_settings_and_what_is_wrong_in_it_is_status_78() {
    let (folder, database) = (tempdir().expect("a folder"), Postgres::shared().create_database().expect("a database"));
    let good = format!("database_url = \"{}\"\nlisten = \"127.0.0.1:0\"\nallow_sql = true\n", database.url());
    let path = file(&folder, &good);
    let mut program = Program::spawn(Program::command().env("ROWSTREAM_CONFIG", &path));
    let address = program.address().await;
    until_serving(address).await;
    client(address).query_row(row_of("select 1")).await.expect("ad-hoc SQL is allowed");
    assert_eq!(program.terminate().await.status, Some(0));

    let path = file(&folder, &format!("database_url = \"{URL}\"\n\npool_maxx = 3\n"));
    assert_refused(
        &Program::run(&["--config", &path]).await,
        78,
        ":3: there is no setting pool_maxx; did you mean pool_max?",
    );
    let mut command = Program::command();
    let mut program = Program::spawn(command.env("DATABASE_URL", URL).env("ROWSTREAM_POOL_MAX", "x"));
    assert_refused(&program.end().await, 78, "ROWSTREAM_POOL_MAX=x: ");
}

#[tokio::test]
async fn print_config_prints_what_can_be_read_again_without_the_password() {
    let ended = Program::run(&["--database-url", URL, "--print-config", "--pool-max", "7"]).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.stdout.contains("pool_max = 7") && !ended.stdout.contains("hush-hush"), "{}", ended.stdout);
    let folder = tempdir().expect("a folder");
    let again = Program::run(&["--config", &file(&folder, &ended.stdout), "--print-config"]).await;
    assert_eq!(again.status, Some(0), "{}", again.stderr);
    assert!(again.stdout.contains("pool_max = 7"), "{}", again.stdout);
}

#[tokio::test]
async fn check_config_finds_what_would_be_found_later() {
    let database = Postgres::shared().create_database().expect("a database");
    let (folder, url) = (tempdir().expect("a folder"), database.url());
    let queries = folder.path().to_str().expect("UTF-8");
    std::fs::write(folder.path().join("good.sql"), "select 1").expect("written");
    let run = async |flags: &[&str]| Program::run(&[&["--check-config"], flags].concat()).await;

    let fine = run(&["--database-url", &url, "--queries", queries]).await;
    assert_eq!((fine.status, fine.stdout.as_str(), fine.stderr.as_str()), (Some(0), "", ""));
    let down = run(&["--database-url", URL]).await;
    assert_eq!(down.status, Some(0), "{down:?}");
    assert!(down.stderr.contains("PostgreSQL could not be asked"), "{down:?}");

    let large = run(&["--database-url", &url, "--pool-max", "99"]).await;
    let expected =
        "--pool-max 99 and --max-read-sessions 16 need 117 connections, 2 of them to cancel, but PostgreSQL admits 100";
    assert_refused(&large, 78, expected);
    assert_refused(&run(&["--database-url", &format!("{url}-missing")]).await, 78, "--database-url: ");
    std::fs::write(folder.path().join("bad.sql"), "-- max_rows: x").expect("written");
    assert_refused(&run(&["--database-url", &url, "--queries", queries]).await, 78, "bad.sql: ");
    let files = ["--tls-cert", "/nowhere/tls.crt", "--tls-key", "/nowhere/tls.key"];
    let ended = run(&[&["--database-url", &url][..], &files].concat()).await;
    assert_refused(&ended, 78, "--tls-cert /nowhere/tls.crt: No such file");
    assert_refused(&run(&["--database-url", URL, "--pool-max", "0"]).await, 78, "--pool-max 0");
}

#[tokio::test]
async fn a_pool_larger_than_postgresql_admits_ends_the_program_with_78_once_postgresql_answers() {
    let database = Postgres::shared().create_database().expect("a database");
    let folder = tempdir().expect("a folder");
    let path =
        file(&folder, &format!("database_url = \"{}\"\nlisten = \"127.0.0.1:0\"\n\npool_max = 200\n", database.url()));
    let ended = Program::run(&["--config", &path]).await;
    assert_refused(&ended, 78, &format!("pool_max ({path}:4) 200 and --max-read-sessions 16 need 218 connections"));
}
