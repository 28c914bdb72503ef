//! Random rows of every type, read in Arrow and as rows: the same values by the table of docs/arrow.md.
//!
//! What Arrow holds as a number PostgreSQL is asked for as that number, in text, which is read as rows.

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray as _,
    types::{
        Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
    },
};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use rowstream_client::Strategy;

use crate::harness::{PATIENCE, Pair};

/// A type, a random value of it, and what Arrow is to hold of a column `x`.
pub(crate) const COLUMNS: &[(&str, &str, &str)] = &[
    ("bool", "random() < 0.5", "x::text"),
    ("int2", "(random() * 65535 - 32768)::int2", "x::text"),
    ("int4", "(random() * 4294967295 - 2147483648)::int4", "x::text"),
    ("int8", "((random() - 0.5) * 1.8e19)::int8", "x::text"),
    ("oid", "(random() * 4294967295)::int8::oid", "x::text"),
    ("float4", "((random() - 0.5) * 10 ^ (random() * 60 - 30))::float4", "encode(float4send(x), 'hex')"),
    ("float8", "(random() - 0.5) * 10 ^ (random() * 600 - 300)", "encode(float8send(x), 'hex')"),
    ("numeric(20, 6)", "((random() - 0.5) * 10 ^ (random() * 18 - 5))::numeric", "x::text"),
    ("numeric(4, 4)", "(random() - 0.5)::numeric", "x::text"),
    ("numeric(70, 10)", "((random() - 0.5) * 10 ^ (random() * 40))::numeric * 1234567890123456789 / 7", "x::text"),
    ("numeric", "((random() - 0.5) * 10 ^ (random() * 40))::numeric / 7", "x::text"),
    ("date", "'4713-01-01 BC'::date + (random() * 4e6)::int4", "(x - '1970-01-01'::date)::text"),
    ("time", "'00:00'::time + random() * interval '23:59:59.999'", "(extract(epoch from x) * 1000000)::int8::text"),
    ("timestamp", "'4713-01-01 BC'::timestamp + random() * interval '4000000 days'", "(extract(epoch from x) * 1000000)::int8::text"),
    ("timestamptz", "'4713-01-01 BC'::timestamptz + random() * interval '4000000 days'", "(extract(epoch from x) * 1000000)::int8::text"),
    (
        "interval",
        "make_interval(months => (random() * 2000 - 1000)::int4, days => (random() * 2000 - 1000)::int4, secs => random() * 2e5 - 1e5)",
        "(extract(year from x) * 12 + extract(month from x))::int8 || ' ' || extract(day from x)::int8 || ' ' ||
            ((extract(hour from x) * 3600 + extract(minute from x) * 60) * 1000000 + extract(microseconds from x))::int8",
    ),
    ("uuid", "md5(random()::text)::uuid", "replace(x::text, '-', '')"),
    ("text", "repeat(chr((random() * 50000)::int4 + 1), (random() * 20)::int4) || E'\\n\"'", "x"),
    ("char(9)", "chr((random() * 500)::int4 + 33)", "x"),
    ("bytea", "decode(repeat(md5(random()::text), (random() * 3)::int4), 'hex')", "encode(x, 'hex')"),
    ("json", "json_build_object('a', random(), 'b', null)", "x::text"),
    ("jsonb", "jsonb_build_array(random(), 'x', null)", "x::text"),
    ("mood", "(enum_range(null::mood))[(random() * 2)::int4 + 1]", "x::text"),
    ("int8range", "int8range((random() * 9)::int8, (random() * 9)::int8 + 9)", "x::text"),
    ("int4[]", "(array[(random() * 9)::int4, null, -i])[1:(random() * 4)::int4]", "x::text"),
    ("bool[]", "(array[i % 2 = 0, null])[1:(random() * 3)::int4]", "x::text"),
    ("numeric(6, 2)[]", "(array[random() * 1000, null])[1:(random() * 3)::int4]", "x::text"),
];
const ROWS: usize = 3000;

