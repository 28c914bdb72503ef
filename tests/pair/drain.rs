//! The server's end: no new calls, time for those under way, then an error that says so.

use std::time::Duration;

use rowstream_contract::v1::stream_query_response::Event;
use tonic::Code;

use crate::harness::{Pair, Way, by_each_strategy, error_of, reason, sql};

/// Rows of more than 8 KiB: PostgreSQL sends those of a portal or a copy when so much has come together.
const SLOW: &str = "select i, pg_sleep(0.01), repeat('x', 9000) from generate_series(1, 1000000) i";

by_each_strategy!(a_stream_that_ends_within_the_grace_period_ends_well and arrow);

async fn a_stream_that_ends_within_the_grace_period_ends_well(way: Way) {
    let pair = Pair::with(&["--grace-period", "30s"]).await;
    let mut raw = pair.raw().await;
    let short = "select i, pg_sleep(0.005), repeat('x', 9000) from generate_series(1, 200) i";
    let mut stream = raw.stream_query(way.sql(short)).await.expect("headers").into_inner();
    let ending = tokio::spawn(pair.stop());
    let mut summary = None;
    while let Some(message) = stream.message().await.expect("no error") {
        if let Some(Event::Summary(event)) = message.event {
            summary = Some(event);
        }
    }
    assert_eq!(summary.expect("a summary").row_count, 200);
    ending.await.expect("a clean end");
}

by_each_strategy!(a_stream_that_outlasts_the_grace_period_is_told_and_new_calls_are_refused and arrow);

async fn a_stream_that_outlasts_the_grace_period_is_told_and_new_calls_are_refused(way: Way) {
    let pair = Pair::with(&["--grace-period", "300ms"]).await;
    let mut raw = pair.raw().await;
    let stream = raw.stream_query(way.sql(SLOW)).await.expect("headers").into_inner();
    pair.shutdown.cancel();
    let refused = tokio::time::timeout(Duration::from_secs(20), raw.stream_query(sql("select 1"))).await;
    assert_eq!(refused.expect("answered").expect_err("refused").code(), Code::Unavailable);
    let status = error_of(stream).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
    pair.assert_idle().await;
    pair.stop().await;
}
