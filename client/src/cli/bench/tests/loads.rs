//! What a load does, and what is counted of it.

use std::time::Duration;

use rowstream_client::{
    Code, Reason,
    testing::{Answer, Request},
};

use super::{Lab, MS, assert_about, rows};
use crate::cli::bench::{
    call::{Encoding, Values},
    report::Ended,
    schedule::Extent,
};

#[tokio::test(start_paused = true)]
async fn a_closed_loop_has_so_many_calls_under_way_at_all_times() {
    let mut lab = Lab::start(|_| rows().after(MS * 10)).await;
    (lab.concurrency, lab.extent) = (4, Extent::Duration(MS * 3_000));
    let report = lab.run().await;
    // A call takes 10 ms, and a timer's millisecond perhaps.
    assert!((1_080..=1_200).contains(&report.calls.succeeded), "{:?}", report.calls);
    assert_eq!((lab.server.most_in_flight(), report.calls.most_in_flight), (4, 4));
    assert!((report.throughput.calls_per_s - 380.0).abs() < 21.0, "{:?}", report.throughput);
    assert!((report.measured_s - 3.0).abs() < 0.01, "{}", report.measured_s);
    assert_eq!((report.ended, report.failures.len()), (Ended::Complete, 0));
}

#[tokio::test(start_paused = true)]
async fn an_open_loop_begins_calls_when_they_are_due_however_slow_the_answers_are() {
    let mut lab = Lab::start(|_| rows().after(MS * 3_000)).await;
    lab.rate = Some("100/s");
    let report = lab.run().await;
    assert_eq!((report.calls.due, report.calls.succeeded, report.calls.held), (1_000, 1_000, 0));
    let begun: Vec<_> = lab.server.calls().iter().map(|call| call.request.at).collect();
    for (number, at) in begun.iter().enumerate() {
        let due = MS * 10 * u32::try_from(number).unwrap();
        assert!((at.duration_since(begun[0])).abs_diff(due) <= MS * 2, "{number}");
    }
    assert!(lab.server.most_in_flight() >= 300 && lab.server.most_in_flight() <= 302);
    // 700 calls have ended within the ten seconds, and the others in the time of grace.
    assert!(report.throughput.calls.abs_diff(700) <= 2, "{:?}", report.throughput);
    assert_eq!(report.over_time.slices.len(), 13);
    assert_eq!(report.over_time.slices.iter().map(|slice| slice.succeeded).sum::<u64>(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn steps_are_told_apart() {
    let mut lab = Lab::start(|_| rows().after(MS)).await;
    (lab.rate, lab.steps) = (Some("100/s..300/s"), Some(3));
    lab.extent = Extent::Duration(MS * 3_000);
    let report = lab.run().await;
    let steps: Vec<_> = report.steps.iter().map(|step| (step.rate_from, step.due, step.succeeded)).collect();
    assert_eq!(steps, [(100.0, 100, 100), (200.0, 200, 200), (300.0, 300, 300)]);
    assert_eq!(report.steps.iter().map(|step| step.response.count()).sum::<u64>(), 600);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_is_load_and_is_not_measured() {
    let begin = tokio::time::Instant::now();
    let cold = move |request: &Request| rows().after(if request.at < begin + MS * 2_000 { MS * 400 } else { MS });
    for rate in [None, Some("50/s")] {
        let mut lab = Lab::start(cold).await;
        (lab.rate, lab.warmup, lab.extent) = (rate, MS * 2_500, Extent::Count(100));
        let report = lab.run().await;
        assert!(lab.server.calls().len() > 100, "{rate:?}");
        assert_eq!((report.calls.due, report.calls.succeeded, report.server.calls), (100, 100, 100), "{rate:?}");
        assert_about(report.latency.service.max(), MS);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_by_kind_and_only_those_that_ran_out_of_time_have_a_latency() {
    let mut lab = Lab::start(|request| match request.number % 10 {
        3 => Answer::hang(),
        5 => Answer::error(Code::ResourceExhausted, Reason::QueueFull),
        7 => rows().error_after(1, Code::Internal, None).message("boom"),
        _ => rows().after(MS * 5),
    })
    .await;
    (lab.rate, lab.deadline) = (Some("100/s"), Some(MS * 200));
    let report = lab.run().await;
    assert_eq!((report.calls.succeeded, report.calls.failed, report.calls.at_least), (700, 300, 100));
    let kinds = report.failures.iter().map(|kind| (kind.code.as_str(), kind.reason.as_deref(), kind.count));
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_unstable();
    let expected =
        [("DEADLINE_EXCEEDED", None, 100), ("INTERNAL", None, 100), ("RESOURCE_EXHAUSTED", Some("QUEUE_FULL"), 100)];
    assert_eq!(kinds, expected);
    assert_eq!(report.latency.failure.count(), 200);
    let response = report.latency.response.as_ref().unwrap();
    assert_eq!(response.count(), 800);
    assert_about(response.percentile(99.0), MS * 200);
    assert_about(response.percentile(85.0), MS * 5);
}

#[tokio::test(start_paused = true)]
async fn a_run_in_which_every_call_fails_in_the_same_way_ends_at_once() {
    let mut lab = Lab::start(|_| Answer::error(Code::NotFound, Reason::UnknownQuery)).await;
    lab.extent = Extent::Duration(Duration::from_secs(3_600));
    for rate in [None, Some("10/s")] {
        lab.rate = rate;
        let report = lab.run().await;
        assert_eq!((report.ended, report.calls.succeeded), (Ended::Failed, 0));
        assert!(report.calls.failed <= 11, "{rate:?}: {:?}", report.calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_measured_from_its_first_row_to_its_last() {
    let stream = |_: &Request| {
        let rows = (0..10).map(|id| (id, "a text of some length"));
        Answer::rows([("id", "int8"), ("event", "text")], rows).batch_rows(2).every(MS * 20).after(MS * 50)
    };
    use Encoding::{Arrow, Rows};
    use Values::{Counted, Read};
    for (encoding, values) in [(Rows, Counted), (Rows, Read), (Arrow, Counted), (Arrow, Read)] {
        let mut lab = Lab::start(stream).await;
        (lab.extent, lab.encoding, lab.values) = (Extent::Count(20), encoding, values);
        let report = lab.run().await;
        let latency = &report.latency;
        assert_eq!((latency.first_row.count(), latency.gap.count()), (20, 80));
        assert_about(latency.header.percentile(50.0), MS * 50);
        assert_about(latency.first_row.percentile(50.0), MS * 50);
        assert_about(latency.gap.percentile(50.0), MS * 20);
        assert_about(latency.service.percentile(50.0), MS * 130);
        assert_eq!((report.throughput.calls, report.throughput.rows), (20, 200));
        assert_eq!(report.over_time.slices.iter().map(|slice| slice.rows).sum::<u64>(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_the_run_and_what_there_was_is_reported() {
    for (rate, due) in [(None, 2), (Some("10/s"), 35)] {
        let mut lab = Lab::start(|_| rows().after(MS * 2_000)).await;
        (lab.rate, lab.signal) = (rate, Some(MS * 3_450));
        let report = lab.run().await;
        assert_eq!((report.ended, report.calls.due), (Ended::Interrupted, due), "{rate:?}");
        assert_eq!(report.calls.succeeded + report.calls.unfinished, due);
        assert!((report.measured_s - 3.45).abs() < 0.01, "{}", report.measured_s);
        lab.server.until_idle().await;
    }
}
