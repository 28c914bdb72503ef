//! Every value as psql prints it: the client's CSV against `COPY ... TO STDOUT (FORMAT csv, HEADER)`, to
//! the byte. And the other way: parameters of every type, as text and as the kind of their own.

use rowstream_client::{
    Value,
    sink::{CsvSink, Sink as _},
};
use rowstream_contract::v1::{self, ListValue, value::Kind};
use rowstream_testkit::Postgres;
use tonic::Code;

use crate::harness::{PATIENCE, Pair, fact, reason, sql, text};

/// Types that are read from PostgreSQL's binary form, and values of each that are easy to get wrong.
const BINARY: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("int2", &["0", "-1", "32767", "-32768"]),
    ("int4", &["0", "-1", "2147483647", "-2147483648"]),
    ("int8", &["0", "-1", "9223372036854775807", "-9223372036854775808"]),
    ("oid", &["0", "4294967295"]),
    (
        "float4",
        &[
            "0",
            "-0",
            "1",
            "0.1",
            "-1.5",
            "1e-4",
            "1e-5",
            "123456",
            "1234567",
            "1e6",
            "999999",
            "9999995",
            "16777216",
            "16777217",
            "3.4028235e38",
            "-3.4028235e38",
            "1.17549435e-38",
            "1e-45",
            "0.33333334",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
    ),
    (
        "float8",
        &[
            "0",
            "-0",
            "1",
            "0.1",
            "-1.5",
            "1e-4",
            "9.999999999999999e-5",
            "1e-5",
            "123456789012345",
            "1234567890123456",
            "999999999999999",
            "999999999999999.9",
            "1e14",
            "1e15",
            "1e16",
            "9007199254740993",
            "0.3333333333333333",
            "2.2250738585072014e-308",
            "4.9406564584124654e-324",
            "1.7976931348623157e308",
            "-1.7976931348623157e308",
            "1e100",
            "1e-100",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
    ),
    (
        "numeric",
        &[
            "0",
            "0.000",
            "-0.0",
            "1",
            "-1",
            "10000",
            "9999",
            "100000000",
            "0.0001",
            "0.00001",
            "-0.00010000",
            "12.3400",
            "99999999999999999999999999999999999999.99999999999999999999",
            "1e131071",
            "1e-16383",
            "1e1000",
            "1e-1000",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
    ),
    (
        "text",
        &[
            "",
            " ",
            "a",
            "a,b",
            "\"",
            "''",
            "\"quoted\"",
            "two\nlines",
            "return\r\n",
            "tab\t",
            "\\",
            "\\.",
            "\\N",
            "NULL",
            "null",
            "{}",
            "{a}",
            "ünï ☃ 𝄞",
            "\u{1}\u{7f}",
            "\u{feff}",
            "e\u{301}",
            "  padded  ",
        ],
    ),
    ("varchar", &["", "a,b", "ü", "two\nlines"]),
    ("varchar(3)", &["", "abc", "ü☃x"]),
    ("bpchar", &["", "a", " a "]),
    ("char(5)", &["", "a", "☃", "a\"b"]),
    ("name", &["", "relation", "With Space", "ü"]),
    ("\"char\"", &["", "a", "\"", ",", " "]),
    ("bytea", &["", "\\x00", "\\xdeadbeef", "\\x5c22", "plain"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "FFFFFFFF-ffff-ffff-ffff-0123456789ab"]),
    (
        "date",
        &[
            "4714-11-24 BC",
            "0001-12-31 BC",
            "0001-01-01",
            "1999-12-31",
            "2000-01-01",
            "2000-02-29",
            "1900-02-28",
            "9999-12-31",
            "10000-01-01",
            "5874897-12-31",
            "infinity",
            "-infinity",
        ],
    ),
    ("time", &["00:00:00", "24:00:00", "23:59:59.999999", "12:34:56.7", "00:00:00.000001"]),
    (
        "timestamp",
        &[
            "4714-11-24 00:00:00 BC",
            "0001-12-31 23:59:59.999999 BC",
            "0001-01-01 00:00:00",
            "1999-12-31 23:59:59.999999",
            "2000-01-01 00:00:00",
            "2024-02-29 12:00:00.5",
            "294276-12-31 23:59:59.999999",
            "infinity",
            "-infinity",
        ],
    ),
    (
        "timestamptz",
        &[
            "4714-11-24 00:00:00+00 BC",
            "0001-12-31 23:59:59.999999+00 BC",
            "2024-03-31 02:30:00+02",
            "2024-02-29 12:00:00.123456-11:30",
            "294276-12-31 23:59:59.999999+00",
            "infinity",
            "-infinity",
        ],
    ),
    (
        "interval",
        &[
            "0",
            "1 year",
            "-1 year",
            "2 years -1 mons",
            "1 mon -1 day",
            "-1 mon 1 day",
            "-1 mon 1 day -1 second",
            "1 day -00:00:01",
            "-1 day 00:00:01",
            "-25 months +3 days 00:00:00.000001",
            "100:00:00",
            "-100:00:00.5",
            "178000000 years",
            "-2147483648 months",
            "2147483647 months 2147483647 days",
            "-2147483648 days",
            "2562047788:00:54.775807",
            "-2562047788:00:54.775807",
        ],
    ),
    ("json", &["null", "1", "{\"a\": [1, \"x\"]}", "{\n  \"a\" :\t1,\r\n \"a\": 2}", "\"ü\\u0041\"", "\"a,b\""]),
    ("jsonb", &["null", "1.500", "{\"b\": [1, \"x\"], \"a\": {}}", "\"line\\nbreak\"", "[]"]),
];

/// Types that PostgreSQL makes into text.
const AS_TEXT: &[(&str, &[&str])] = &[
    ("mood", &["sad", "ok", "very happy, indeed", ""]),
    ("positive", &["1", "2147483647"]),
    ("short", &["a", "abc", ""]),
    ("pair", &["(1,x)", "(,)", "(2,\"a \"\"b\"\", c\")"]),
    ("nested", &["(\"(1,x)\",\"{1,NULL}\")"]),
    ("int4range", &["empty", "[1,10)", "(,5)", "(,)"]),
    ("tstzrange", &["[2024-01-01 00:00:00+02,2024-06-01 00:00:00+00)", "empty"]),
    ("daterange", &["[2024-01-01,infinity)"]),
    ("numrange", &["[1.10,2.20]"]),
    ("int4multirange", &["{}", "{[1,3),[5,9)}"]),
    ("datemultirange", &["{[2024-01-01,2024-02-01)}"]),
    ("bit(3)", &["101", "000"]),
    ("varbit", &["", "1", "0101010101"]),
    ("inet", &["192.168.1.1", "192.168.1.1/24", "10.0.0.0/8", "::1", "2001:db8::1/64", "::ffff:1.2.3.4"]),
    ("cidr", &["10.0.0.0/8", "192.168.1.1/32", "2001:db8::/32"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("money", &["12.34", "-1234567.89"]),
    ("xml", &["<a b=\"c\">text, ü</a>", "plain"]),
    ("point", &["(1,2)", "(1e300,-0)", "(NaN,Infinity)"]),
    ("line", &["{1,2,3}"]),
    ("lseg", &["[(1,2),(3,4)]"]),
    ("box", &["(3,4),(1,2)"]),
    ("path", &["((1,2),(3,4))", "[(1,2),(3,4)]"]),
    ("polygon", &["((1,2),(3,4),(5,6))"]),
    ("circle", &["<(1,2),3>"]),
    ("tsvector", &["a:1A fat:2B,4C", "'it''s' x", ""]),
    ("tsquery", &["fat & (rat | !cat)", "'a b' <-> c"]),
    ("pg_lsn", &["0/0", "16/B374D848"]),
    ("timetz", &["00:00:00+00", "24:00:00-15:59", "12:34:56.789+05:30"]),
    ("xid", &["0", "4294967295"]),
    ("xid8", &["18446744073709551615"]),
    ("cid", &["7"]),
    ("tid", &["(0,1)", "(4294967295,65535)"]),
    ("regclass", &["pg_class", "mood_log"]),
    ("regtype", &["int4", "mood", "timestamptz[]"]),
    ("regproc", &["now"]),
    ("aclitem", &["postgres=r/postgres"]),
    ("pg_snapshot", &["10:20:10,14,15"]),
    ("jsonpath", &["$.a[*] ? (@ > 1)"]),
    ("hstore", &["", "a=>1, b=>NULL, \"c d\"=>\"x\\\"y\""]),
    ("citext", &["MiXed"]),
    ("ltree", &["", "Top.Science.Astronomy"]),
    ("lquery", &["*.Astro*@{1,2}.!x"]),
    ("cube", &["(0)", "(1.5, -2),(3, 4e300)"]),
    ("seg", &["1", "0.10 .. 5.00", "<7", "3 .."]),
    ("isbn13", &["978-0-393-04002-9", "978-0-393-04002-0!"]),
    ("tagged", &["a", "b c"]),
];

/// What [`AS_TEXT`] needs. `tagged` has a cast to text that is not how it prints.
const DECLARATIONS: &str = "
    create extension hstore; create extension citext;
    create extension ltree; create extension cube; create extension seg; create extension isn;
    create type mood as enum ('sad', 'ok', 'very happy, indeed', '');
    create domain positive as int4 check (value > 0);
    create domain short as char(3);
    create type pair as (a int, b text);
    create type nested as (p pair, n int[]);
    create table mood_log (m mood);
    create type tagged;
    create function tagged_in(cstring) returns tagged language internal immutable strict as 'textin';
    create function tagged_out(tagged) returns cstring language internal immutable strict as 'textout';
    create type tagged (input = tagged_in, output = tagged_out, like = text);
    create function tagged_text(tagged) returns text language sql immutable as $$ select 'another' $$;
    create cast (tagged as text) with function tagged_text(tagged)";

async fn pair_with_types() -> Pair {
    let pair = Pair::start().await;
    pair.psql(&format!("set client_min_messages = error; {DECLARATIONS}"));
    pair
}

/// What the client prints.
async fn csv(pair: &Pair, sql: &str) -> Vec<u8> {
    let told = |error| panic!("{error}\n{sql:.400}");
    let mut rows = pair.client().sql(sql).deadline(PATIENCE).stream().await.unwrap_or_else(told);
    let (mut sink, mut out) = (CsvSink::default(), Vec::new());
    sink.begin(rows.columns(), &mut out);
    while let Some(batch) = rows.next_batch().await.unwrap_or_else(|error| panic!("{error}\n{sql:.400}")) {
        sink.batch(&batch, &mut out).expect("valid values");
    }
    sink.end(&mut out);
    out
}

async fn assert_as_psql(pair: &Pair, sql: &str) {
    let theirs = pair.database.psql_csv(sql).unwrap_or_else(|error| panic!("{error}\n{sql:.400}"));
    assert_same(&csv(pair, sql).await, &theirs, sql);
}

#[track_caller]
fn assert_same(ours: &[u8], theirs: &[u8], sql: &str) {
    if ours == theirs {
        return;
    }
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let first = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
    let at = first.unwrap_or(ours.len().min(theirs.len()));
    panic!("line {at}\nours:   {:?}\ntheirs: {:?}\n{sql:.400}", ours.get(at), theirs.get(at));
}

/// The values of a type that the running version of PostgreSQL reads.
fn known(name: &str, values: &[&'static str]) -> Vec<&'static str> {
    let major = Postgres::shared().major().expect("a version");
    let mut known = values.to_vec();
    if name == "interval" && major < 15 {
        // 14 prints the largest intervals, and does not read them.
        known.retain(|value| !value.contains("2562047788"));
    }
    if name == "interval" && major >= 17 {
        known.extend(["infinity", "-infinity"]);
    }
    known
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// `('a'), ('b'), (null)`
fn rows_of(type_name: &str, values: &[&str]) -> String {
    let rows: String = values.iter().map(|value| format!("({}::{type_name}), ", quoted(value))).collect();
    format!("{rows}(null)")
}

async fn assert_scalars_and_arrays(types: &[(&str, &[&'static str])]) {
    let pair = pair_with_types().await;
    for (name, values) in types {
        let values = format!("(values {}) as v(x)", rows_of(name, &known(name, values)));
        assert_as_psql(&pair, &format!("select x, x as again, null::{name} as nothing from {values}")).await;
        assert_as_psql(
            &pair,
            &format!(
                "select a, array[a, a] as nested, a[:0] as empty, null::{name}[] as nothing, array[null::{name}] as nulls,
                        array_fill(a[1], array[2, 1], array[-3, 7]) as bounds, array_fill(null::{name}, array[1], array[0])
                 from (select array_agg(x) from {values}) as t(a)"
            ),
        )
        .await;
    }
}

#[tokio::test]
async fn types_read_from_binary_are_printed_as_psql_prints_them() {
    assert_scalars_and_arrays(BINARY).await;
}

#[tokio::test]
async fn every_other_type_is_printed_as_psql_prints_it() {
    assert_scalars_and_arrays(AS_TEXT).await;
}

/// xorshift64*: the same numbers in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

fn joined(count: usize, item: impl FnMut(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn random_floats_have_the_digits_that_psql_prints() {
    let pair = Pair::start().await;
    let mut noise = Noise(42);
    for round in 0..3 {
        let doubles = joined(10_000, |_| format!("{:e}", f64::from_bits(noise.next())));
        let short = joined(5_000, |_| {
            format!("{}.{}e{}", noise.below(1000), noise.below(10_u64.pow(1 + round)), noise.below(40))
        });
        let floats = joined(10_000, |_| {
            let bits = u32::try_from(noise.next() >> 32).expect("32 bits");
            format!("{:e}", f32::from_bits(bits))
        });
        for (type_name, values) in [("float8", &doubles), ("float8", &short), ("float4", &floats)] {
            let values = values.replace("inf", "Infinity");
            assert_as_psql(&pair, &format!("select unnest('{{{values}}}'::{type_name}[]) as x")).await;
        }
    }
    // Around every power of ten, where the form changes.
    let powers = "select (1 + d * 2.220446049250313e-16) * ('1e' || e)::float8 as x, (('1e' || e / 8)::float4) as y
                  from generate_series(-300, 300) e, generate_series(-2, 2) d";
    assert_as_psql(&pair, powers).await;
}

#[tokio::test]
async fn random_numerics_keep_every_digit() {
    let pair = Pair::start().await;
    let mut noise = Noise(7);
    let mut number = |_| {
        let sign = if noise.below(2) == 0 { "-" } else { "" };
        let mut digits = |most| {
            let count = noise.below(most);
            (0..=count)
                .map(|_| if noise.below(3) == 0 { "0".to_owned() } else { noise.below(10).to_string() })
                .collect()
        };
        let (whole, fraction): (String, String) = (digits(30), digits(30));
        format!("{sign}{whole}.{fraction}")
    };
    let plain = joined(5_000, &mut number);
    assert_as_psql(&pair, &format!("select unnest('{{{plain}}}'::numeric[]) as x")).await;
    let exponents = joined(2_000, |i| format!("{}e{}", number(i), i % 200).replace("e0", ""));
    assert_as_psql(&pair, &format!("select x, -x as y, x / 3 as z from unnest('{{{exponents}}}'::numeric[]) x")).await;
    assert_as_psql(&pair, "select 0.5::numeric(3, 3) as b, 5::numeric(20, 10) as c").await;
    if Postgres::shared().major().expect("a version") >= 15 {
        assert_as_psql(&pair, "select 12345::numeric(3, -2) as a").await;
    }
    let scales = "select round(10.0 ^ e / 7, s) as x from generate_series(-40, 40) e, generate_series(0, 40) s";
    assert_as_psql(&pair, scales).await;
}

#[tokio::test]
async fn dates_and_times_agree_over_the_whole_calendar() {
    let pair = Pair::start().await;
    for sql in [
        "select '4714-11-24 BC'::date + i * 268435 as d from generate_series(0, 8000) i",
        "select '0005-12-25 BC'::date + i as d from generate_series(0, 4000) i",
        "select '2000-02-27'::date + i * 1461 / 4 + i % 4 as d from generate_series(-3000, 3000) i",
        "select ts, ts at time zone 'UTC' as tz, ts::time as t from (
             select '4714-11-24 00:00:00 BC'::timestamp + i * interval '20011 days 01:02:03.456789'
             from generate_series(0, 5450) i) as v(ts)",
        "select '24:00'::time - i * interval '7.000013 seconds' as t from generate_series(1, 12000) i",
        "select make_interval(months => m, days => d, secs => s) as i
         from unnest('{-25,-13,-12,-11,-1,0,1,11,12,13,25}'::int[]) m, unnest('{-2,-1,0,1,2}'::int[]) d,
              unnest('{-360000,-3600.5,-0.000001,0,0.000001,0.1,59.999999,3600,360000}'::float8[]) s",
    ] {
        assert_as_psql(&pair, sql).await;
    }
}

#[tokio::test]
async fn types_that_cannot_be_declared_are_printed_as_psql_prints_them() {
    let pair = pair_with_types().await;
    pair.psql(
        "create table seen as select i % 3 as a, 'x,' || i % 2 as b from generate_series(1, 1000) i; analyze seen",
    );
    for sql in [
        "select pg_sleep(0)",
        "select row(1, 'a b', null, row('x', '{1,2}'::int[]))",
        "select array[row(1, null), row(2, 'x')]",
        "select t from (values (1, 'x')) as t",
        "select 'text of a C string'::cstring",
        "select attname, most_common_vals, most_common_freqs, histogram_bounds from pg_stats where tablename = 'seen'",
        "select array_agg(m) from unnest(enum_range(null::mood)) m",
        "select typname, typacl, typdefault, typdefaultbin from pg_type where typname = 'mood'",
        "select relname, relacl, reloptions, relkind from pg_class where relname in ('pg_class', 'mood_log') order by 1",
        "select ctid, xmin, cmin, tableoid, tableoid::regclass from seen order by ctid limit 5",
        "select proargtypes, proname, proargnames from pg_proc where proname = 'make_interval'",
        "select indkey, indclass, indexprs from pg_index where indexrelid = 'pg_class_oid_index'::regclass",
        "select * from pg_settings where name = 'work_mem'",
        "select 'ok'::mood is null, null::pair, row(null, null)::pair, (null, null)::pair is null",
        "select array['a  ', null]::short[], array[array['b']]::short[], array['1.2.3.4', '::1/64']::inet[]",
        "select '1 2 3'::int2vector, ''::int2vector, '7 8'::oidvector, null::oidvector",
        "select null, 'unknown', 1",
    ] {
        assert_as_psql(&pair, sql).await;
    }
}

#[tokio::test]
async fn any_number_of_columns_of_any_name_arrives() {
    let pair = pair_with_types().await;
    for sql in [
        "select 1 as a, 2 as a, 'ok'::mood as a, 4".to_owned(),
        "select 1, 'two'::text, '[3,4)'::int4range, 5.0".to_owned(),
        "select 1 as \"a,b\", 2 as \"say \"\"hi\"\"\", 3 as \"two\nlines\", 4 as \"ü\", ''::hstore as \" \"".to_owned(),
        "select from generate_series(1, 3)".to_owned(),
        "select from generate_series(1, 0)".to_owned(),
        "select a.*, b.* from (values (1, 'x')) as a, (values ('[1,2)'::int4range, 1)) as b".to_owned(),
        format!("select {}", joined(1_600, |i| format!("{i} as c{i}"))),
        format!("select {}", joined(1_600, |i| if i % 2 == 0 { i.to_string() } else { format!("'{i}'::xid") })),
    ] {
        assert_as_psql(&pair, &sql).await;
    }
    pair.psql(&format!("create table wide ({})", joined(1_600, |i| format!("c{i} int"))));
    pair.psql(&format!(
        "insert into wide select {}",
        joined(1_600, |i| if i % 7 == 0 { "null" } else { "7" }.to_owned())
    ));
    assert_as_psql(&pair, "table wide").await;
}

#[tokio::test]
async fn a_large_mixed_table_is_the_same_to_the_byte() {
    let pair = pair_with_types().await;
    pair.psql(
        "create table mixed as select i as id, nullif(i % 7, 0) as small, i::int8 * 1000003 as big, i / 7.0 as n,
             sqrt(i) as d, sqrt(i)::float4 as f, repeat('x\"y,', i % 9) as t, md5(i::text)::uuid as u,
             decode(md5(i::text), 'hex') as b, '2000-01-01'::timestamptz + i * interval '1 h 0.001 s' as tz,
             i % 2 = 0 as flag, array[i, null, -i] as list, jsonb_build_object('i', i, 'x', null) as j,
             int4range(i, i + 3) as r, case when i % 3 = 0 then 'ok'::mood end as m
         from generate_series(1, 20000) i",
    );
    assert_as_psql(&pair, "select * from mixed order by id").await;
    assert_as_psql(&pair, "select id, t, r, m from mixed order by md5(id::text)").await;
}

#[tokio::test]
async fn the_header_tells_each_columns_type() {
    let pair = pair_with_types().await;
    pair.psql("create schema apart; create type apart.shade as enum ('x'); create domain lists as int[]");
    for (expression, type_name, oid_of) in [
        ("true", "bool", "bool"),
        ("1::int2", "int2", "int2"),
        ("1", "int4", "int4"),
        ("1::int8", "int8", "int8"),
        ("1.5", "numeric", "numeric"),
        ("1.5::numeric(10, 2)", "numeric", "numeric"),
        ("'x'::text", "text", "text"),
        ("'x'::varchar(3)", "varchar", "varchar"),
        ("'x'::char(3)", "bpchar", "bpchar"),
        ("'x'::\"char\"", "\"char\"", "\"char\""),
        ("now()", "timestamptz", "timestamptz"),
        ("array['x']", "text[]", "text[]"),
        ("array[1.5]::float4[]", "float4[]", "float4[]"),
        ("'[1,2)'::int4range", "int4range", "int4range"),
        ("'{}'::int4multirange", "int4multirange", "int4multirange"),
        ("array['[1,2)'::int4range]", "int4range[]", "int4range[]"),
        ("'12:00+00'::timetz", "timetz", "timetz"),
        ("B'1'", "bit", "bit"),
        ("'ok'::mood", "mood", "mood"),
        ("array['ok'::mood]", "mood[]", "mood[]"),
        ("'x'::apart.shade", "apart.shade", "apart.shade"),
        ("array['x'::apart.shade]", "apart.shade[]", "apart.shade[]"),
        ("1::positive", "int4", "int4"),
        ("'{1}'::lists", "int4[]", "int4[]"),
        ("row(1)", "record", "record"),
        ("pg_sleep(0)", "void", "void"),
        ("'a=>1'::hstore", "hstore", "hstore"),
    ] {
        let rows = pair.client().sql(format!("select {expression} as x")).stream().await.expect("a row");
        let column = &rows.columns()[0];
        let oid = pair.psql(&format!("select {}::regtype::oid", quoted(oid_of)));
        assert_eq!((column.type_name.as_str(), column.type_oid.to_string()), (type_name, oid), "{expression}");
    }
}

#[tokio::test]
async fn what_a_database_prefers_changes_nothing_of_what_is_sent() {
    let pair = Pair::start().await;
    let name = pair.database.name().to_owned();
    for (setting, value) in [
        ("timezone", "Asia/Kolkata"),
        ("datestyle", "German, DMY"),
        ("intervalstyle", "iso_8601"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "0"),
        ("client_encoding", "LATIN1"),
        ("standard_conforming_strings", "off"),
    ] {
        pair.psql(&format!("alter database {name} set {setting} = '{value}'"));
    }
    // Connections from here on are new ones.
    pair.psql(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()"
    ));
    let sql = "select '2024-07-01 12:00:00+00'::timestamptz as a, '2024-07-01'::date as b, interval '1 day -01:02:03' as c,
                      '\\x5c00'::bytea as d, 1 / 3.0::float8 as e, 'ü' as f, tstzrange('2024-07-01 12:00:00+00', null) as g,
                      row('2024-07-01'::date, interval '1 day', '\\x5c00'::bytea, 0.1::float4) as h, 'a\\b' as i,
                      array[daterange('2024-07-01', null)] as j, '12:00+05:30'::timetz as k";
    let theirs = Postgres::shared().psql_csv("postgres", sql).expect("psql");
    assert_same(&csv(&pair, sql).await, &theirs, sql);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_data_loss_that_names_its_column() {
    let pair = sql_ascii().await;
    let mut raw = pair.raw().await;
    for statement in ["select 1 as id, bad from broken", "select array[bad] as bad from broken"] {
        let status = raw.stream_query(sql(statement)).await.expect_err("not UTF-8");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DataLoss, "INVALID_ENCODING"), "{status:?}");
        assert_eq!((fact(&status, "column").as_deref(), fact(&status, "row").as_deref()), (Some("bad"), Some("0")));
        assert!(status.message().contains("bad"), "{status:?}");
    }
    let row = pair.client().sql("select good from broken").query_row().await.expect("ASCII and UTF-8 pass");
    assert_eq!(row.get::<String>("good").expect("text"), "gr\u{fc}n");
    pair.assert_settled().await;
}

async fn sql_ascii() -> Pair {
    let database = Postgres::shared().create_database().expect("a database");
    let name = format!("{}_ascii", database.name());
    let create = format!("create database {name} encoding 'SQL_ASCII' template template0 locale 'C'");
    Postgres::shared().psql("postgres", &create).expect("a database");
    let table = "create table broken as select E'gr\\xfcn' as bad, E'gr\\xc3\\xbcn' as good";
    Postgres::shared().psql(&name, &format!("set client_encoding = 'SQL_ASCII'; {table}")).expect("a table");
    Pair::over(database, &Postgres::shared().url(&name), &[]).await
}

#[tokio::test]
async fn every_type_is_taken_as_text() {
    let pair = pair_with_types().await;
    for (name, values) in BINARY.iter().chain(AS_TEXT) {
        // The first have no binary form, and multiranges are not known to sqlx.
        if matches!(*name, "aclitem" | "isbn13" | "seg" | "tagged") || name.ends_with("multirange") {
            continue;
        }
        let values = known(name, values);
        let list = |item: &dyn Fn(usize) -> String| joined(values.len(), item);
        let theirs = format!("select {}", list(&|i| format!("{}::{name} as c{i}", quoted(values[i]))));
        let mut call = pair.client().sql(format!("select {}", list(&|i| format!("${}::{name} as c{i}", i + 1))));
        for value in values {
            call = call.bind(value);
        }
        assert_same(&printed(&call).await, &pair.database.psql_csv(&theirs).expect("psql"), &theirs);
        let null = pair.client().sql(format!("select $1::{name} is null as n")).bind(Value::null()).query_row().await;
        assert!(null.expect(name).get::<bool>(0).expect("a bool"), "{name}");
    }
}

#[tokio::test]
async fn a_parameter_of_a_type_without_a_binary_form_is_told_how_to_be_written() {
    let pair = pair_with_types().await;
    let refused = pair.client().sql("select $1::seg").bind("1").query_row().await.expect_err("refused");
    let expected = "parameter $1: seg has no binary form, so no parameter can be of it; write $N::text::seg for it";
    assert!(refused.to_string().starts_with(expected), "{refused}");
    let taken = pair.client().sql("select $1::text::seg").bind("1").query_row().await.expect("a row");
    assert_eq!(taken.get::<String>(0).expect("text"), "1");
}

async fn printed(call: &rowstream_client::Call) -> Vec<u8> {
    let mut rows = call.stream().await.unwrap_or_else(|error| panic!("{error}: {:?}", error.server()));
    let (mut sink, mut out) = (CsvSink::default(), Vec::new());
    sink.begin(rows.columns(), &mut out);
    while let Some(batch) = rows.next_batch().await.expect("rows") {
        sink.batch(&batch, &mut out).expect("valid values");
    }
    out
}

fn of(kind: Kind) -> v1::Value {
    v1::Value { kind: Some(kind) }
}

fn int(value: i64) -> v1::Value {
    of(Kind::Int64(value))
}

fn double(value: f64) -> v1::Value {
    of(Kind::Double(value))
}

fn numeric(value: &str) -> v1::Value {
    of(Kind::Numeric(value.to_owned()))
}

fn bytes(value: &'static [u8]) -> v1::Value {
    of(Kind::Bytes(value.into()))
}

fn null() -> v1::Value {
    v1::Value::default()
}

fn list(values: impl IntoIterator<Item = v1::Value>) -> v1::Value {
    of(Kind::List(ListValue { values: values.into_iter().collect() }))
}

async fn query_row(pair: &Pair, statement: &str, parameters: Vec<v1::Value>) -> Result<Vec<u8>, tonic::Status> {
    let statement = v1::Statement { parameters, ..crate::harness::statement(statement) };
    let request = v1::QueryRowRequest { statement: Some(statement), ..v1::QueryRowRequest::default() };
    pair.raw().await.query_row(request).await.map(|answer| answer.into_inner().row.expect("a row").0.to_vec())
}

#[tokio::test]
async fn every_kind_is_taken_for_its_types() {
    let pair = pair_with_types().await;
    for (type_name, value, literal) in [
        ("bool", of(Kind::Bool(true)), "true"),
        ("int2", int(-32768), "-32768"),
        ("int4", int(2_147_483_647), "2147483647"),
        ("int8", int(i64::MIN), "-9223372036854775808"),
        ("oid", int(4_294_967_295), "4294967295"),
        ("numeric", int(i64::MAX), "9223372036854775807"),
        ("float8", int(1 << 53), "9007199254740992"),
        ("float8", double(0.1), "0.1"),
        ("float8", double(-0.0), "-0"),
        ("float8", double(f64::NAN), "NaN"),
        ("float4", double(f64::from(0.1_f32)), "0.1"),
        ("float4", double(0.1), "0.1"),
        ("float4", double(f64::NEG_INFINITY), "-Infinity"),
        ("numeric", numeric("-12.3400"), "-12.3400"),
        ("numeric", numeric("1e100"), "1e100"),
        ("numeric", numeric("NaN"), "NaN"),
        ("bytea", bytes(b"\x00\xff\\"), "\\x00ff5c"),
        ("text", text("ü"), "ü"),
        ("positive", int(7), "7"),
        ("int4[]", list([int(1), null(), int(-3)]), "{1,NULL,-3}"),
        ("int4[]", list([]), "{}"),
        ("int4[]", list([list([int(1), int(2)]), list([int(3), null()])]), "{{1,2},{3,NULL}}"),
        ("int4[]", list([text("1"), int(2)]), "{1,2}"),
        (
            "float8[]",
            list([double(1e300), double(f64::NAN), double(f64::INFINITY), double(-0.0)]),
            "{1e300,NaN,Infinity,-0}",
        ),
        ("float8[]", list([list([double(0.1), double(f64::NEG_INFINITY)])]), "{{0.1,-Infinity}}"),
        ("bool[]", list([of(Kind::Bool(true)), of(Kind::Bool(false))]), "{t,f}"),
        (
            "text[]",
            list([text("a\"b\\"), text(""), text("NULL"), null(), text("{x, y}")]),
            r#"{"a\"b\\","","NULL",NULL,"{x, y}"}"#,
        ),
        ("text[]", list([list([text("a"), text("ü")])]), "{{a,ü}}"),
        ("bytea[]", list([bytes(b"\x01"), bytes(b"")]), r#"{"\\x01",""}"#),
        ("bytea[]", list([list([bytes(b"\x01")])]), r#"{{"\\x01"}}"#),
        ("numeric[]", list([numeric("1.50"), int(2), null()]), "{1.50,2,NULL}"),
        ("jsonb[]", list([text("{\"a\": [1, 2]}")]), r#"{"{\"a\": [1, 2]}"}"#),
        ("json[]", list([text("{\"a\": 1}")]), r#"{"{\"a\": 1}"}"#),
        ("timestamptz[]", list([text("2024-01-01 12:00+02")]), "{2024-01-01 12:00+02}"),
        ("int4range[]", list([text("[1,5)"), null()]), r#"{"[1,5)",NULL}"#),
        ("mood[]", list([text("ok"), text("very happy, indeed")]), r#"{ok,"very happy, indeed"}"#),
        ("inet[]", list([text("10.0.0.1")]), "{10.0.0.1}"),
        ("int4[]", text("[0:1]={7,8}"), "[0:1]={7,8}"),
    ] {
        let bound = query_row(&pair, &format!("select $1::{type_name}"), vec![value.clone()]).await;
        let literal = query_row(&pair, &format!("select {}::{type_name}", quoted(literal)), vec![]).await;
        assert_eq!(bound.expect(type_name), literal.expect(type_name), "{type_name} {value:?}");
    }
}

#[tokio::test]
async fn a_bad_value_is_named_with_its_parameter_and_type() {
    let pair = pair_with_types().await;
    for (type_name, value, shown, short) in [
        ("int2", int(40_000), "int64 40000", "int2"),
        ("int4", int(1 << 40), "int64 1099511627776", "int4"),
        ("int4", text("seven"), "text \"seven\"", "int4"),
        ("int4", text("99999999999"), "text \"99999999999\"", "int4"),
        ("int4", double(1.0), "double 1", "int4"),
        ("int4", numeric("1.5"), "numeric \"1.5\"", "int4"),
        ("oid", int(-1), "int64 -1", "oid"),
        ("float8", int(i64::MAX), "int64 9223372036854775807", "float8"),
        ("float4", double(1e39), "double 1", "float4"),
        ("float4", double(1e-60), "double 0.0", "float4"),
        ("bool", text("perhaps"), "text \"perhaps\"", "bool"),
        ("bool", int(1), "int64 1", "bool"),
        ("text", bytes(b"x"), "bytes of length 1", "text"),
        ("text", int(1), "int64 1", "text"),
        ("text", text("a\0b"), "text \"a\\0b\"", "text"),
        ("numeric", numeric("12,5"), "numeric \"12,5\"", "numeric"),
        ("uuid", text("no-uuid"), "text \"no-uuid\"", "uuid"),
        ("date", text("2023-02-29"), "text \"2023-02-29\"", "date"),
        ("timestamptz", text("yesterday o'clock"), "text \"yesterday o'clock\"", "timestamptz"),
        ("json", text("{nope"), "text \"{nope\"", "json"),
        ("jsonb", text("{nope"), "text \"{nope\"", "jsonb"),
        ("json[]", list([text("{nope")]), "a list of 1 values", "json[]"),
        ("bytea", text("\\xzz"), "text \"\\\\xzz\"", "bytea"),
        ("int4[]", list([int(1 << 40)]), "a list of 1 values", "int4[]"),
        ("int4[]", list([text("x"), int(1)]), "a list of 2 values", "int4[]"),
        ("int4[]", list([list([int(1)]), list([])]), "a list of 2 values", "int4[]"),
        ("int4[]", int(1), "int64 1", "int4[]"),
        ("int4", list([int(1)]), "a list of 1 values", "int4"),
        ("mood", text("angry"), "text \"angry\"", "mood"),
        ("mood[]", list([text("angry")]), "a list of 1 values", "mood[]"),
        ("positive", text("-5"), "text \"-5\"", "positive"),
        ("int4range", text("[5,1)"), "text \"[5,1)\"", "int4range"),
        ("xml", text("<a>"), "text \"<a>\"", "xml"),
    ] {
        for (statement, parameters, label) in [
            (format!("select $1::{type_name}"), vec![value.clone()], "parameter $1: "),
            (
                format!("select $1::date, $2::{type_name}, $3::int4range"),
                vec![text("2024-01-01"), value.clone(), text("[1,2)")],
                "parameter $2: ",
            ),
        ] {
            let status = query_row(&pair, &statement, parameters).await.expect_err(&statement);
            let told = (status.code(), reason(&status));
            assert_eq!(told, (Code::InvalidArgument, "INVALID_PARAMETER".to_owned()), "{value:?} {status:?}");
            assert!(status.message().starts_with(&format!("{label}{shown}")), "{status:?}");
            assert!(status.message().contains(&format!("cannot be a {short}: ")), "{status:?}");
        }
    }
}
