//! Deadlines by the thousand.

use crate::{
    calls::{read_all, rows, stream_of},
    harness::Server,
};

#[tokio::test]
async fn a_server_that_met_no_fault_is_settled() {
    let server = Server::start(&["--pool-max", "4"]).await;
    let reading = read_all(&server.client(), stream_of(&rows(100_000))).await;
    assert_eq!(reading.ended.expect("a summary").row_count, 100_000);
    server.assert_settled().await;
}
