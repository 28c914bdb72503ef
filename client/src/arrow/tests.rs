//! Streams in Arrow, from the fake server.

use arrow_array::{
    Array as _,
    cast::AsArray as _,
    types::{Date32Type, Float32Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::extension::{Json, Uuid};
use futures_util::TryStreamExt as _;

use super::*;
use crate::{
    ArrowCompression, ArrowOptions, Encoding, Error, Strategy,
    testing::{Answer, Damage, FakeServer},
};

fn rows() -> Answer {
    Answer::rows([("id", "int8"), ("name", "text")], [(1, Some("a")), (2, None), (3, Some("c"))]).batch_rows(2)
}

#[tokio::test(start_paused = true)]
async fn record_batches_hold_what_rows_hold() {
    let server = FakeServer::start().await;
    server.on("q", rows());
    let call = server.client().query("q").strategy(Strategy::Portal).arrow_options(ArrowOptions::new());
    let mut batches = call.record_batches().await.unwrap();
    let header = batches.header();
    assert_eq!((header.encoding, header.strategy), (Encoding::Arrow, Some(Strategy::Cursor)));
    let schema = batches.schema();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["id", "name"]);
    let first = batches.next_batch().await.unwrap().unwrap();
    assert_eq!(first.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
    assert!(first.column(1).is_null(1));
    assert!(batches.summary().is_none());
    let rest: Vec<_> = (&mut batches).try_collect().await.unwrap();
    assert_eq!((rest.len(), rest[0].column(1).as_string::<i32>().value(0)), (1, "c"));
    assert_eq!((batches.summary().unwrap().row_count, batches.rows_received()), (3, 3));
    let request = server.calls().pop().unwrap().request;
    assert_eq!((request.encoding, request.strategy), (Encoding::Arrow, Strategy::Portal));
}

#[tokio::test(start_paused = true)]
async fn the_fake_server_gives_the_types_of_postgresql() {
    let server = FakeServer::start().await;
    let columns =
        [("f", "float4"), ("d", "date"), ("t", "timestamptz"), ("u", "uuid"), ("j", "jsonb"), ("a", "int8[]")];
    let uuid = "12345678-1234-5678-1234-567812345678";
    server.on("q", Answer::rows(columns, [(0.1, "1970-01-03", "1970-01-01 00:00:02+00", uuid, "{}", vec![7, 8])]));
    let mut batches = server.client().query("q").record_batches().await.unwrap();
    let batch = batches.next_batch().await.unwrap().unwrap();
    assert_eq!(batch.column(0).as_primitive::<Float32Type>().value(0), 0.1);
    assert_eq!(batch.column(1).as_primitive::<Date32Type>().value(0), 2);
    assert_eq!(batch.column(2).as_primitive::<TimestampMicrosecondType>().value(0), 2_000_000);
    assert_eq!(batch.column(3).as_fixed_size_binary().value(0)[..2], [0x12, 0x34]);
    assert_eq!(batch.column(5).as_list::<i32>().value(0).as_primitive::<Int64Type>().values(), &[7, 8]);
    assert!(batch.schema().field(3).has_valid_extension_type::<Uuid>());
    assert!(batch.schema().field(4).has_valid_extension_type::<Json>());
}

#[tokio::test(start_paused = true)]
async fn the_messages_are_an_ipc_stream_and_can_be_read_later() {
    let server = FakeServer::start().await;
    server.on("q", rows());
    let options = ArrowOptions::new().compression(ArrowCompression::Lz4).unrepresentable_as_null().arrays_as_text();
    let mut messages = server.client().query("q").arrow_options(options).arrow_ipc().await.unwrap();
    let decoder = Decoder::try_new(messages.schema()).unwrap();
    let mut read = Vec::new();
    while let Some(message) = messages.next_message().await.unwrap() {
        read.push(decoder.decode(message).unwrap().num_rows());
    }
    assert_eq!((read, messages.summary().unwrap().row_count), (vec![2, 1], 3));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_whole_is_an_error_once() {
    for (damage, told) in [
        (Damage::NoSummary, "cut off after 3 rows"),
        (Damage::RowGap, "begins at row 7, where 0 comes next"),
        (Damage::RowCount, "row count 4, but 3"),
        (Damage::ByteCount, "byte count"),
        (Damage::Checksum, "checksum"),
        (Damage::MalformedRows, "malformed Arrow"),
        (Damage::AfterSummary, "after the summary"),
    ] {
        let server = FakeServer::start().await;
        server.on("q", rows().damaged(damage));
        let mut batches = server.client().query("q").record_batches().await.unwrap();
        let error = (&mut batches).try_for_each(|_| std::future::ready(Ok(()))).await.unwrap_err();
        assert!(error.to_string().contains(told), "{damage:?}: {error}");
        assert!(batches.next_batch().await.unwrap().is_none() && batches.summary().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_fan_out_may_ask_for_arrow() {
    let server = FakeServer::start().await;
    server.on("q", rows());
    let client = server.client();
    let call = |client: crate::Client| async move {
        let batches: Vec<RecordBatch> = client.query("q").record_batches().await?.try_collect().await?;
        Ok::<_, Error>(batches.iter().map(RecordBatch::num_rows).sum::<usize>())
    };
    assert_eq!(client.fanout().try_collect([call, call]).await.unwrap(), [3, 3]);
}

#[test]
fn the_blocking_client_reads_the_same() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(FakeServer::start());
    server.on("q", rows());
    let client = crate::blocking::Client::builder([server.url()]).build().unwrap();
    let call = client.query("q");
    let batches = call.record_batches().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(call.arrow_ipc().unwrap().collect::<Result<Vec<_>, _>>().unwrap().len(), 2);
}
