//! Arrow record batches: every type as its Arrow type, values as psql prints them, and what Arrow cannot hold.

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray as _,
    types::{
        Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
    },
};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use rowstream_client::{ArrowCompression, ArrowOptions, Call, Compression, Error, Reason, Strategy};
use tonic::Code;

use crate::harness::Pair;

async fn batches(call: Call) -> Result<Vec<RecordBatch>, Error> {
    let mut stream = call.record_batches().await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next_batch().await? {
        batches.push(batch);
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(stream.summary().map(|summary| summary.row_count), Some(rows as u64));
    Ok(batches)
}

/// The only batch of a small result.
async fn only(call: Call) -> RecordBatch {
    let mut all = batches(call).await.expect("batches");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn microseconds(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into))
}

const TABLE: &str = "create type mood as enum ('sad', 'happy');
    create table every (
        b bool, i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8, n152 numeric(15, 2), n500 numeric(50, 7),
        n numeric, wide numeric(90, 2), d date, t time, ts timestamp, tz timestamptz, iv interval, u uuid, x text,
        by bytea, j json, jb jsonb, ia int4[], na numeric(6, 2)[], m mood, r int4range);
    insert into every values
        (true, -2, 3, -4, 4000000000, 1.5, -2.5, -1234567890123.45, 1234567890123456789012345678901234567890123.1234567,
         'NaN', 12.50, '1969-12-31', '23:59:59.999999', '1999-12-31 23:59:59.5', '2000-01-01 00:00:00+00',
         '1 year 2 mons -3 days 04:05:06.789', '00112233-4455-6677-8899-aabbccddeeff', 'grüße', '\\x0001ff',
         '{\"a\": 1}', '[1, null]', '{1,NULL,3}', '{1.25,NULL}', 'happy', '[1,5)'),
        (null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
         null, null, null, null, null, null, null)";

#[tokio::test]
async fn every_type_has_its_arrow_type_and_its_value() {
    let pair = Pair::start().await;
    pair.psql(TABLE);
    let batch = only(pair.client().sql("select * from every")).await;
    let list = |schema: &DataType| matches!(schema, DataType::List(_));
    let types: Vec<DataType> = batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(
        types[..21],
        [
            DataType::Boolean,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt32,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(15, 2),
            DataType::Decimal256(50, 7),
            DataType::Utf8,
            DataType::Utf8,
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            microseconds(None),
            microseconds(Some("UTC")),
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::FixedSizeBinary(16),
            DataType::Utf8,
            DataType::Binary,
            DataType::Utf8,
            DataType::Utf8,
        ]
    );
    assert!(list(&types[21]) && list(&types[22]));
    assert_eq!(types[23..], [DataType::Utf8, DataType::Utf8]);
    assert!(batch.columns().iter().all(|column| column.is_valid(0) && column.is_null(1)), "the second row is NULLs");
    let extension = |i: usize| batch.schema().field(i).metadata().get("ARROW:extension:name").cloned();
    assert_eq!(
        [extension(16), extension(19), extension(20)].map(Option::unwrap_or_default),
        ["arrow.uuid", "arrow.json", "arrow.json"]
    );
    assert_eq!(batch.schema().field(24).metadata()["pg_type"], "int4range");

    let column = |i: usize| batch.column(i);
    assert!(column(0).as_boolean().value(0));
    assert_eq!(column(1).as_primitive::<Int16Type>().value(0), -2);
    assert_eq!(column(2).as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(column(3).as_primitive::<Int64Type>().value(0), -4);
    assert_eq!(column(4).as_primitive::<UInt32Type>().value(0), 4_000_000_000);
    assert!((column(5).as_primitive::<Float32Type>().value(0) - 1.5).abs() < f32::EPSILON);
    assert!((column(6).as_primitive::<Float64Type>().value(0) + 2.5).abs() < f64::EPSILON);
    assert_eq!(column(7).as_primitive::<Decimal128Type>().value_as_string(0), "-1234567890123.45");
    assert_eq!(
        column(8).as_primitive::<Decimal256Type>().value_as_string(0),
        "1234567890123456789012345678901234567890123.1234567"
    );
    assert_eq!(column(11).as_primitive::<Date32Type>().value(0), -1);
    assert_eq!(column(12).as_primitive::<Time64MicrosecondType>().value(0), 86_399_999_999);
    assert_eq!(column(13).as_primitive::<TimestampMicrosecondType>().value(0), 946_684_799_500_000);
    assert_eq!(column(14).as_primitive::<TimestampMicrosecondType>().value(0), 946_684_800_000_000);
    let interval = column(15).as_primitive::<IntervalMonthDayNanoType>().value(0);
    assert_eq!((interval.months, interval.days, interval.nanoseconds), (14, -3, 14_706_789_000_000));
    assert_eq!(column(16).as_fixed_size_binary().value(0)[..4], [0, 0x11, 0x22, 0x33]);
    assert_eq!(column(18).as_binary::<i32>().value(0), [0, 1, 0xff]);
    let text = [9, 10, 17, 19, 20, 23, 24].map(|i| column(i).as_string::<i32>().value(0));
    assert_eq!(text, ["NaN", "12.50", "grüße", "{\"a\": 1}", "[1, null]", "happy", "[1,5)"]);
    let integers = column(21).as_list::<i32>().value(0);
    assert_eq!(integers.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(3)]);
    let decimals: ArrayRef = column(22).as_list::<i32>().value(0);
    assert_eq!(decimals.as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>(), [Some(125), None]);
    pair.assert_settled().await;
}

