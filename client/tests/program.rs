//! The program `rowstream` as a process, against a fake server in this one: exit codes, signals, closed
//! pipes, files and messages.
//!
//! What needs PostgreSQL is in the pair's tests at the root.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod columnar;
mod export;
mod fake;
mod fanout;
mod generated;
mod profiles;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
};

use fake::Fake;
use rowstream_client::testing::End;

fn program(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowstream"));
    command.args(arguments).env("ROWSTREAM_ENDPOINT", endpoint).stdin(Stdio::null());
    // No profile of whoever runs the tests.
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("ROWSTREAM_PROFILE")
        .env_remove("ROWSTREAM_PROFILES_FILE");
    command
}

fn run(endpoint: &str, arguments: &[&str]) -> Output {
    program(endpoint, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs, and expects this exit code, with this somewhere on stderr.
fn expect(endpoint: &str, arguments: &[&str], code: i32, told: &str) -> Output {
    let output = run(endpoint, arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    output
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn entries(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_format_prints_the_same_rows() {
    let fake = Fake::start();
    for (format, expected) in [
        ("csv", "id,name\n1,a\n2,\"b,c\"\n3,\n"),
        ("jsonl", "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b,c\"}\n{\"id\":3,\"name\":null}\n"),
        ("table", " id | name \n----+------\n  1 | a\n  2 | b,c\n  3 | \n(3 rows)\n"),
    ] {
        let output = expect(&fake.endpoint, &["query", "--query", "rows", "--format", format], 0, "");
        assert_eq!(text(&output.stdout), expected);
        assert_eq!(text(&output.stderr), "");
    }
    let output = run(&fake.endpoint, &["query", "--query", "rows"]);
    assert!(text(&output.stdout).starts_with("id,name\n"), "csv is the default where stdout is no terminal");
}

#[test]
fn sql_comes_as_an_argument_or_from_stdin_and_values_travel_as_text() {
    let fake = Fake::start();
    let output = expect(&fake.endpoint, &["query", "echo", "-p", "a=b", "--null", "2", "-p", "-1"], 0, "");
    assert_eq!(text(&output.stdout), "id,name\n1,a=b\n2,\n3,-1\n");

    let mut child =
        program(&fake.endpoint, &["query", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"echo").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "id,name\n");

    let output = expect(&fake.endpoint, &["query", "--query", "echo", "-p", "x=1=2", "-p", "y=", "--null", "z"], 0, "");
    assert_eq!(text(&output.stdout), "id,name\n1,x=1=2\n2,y=\n3,z\n");
}

#[test]
fn a_file_appears_complete_or_not_at_all() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    let path = path.to_str().unwrap();
    expect(&fake.endpoint, &["query", "--query", "rows", "-o", path], 0, "3 rows, ");
    assert_eq!(fs::read_to_string(path).unwrap(), "id,name\n1,a\n2,\"b,c\"\n3,\n");

    for query in ["no_summary", "wrong_checksum", "fails_midway"] {
        expect(&fake.endpoint, &["query", "--query", query, "-o", path], 70, "rowstream: ");
        assert_eq!(fs::read_to_string(path).unwrap(), "id,name\n1,a\n2,\"b,c\"\n3,\n", "the old file stays");
        assert_eq!(entries(directory.path()), ["rows.csv"]);
    }
    expect(&fake.endpoint, &["query", "--query", "rows", "-o", "/no/such/directory/x"], 74, "cannot write /no/such");
    expect(&fake.endpoint, &["query", "--query", "rows", "-o", "/dev/full"], 74, "cannot write /dev/full");
}

#[test]
fn a_result_that_is_not_whole_is_an_error() {
    let fake = Fake::start();
    for (query, told) in [
        ("no_summary", "cut off after 3 rows"),
        ("wrong_checksum", "summary says checksum"),
        ("wrong_count", "summary says row count 4, but 3"),
        ("wrong_bytes", "summary says byte count"),
        ("after_summary", "a message after the summary"),
        ("no_header", "does not begin with a header"),
        ("two_headers", "a second header"),
        ("gap", "a batch begins at row 7, where 0 comes next"),
        ("garbage", "malformed rows"),
        ("fails_midway", "boom (INTERNAL)"),
        ("empty", "cut off after 0 rows"),
    ] {
        expect(&fake.endpoint, &["query", "--query", query], 70, told);
    }
}

#[test]
fn a_servers_error_is_told_with_place_reason_and_advice() {
    let fake = Fake::start();
    let output = expect(&fake.endpoint, &["query", "select foo"], 65, "column \"foo\" does not exist");
    assert_eq!(
        text(&output.stderr),
        "rowstream: column \"foo\" does not exist (INVALID_ARGUMENT)\n\
         LINE 1: select foo\n\
         \u{20}              ^\n\
         reason SQL_ERROR, SQLSTATE 42703, query id q-1\n"
    );
    expect(&fake.endpoint, &["query", "--query", "unknown"], 66, "`rowstream queries` lists the named queries");
    expect(&fake.endpoint, &["query", "forbidden"], 77, "hint: start rowstream-server with --allow-sql");
    expect(&fake.endpoint, &["query", "--query", "full"], 75, "hint: try again in 250ms");
    expect(&fake.endpoint, &["query", "--query", "down"], 69, "PostgreSQL is away");
}

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    let fake = Fake::start();
    expect(&fake.endpoint, &["query", "--query", "silent", "--deadline", "50ms"], 124, "the deadline of 50ms passed");
    fake.wait_until_idle();
    // The deadline may pass before the call arrives.
    assert!(fake.server.calls().iter().all(|call| matches!(call.end, Some((End::Cancelled, _)))));
    expect(&fake.endpoint, &["query", "--query", "never", "--deadline", "50ms"], 124, "the deadline of 50ms passed");
    // A server that accepts connections and says nothing: connecting is within the deadline too.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", mute.local_addr().unwrap());
    for command in [&["query", "select 1"][..], &["health"], &["queries"]] {
        let arguments = [command, &["--deadline", "50ms"]].concat();
        expect(&endpoint, &arguments, 124, "the deadline of 50ms passed");
    }
}

#[test]
fn ctrl_c_cancels_the_call_and_says_how_far_it_came() {
    let fake = Fake::start();
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = program(&fake.endpoint, &["query", "--query", "endless"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Rows have come, and then nobody reads: the program sits on a full pipe.
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        fake.wait_until_sent("endless", 8);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("rowstream: interrupted after ") && !stderr.contains("after 0 rows"), "{stderr}");
        fake.wait_until_idle();
        let calls = fake.server.take_calls();
        assert_eq!(fake.server.cancel_requests().last(), calls.last().map(|call| &call.request.query_id));
    }
}

#[test]
fn ctrl_c_leaves_no_file() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.csv");
    let child = program(&fake.endpoint, &["query", "--query", "then_silent", "-o", path.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fake.wait_until_sent("then_silent", 1);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert_eq!(entries(directory.path()), [""; 0]);
}

#[test]
fn a_closed_pipe_is_quiet() {
    let fake = Fake::start();
    let mut child = program(&fake.endpoint, &["query", "--query", "endless"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    fake.wait_until_idle();
    assert_eq!(fake.server.cancelled(), 1);
}

#[test]
fn a_refused_connection_says_what_to_try() {
    // Bound and dropped: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let hint = format!("hint: is rowstream-server running at {endpoint}?");
    for arguments in [&["query", "--query", "rows"][..], &["health"], &["queries"], &["describe", "--query", "x"]] {
        expect(&endpoint, arguments, 69, &hint);
    }
}

#[test]
fn tls_and_other_protocols_are_recognised() {
    expect("https://127.0.0.1:1", &["health", "--cacert", "/nowhere"], 64, "--cacert /nowhere: No such file");
    expect("https://127.0.0.1:1", &["health", "--cacert", "/dev/null"], 64, "the CA certificate cannot be used");
    expect("127.0.0.1:1", &["health"], 64, "write http://HOST:PORT");
    // What a TLS server says to plaintext, and what an HTTP/1 server says to HTTP/2.
    for answer in [&b"\x15\x03\x03\x00\x02\x02\x46"[..], b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 24]).unwrap();
            stream.write_all(answer).unwrap();
        });
        expect(&endpoint, &["query", "--query", "rows"], 69, "does not speak plaintext HTTP/2");
        server.join().unwrap();
    }
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    for arguments in [
        &["query"][..],
        &["query", "select 1", "--query", "both"],
        &["query", "--query", "q", "-p", "value"],
        &["query", "select $1", "--null", "5"],
        &["query", "select 1", "--deadline", "soon"],
        &["no-such-command"],
    ] {
        assert_eq!(run("http://127.0.0.1:1", arguments).status.code(), Some(64), "{arguments:?}");
    }
    let help = run("http://127.0.0.1:1", &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Exit codes:"));
}

#[test]
fn queries_describe_health_and_cancel_answer() {
    let fake = Fake::start();
    let output = expect(&fake.endpoint, &["queries"], 0, "");
    assert_eq!(text(&output.stdout), "first(id int8, since date = 2024-01-01)\n    The first.\nsecond()\n");
    let json: serde_json::Value =
        serde_json::from_slice(&run(&fake.endpoint, &["queries", "--format", "json"]).stdout).unwrap();
    assert_eq!(json[0]["parameters"][1]["default_value"], "2024-01-01");

    let output = expect(&fake.endpoint, &["describe", "--query", "first"], 0, "");
    let described = "The first.\nat most 30s\nat most 5 rows\nat most 65536 bytes a batch\nparameters:\n  \
                     $1 id int8  -- the key\n  $2 since date = 2024-01-01\n\
                     columns:\n  id int8\n  name text\n";
    assert_eq!(text(&output.stdout), described);
    let arguments = ["describe", "--query", "first", "--plan", "-p", "id=1"];
    let plan = "plan, as PostgreSQL estimates it for these values:\n  1 rows of 12 bytes\n  \
                cost 0.00 to the first row, 1.25 to the last\n  [{}]\n";
    assert_eq!(text(&expect(&fake.endpoint, &arguments, 0, "").stdout), format!("{described}{plan}"));
    let json = expect(&fake.endpoint, &[&arguments[..], &["--format", "json"]].concat(), 0, "");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["max_batch_bytes"], &json["plan_estimate"]["rows"]), (&65_536.into(), &1.0.into()));
    expect(&fake.endpoint, &["describe", "--query", "first", "-p", "id=1"], 64, "--plan");

    assert_eq!(text(&expect(&fake.endpoint, &["health"], 0, "").stdout), "SERVING\n");
    let running = ["query", "--query", "silent", "--query-id", "some-id"];
    let running = program(&fake.endpoint, &running).stderr(Stdio::piped()).spawn().unwrap();
    fake.wait_until_called("silent");
    assert_eq!(text(&expect(&fake.endpoint, &["cancel", "some-id"], 0, "").stdout), "cancelled\n");
    assert!(text(&running.wait_with_output().unwrap().stderr).contains("CANCEL_REQUESTED"));
}

#[test]
fn a_limit_of_the_servers_own_is_noted() {
    let fake = Fake::start();
    expect(&fake.endpoint, &["query", "--query", "truncated"], 0, "more rows exist");
    let quiet = expect(&fake.endpoint, &["query", "--query", "truncated", "--max-rows", "3"], 0, "");
    assert_eq!(text(&quiet.stderr), "");
}
