//! Coordinated omission: a caller that waits for an answer before it sends the next call does not see what a stall does
//! to those who would have called meanwhile. An open loop must see it.

use rowstream_client::testing::Answer;

use super::{Lab, MS, assert_about, rows};

#[tokio::test(start_paused = true)]
async fn what_a_closed_loop_hides_shows_in_an_open_one_with_its_true_waiting() {
    // One call of a hundred is stalled for half a second; the others take a millisecond.
    let stalling = |request: &rowstream_client::testing::Request| match request.number % 100 {
        50 => rows().after(MS * 500),
        _ => rows().after(MS),
    };
    let mut closed = Lab::start(stalling).await;
    closed.extent = super::Extent::Count(1_000);
    let closed = closed.run().await;
    let service = &closed.latency.service;
    assert_about(service.percentile(99.0), MS);
    assert_about(service.percentile(100.0), MS * 500);
    assert!(closed.latency.response.is_none(), "nothing was due in a closed loop");

    // The same server, for callers who come a hundred a second and share the one connection, one at a time.
    let mut open = Lab::start(stalling).await;
    (open.rate, open.max_in_flight, open.extent) = (Some("100/s"), 1, super::Extent::Count(1_000));
    let open = open.run().await;
    let (response, service) = (open.latency.response.as_ref().unwrap(), &open.latency.service);
    assert_eq!((open.calls.due, open.calls.succeeded), (1_000, 1_000));
    assert_about(service.percentile(99.0), MS);
    // Those who come during a stall, every 10 ms, are then served one a millisecond: they wait 491 ms, 482 ms and so on.
    assert_about(response.percentile(100.0), MS * 500);
    assert_about(response.percentile(99.0), MS * 491);
    assert_about(response.percentile(90.0), MS * 410);
    assert_about(response.percentile(40.0), MS);
    assert!((400..=600).contains(&open.calls.held), "{}", open.calls.held);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stands_still_is_seen_by_all_who_came_meanwhile() {
    // Of each second the server stands still for 300 ms, for whoever comes then.
    let begin = tokio::time::Instant::now();
    let standing = move |request: &rowstream_client::testing::Request| {
        let within = request.at.duration_since(begin).subsec_millis();
        rows().after(MS * 300.max(within + 1).saturating_sub(within).max(1))
    };
    let mut closed = Lab::start(standing).await;
    closed.extent = super::Extent::Duration(MS * 3_000);
    let closed = closed.run().await;
    assert_about(closed.latency.service.percentile(99.0), MS);
    let mut open = Lab::start(standing).await;
    open.rate = Some("100/s");
    let open = open.run().await;
    let response = open.latency.response.as_ref().unwrap();
    assert_about(response.percentile(99.0), MS * 290);
    assert_about(response.percentile(85.0), MS * 150);
    assert_eq!(open.calls.held, 0, "nobody waited for a place");
}

#[tokio::test(start_paused = true)]
async fn what_has_never_begun_or_ended_counts_with_the_time_it_has_waited() {
    let mut lab = Lab::start(|_| Answer::hang()).await;
    (lab.rate, lab.max_in_flight) = (Some("10/s"), 3);
    (lab.extent, lab.grace) = (super::Extent::Duration(MS * 1_000), MS * 500);
    let report = lab.run().await;
    let calls = &report.calls;
    assert_eq!((calls.due, calls.begun, calls.unfinished, calls.never_begun), (10, 3, 3, 7));
    assert_eq!((calls.succeeded, calls.failed, calls.at_least), (0, 0, 10));
    let response = report.latency.response.as_ref().unwrap();
    assert_about(response.percentile(100.0), MS * 1_500);
    // The last was due 100 ms before the end.
    assert_about(response.percentile(10.0), MS * 100);
    lab.server.until_idle().await;
}
