//! `rowstream bench` as a process: what it prints and writes, how it ends, and how two reports compare.

use std::{
    fs,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use rowstream_client::testing::Answer;
use serde_json::Value as Json;

use crate::{entries, expect, fake::Fake, program, signal, text};

/// A server, and a folder for reports.
struct Lab {
    fake: Fake,
    directory: tempfile::TempDir,
}

impl Lab {
    fn start() -> Self {
        Self { fake: Fake::start(), directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs in the folder, and expects this exit code, with this somewhere on stderr.
    fn expect(&self, arguments: &[&str], code: i32, told: &str) -> Output {
        let output = program(&self.fake.endpoint, &["bench"])
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
        output
    }

    fn json(&self, name: &str) -> Json {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }
}

#[test]
fn a_closed_loop_makes_so_many_calls_and_reports_in_text_json_and_html() {
    let lab = Lab::start();
    let arguments =
        ["--query", "rows", "-p", "a=b", "-c", "3", "--count", "50", "--json", "r.json", "--html", "r.html"];
    let output = lab.expect(&arguments, 0, "");
    let told = text(&output.stdout);
    assert!(told.starts_with("rowstream bench: query rows\nclosed loop, 3 calls under way at all times; "), "{told}");
    assert!(told.contains("of 50 due 50 succeeded, 0 failed\n") && told.contains("\nservice "), "{told}");
    assert_eq!(text(&output.stderr), "");
    let json = lab.json("r.json");
    assert_eq!((&json["format"], &json["version"]), (&"rowstream-bench".into(), &1.into()));
    assert_eq!((&json["calls"]["succeeded"], &json["throughput"]["rows"]), (&50.into(), &150.into()));
    assert_eq!(json["settings"]["parameters"][0], "-p a=b");
    assert!(fs::read_to_string(lab.path("r.html")).unwrap().starts_with("<!DOCTYPE html>"));
    assert_eq!(lab.fake.server.calls().len(), 50);
}

#[test]
fn an_open_loop_begins_every_call_that_is_due() {
    let lab = Lab::start();
    let arguments = ["--query", "rows", "--rate", "100/s..300/s", "--steps", "2", "--count", "40", "--json", "r.json"];
    let output = lab.expect(&arguments, 0, "");
    assert!(text(&output.stdout).contains("open loop from 100/s to 300/s, in 2 steps"), "{}", text(&output.stdout));
    let json = lab.json("r.json");
    assert_eq!((&json["calls"]["due"], &json["calls"]["succeeded"]), (&40.into(), &40.into()));
    assert_eq!((&json["steps"][0]["due"], &json["steps"][1]["due"]), (&10.into(), &30.into()));
    let [response, service] = ["response", "service"].map(|name| json["latency"][name]["mean_us"].as_f64().unwrap());
    assert!(response >= service, "{response} from when a call was due, {service} from when it began");
}

#[test]
fn in_arrow_and_by_a_strategy_the_same_rows_come() {
    let lab = Lab::start();
    for more in [&[][..], &["--read-values"], &["--strategy", "copy", "--grpc-compression", "gzip"]] {
        let arguments =
            [&["--query", "rows", "--encoding", "arrow", "--count", "5", "--json", "r.json"], more].concat();
        lab.expect(&arguments, 0, "");
        let json = lab.json("r.json");
        assert_eq!((&json["throughput"]["rows"], &json["settings"]["encoding"]), (&15.into(), &"arrow".into()));
    }
    assert_eq!(lab.json("r.json")["settings"]["strategy"], "copy");
}

#[test]
fn failures_are_counted_and_end_the_run_only_if_there_is_nothing_else() {
    let lab = Lab::start();
    let rows = Answer::rows([("id", "int8")], [(1,)]);
    let failing = rows.clone().error_after(1, rowstream_client::Code::Internal, None).message("boom");
    lab.fake.server.on("mixed", vec![failing, rows]);
    let output = lab.expect(&["--query", "mixed", "--count", "20"], 0, "");
    assert!(text(&output.stdout).contains("19 succeeded, 1 failed\n"), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("1 INTERNAL: boom\n"), "{}", text(&output.stdout));

    let output = lab.expect(&["--query", "unknown"], 66, "no query \"unknown\"");
    assert!(text(&output.stdout).ends_with("; it did not come to the end of its warm-up, and nothing was measured\n"));
    for load in [&["--duration", "1h"][..], &["--rate", "100/s", "--duration", "1h"], &["--count", "3"]] {
        let load = [load, &["--warmup", "0s"]].concat();
        let output =
            lab.expect(&[&["--query", "unknown", "--json", "r.json"], &load[..]].concat(), 66, "no query \"unknown\"");
        assert!(text(&output.stdout).contains("NOT_FOUND UNKNOWN_QUERY: "), "{}", text(&output.stdout));
    }
    assert_eq!(lab.json("r.json")["calls"]["failed"], 3);
    lab.expect(&["select foo", "--count", "1"], 65, "LINE 1: select foo");
    expect("http://127.0.0.1:1", &["bench", "select 1"], 69, "is rowstream-server running at http://127.0.0.1:1?");
}

#[test]
fn calls_that_run_out_of_time_have_a_latency_and_a_run_of_them_alone_has_a_report() {
    let lab = Lab::start();
    let arguments = ["--query", "never", "--deadline", "30ms", "--count", "4", "--json", "r.json"];
    lab.expect(&arguments, 124, "the deadline of 30ms passed");
    let json = lab.json("r.json");
    assert_eq!((&json["calls"]["at_least"], &json["failures"][0]["code"]), (&4.into(), &"DEADLINE_EXCEEDED".into()));
    assert!(json["latency"]["service"]["min_us"].as_u64().unwrap() >= 29_900, "{json}");
}

#[test]
fn ctrl_c_ends_the_run_and_the_report_is_of_what_there_was() {
    let lab = Lab::start();
    lab.fake.server.on("slow", Answer::rows([("id", "int8")], [(1,)]).after(Duration::from_millis(20)));
    for (query, name, code) in [("slow", "-INT", 130), ("never", "-TERM", 143)] {
        let child = program(&lab.fake.endpoint, &["bench", "--query", query, "--warmup", "0s", "--duration", "1h"])
            .args(["--json", "r.json"])
            .current_dir(lab.directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        lab.fake.wait_until_called(query);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(code), "rowstream: interrupted\n"));
        assert!(text(&output.stdout).contains(", interrupted\n"), "{}", text(&output.stdout));
        assert_eq!(lab.json("r.json")["ended"], "interrupted");
        lab.fake.wait_until_idle();
        assert_eq!(entries(lab.directory.path()), ["r.json"]);
    }
}

#[test]
fn reports_compare_and_what_became_worse_can_fail() {
    let lab = Lab::start();
    let rows = Answer::rows([("id", "int8")], [(1,)]);
    lab.fake.server.on("slow", rows.clone().after(Duration::from_millis(20)));
    lab.fake.server.on("slower", rows.after(Duration::from_millis(200)));
    for (query, file) in [("slow", "a.json"), ("slower", "b.json")] {
        lab.expect(&["--query", query, "--count", "5", "--json", file], 0, "");
    }
    lab.expect(&["--query", "slow", "--count", "5", "--rate", "100/s", "--json", "open.json"], 0, "");

    let output = lab.expect(&["compare", "a.json", "b.json"], 0, "");
    let told = text(&output.stdout);
    for line in ["settings.statement.query: \"slow\" | \"slower\"", "\ncalls/s ", "\nservice p99 "] {
        assert!(told.contains(line), "{line:?} is not in\n{told}");
    }
    lab.expect(&["compare", "a.json", "b.json", "--fail-over", "50%"], 1, "p99 is worse by ");
    lab.expect(&["compare", "a.json", "b.json", "--fail-over", "50%", "--check", "rate"], 1, "rate is worse by ");
    lab.expect(&["compare", "b.json", "a.json", "--fail-over", "0%", "--check", "p50,p99.9,mean,max,rate,rows"], 0, "");
    lab.expect(&["compare", "a.json", "a.json", "--fail-over", "0%"], 0, "");
    lab.expect(&["compare", "a.json", "open.json", "--fail-over", "5%"], 64, "they measure different things");
    lab.expect(&["compare", "a.json", "open.json"], 0, "");
}

#[test]
fn what_cannot_be_read_or_written_is_told_before_any_call() {
    let lab = Lab::start();
    fs::write(lab.path("broken.json"), "{\"format\":\"wrk\"}").unwrap();
    lab.expect(&["compare", "none.json", "none.json"], 74, "cannot read none.json");
    lab.expect(&["compare", "broken.json", "broken.json"], 65, "broken.json cannot be compared: it is no report");
    lab.expect(&["--query", "rows", "--count", "1", "--json", "no/such/folder"], 74, "cannot write no/such/folder");
    lab.expect(&["--query", "rows", "--rate", "5/s", "--steps", "3"], 64, "100/s..1000/s");
    lab.expect(&["--query", "rows", "--rate", "5/s", "-c", "3"], 64, "cannot be used with");
    assert_eq!(lab.fake.server.calls().len(), 0);
}