/// What Arrow holds in a place, as the third of [`COLUMNS`] has PostgreSQL tell it.
pub(crate) fn held(array: &dyn Array, i: usize) -> Option<String> {
    if array.is_null(i) {
        return None;
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(i).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(i).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(i).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(i).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(i).to_string(),
        DataType::Float32 => hex(&array.as_primitive::<Float32Type>().value(i).to_be_bytes()),
        DataType::Float64 => hex(&array.as_primitive::<Float64Type>().value(i).to_be_bytes()),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(i),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(i),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(i).to_string(),
        DataType::Time64(TimeUnit::Microsecond) => array.as_primitive::<Time64MicrosecondType>().value(i).to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().value(i).to_string()
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(i);
            assert_eq!(value.nanoseconds % 1000, 0, "PostgreSQL counts microseconds");
            format!("{} {} {}", value.months, value.days, value.nanoseconds / 1000)
        }
        DataType::FixedSizeBinary(16) => hex(array.as_fixed_size_binary().value(i)),
        DataType::Binary => hex(array.as_binary::<i32>().value(i)),
        DataType::Utf8 => array.as_string::<i32>().value(i).to_owned(),
        DataType::List(item) => {
            let items = array.as_list::<i32>().value(i);
            let printed = |i| match held(&*items, i).as_deref() {
                // As an array's element.
                Some("true") if item.data_type() == &DataType::Boolean => "t".to_owned(),
                Some("false") if item.data_type() == &DataType::Boolean => "f".to_owned(),
                value => value.unwrap_or("NULL").to_owned(),
            };
            format!("{{{}}}", (0..items.len()).map(printed).collect::<Vec<_>>().join(","))
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns().iter();
            let printed = |field: &ArrayRef| held(field, i).unwrap_or_else(|| "NULL".to_owned());
            format!("({})", fields.map(printed).collect::<Vec<_>>().join("|"))
        }
        other => panic!("no type of PostgreSQL's becomes {other}"),
    })
}

async fn pair_with_rows(seed: f64) -> Pair {
    let pair = Pair::start().await;
    let declared: Vec<_> = COLUMNS.iter().enumerate().map(|(n, (name, ..))| format!("c{n} {name}")).collect();
    let value = |(_, value, _): &(&str, &str, &str)| format!("case when random() < 0.15 then null else {value} end");
    let values: Vec<_> = COLUMNS.iter().map(value).collect();
    pair.psql(&format!(
        "create type mood as enum ('sad', 'ok', 'very happy, indeed');
         create table every (i int4, {}); select setseed({seed});
         insert into every select i, {} from generate_series(1, {ROWS}) i",
        declared.join(", "),
        values.join(", ")
    ));
    pair
}

/// Row by row what Arrow is to hold, from a read as rows.
async fn expected(pair: &Pair) -> Vec<Vec<Option<String>>> {
    let images: Vec<_> = COLUMNS
        .iter()
        .enumerate()
        .map(|(n, (.., image))| format!("(select {image} from (select c{n} as x) s)"))
        .collect();
    let sql = format!("select {} from every order by i", images.join(", "));
    let mut rows = pair.client().sql(sql).deadline(PATIENCE).stream().await.expect("rows");
    let mut all = Vec::new();
    while let Some(batch) = rows.next_batch().await.expect("rows") {
        for row in batch.iter() {
            all.push((0..COLUMNS.len()).map(|n| row.get(n).expect("text or NULL")).collect());
        }
    }
    all
}

#[tokio::test]
async fn random_rows_of_every_type_are_in_arrow_what_they_are_as_rows() {
    for seed in [0.25, -0.75] {
        let pair = pair_with_rows(seed).await;
        let expected = expected(&pair).await;
        assert_eq!(expected.len(), ROWS);
        let names: Vec<_> = (0..COLUMNS.len()).map(|n| format!("c{n}")).collect();
        let sql = format!("select {} from every order by i", names.join(", "));
        for strategy in [Strategy::Cursor, Strategy::Portal, Strategy::Copy] {
            let call = pair.client().sql(&sql).strategy(strategy).max_batch_bytes(64 << 10).deadline(PATIENCE);
            let mut stream = call.record_batches().await.expect("a stream");
            let mut row = 0;
            while let Some(batch) = stream.next_batch().await.expect("a batch") {
                assert_same(&batch, &expected[row..], strategy, row);
                row += batch.num_rows();
            }
            assert_eq!(row, ROWS, "{strategy:?}");
        }
        pair.assert_settled().await;
    }
}

fn assert_same(batch: &RecordBatch, expected: &[Vec<Option<String>>], strategy: Strategy, first: usize) {
    for (column, (array, (name, ..))) in batch.columns().iter().zip(COLUMNS).enumerate() {
        for (i, row) in expected.iter().take(batch.num_rows()).enumerate() {
            assert_eq!(held(array, i), row[column], "{name}, row {}, {strategy:?}", first + i);
        }
    }
}
