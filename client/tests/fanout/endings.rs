//! Every way a run can end before its last input.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use super::{Lab, entries, records};
use crate::{signal, text};

/// So many users, one of whom is another.
fn ids(count: u64, at: u64, id: u64) -> String {
    let ids: String = (0..count).map(|n| format!("{}\n", if n == at { id } else { n * 1000 + 1 })).collect();
    format!("id\n{ids}")
}

#[test]
fn the_first_failure_ends_all_and_decides_the_exit_code() {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(1000, 20, 404));
    let arguments = ["--query", "user", "--params", "ids.csv", "--mode", "fail-fast", "-o", "out.jsonl", "-c", "2"];
    lab.expect(&arguments, 66, "rowstream: no such user (NOT_FOUND)");
    let all = records(&lab.read("out.jsonl"));
    assert!(all.len() < 40, "{}", all.len());
    assert_eq!(all.iter().filter(|record| record.get("error").is_some()).count(), 1);
    lab.fake.wait_until_idle();
}

#[test]
fn the_first_success_ends_all_and_is_all_there_is() {
    let lab = Lab::start();
    lab.write("ids.csv", "id\n404\n999\n1999\n5\n2999\n");
    let output = lab.expect(&["--query", "user", "--params", "ids.csv", "--mode", "first"], 0, "");
    assert_eq!(records(text(&output.stdout)).iter().map(|record| record["index"].clone()).collect::<Vec<_>>(), [3]);
    lab.fake.wait_until_idle();
    lab.write("none.csv", "id\n404\n1404\n");
    let output = lab.expect(&["--query", "user", "--params", "none.csv", "--mode", "first"], 1, "2 of 2 calls failed");
    assert_eq!(output.stdout, b"");
}

#[test]
fn deadlines_end_calls_and_the_whole() {
    let lab = Lab::start();
    lab.write("ids.csv", "id\n1\n999\n");
    let output =
        lab.expect(&["--query", "user", "--params", "ids.csv", "--deadline", "100ms"], 1, "DEADLINE_EXCEEDED 1");
    assert_eq!(records(text(&output.stdout))[1]["error"]["code"], "DEADLINE_EXCEEDED");
    lab.write("more.csv", "id\n999\n1\n1\n1\n");
    let arguments = ["--query", "user", "--params", "more.csv", "--total-deadline", "300ms", "-c", "1"];
    let output = lab.expect(&arguments, 124, "the time for all calls together was over");
    assert_eq!(records(text(&output.stdout))[0]["error"]["code"], "DEADLINE_EXCEEDED");
    lab.fake.wait_until_idle();
}

#[test]
fn ctrl_c_keeps_what_was_answered_and_leaves_no_call_behind() {
    let lab = Lab::start();
    lab.write("ids.csv", "id\n1\n2\n999\n3\n1999\n");
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let child =
            lab.spawn(&["--query", "user", "--params", "ids.csv", "-o", "out.jsonl", "-c", "5", "--summary", "s.json"]);
        // All but the two that never answer.
        lab.fake.wait_until(|server| {
            let calls = server.calls();
            let count = |ended: bool| {
                calls.iter().filter(|call| call.request.query == "user" && call.end.is_some() == ended).count()
            };
            count(false) == 2 && count(true) >= 4
        });
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        let summary: serde_json::Value = serde_json::from_str(&lab.read("s.json")).unwrap();
        assert_eq!((&summary["ended"], &summary["failed"]), (&"interrupted".into(), &0.into()));
        // The last answers may have come when the program had heard the signal.
        let kept = records(&lab.read("out.jsonl")).len();
        assert_eq!(summary["succeeded"], kept);
        assert!(
            kept <= 3 && stderr.contains(&format!("{kept} succeeded, 0 failed\nnot run: {}\n", 5 - kept)),
            "{stderr}"
        );
        lab.fake.wait_until_idle();
        assert_eq!(entries(lab.directory.path()), ["ids.csv", "out.jsonl", "s.json"]);
        drop(lab.fake.server.take_calls());
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(20_000, 0, 1));
    let mut child = lab.spawn(&["--query", "user", "--params", "ids.csv"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    lab.fake.wait_until_idle();
}

#[test]
fn an_output_that_cannot_be_written_ends_the_run() {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(20_000, 0, 1));
    lab.expect(&["--query", "user", "--params", "ids.csv", "-o", "/dev/full"], 74, "cannot write /dev/full");
    lab.expect(&["--query", "user", "--params", "ids.csv", "-o", "no/such/out"], 74, "cannot write no/such/out");
    lab.fake.wait_until_idle();
}

#[test]
fn ctrl_c_does_not_wait_for_a_reader() {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(50_000, 0, 1));
    // Nobody reads, so that the pipe is full before long.
    let child = lab.command(&["--query", "user", "--params", "ids.csv", "-q"]).stdout(Stdio::piped()).spawn().unwrap();
    lab.fake.wait_until(|server| server.calls().len() > 300);
    signal(&child, "-INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}