/// The unscaled integers and the sums of a large result are what PostgreSQL says, whatever the batches.
#[tokio::test]
async fn a_large_result_adds_up_in_every_way_it_can_be_read_and_packed() {
    let pair = Pair::start().await;
    pair.psql(
        "create table many as select i, (i * 7919 % 1000003)::numeric(12, 3) / 1000 as x, (i % 1000 / 8.0)::numeric(10, 3) as n,
         case when i % 3 = 0 then null else repeat(md5(i::text), i % 4) end as t from generate_series(1, 100000) i;
         alter table many alter x type numeric(20, 6)",
    );
    let expected =
        pair.psql("select sum(i), sum((x * 1000000)::int8), sum((n * 1000)::int8), sum(length(t)), count(t) from many");
    for options in [ArrowCompression::None, ArrowCompression::Lz4, ArrowCompression::Zstd] {
        let options = ArrowOptions::new().compression(options);
        for call in [
            pair.client().sql("select i, x, n, t from many"),
            pair.client().sql("select i, x, n, t from many where i > $1").bind(0),
            pair.client().sql("select i, x, n, t from many").compression(Compression::Zstd),
            pair.client().sql("select i, x, n, t from many").compression(Compression::Gzip).max_batch_rows(999),
        ] {
            let all = batches(call.arrow_options(options)).await.expect("batches");
            assert!(all.len() > 5, "{} batches", all.len());
            let mut sums = [0_i128; 5];
            for batch in &all {
                sums[0] += batch.column(0).as_primitive::<Int32Type>().iter().flatten().map(i128::from).sum::<i128>();
                sums[1] += batch.column(1).as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
                sums[2] += batch.column(2).as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
                let text = batch.column(3).as_string::<i32>();
                sums[3] += text.iter().flatten().map(|text| text.len() as i128).sum::<i128>();
                sums[4] += text.iter().flatten().count() as i128;
            }
            assert_eq!(sums.map(|sum| sum.to_string()).join("|"), expected.trim());
        }
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn what_arrow_cannot_hold_is_an_error_that_names_it_or_null() {
    let pair = Pair::start().await;
    pair.psql("create table digits (good numeric(6, 2), bad numeric(6, 2)); insert into digits values (1, 'NaN')");
    let shape = "an array of several dimensions, or whose lower bound is not 1";
    let long = format!("{{{{{}...", "1,".repeat(49));
    for (sql, value, what) in [
        ("select 1 as good, 'infinity'::date as bad", "infinity", "an infinite date"),
        ("select 1 as good, '-infinity'::timestamp as bad", "-infinity", "an infinite timestamp"),
        ("select 1 as good, 'infinity'::timestamptz as bad", "infinity", "an infinite timestamp"),
        ("select 1 as good, '24:00'::time as bad", "24:00:00", "the end of a day"),
        ("select 1 as good, '{{1,2},{3,4}}'::int4[] as bad", "{{1,2},{3,4}}", shape),
        ("select 1 as good, '[0:1]={1,2}'::int4[] as bad", "[0:1]={1,2}", shape),
        ("select 1 as good, array_fill(1, array[2, 90]) as bad", &long, shape),
        ("select 1 as good, '{2000-01-01,infinity}'::date[] as bad", "{2000-01-01,infinity}", "an infinite date"),
        ("select 1 as good, '2600000:00:00'::interval as bad", "2600000:00:00", "an interval beyond those of Arrow"),
        ("select good, bad from digits", "NaN", "which is not a number"),
    ] {
        let Err(Error::Status(error)) = batches(pair.client().sql(sql)).await else { panic!("{sql}: no error") };
        assert_eq!((error.code(), error.reason()), (Code::OutOfRange, Some(Reason::UnrepresentableValue)), "{sql}");
        let expected = format!("row 0, column \"bad\": {value}, {what}, has no place in its Arrow type");
        assert!(error.to_string().contains(&expected), "{error}");
        if value.contains("2000-01-01") {
            // Only the element would be NULL.
            continue;
        }
        let nulls = pair.client().sql(sql).arrow_options(ArrowOptions::new().unrepresentable_as_null());
        let batch = only(nulls).await;
        assert!(batch.column(0).is_valid(0) && batch.column(1).is_null(0), "{sql}");
    }
    let arrays = pair.client().sql("select '[0:1]={1,2}'::int4[], '{{a,\"b c\"},{NULL,d}}'::text[]");
    let batch = only(arrays.arrow_options(ArrowOptions::new().arrays_as_text())).await;
    let text = [0, 1].map(|i| batch.column(i).as_string::<i32>().value(0));
    assert_eq!(text, ["[0:1]={1,2}", "{{a,\"b c\"},{NULL,d}}"]);
    pair.assert_settled().await;
}

#[tokio::test]
async fn empty_results_results_without_columns_and_very_wide_ones_are_batches_too() {
    let pair = Pair::start().await;
    let mut none = pair.client().sql("select 1 as one, 'x' as x where false").record_batches().await.expect("a stream");
    assert_eq!(none.schema().fields().len(), 2);
    assert!(none.next_batch().await.expect("no error").is_none());
    let batch = only(pair.client().sql("select from generate_series(1, 3)")).await;
    assert_eq!((batch.num_rows(), batch.num_columns()), (3, 0));
    let columns: Vec<_> = (0..1600).map(|i| format!("{i} + i as c{i}, c")).map(|c| c.replace(", c", "")).collect();
    let wide = format!("select {} from generate_series(1, 300) i", columns.join(", "));
    let all = batches(pair.client().sql(&wide)).await.expect("batches");
    let last = all.last().expect("a batch");
    assert_eq!(all.iter().map(RecordBatch::num_rows).sum::<usize>(), 300);
    assert_eq!(last.column(1599).as_primitive::<Int32Type>().value(last.num_rows() - 1), 1899);
    let large = "select repeat('x', 3000000) from generate_series(1, 3)";
    assert_eq!(batches(pair.client().sql(large)).await.expect("rows alone").len(), 3);
    pair.assert_settled().await;
}

/// The rows before it in its batch are good.
#[tokio::test]
async fn what_arrow_cannot_hold_is_named_in_the_middle_of_a_batch_too() {
    let pair = Pair::start().await;
    let sql =
        "select i, case when i = 50 then 'infinity' else '2000-01-01' end::date as bad from generate_series(0, 99) i";
    for strategy in [Strategy::Cursor, Strategy::Portal, Strategy::Copy] {
        let Err(Error::Status(error)) = batches(pair.client().sql(sql).strategy(strategy)).await else {
            panic!("{strategy:?}: no error")
        };
        assert_eq!((error.code(), error.reason()), (Code::OutOfRange, Some(Reason::UnrepresentableValue)));
        assert!(error.to_string().contains("row 50") && error.to_string().contains("\"bad\""), "{error}");
        // Also in the last row of many.
        let last = "select case when i = 20000 then 'infinity' else '2000-01-01' end::date as bad from generate_series(1, 20000) i";
        let Err(Error::Status(error)) = batches(pair.client().sql(last).strategy(strategy)).await else {
            panic!("{strategy:?}: no error")
        };
        assert_eq!(error.reason(), Some(Reason::UnrepresentableValue), "{strategy:?}: {error}");
    }
    pair.assert_settled().await;
}

/// A column that has got more digits since its statement was described is found by its values, and described again: by the
/// call itself, unless rows have gone out already.
#[tokio::test]
async fn a_decimal_that_outgrows_its_description_is_described_again() {
    let pair = Pair::start().await;
    pair.psql("create table grown as select 1.25::numeric(6, 2) as n");
    let read = || pair.client().sql("select n from grown");
    assert_eq!(only(read()).await.schema().field(0).data_type(), &DataType::Decimal128(6, 2));
    for (change, data_type, value) in [
        ("alter table grown alter n type numeric(12, 2); update grown set n = 1234567.25", (12, 2), "1234567.25"),
        ("alter table grown alter n type numeric(14, 4); update grown set n = 1.2345", (14, 4), "1.2345"),
    ] {
        pair.psql(change);
        let nulls = || read().arrow_options(ArrowOptions::new().unrepresentable_as_null());
        let batch = only(nulls()).await;
        assert_eq!(batch.schema().field(0).data_type(), &DataType::Decimal128(data_type.0, data_type.1), "{change}");
        assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().value_as_string(0), value, "and never NULL");
    }
    // What does not fit comes when the caller has rows.
    pair.psql(
        "alter table grown alter n type numeric(20, 4); truncate grown; insert into grown
        select case when i < 20000 then 1 else 123456789012 end from generate_series(1, 20000) i",
    );
    let Err(Error::Status(error)) = batches(read()).await else { panic!("no error") };
    assert_eq!((error.code(), error.reason()), (Code::Aborted, Some(Reason::SchemaChanged)));
    assert_eq!(
        batches(read()).await.expect("described again").iter().map(RecordBatch::num_rows).sum::<usize>(),
        20_000
    );
    pair.assert_settled().await;
}

/// Parameters of a type that the driver has to look up do not disturb the statement that is run as a whole.
#[tokio::test]
async fn values_of_looked_up_types_are_bound_where_the_statement_runs_as_a_whole() {
    let pair = Pair::start().await;
    pair.psql("create type mood as enum ('sad', 'happy'); create table m as select 'happy'::mood as mood, i from generate_series(1, 5) i");
    for _ in 0..2 {
        let call = pair.client().sql("select i, mood from m where mood = $1::mood and i < $2").bind("happy").bind(4);
        let batch = only(call).await;
        assert_eq!((batch.num_rows(), batch.column(1).as_string::<i32>().value(2)), (3, "happy"));
    }
    pair.assert_settled().await;
}
