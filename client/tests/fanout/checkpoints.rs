//! Going on after an interruption, wherever it came.

use std::{collections::BTreeMap, fs, process::Stdio, thread, time::Instant};

use super::{Lab, entries, records};
use crate::text;

const ARGUMENTS: [&str; 8] =
    ["--query", "user", "--params", "ids.csv", "-o", "out.jsonl", "--checkpoint", "out.checkpoint"];

/// Users, every tenth of whom is none.
fn ids(count: u64) -> String {
    let ids: String = (0..count).map(|n| format!("{}\n", n * 1000 + if n % 10 == 3 { 404 } else { 1 })).collect();
    format!("id\n{ids}")
}

/// The output without what differs from run to run, sorted.
fn comparable(output: &str) -> Vec<String> {
    let mut lines: Vec<_> = output.lines().map(comparable_line).collect();
    lines.sort();
    lines
}

fn comparable_line(line: &str) -> String {
    let Ok(serde_json::Value::Object(mut record)) = serde_json::from_str(line) else { return line.to_owned() };
    for key in ["latency_ms", "endpoint", "attempts"] {
        record.remove(key);
    }
    if let Some(serde_json::Value::Object(error)) = record.get_mut("error") {
        error.remove("query_id");
    }
    serde_json::Value::Object(record).to_string()
}

/// How often the program is killed: `ROWSTREAM_FAULTS=full` for the documented number.
fn kills() -> u64 {
    if std::env::var("ROWSTREAM_FAULTS").as_deref() == Ok("full") { 1000 } else { 50 }
}

/// Runs, kills, and runs again, at random points, until so many kills have been made.
fn survives_kills(format: &str, kills: u64, seed: u64) {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(400));
    let pace = ["-q", "-c", "4", "--rate", "1500/s", "--format", format];
    let arguments = [&ARGUMENTS[..], &pace].concat();
    let begun = Instant::now();
    lab.expect(&[&["--query", "user", "--params", "ids.csv", "-o", "whole.jsonl"], &pace[..]].concat(), 1, "");
    let time = begun.elapsed();
    let expected = comparable(&lab.read("whole.jsonl"));
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut killed, mut midway) = (0, 0);
    while killed < kills {
        let mut child = lab.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(time.mul_f64(random.f64()));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            killed += 1;
        }
        let complete = child.wait().unwrap().code() == Some(1);
        let noted = fs::read_to_string(lab.path("out.checkpoint")).unwrap_or_default().lines().count();
        midway += u64::from((2..400).contains(&noted));
        if complete || killed == kills {
            lab.expect(&arguments, 1, "40 of 400 calls failed");
            assert_eq!(comparable(&lab.read("out.jsonl")), expected, "after {killed} kills, seed {seed}");
            fs::remove_file(lab.path("out.jsonl")).unwrap();
            fs::remove_file(lab.path("out.checkpoint")).unwrap();
        }
        drop(lab.fake.server.take_calls());
    }
    assert!(midway > 0, "kills came between the first record and the last");
    let left: Vec<_> = entries(lab.directory.path()).into_iter().filter(|name| !name.ends_with(".partial")).collect();
    assert_eq!(left, ["ids.csv", "whole.jsonl"]);
}

#[test]
fn whenever_it_is_killed_each_input_is_in_the_output_once() {
    let kills = kills();
    thread::scope(|scope| {
        for (format, share, seed) in [("jsonl", 2, 1), ("rows-csv", 4, 2), ("rows-jsonl", 4, 3)] {
            scope.spawn(move || survives_kills(format, kills / share, seed));
        }
    });
}

#[test]
fn ctrl_c_is_gone_on_from_and_a_complete_run_does_nothing() {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(300));
    let child = lab.spawn(&[&ARGUMENTS[..], &["--rate", "300/s"]].concat());
    lab.fake.wait_until(|server| server.calls().len() > 60);
    crate::signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let before = records(&lab.read("out.jsonl")).len();
    assert!((50..300).contains(&before), "{before}");
    drop(lab.fake.server.take_calls());

    lab.expect(&ARGUMENTS, 1, &format!("before: {before} done"));
    assert_eq!(lab.calls(), 300 - before, "only what was missing");
    let all: BTreeMap<_, _> =
        records(&lab.read("out.jsonl")).into_iter().map(|record| (record["index"].as_u64(), record)).collect();
    assert_eq!(all.len(), 300);

    lab.expect(&ARGUMENTS, 1, "rowstream: all 300 inputs are done\n");
    assert_eq!(lab.calls(), 0, "failures are final");
    assert_eq!(records(&lab.read("out.jsonl")).len(), 300);
}

