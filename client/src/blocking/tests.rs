//! The two APIs stay the same: their sources are held against each other. What they do is tested by the
//! pair at the root.

use std::collections::BTreeSet;

/// The public methods in a file's source.
fn methods(source: &str) -> BTreeSet<&str> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let after = |line: &'static str| move |text: &&str| text.starts_with(line);
    let lines = source.lines().map(str::trim_start);
    let functions = lines.filter(|line| after("pub fn ")(line) || after("pub async fn ")(line));
    functions.filter_map(|line| line.split_once("fn ")?.1.split(['(', '<']).next()).collect()
}

#[test]
fn every_public_method_has_a_blocking_counterpart() {
    let pairs = [
        ("Client", include_str!("../client.rs"), include_str!("client.rs")),
        ("ClientBuilder", include_str!("../builder.rs"), include_str!("builder.rs")),
        ("Call", include_str!("../call.rs"), include_str!("call.rs")),
        ("TableRead", include_str!("../table.rs"), include_str!("table.rs")),
        ("Fanout", include_str!("../fanout/mod.rs"), include_str!("fanout.rs")),
        ("Fanout", include_str!("../fanout/modes.rs"), include_str!("fanout.rs")),
        ("ReadSession", include_str!("../session.rs"), include_str!("session.rs")),
        ("RowStream", include_str!("../stream.rs"), include_str!("stream.rs")),
        ("ArrowIpcStream", include_str!("../arrow_ipc.rs"), include_str!("arrow_ipc.rs")),
        ("RecordBatchStream", include_str!("../arrow/stream.rs"), include_str!("arrow.rs")),
    ];
    for (name, asynchronous, blocking) in pairs {
        let (asynchronous, blocking) = (methods(asynchronous), methods(blocking));
        assert!(asynchronous.len() > 3, "{name}: found only {asynchronous:?}");
        let missing: Vec<_> = asynchronous.difference(&blocking).collect();
        assert!(missing.is_empty(), "blocking::{name} lacks {missing:?}");
    }
}

#[test]
fn a_client_may_be_dropped_in_asynchronous_code_and_waiting_there_panics() {
    let client = super::Client::builder(["http://127.0.0.1:1"]).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let last = client.clone();
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(async { last.health() })));
    let message = *waited.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.starts_with("Cannot start a runtime from within a runtime"), "{message}");
    runtime.block_on(async move { drop((client, last)) });
}

#[test]
fn a_fan_out_runs_on_the_thread_that_waits_for_it() {
    let client = super::Client::builder(["http://127.0.0.1:1"]).build().unwrap();
    let calls = (0..100_u64).map(|number| {
        move |_: crate::Client| async move {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            Ok(number)
        }
    });
    let fanout = client.fanout().concurrency(10);
    assert_eq!(fanout.try_collect(calls.clone()).unwrap(), (0..100).collect::<Vec<_>>());
    let mut seen = BTreeSet::new();
    let report = fanout.for_each(calls.clone(), |outcome| outcome.result.map(|number| assert!(seen.insert(number))));
    assert_eq!((report.unwrap().succeeded, seen.len()), (100, 100));
    let mut outcomes = fanout.stream(calls);
    outcomes.next().unwrap();
    drop(outcomes);
}
