//! Consumers that stop reading: bounded work ahead of them, and their connection taken back in time.

use std::time::Duration;

use futures_util::StreamExt as _;
use rowstream_contract::v1::stream_query_response::Event;
use rowstream_testkit::{Proxy, eventually};
use tonic::Code;

use crate::harness::{PATIENCE, Pair, Way, by_each_strategy, error_of, reason};

/// 200 MB: far more than all buffers between PostgreSQL and a consumer hold.
const LARGE: &str = "select i, repeat('x', 1000) from generate_series(1, 200000) i /* large */";

by_each_strategy!(a_stalled_consumer_stops_the_fetches and arrow);

async fn a_stalled_consumer_stops_the_fetches(way: Way) {
    let (pair, proxy) = Pair::through_proxy(&["--pool-max", "1"]).await;
    let mut raw = pair.raw().await;
    let mut stream = raw.stream_query(way.sql(LARGE)).await.expect("headers").into_inner();
    let mut read = 0;
    while read < 3 {
        if let Some(Event::Batch(_)) = stream.message().await.expect("a message").expect("not the end").event {
            read += 1;
        }
    }
    // It has come to rest when no more bytes come from PostgreSQL but those of the health check.
    let fetched = || proxy.counts().server_bytes;
    let mut before = 0;
    eventually("the server stops fetching", PATIENCE, async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        fetched() - std::mem::replace(&mut before, fetched()) < 1024
    })
    .await;
    // What was read, two batches ahead, and what HTTP/2 and the kernel hold on its way: of 200 MB, well below 8.
    assert!(fetched() < 8 << 20, "{} bytes were fetched", fetched());
    drop(stream);
    pair.assert_settled().await;
}

by_each_strategy!(a_consumer_that_stalls_loses_its_connection_in_time_and_is_told_when_it_returns and arrow);

async fn a_consumer_that_stalls_loses_its_connection_in_time_and_is_told_when_it_returns(way: Way) {
    let pair = Pair::with(&["--pool-max", "1", "--stall-timeout", "300ms"]).await;
    let mut raw = pair.raw().await;
    let stream = raw.stream_query(way.sql(LARGE)).await.expect("headers").into_inner();
    // The pool's only connection serves others although the stream is still open.
    let row = pair.client().sql("select 1").deadline(PATIENCE).query_row().await;
    row.expect("the connection is free again");
    pair.assert_settled().await;
    let status = error_of(stream).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "CONSUMER_STALLED"));
}

by_each_strategy!(a_consumer_that_is_slow_but_steady_is_served);

async fn a_consumer_that_is_slow_but_steady_is_served(way: Way) {
    let pair = Pair::with(&["--stall-timeout", "500ms"]).await;
    let call = pair.client().sql("select i, repeat('x', 1000) from generate_series(1, 5000) i");
    let mut rows = call.strategy(way.strategy()).stream().await.expect("rows");
    let mut count = 0;
    while let Some(batch) = rows.next_batch().await.expect("no stall") {
        count += batch.len();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count, 5000);
    pair.assert_settled().await;
}

by_each_strategy!(a_consumer_whose_connection_breaks_frees_everything);

async fn a_consumer_whose_connection_breaks_frees_everything(way: Way) {
    let pair = Pair::with(&["--pool-max", "1"]).await;
    let address = pair.url.trim_start_matches("http://").parse().expect("an address");
    let proxy = Proxy::start(address).await.expect("a proxy");
    let client = rowstream_client::Client::builder([format!("http://{}", proxy.address())]).build().expect("valid");
    let mut rows = client.sql(LARGE).strategy(way.strategy()).stream().await.expect("a first batch");
    rows.next_batch().await.expect("rows").expect("not the end");
    pair.until_large_is_underway().await;
    proxy.reset_all();
    pair.assert_settled().await;
    let rest: Vec<_> = rows.collect().await;
    assert!(rest.iter().any(Result::is_err), "a broken stream does not look complete");
}

impl Pair {
    /// The cursor is open: its transaction is there, busy or waiting for the consumer.
    async fn until_large_is_underway(&self) {
        eventually("the cursor is open", PATIENCE, async || {
            let backends = self.database.backends().expect("pg_stat_activity");
            backends.iter().any(|backend| backend.is_active() || backend.in_transaction())
        })
        .await;
    }
}