#[test]
fn failures_are_repeated_when_asked_for() {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(50));
    lab.expect(&ARGUMENTS, 1, "45 succeeded, 5 failed");
    lab.calls();
    let columns = [("id", "int8"), ("event", "text")];
    let healed = rowstream_client::testing::Answer::rows(columns, [(1, "healed")]);
    lab.fake.server.on("user", healed);
    lab.expect(&[&ARGUMENTS[..], &["--only-failed"]].concat(), 0, "5 succeeded, 0 failed");
    assert_eq!(lab.calls(), 5);
    let all = records(&lab.read("out.jsonl"));
    let indices: Vec<_> = all.iter().map(|record| record["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, (0..50).collect::<Vec<_>>());
    assert_eq!(all[13]["rows"][0]["event"], "healed");
    lab.expect(&ARGUMENTS, 0, "all 50 inputs are done");
    assert_eq!(entries(lab.directory.path()), ["ids.csv", "out.checkpoint", "out.jsonl"]);
}

#[test]
fn what_has_changed_is_refused_with_the_reason() {
    let lab = Lab::start();
    lab.write("ids.csv", &ids(20));
    lab.expect(&ARGUMENTS, 1, "");
    let output = lab.read("out.jsonl");
    lab.write("ids.csv", &ids(21));
    lab.expect(&ARGUMENTS, 65, "out.checkpoint cannot be used: the input has changed: 110 bytes then, 116 now");
    lab.write("ids.csv", &ids(20).replace("1001", "1002"));
    lab.expect(&ARGUMENTS, 65, "the input has changed: other bytes");
    lab.write("ids.csv", &ids(20));
    lab.expect(
        &[&ARGUMENTS[..], &["--format", "rows-csv"]].concat(),
        65,
        "--format has changed: jsonl then, rows-csv now",
    );
    lab.expect(&[&ARGUMENTS[..], &["--max-rows", "1"]].concat(), 65, "--max-rows has changed: not given then, 1 now");
    assert_eq!(lab.read("out.jsonl"), output, "nothing was touched");
    // In every record, the failed ones too: whichever came last is looked at.
    lab.write("out.jsonl", &output.replace("attempts", "attemptz"));
    lab.expect(&ARGUMENTS, 65, "was changed by someone else");
    fs::remove_file(lab.path("out.jsonl")).unwrap();
    lab.expect(&ARGUMENTS, 65, "out.jsonl is gone");

    lab.write("notes", "mine");
    for (arguments, code, told) in [
        (&["--params", "ids.csv", "-o", "-", "--checkpoint", "c"][..], 64, "--output to be a file"),
        (&["--params", "-", "--params-format", "csv", "-o", "o", "--checkpoint", "c"], 64, "--params to be a file"),
        (&["--params", "ids.csv", "-o", "/dev/null", "--checkpoint", "c"], 65, "/dev/null is no file"),
        (&["--params", "ids.csv", "-o", "o", "--checkpoint", "notes"], 65, "it is no checkpoint of a fan-out"),
        (&["--params", "ids.csv", "-o", "notes", "--checkpoint", "c"], 65, "notes exists: remove that"),
        (&["--params", "ids.csv", "-o", "./ids.csv"], 64, "--params and --output are the same file"),
        (&["--params", "ids.csv", "-o", "o", "--summary", "o"], 64, "--output and --summary are the same file"),
        (&["--params", "ids.csv", "-o", "o", "--checkpoint", "c", "--mode", "first"], 64, "--mode first"),
    ] {
        lab.expect(&[&["--query", "user"], arguments].concat(), code, told);
    }
    assert_eq!((lab.read("ids.csv"), lab.read("notes")), (ids(20), "mine".to_owned()));
}

#[test]
fn two_processes_do_not_share_a_checkpoint() {
    let lab = Lab::start();
    lab.write("ids.csv", "id\n999\n");
    let mut first = lab.spawn(&ARGUMENTS);
    lab.fake.wait_until(|server| {
        server.calls().iter().any(|call| call.request.query == "user" && call.request.parameter("id").is_some())
    });
    lab.expect(&ARGUMENTS, 75, "another process goes on with the checkpoint out.checkpoint");
    first.kill().unwrap();
    first.wait().unwrap();
}
