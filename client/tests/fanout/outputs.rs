//! What a run leaves: records, rows, summaries.

use serde_json::json;

use super::{Lab, records};
use crate::text;

const IDS: &str = "id,since\n1,2024-05-01\n404,\n100,\n2,\n";

#[test]
fn a_record_a_call_with_its_input_and_its_rows_or_its_error() {
    let lab = Lab::start();
    lab.write("ids.csv", IDS);
    let output = lab.expect(&["--query", "user", "--params", "ids.csv"], 1, "rowstream: 1 of 4 calls failed");
    let mut all = records(text(&output.stdout));
    for record in &mut all {
        assert!(record["latency_ms"].as_f64().unwrap() >= 0.0);
        assert_eq!(record["endpoint"], lab.fake.endpoint);
        assert_eq!(record["attempts"], 1);
        let object = record.as_object_mut().unwrap();
        for key in ["latency_ms", "endpoint", "attempts"] {
            object.remove(key);
        }
        if let Some(error) = object.get_mut("error") {
            assert!(error.as_object_mut().unwrap().remove("query_id").is_some());
        }
    }
    let rows = |id| json!([{"id": id, "event": "login"}, {"id": id, "event": "log,out"}]);
    assert_eq!(
        all,
        [
            json!({"index": 0, "input": {"id": "1", "since": "2024-05-01"}, "rows": rows(1)}),
            json!({"index": 1, "input": {"id": "404", "since": null},
               "error": {"code": "NOT_FOUND", "reason": "NO_ROW", "message": "no such user"}}),
            json!({"index": 2, "input": {"id": "100", "since": null}, "rows": []}),
            json!({"index": 3, "input": {"id": "2", "since": null}, "rows": rows(2)}),
        ]
    );
}

#[test]
fn rows_alone_come_behind_the_columns_of_their_input() {
    let lab = Lab::start();
    lab.write("ids.csv", IDS);
    let arguments = ["--query", "user", "--params", "ids.csv", "--ordered", "-q", "--format"];
    let csv = lab.expect(&[&arguments[..], &["rows-csv"]].concat(), 1, "1 of 4 calls failed");
    assert_eq!(
        text(&csv.stdout),
        "id,since,id_2,event\n1,2024-05-01,1,login\n1,2024-05-01,1,\"log,out\"\n2,,2,login\n2,,2,\"log,out\"\n"
    );
    let jsonl = lab.expect(&[&arguments[..], &["rows-jsonl"]].concat(), 1, "");
    assert_eq!(
        text(&jsonl.stdout).lines().next(),
        Some("{\"id\":\"1\",\"since\":\"2024-05-01\",\"id_2\":1,\"event\":\"login\"}")
    );
    let one = lab.expect(&[&arguments[..], &["rows-csv", "--max-rows", "1"]].concat(), 1, "");
    assert_eq!(text(&one.stdout), "id,since,id_2,event\n1,2024-05-01,1,login\n2,,2,login\n");
}

#[test]
fn results_come_in_the_order_of_the_input_when_asked_for() {
    let lab = Lab::start();
    // The first answers late.
    let ids: String = (0..200).map(|id| format!("{}\n", id * 1000 + if id == 0 { 7 } else { 1 })).collect();
    lab.write("ids.csv", &format!("id\n{ids}"));
    let indices = |arguments: &[&str]| {
        let output = lab.expect(&[&["--query", "user", "--params", "ids.csv"], arguments].concat(), 0, "200 succeeded");
        let index = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["index"].as_u64().unwrap();
        text(&output.stdout).lines().map(index).collect::<Vec<_>>()
    };
    assert_eq!(indices(&["--ordered"]), (0..200).collect::<Vec<_>>());
    let mut as_they_end = indices(&[]);
    assert_ne!(as_they_end[0], 0, "the first is late");
    as_they_end.sort_unstable();
    assert_eq!(as_they_end, (0..200).collect::<Vec<_>>());
}

#[test]
fn the_summary_counts_codes_attempts_and_retries() {
    let lab = Lab::start();
    lab.write("ids.csv", "id\n1\n503\n404\n");
    let arguments =
        ["--query", "user", "--params", "ids.csv", "--retries", "2", "--summary", "summary.json", "-o", "out.jsonl"];
    let output = lab.expect(&arguments, 1, "3 calls in ");
    let stderr = text(&output.stderr);
    assert!(stderr.contains("codes: NOT_FOUND 1, OK 1, UNAVAILABLE 1\n"), "{stderr}");
    assert!(stderr.contains("attempts: 5; retries: 2, "), "{stderr}");
    assert!(stderr.contains("rowstream: line 4: no such user (NOT_FOUND)\n"), "{stderr}");
    let summary: serde_json::Value = serde_json::from_str(&lab.read("summary.json")).unwrap();
    let figures = ["ended", "succeeded", "failed", "inputs", "rejected"].map(|key| summary[key].clone());
    assert_eq!(json!(figures), json!(["complete", 1, 2, 3, 0]));
    assert_eq!((&summary["calls"]["attempts"], &summary["calls"]["by_code"]["UNAVAILABLE"]), (&5.into(), &1.into()));
    assert_eq!(summary["first_failures"].as_array().unwrap().len(), 2);
    assert_eq!(records(&lab.read("out.jsonl"))[1]["attempts"], 3);
    let quiet = lab.expect(&[&arguments[..], &["-q"]].concat(), 1, "");
    assert_eq!(text(&quiet.stderr), "rowstream: 2 of 3 calls failed\n");
}

#[test]
fn every_endpoint_gets_calls_and_a_rate_is_kept() {
    let (lab, other) = (Lab::start(), Lab::start());
    let ids: String = (1..=40).map(|id| format!("{id}\n")).collect();
    lab.write("ids.csv", &format!("id\n{ids}"));
    let endpoints = format!("{},{}", lab.fake.endpoint, other.fake.endpoint);
    let arguments =
        ["--query", "user", "--params", "ids.csv", "--endpoint", &endpoints, "--rate", "200/s", "--summary", "s.json"];
    lab.expect(&arguments, 0, "40 succeeded");
    assert!(lab.calls() > 0 && other.calls() > 0);
    let summary: serde_json::Value = serde_json::from_str(&lab.read("s.json")).unwrap();
    // Two at once, and the others 5 ms apart.
    assert!(summary["calls"]["elapsed_ms"].as_f64().unwrap() >= 189.0, "{summary}");
}
