//! The server's end: no new calls, time for those under way, then an error that says so.

use std::time::Duration;

use rowstream_contract::v1::stream_query_response::Event;
use tonic::Code;

use crate::harness::{Pair, reason, sql};

const SLOW: &str = "select i, pg_sleep(0.01) from generate_series(1, 1000000) i";

#[tokio::test]
async fn a_stream_that_ends_within_the_grace_period_ends_well() {
    let pair = Pair::with(&["--grace-period", "30s"]).await;
    let mut raw = pair.raw().await;
    let short = "select i, pg_sleep(0.005) from generate_series(1, 200) i";
    let mut stream = raw.stream_query(sql(short)).await.expect("headers").into_inner();
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

#[tokio::test]
async fn a_stream_that_outlasts_the_grace_period_is_told_and_new_calls_are_refused() {
    let pair = Pair::with(&["--grace-period", "300ms"]).await;
    let mut raw = pair.raw().await;
    let mut stream = raw.stream_query(sql(SLOW)).await.expect("headers").into_inner();
    pair.shutdown.cancel();
    let refused = tokio::time::timeout(Duration::from_secs(20), raw.stream_query(sql("select 1"))).await;
    assert_eq!(refused.expect("answered").expect_err("refused").code(), Code::Unavailable);
    let status = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without an error"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DRAINING"));
    pair.assert_idle().await;
    pair.stop().await;
}
