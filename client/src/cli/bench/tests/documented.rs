//! docs/bench.md describes every key of the JSON, and nothing that is not there.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{Lab, MS, rows};
use crate::cli::bench::{report::Report, schedule::Extent};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/bench.md"));

/// A report of each kind, with a failure in it.
pub(super) async fn reports() -> [Report; 2] {
    let mut lab = Lab::start(|request| match request.number {
        4 => rows().error_after(1, rowstream_client::Code::Internal, rowstream_client::Reason::Internal),
        _ => rows().after(MS * 20),
    })
    .await;
    lab.extent = Extent::Duration(MS * 3_000);
    let closed = lab.run().await;
    (lab.rate, lab.steps) = (Some("20/s..40/s"), Some(2));
    lab.server.on_request("q", |_| rows().after(MS * 3));
    [closed, lab.run().await]
}

/// The paths of all keys: `calls.due`, `steps[].due`.
fn paths(prefix: &str, json: &Json, into: &mut BTreeSet<String>) {
    match json {
        Json::Object(object) => {
            for (key, value) in object {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                paths(&path, value, into);
            }
        }
        Json::Array(array) if array.iter().any(Json::is_object) => {
            array.iter().for_each(|value| paths(&format!("{prefix}[]"), value, into));
        }
        _ => drop(into.insert(prefix.to_owned())),
    }
}

/// What the page's table of keys has: `calls.due`, or several in one line.
fn documented() -> BTreeSet<String> {
    let table = PAGE.split("### The keys of the JSON").nth(1).unwrap();
    let lines = table.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with("| `"));
    let keys = lines.flat_map(|line| line.split('|').nth(1).unwrap().split(", "));
    keys.map(|key| key.trim().trim_matches('`').to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn every_key_is_described_and_every_described_key_is_there() {
    let mut found = BTreeSet::new();
    for report in reports().await {
        paths("", &serde_json::to_value(&report).unwrap(), &mut found);
    }
    // A distribution is the same wherever it is: the page describes one, and where there are others.
    let is_figure = |key: &str| {
        key.ends_with(".hdr") || key.rsplit('.').next().is_some_and(|last| last == "count" || last.ends_with("_us"))
    };
    let distributions: BTreeSet<_> =
        found.iter().filter_map(|key| key.strip_suffix(".hdr")).map(str::to_owned).collect();
    let mut keys: BTreeSet<_> = found
        .iter()
        .filter(|key| !key.rsplit_once('.').is_some_and(|(parent, _)| distributions.contains(parent) && is_figure(key)))
        .cloned()
        .collect();
    keys.extend(distributions);
    let documented = documented();
    // What is null in both reports has no keys below it.
    let missing: Vec<_> = keys.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&keys).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "not described: {missing:?}; described, but not there: {unknown:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_is_read_as_it_was_written_and_another_version_is_refused() {
    for report in reports().await {
        let json = report.write().unwrap();
        let read = Report::read(&json).unwrap();
        assert_eq!(read.write().unwrap(), json);
        let mut other: Json = serde_json::from_slice(&json).unwrap();
        other["version"] = 2.into();
        let problem = Report::read(other.to_string().as_bytes()).unwrap_err();
        assert!(problem.contains("version 2; this program reads version 1"), "{problem}");
        other["version"] = 1.into();
        other["format"] = "wrk".into();
        assert!(Report::read(other.to_string().as_bytes()).unwrap_err().contains("rowstream-bench"));
        other["format"] = "rowstream-bench".into();
        other["surprise"] = 1.into();
        assert!(Report::read(other.to_string().as_bytes()).unwrap_err().contains("surprise"));
    }
}
