//! What a stream is: header, batches, summary; its limits; and that its length does not matter.

use futures_util::TryStreamExt as _;
use rowstream_contract::v1::{StreamQueryRequest, StreamQueryResponse, stream_query_response::Event};
use tonic::Code;

use crate::harness::{Pair, Way, by_each_strategy, fact, reason, sql};

async fn messages(pair: &Pair, request: StreamQueryRequest) -> Vec<Event> {
    let stream = pair.raw().await.stream_query(request).await.expect("headers").into_inner();
    let messages: Vec<StreamQueryResponse> = stream.try_collect().await.expect("no error");
    messages.into_iter().map(|message| message.event.expect("an event")).collect()
}

#[tokio::test]
async fn a_header_comes_first_and_a_summary_that_adds_up_comes_last() {
    let pair = Pair::start().await;
    let events = messages(&pair, sql("select i, i * 2 as twice from generate_series(1, 10000) i")).await;
    let Some((Event::Header(header), rest)) = events.split_first() else { panic!("no header") };
    let Some((Event::Summary(summary), batches)) = rest.split_last() else { panic!("no summary") };
    assert_eq!(header.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["i", "twice"]);
    let (mut rows, mut bytes, mut checksum) = (0, 0, 0);
    for event in batches {
        let Event::Batch(batch) = event else { panic!("not a batch: {event:?}") };
        assert_eq!(batch.first_row, rows);
        rows += batch.row_count;
        bytes += batch.data.bytes().len();
        checksum = crc32c::crc32c_append(checksum, batch.data.bytes());
    }
    assert_eq!((summary.row_count, summary.byte_count), (10_000, i64::try_from(bytes).expect("small")));
    assert_eq!((rows, checksum, summary.truncated), (10_000, summary.checksum, false));
    assert!(summary.database.is_some() && summary.encode.is_some());
}

#[tokio::test]
async fn an_empty_result_has_a_header_with_its_columns() {
    let pair = Pair::start().await;
    for _ in 0..2 {
        let events = messages(&pair, sql("select 1 as one, 'x'::text as x where false")).await;
        let [Event::Header(header), Event::Summary(summary)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(header.columns.len(), 2);
        assert_eq!((summary.row_count, summary.checksum), (0, 0));
    }
}

#[tokio::test]
async fn rows_and_batches_keep_their_limits() {
    let pair = Pair::start().await;
    let numbers = "select i from generate_series(1, 1000) i";
    for (max_rows, expected, truncated) in [(10, 10, true), (1000, 1000, false), (5000, 1000, false), (64, 64, true)] {
        let events = messages(&pair, StreamQueryRequest { max_rows, ..sql(numbers) }).await;
        let Some(Event::Summary(summary)) = events.last() else { panic!("no summary") };
        assert_eq!((summary.row_count, summary.truncated), (expected, truncated), "max_rows {max_rows}");
    }
    for event in messages(&pair, StreamQueryRequest { max_batch_rows: 7, ..sql(numbers) }).await {
        if let Event::Batch(batch) = event {
            assert!(batch.row_count <= 7);
        }
    }
    let wide = "select repeat('x', 10000) from generate_series(1, 100) i";
    for event in messages(&pair, StreamQueryRequest { max_batch_bytes: 30_000, ..sql(wide) }).await {
        if let Event::Batch(batch) = event {
            assert!(batch.row_count <= 3, "{}", batch.row_count);
        }
    }
}

by_each_strategy!(a_row_over_the_message_limit_travels_alone_and_one_over_the_row_limit_is_refused and arrow);

async fn a_row_over_the_message_limit_travels_alone_and_one_over_the_row_limit_is_refused(way: Way) {
    let pair = Pair::with(&["--max-row-bytes", "8MiB"]).await;
    let large = "select i, repeat('x', case when i = 50 then 5000000 else 10 end) from generate_series(1, 100) i";
    let events = messages(&pair, way.sql(large)).await;
    let alone = events.iter().filter_map(|event| match event {
        Event::Batch(batch) if batch.data.bytes().len() > 4 << 20 => Some(batch.row_count),
        _ => None,
    });
    assert_eq!(alone.collect::<Vec<_>>(), [1]);

    let too_large = "select i, repeat('x', case when i = 50 then 9000000 else 10 end) from generate_series(1, 100) i";
    let stream = pair.raw().await.stream_query(way.sql(too_large)).await;
    let status = match stream {
        Err(status) => status,
        Ok(stream) => stream.into_inner().try_collect::<Vec<_>>().await.expect_err("too large"),
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "ROW_TOO_LARGE"));
    assert_eq!(fact(&status, "row").as_deref(), Some("49"));
    pair.assert_settled().await;
}

#[tokio::test]
async fn an_error_before_the_first_row_is_an_error_of_the_call_and_one_after_it_of_the_stream() {
    let pair = Pair::start().await;
    let mut raw = pair.raw().await;
    let early = raw.stream_query(sql("select 1 / (i - 1) from generate_series(1, 10) i")).await;
    let status = early.expect_err("no message was sent");
    assert_eq!((status.code(), fact(&status, "sqlstate").as_deref()), (Code::InvalidArgument, Some("22012")));
    let late = raw.stream_query(sql("select 1 / (i - 5000) from generate_series(1, 10000) i")).await;
    let status = late.expect("a first batch").into_inner().try_collect::<Vec<_>>().await.expect_err("later");
    assert_eq!(fact(&status, "sqlstate").as_deref(), Some("22012"));
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_single_row_is_the_first_or_not_found() {
    let pair = Pair::start().await;
    let client = pair.client();
    let row = client.sql("select i from generate_series(7, 9) i").query_row().await.expect("a row");
    assert_eq!(row.get::<i64>("i").expect("an int"), 7);
    let none = client.sql("select 1 where false").query_row().await.expect_err("no row");
    assert_eq!(
        (none.code(), none.server().and_then(|s| s.reason_name())),
        (rowstream_client::Code::NotFound, Some("NO_ROW"))
    );
}

#[tokio::test]
async fn five_million_rows_arrive_complete_and_in_order() {
    let pair = Pair::start().await;
    let mut rows = pair.client().sql("select i from generate_series(1, 5000000) i").stream().await.expect("rows");
    let mut next = 1_i64;
    while let Some(batch) = rows.next_batch().await.expect("rows") {
        for row in batch.iter() {
            assert_eq!(row.get::<i64>(0).expect("an int"), next);
            next += 1;
        }
    }
    assert_eq!(next, 5_000_001);
    assert_eq!(rows.summary().expect("a summary").row_count, 5_000_000);
    pair.assert_settled().await;
}

/// DDL between two calls: the server has seen the statement before, and must notice.
#[tokio::test]
async fn a_statement_whose_columns_changed_is_described_anew() {
    let pair = Pair::start().await;
    pair.psql("create table changing (a int); insert into changing values (1)");
    let columns = async || {
        let rows = pair.client().sql("select * from changing").stream().await.expect("rows");
        rows.columns().iter().map(|c| format!("{} {}", c.name, c.type_name)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(columns().await, "a int4");
    for (ddl, expected) in [
        ("alter table changing add b text", "a int4, b text"),
        ("alter table changing alter a type bigint", "a int8, b text"),
        ("alter table changing rename a to c", "c int8, b text"),
        ("alter table changing drop b", "c int8"),
        (
            "drop table changing; create table changing (d int4range); insert into changing values ('[1,2)')",
            "d int4range",
        ),
    ] {
        pair.psql(ddl);
        assert_eq!(columns().await, expected, "{ddl}");
    }
}
