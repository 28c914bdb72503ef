//! A server that has run out of file descriptors: who is connected is served, and it is over when connections close.

use futures_util::future::join_all;
use rowstream_testkit::{PATIENCE, Postgres, Program, eventually};
use tokio::net::TcpStream;

use crate::{
    calls::{open, read, row_of, rows, within},
    harness::Server,
};

const FILES: u32 = 64;

#[tokio::test]
async fn without_file_descriptors_streams_go_on_and_it_passes() {
    let database = Postgres::shared().create_database().expect("a database");
    let url = database.url();
    let mut command = Program::with_open_files(FILES);
    let mut server = Server::launch(&mut command, database, &url, &["--pool-max", "4"]).await;
    let stream = open(&server.client(), &rows(200_000)).await;

    let crowd = join_all((0..100).map(|_| TcpStream::connect(server.address))).await;
    assert!(crowd.iter().all(Result::is_ok), "the listen queue takes them");
    server.program.until_logged("cannot accept connections; trying again").await;
    server.client().query_row(row_of("select 1")).await.expect("who is connected is served");
    // Its connections to PostgreSQL end, and it can open no other.
    server.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowstream' \
                 and state = 'idle'",
    );
    let refused = server.client().query_row(within(PATIENCE, row_of("select 1"))).await;
    if let Err(status) = refused {
        crate::reference::assert_lost(&status);
    }
    assert_eq!(read(stream).await.ended.expect("a stream under way goes on").row_count, 200_000);

    drop(crowd);
    eventually("everybody is served again", PATIENCE, async || {
        server.new_client().query_row(row_of("select 1")).await.is_ok()
    })
    .await;
    server.until_serving().await;
    assert!(!server.program.has_ended());
    server.assert_settled().await;
}
