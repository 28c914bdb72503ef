//! Running out of file descriptors is a pause, not an end.

use futures_util::future::join_all;
use tokio::net::TcpStream;

use crate::{
    harness::{Server, row_of, until_serving},
    process::Program,
};

#[tokio::test]
async fn running_out_of_descriptors_is_over_when_connections_are_closed() {
    let mut server = Server::spawn(&mut Program::with_open_files(64)).await;
    let mut early = server.client();
    early.query_row(row_of("select 1")).await.expect("there is room");

    let crowd = join_all((0..100).map(|_| TcpStream::connect(server.address))).await;
    assert!(crowd.iter().all(Result::is_ok), "the listen queue takes them");
    server.program.until_logged("cannot accept connections; trying again").await;
    early.query_row(row_of("select 1")).await.expect("who is connected is served");

    drop(crowd);
    until_serving(server.address).await;
    server.client().query_row(row_of("select 1")).await.expect("everybody is served again");
    assert!(!server.program.has_ended());
}
