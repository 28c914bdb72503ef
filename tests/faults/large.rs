//! Rows of megabytes: they arrive where the caller takes them, and beyond the server's bound they are refused with
//! their number, before anything is encoded.

use rowstream_client::Client;
use rowstream_contract::v1::query_service_client::QueryServiceClient;
use tonic::Code;

use crate::{
    calls::{fact, http, is, origin, outcome, read_all, stream_of},
    harness::Server,
};

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_row_of_three_megabytes_arrives_at_a_client_that_changes_no_default() {
    let server = Server::start(&[]).await;
    // Small rows before and behind it, which must not travel in its message.
    let sql = "select i, repeat('x', case when i = 500 then 3000000 else 100 end) from generate_series(1, 1000) i";
    let client = QueryServiceClient::with_origin(http(), origin(server.address));
    let reading = read_all(&client, stream_of(sql)).await;
    assert_eq!(reading.ended.expect("a summary").row_count, 1000);
    drop(client);
    server.assert_settled().await;
}

#[tokio::test]
async fn a_row_of_a_hundred_megabytes_arrives_at_our_client() {
    let server = Server::start(&[]).await;
    let client = Client::builder([format!("http://{}", server.address)]).build().expect("valid");
    let row = client.sql("select 7, repeat('x', 100000000)").query_row().await.expect("within every limit");
    assert_eq!((row.get::<i32>(0), row.get::<&str>(1).map(str::len)), (Ok(7), Ok(100_000_000)));
    let mut rows =
        client.sql("select i, repeat('x', 50000000) from generate_series(1, 3) i").stream().await.expect("rows");
    let mut count = 0;
    while let Some(batch) = rows.next_batch().await.expect("within every limit") {
        assert_eq!(batch.len(), 1, "a row beyond the message limit travels alone");
        count += 1;
    }
    assert_eq!(count, 3);
    println!("peak resident memory of the server: {} MiB", server.program.peak_memory() / MIB);
}

#[tokio::test]
async fn a_value_of_half_a_gigabyte_costs_a_read_session_the_partition_that_it_is_in() {
    let server = Server::start(&["--tables", "public.*"]).await;
    server.psql(
        "create table large (id int, v text);
        insert into large select i, case when i = 40 then repeat('x', 500000000) else repeat('y', 2000) end
        from generate_series(1, 60) i",
    );
    let client = Client::builder([format!("http://{}", server.address)]).build().expect("valid");
    let session = client.create_read_session(client.table("large").call()).partitions(4).create().await.expect("made");
    let (mut rows, mut refused) = (0, 0);
    for partition in session.partitions() {
        let read = async {
            let mut stream = client.read_partition(partition.token.clone()).arrow_ipc().await?;
            while stream.next_message().await?.is_some() {}
            Ok::<_, rowstream_client::Error>(stream.rows_received())
        };
        match read.await {
            Ok(read) => rows += read,
            Err(error) => {
                assert_eq!(error.code(), Code::OutOfRange, "{error}");
                assert_eq!(error.server().and_then(|server| server.reason_name()), Some("ROW_TOO_LARGE"));
                refused += 1;
            }
        }
    }
    assert!(refused == 1 && rows > 0 && rows < 60, "{refused} refused, {rows} rows");
    client.delete_read_session(session.id()).await.expect("deleted");
    drop((session, client));
    server.assert_settled().await;
}

#[tokio::test]
async fn a_value_of_half_a_gigabyte_is_refused_with_its_row_and_its_memory_comes_back() {
    let server = Server::start(&[]).await;
    let sql = "select i, case when i = 3 then repeat('x', 500000000) else 'x' end from generate_series(1, 4) i";
    let memory = server.program.memory();
    let status = read_all(&server.client(), stream_of(sql)).await.error();
    assert_eq!(outcome(&status), is(Code::OutOfRange, "ROW_TOO_LARGE"));
    assert_eq!(fact(&status, "row").as_deref(), Some("2"), "rows are counted from 0");
    let peak = server.program.peak_memory();
    println!("resident {} MiB before, {} MiB at most", memory / MIB, peak / MIB);
    // sqlx has a whole row in memory before anybody can look at it, and twice while it arrives. It is not encoded.
    assert!(peak < memory + 1200 * MIB, "resident memory grew from {memory} to {peak} bytes");
    server.assert_settled().await;
}
