//! Tables read without SQL: filters and orders against psql, every kind of relation, what is open, what the
//! role may see, changes under way, and names and values that try to be SQL.

use futures_util::TryStreamExt as _;
use rowstream_client::{Code, Error, Filter, Reason, TableKind, TableRead, Value, col, sink::CsvSink, sink::Sink as _};
use rowstream_contract::v1::{
    Comparison, ComparisonOperator, FilterList, ListTablesRequest, ListTablesResponse, Statement, StreamQueryRequest,
    filter::Condition, statement::Source,
};
use rowstream_testkit::eventually;
use tonic_types::StatusExt as _;

use crate::harness::{PATIENCE, Pair, reason};

const OPEN: [&str; 2] = ["--tables", "public.*,sales.*"];

/// What COPY would print of the read.
async fn csv(read: &TableRead) -> Result<String, Error> {
    let mut rows = read.stream().await?;
    let (mut sink, mut out) = (CsvSink::default(), Vec::new());
    sink.begin(rows.columns(), &mut out);
    while let Some(batch) = rows.next_batch().await? {
        sink.batch(&batch, &mut out)?;
    }
    sink.end(&mut out);
    Ok(String::from_utf8(out).expect("UTF-8"))
}

async fn count(read: &TableRead) -> u64 {
    let mut rows = read.stream().await.expect("rows");
    while rows.next_batch().await.expect("rows").is_some() {}
    rows.rows_received()
}

async fn refused(read: &TableRead) -> (Option<Reason>, String) {
    let error = read.stream().await.expect_err("refused");
    (error.server().and_then(rowstream_client::ServerError::reason), error.to_string())
}

fn psql(pair: &Pair, sql: &str) -> String {
    String::from_utf8(pair.database.psql_csv(sql).expect("psql")).expect("UTF-8")
}

// === Types, operators, orders

/// A column, its type, and some values in ascending order, as SQL.
const TYPES: &[(&str, &str, &[&str])] = &[
    ("i2", "int2", &["-32768", "0", "7"]),
    ("i4", "int4", &["-5", "0", "2147483647"]),
    ("i8", "int8", &["-9223372036854775808", "1", "2"]),
    ("f4", "float4", &["-1.5", "0.1", "NaN"]),
    ("f8", "float8", &["-Infinity", "0.1", "NaN"]),
    ("n", "numeric", &["-1.50", "2", "1e30"]),
    ("t", "text", &["", "it's", "ä\"\\"]),
    ("vc", "varchar(10)", &["a", "b", "c"]),
    ("c", "char(5)", &["a", "b", "c"]),
    ("nm", "name", &["a", "b", "c"]),
    ("ch", "\"char\"", &["a", "b", "c"]),
    ("b", "bytea", &["\\x", "\\x00ff", "\\x01"]),
    ("bo", "bool", &["f", "t"]),
    ("u", "uuid", &["00000000-0000-0000-0000-000000000001", "10000000-0000-0000-0000-000000000000"]),
    ("d", "date", &["0044-03-15 BC", "2024-02-29", "infinity"]),
    ("ti", "time", &["00:00:00", "24:00:00"]),
    ("ts", "timestamp", &["2024-02-29 12:00:00.000001", "infinity"]),
    ("tz", "timestamptz", &["2024-02-29 12:00:00+00", "2024-02-29 12:00:01+00"]),
    ("iv", "interval", &["1 day", "1 mon"]),
    ("jb", "jsonb", &["null", "\"a\"", "1", "{\"a\": 1}"]),
    ("o", "oid", &["1", "4294967295"]),
    ("ai", "int4[]", &["{}", "{1,NULL}", "{2}", "{{1,2},{3,4}}"]),
    ("at", "text[]", &["{a,\"b c\"}", "{b}"]),
    ("e", "public.mood", &["sad", "happy"]),
    ("ea", "public.mood[]", &["{sad}", "{happy,sad}"]),
    ("dm", "public.positive", &["1", "20"]),
    ("dd", "public.very_positive", &["10", "20"]),
    ("cx", "public.pair", &["(1,a)", "(2,b)"]),
    ("r", "int4range", &["empty", "[1,5)", "[2,)"]),
    ("mr", "int4multirange", &["{}", "{[1,2)}", "{[1,3)}"]),
    ("ip", "inet", &["10.0.0.1", "10.0.0.2/8"]),
    ("ci", "cidr", &["10.0.0.0/8", "11.0.0.0/8"]),
    ("m", "macaddr", &["08:00:2b:01:02:03", "08:00:2b:01:02:04"]),
    ("mo", "money", &["$1.00", "$2.00"]),
    ("vb", "varbit", &["0", "1", "11"]),
    ("tv", "tsvector", &["'a'", "'b' 'c'"]),
    ("rc", "regclass", &["pg_type", "pg_class"]),
];

const PREPARE_TYPES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN very_positive AS positive CHECK (VALUE > 9);
    CREATE TYPE pair AS (x int, y text);";

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[tokio::test]
async fn every_type_is_compared_and_sorted_as_psql_does() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(PREPARE_TYPES);
    for (name, of, values) in TYPES {
        let rows: Vec<_> = values.iter().map(|value| format!("({}::{of})", literal(value))).collect();
        let rows = rows.join(", ");
        pair.psql(&format!("CREATE TABLE one_{name} (v {of}); INSERT INTO one_{name} VALUES (NULL), {rows}"));
    }
    let client = pair.client();
    for (name, of, values) in TYPES {
        let table = || client.table(format!("one_{name}")).order_by(["v nulls first"]);
        let check = async |read: TableRead, sql: String| {
            let expected = psql(&pair, &format!("SELECT * FROM one_{name} WHERE {sql} ORDER BY v NULLS FIRST"));
            assert_eq!(csv(&read).await.unwrap_or_else(|error| format!("{error}")), expected, "{of}: {sql}");
        };
        let value = values[1];
        let typed = format!("{}::{of}", literal(value));
        check(table().filter(col("v").eq(value)), format!("v = {typed}")).await;
        check(table().filter(col("v").ne(value)), format!("v <> {typed}")).await;
        check(table().filter(col("v").lt(value)), format!("v < {typed}")).await;
        check(table().filter(col("v").ge(value)), format!("v >= {typed}")).await;
        check(table().filter(!col("v").le(value)), format!("NOT v <= {typed}")).await;
        let (first, last) = (literal(values[0]), literal(values[values.len() - 1]));
        let between = col("v").between(values[0], values[values.len() - 1]);
        check(table().filter(between), format!("v BETWEEN {first}::{of} AND {last}::{of}")).await;
        check(table().filter(col("v").is_in([values[0], value])), format!("v IN ({first}::{of}, {typed})")).await;
        check(table().filter(!col("v").is_in([value])), format!("v NOT IN ({typed})")).await;
        check(table().filter(col("v").is_null()), "v IS NULL".to_owned()).await;
    }
    let read = client.table("one_f8").order_by(["v desc nulls last"]);
    assert_eq!(csv(&read).await.expect("rows"), psql(&pair, "SELECT * FROM one_f8 ORDER BY v DESC NULLS LAST"));
}

#[tokio::test]
async fn values_arrive_in_their_own_kinds_too() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE TABLE t (i int2, f float4, n numeric, b bytea, l int8[], d date)");
    pair.psql("INSERT INTO t VALUES (1, 0.5, 1.5, '\\x01', '{1,2}', '2024-01-01'), (2, 1.5, 2.5, '\\x02', '{}', NULL)");
    let client = pair.client();
    for filter in [
        col("i").eq(1_i64),
        col("f").lt(1.0_f64),
        col("n").eq(Value::numeric("1.50")),
        col("n").lt(2),
        col("b").eq(&[1_u8][..]),
        col("l").eq(vec![1, 2]),
        col("l").is_in([vec![1_i64, 2], vec![3]]),
        col("d").is_in(["2024-01-01", "today"]),
    ] {
        let read = client.table("t").columns(["i"]).filter(filter);
        assert_eq!(csv(&read).await.expect("rows"), "i\n1\n");
    }
    // More conversions than a SELECT has columns.
    let dates: Vec<String> = (0..2_000).map(|day| format!("{}-01-{:02}", 2024 + day / 28, day % 28 + 1)).collect();
    assert_eq!(count(&client.table("t").filter(col("d").is_in(dates))).await, 1);
    assert_eq!(count(&client.table("t").filter(col("d").is_in(Vec::<String>::new()))).await, 0);
    assert_eq!(count(&client.table("t").filter(!col("d").is_in(Vec::<String>::new()))).await, 2);
}

#[tokio::test]
async fn patterns_match_texts_and_types_that_have_patterns_of_their_own() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext");
    pair.psql("CREATE TABLE t (t text, v varchar(9), c char(9), n name, x ext.citext, i int)");
    pair.psql("INSERT INTO t SELECT w, w, w, w, w, 1 FROM unnest(ARRAY['Abc', 'abd', '100%', 'a\\b', 'ä']) w");
    let client = pair.client();
    for column in ["t", "v", "c", "n"] {
        for (pattern, any_case) in
            [("a%", false), ("A%", true), ("100\\%", false), ("a\\\\b", false), ("_", false), ("%", false)]
        {
            let filter = if any_case { col(column).ilike(pattern) } else { col(column).like(pattern) };
            let read = client.table("t").columns([column]).filter(filter).order_by([column]);
            let operator = if any_case { "ILIKE" } else { "LIKE" };
            let sql = format!("SELECT {column} FROM t WHERE {column} {operator} '{pattern}' ORDER BY {column}");
            assert_eq!(csv(&read).await.expect("rows"), psql(&pair, &sql), "{sql}");
        }
    }
    // The type's own operators, though its schema is on no search path: letters compare without their case.
    assert_eq!(count(&client.table("t").filter(col("x").eq("ABC"))).await, 1);
    assert_eq!(count(&client.table("t").filter(col("x").is_in(["ABC", "ABD"]))).await, 2);
    assert_eq!(count(&client.table("t").filter(col("x").like("AB%"))).await, 2);
    let (reason, message) = refused(&client.table("t").filter(col("i").like("1%"))).await;
    assert_eq!(reason, Some(Reason::InvalidRequest));
    assert!(
        message.contains("statement.table.filter.like: column \"i\" has type int4, which has no operator LIKE"),
        "{message}"
    );
}

#[tokio::test]
async fn a_type_that_cannot_be_compared_is_told_before_anything_runs() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE TABLE t (j json, p point, x xml, h xid, ja json[]); INSERT INTO t VALUES ('1', '(1,2)', '<a/>', '5', '{1}')");
    let client = pair.client();
    for column in ["j", "p", "x"] {
        for filter in [col(column).eq("1"), col(column).lt("1"), col(column).is_in(["1"])] {
            let (reason, message) = refused(&client.table("t").filter(filter)).await;
            assert_eq!(reason, Some(Reason::InvalidRequest));
            assert!(message.contains("which has no operator"), "{message}");
        }
        let (_, message) = refused(&client.table("t").order_by([column])).await;
        assert!(message.contains("which has no order"), "{message}");
        assert_eq!(count(&client.table("t").filter(col(column).is_not_null())).await, 1);
    }
    // Equality without an order.
    assert_eq!(count(&client.table("t").filter(col("h").eq("5"))).await, 1);
    assert!(refused(&client.table("t").filter(col("h").lt("5"))).await.1.contains("no operator <"));
    // Only PostgreSQL finds that the elements cannot be compared.
    assert_eq!(refused(&client.table("t").filter(col("ja").eq("{1}"))).await.0, Some(Reason::SqlError));
}

#[tokio::test]
async fn a_bad_value_is_named_by_its_place_its_column_and_its_type() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE TABLE t (d date, i int2)");
    let client = pair.client();
    for (filter, told) in [
        (
            Filter::and([col("i").eq(1), col("d").ge("soon")]),
            "statement.table.filter.and.filters[1].comparison.value: for column \"d\": text \"soon\" cannot be a date: \
             invalid input syntax for type date",
        ),
        (
            !col("i").is_in([1_i64, 70_000]),
            "statement.table.filter.not.in.values[1]: for column \"i\": int64 70000 cannot be a int2: int64 70000 is out \
             of range",
        ),
        (
            col("d").between("2024-01-01", "2024-13-01"),
            "statement.table.filter.between.high: for column \"d\": text \"2024-13-01\" cannot be a date",
        ),
        (col("d").eq(true), "statement.table.filter.comparison.value: for column \"d\": bool true cannot be a date"),
        (col("i").eq(None::<i64>), "statement.table.filter.comparison.value: is NULL"),
    ] {
        // Once with a table that is not known yet, and once with one that is.
        for _ in 0..2 {
            let (_, message) = refused(&client.table("t").filter(filter.clone())).await;
            assert!(message.contains(told), "{message}");
        }
    }
    let request = StreamQueryRequest {
        statement: Some(Statement {
            source: Some(Source::Table(rowstream_contract::v1::TableRead {
                table: "t".to_owned(),
                filter: Some(of(Condition::And(FilterList {
                    filters: vec![of(Condition::Comparison(Comparison {
                        column: "d".to_owned(),
                        operator: ComparisonOperator::Less.into(),
                        value: Some(crate::harness::text("soon")),
                    }))],
                }))),
                ..rowstream_contract::v1::TableRead::default()
            })),
            ..Statement::default()
        }),
        ..StreamQueryRequest::default()
    };
    let status = pair.raw().await.stream_query(request).await.expect_err("refused");
    let violations = status.get_details_bad_request().expect("BadRequest").field_violations;
    assert_eq!(violations[0].field, "statement.table.filter.and.filters[0].comparison.value");
    assert_eq!((status.code(), reason(&status)), (tonic::Code::InvalidArgument, "INVALID_PARAMETER".to_owned()));
    pair.assert_idle().await;
}

fn of(condition: Condition) -> rowstream_contract::v1::Filter {
    rowstream_contract::v1::Filter { condition: Some(condition) }
}

#[tokio::test]
async fn null_is_neither_equal_nor_unequal() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2), (NULL)");
    let client = pair.client();
    for (filter, rows) in [
        (col("i").eq(1), 1),
        (col("i").ne(1), 1),
        (!col("i").eq(1), 1),
        (!col("i").is_in([1]), 1),
        (col("i").is_null(), 1),
        (!col("i").is_null(), 2),
        (col("i").is_not_null(), 2),
        (Filter::or([col("i").ne(1), col("i").is_null()]), 2),
        (Filter::and([]), 3),
        (Filter::or([]), 0),
        (!Filter::or([]), 3),
    ] {
        assert_eq!(count(&client.table("t").filter(filter.clone())).await, rows, "{filter:?}");
    }
}

#[tokio::test]
async fn a_limit_and_max_rows_cut_and_only_max_rows_says_so() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
    let client = pair.client();
    for (limit, max_rows, rows, truncated) in [
        (0, 0, 1000, false),
        (5, 0, 5, false),
        (0, 5, 5, true),
        (5, 5, 5, false),
        (9, 5, 5, true),
        (0, 1000, 1000, false),
    ] {
        let call = client.table("t").order_by(["i desc"]).limit(limit).call().max_rows(max_rows);
        let mut stream = call.stream().await.expect("rows");
        let mut first = None;
        while let Some(row) = stream.try_next().await.expect("rows") {
            first = first.or(Some(row.get::<i64>("i").expect("a number")));
        }
        let summary = stream.summary().expect("a summary");
        assert_eq!((first, summary.row_count, summary.truncated), (Some(1000), rows, truncated), "{limit} {max_rows}");
    }
    let row = client.table("t").filter(col("i").gt(10)).order_by(["i"]).query_row().await.expect("a row");
    assert_eq!(row.get::<i64>(0).expect("a number"), 11);
    let none = client.table("t").filter(col("i").gt(1000)).query_row().await.expect_err("no row");
    assert_eq!(none.server().and_then(rowstream_client::ServerError::reason), Some(Reason::NoRow));
}

// === Relations, names, privileges

#[tokio::test]
async fn every_kind_of_relation_is_listed_described_and_read() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE TABLE base (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int NOT NULL, b int,
                            twice int GENERATED ALWAYS AS (a * 2) STORED);
         COMMENT ON TABLE base IS 'the base';
         INSERT INTO base (a) SELECT i FROM generate_series(1, 10) i;
         ALTER TABLE base ADD COLUMN gone int; ALTER TABLE base DROP COLUMN gone;
         ANALYZE base;
         CREATE TABLE child (c int) INHERITS (base); INSERT INTO child (id, a) VALUES (11, 11);
         CREATE TABLE parts (k int NOT NULL, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
         INSERT INTO parts SELECT i, i::text FROM generate_series(0, 19) i;
         CREATE VIEW seen AS SELECT a FROM base;
         CREATE MATERIALIZED VIEW kept AS SELECT a FROM base;
         CREATE FOREIGN TABLE far (line text NOT NULL) SERVER files OPTIONS (program 'echo x');
         CREATE TABLE nothing ();
         CREATE SEQUENCE numbers; CREATE INDEX ON base (a);",
    );
    let client = pair.client();
    let tables = client.tables().await.expect("tables");
    let kinds: Vec<_> = tables.iter().map(|table| (table.table.as_str(), table.kind)).collect();
    use TableKind::{ForeignTable, MaterializedView, PartitionedTable, Table, View};
    assert_eq!(
        kinds,
        [
            ("public.base", Table),
            ("public.child", Table),
            ("public.far", ForeignTable),
            ("public.kept", MaterializedView),
            ("public.nothing", Table),
            ("public.parts", PartitionedTable),
            ("public.parts_1", Table),
            ("public.parts_2", Table),
            ("public.seen", View),
        ]
    );
    let base = &tables[0];
    assert_eq!((base.comment.as_str(), base.estimated_rows), ("the base", Some(10)));
    assert_eq!(base.primary_key, ["id"]);
    let columns = |i: usize| tables[i].columns.iter().map(|c| (c.name.as_str(), c.nullable)).collect::<Vec<_>>();
    // A table that others inherit from proves nothing of their rows.
    assert_eq!(columns(0), [("id", None), ("a", None), ("b", Some(true)), ("twice", Some(true))]);
    assert_eq!(columns(2), [("line", None)]);
    assert_eq!(columns(5), [("k", Some(false)), ("v", Some(true))]);
    assert_eq!(columns(8), [("a", None)]);
    assert_eq!(tables[8].estimated_rows, None);

    for table in &tables {
        let read = client.table(&table.table);
        assert_eq!(csv(&read).await.expect("rows"), psql(&pair, &format!("TABLE {}", table.table)), "{}", table.table);
        let described = read.describe().await.expect("a description");
        assert_eq!(described.columns, table.columns, "{}", table.table);
        assert_eq!(described.description, table.comment);
        let header = read.stream().await.expect("rows").columns().to_vec();
        assert_eq!(header, table.columns, "{}", table.table);
    }
}

#[tokio::test]
async fn odd_names_are_names() {
    let pair = Pair::without_sql(&["--tables", "*.*"]).await;
    let long = "x".repeat(63);
    let names = [
        "Upper",
        "a b",
        "a.b",
        "a\"b",
        "select",
        "ä€",
        "'; drop table t --",
        "\\",
        "$1",
        "*",
        "a\nb",
        " ",
        "1",
        "ctid ",
        &long,
    ];
    for name in names {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        pair.psql(&format!(
            "CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} ({quoted} int, p point); INSERT INTO {quoted}.{quoted} VALUES (1), (2)"
        ));
    }
    let client = pair.client();
    let tables = client.tables().await.expect("tables");
    assert_eq!(tables.len(), names.len());
    for table in tables {
        assert!(names.contains(&table.name.as_str()) && table.schema == table.name);
        let order = format!("\"{}\" desc", table.name.replace('"', "\"\""));
        let read = client.table(&table.table).columns([&table.name]).filter(col(&table.name).ge(1)).order_by([order]);
        let quoted = format!("\"{}\"", table.name.replace('"', "\"\""));
        let expected = psql(&pair, &format!("SELECT {quoted} FROM {quoted}.{quoted} ORDER BY 1 DESC"));
        assert_eq!(csv(&read).await.expect("rows"), expected, "{:?}", table.name);
        assert_eq!(count(&client.table(&table.table)).await, 2);
    }
    // Nothing is folded, and system columns are none.
    assert_eq!(refused(&client.table("upper.upper")).await.0, Some(Reason::UnknownTable));
    assert!(refused(&client.table("Upper.Upper").columns(["ctid"])).await.1.contains("has no column"));
}

#[tokio::test]
async fn only_what_a_pattern_opens_is_there() {
    let prepare =
        "CREATE SCHEMA sales; CREATE SCHEMA hr; CREATE TABLE sales.orders (i int); CREATE TABLE sales.or_ers (i int);
        CREATE TABLE sales.orxers (i int); CREATE TABLE hr.people (i int); CREATE TABLE hr.orders (i int)";
    let all = [
        "hr.orders",
        "hr.people",
        "sales.or_ers",
        "sales.orders",
        "sales.orxers",
        "pg_catalog.pg_class",
        "pg_catalog.pg_proc",
    ];
    for (patterns, open) in [
        (&[][..], &[][..]),
        (&["sales.*"], &["sales.or_ers", "sales.orders", "sales.orxers"]),
        (&["*.orders"], &["hr.orders", "sales.orders"]),
        (&["sales.or_ers", "hr.p*"], &["hr.people", "sales.or_ers"]),
        (&["*.*"], &["hr.orders", "hr.people", "sales.or_ers", "sales.orders", "sales.orxers"]),
        (&["pg_catalog.*", "*.pg_class", "information_schema.*", "pg_catalog.pg_proc"], &["pg_catalog.pg_proc"]),
    ] {
        let flags: Vec<_> = patterns.iter().flat_map(|pattern| ["--tables", pattern]).collect();
        let pair = Pair::without_sql(&flags).await;
        pair.psql(prepare);
        let client = pair.client();
        let listed: Vec<_> = client.tables().await.expect("tables").into_iter().map(|table| table.table).collect();
        assert_eq!(listed, open, "{patterns:?}");
        for table in all {
            let expected = if open.contains(&table) { None } else { Some(Reason::UnknownTable) };
            let answer = client.table(table).limit(1).stream().await;
            let reason = answer.err().and_then(|error| error.server().and_then(rowstream_client::ServerError::reason));
            assert_eq!(reason, expected, "{patterns:?} {table}");
        }
    }
}

#[tokio::test]
async fn a_table_that_is_not_open_is_told_as_one_that_does_not_exist() {
    let pair = Pair::without_sql(&["--tables", "public.open"]).await;
    pair.psql("CREATE TABLE open (i int); CREATE TABLE closed (i int)");
    let client = pair.client();
    let told = async |table: &str| {
        let error = client.table(table).stream().await.expect_err("refused");
        assert_eq!(error.code(), Code::NotFound);
        (error.to_string().replace(table, "TABLE"), error.hint())
    };
    assert_eq!(told("public.closed").await, told("public.absent").await);
    assert_eq!(told("public.closed").await, told("absent.absent").await);
}

#[tokio::test]
async fn what_the_role_may_not_select_is_not_there() {
    let (pair, role) = as_reader().await;
    pair.psql(&format!(
        "CREATE SCHEMA hidden; CREATE TABLE hidden.t (i int); GRANT SELECT ON hidden.t TO {role};
         CREATE TABLE some_of (a int PRIMARY KEY, b int, c int); INSERT INTO some_of VALUES (1, 2, 3); GRANT SELECT (b, c) ON some_of TO {role};
         CREATE TABLE nothing (a int); CREATE TABLE whole (a int); GRANT SELECT ON whole TO {role};
         CREATE TABLE writes (a int); GRANT INSERT ON writes TO {role};"
    ));
    let client = pair.client();
    let tables = client.tables().await.expect("tables");
    let names: Vec<_> = tables.iter().map(|table| table.table.as_str()).collect();
    assert_eq!(names, ["public.some_of", "public.whole"]);
    assert!(tables[0].primary_key.is_empty());
    assert_eq!(csv(&client.table("some_of")).await.expect("rows"), "b,c\n2,3\n");
    for read in [
        client.table("some_of").columns(["a"]),
        client.table("some_of").filter(col("a").eq(1)),
        client.table("some_of").order_by(["a"]),
    ] {
        assert!(refused(&read).await.1.contains("has no column \"a\"; it has: b, c"));
    }
    for table in ["hidden.t", "nothing", "writes"] {
        assert_eq!(refused(&client.table(table)).await.0, Some(Reason::UnknownTable), "{table}");
    }
    // Taken away between two reads.
    assert_eq!(count(&client.table("whole")).await, 0);
    pair.psql(&format!("REVOKE SELECT ON whole FROM {role}; REVOKE SELECT (c) ON some_of FROM {role}"));
    assert_eq!(refused(&client.table("whole")).await.0, Some(Reason::UnknownTable));
    assert_eq!(csv(&client.table("some_of")).await.expect("rows"), "b\n2\n");
    pair.psql(&format!("DROP OWNED BY {role}"));
}

/// A server whose database role owns nothing and may do nothing but what it is granted.
async fn as_reader() -> (Pair, String) {
    let database = rowstream_testkit::Postgres::shared().create_database().expect("a database");
    let role = format!("reader_{}", database.name());
    database.psql(&format!("CREATE ROLE {role} LOGIN NOINHERIT")).expect("a role");
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let pair = Pair::over(database, &url, &["--tables", "*.*"]).await;
    (pair, role)
}

// === Changes

#[tokio::test]
async fn a_change_of_the_table_shows_in_the_very_next_read() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE TABLE t (a int, b text NOT NULL); INSERT INTO t VALUES (1, 'x')");
    let client = pair.client();
    let all = async || {
        let rows = csv(&client.table("t")).await.expect("rows");
        // The same with a value, which goes another way.
        assert_eq!(csv(&client.table("t").filter(col("a").is_in([1, 7]))).await.expect("rows"), rows);
        rows
    };
    assert_eq!(all().await, "a,b\n1,x\n");
    for (change, expected) in [
        ("ALTER TABLE t ADD COLUMN c int DEFAULT 3", "a,b,c\n1,x,3\n"),
        ("ALTER TABLE t DROP COLUMN b", "a,c\n1,3\n"),
        ("ALTER TABLE t RENAME COLUMN c TO d", "a,d\n1,3\n"),
        ("ALTER TABLE t ALTER COLUMN d TYPE text USING d || '!'", "a,d\n1,3!\n"),
        ("ALTER TABLE t RENAME TO u; CREATE TABLE t AS SELECT 7 AS a", "a\n7\n"),
        ("ALTER TABLE t ADD COLUMN p point DEFAULT '(1,2)'", "a,p\n7,\"(1,2)\"\n"),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 1 AS a, 'v' AS v", "a,v\n1,v\n"),
    ] {
        pair.psql(change);
        assert_eq!(all().await, expected, "{change}");
    }
    pair.psql("DROP VIEW t");
    assert_eq!(refused(&client.table("t")).await.0, Some(Reason::UnknownTable));
    pair.psql("CREATE TABLE t (z int)");
    assert_eq!(csv(&client.table("t")).await.expect("rows"), "z\n");
    // Without a row to show it, too.
    pair.psql("ALTER TABLE t ADD COLUMN y int NOT NULL");
    let stream = client.table("t").stream().await.expect("rows");
    assert_eq!(stream.columns()[1].nullable, Some(false));
    pair.psql("ALTER TABLE t ALTER COLUMN y DROP NOT NULL");
    let stream = client.table("t").stream().await.expect("rows");
    assert_eq!(stream.columns()[1].nullable, Some(true));
    // A column that a read names comes and goes.
    pair.psql("ALTER TABLE t ADD COLUMN new int");
    assert_eq!(csv(&client.table("t").columns(["new"])).await.expect("rows"), "new\n");
    pair.psql("ALTER TABLE t DROP COLUMN new");
    assert!(refused(&client.table("t").columns(["new"])).await.1.contains("has no column \"new\""));
}

#[tokio::test]
async fn a_read_of_a_table_ends_at_its_deadline_and_leaves_nothing_behind() {
    let pair = Pair::with(&OPEN).await;
    pair.psql("CREATE VIEW slow AS SELECT i, pg_sleep(0.05)::text AS s FROM generate_series(1, 10000) i");
    let client = pair.client();
    let call = client.table("slow").order_by(["i"]).call().deadline(std::time::Duration::from_millis(300));
    let error = call.stream().await.expect_err("too late");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    pair.assert_settled().await;
}

// === Injection

#[tokio::test]
async fn what_looks_like_sql_is_a_name_that_does_not_exist_or_a_value_that_nothing_equals() {
    let pair = Pair::without_sql(&["--tables", "*.*"]).await;
    pair.psql("CREATE TABLE t (a text, b int); INSERT INTO t VALUES ('x', 1), (E'\\\\', 2), ('''', 3)");
    let client = pair.client();
    let attacks = [
        "' OR TRUE --",
        "x' OR 'a'='a",
        "x\" OR TRUE --",
        "\\' OR TRUE --",
        "$$ OR TRUE --",
        "x'; DROP TABLE t; --",
        "a\" FROM t; DROP TABLE t; --",
        "/* */ OR TRUE",
        "$1 OR TRUE",
        "E'\\' OR TRUE --",
        "U&'\\0027' OR TRUE",
        "\u{ff07} OR TRUE --",
        "pg_sleep(10)",
        "(SELECT 1)",
        "a, (SELECT passwd FROM pg_shadow)",
        "a) UNION SELECT usename, 1 FROM pg_user --",
    ];
    for attack in attacks {
        assert_eq!(count(&client.table("t").filter(col("a").eq(attack))).await, 0, "{attack}");
        assert_eq!(count(&client.table("t").filter(col("a").is_in([attack, attack]))).await, 0, "{attack}");
        assert_eq!(count(&client.table("t").filter(!col("a").eq(attack))).await, 3, "{attack}");
        for read in [
            client.table("t").columns([attack]),
            client.table("t").filter(col(attack).eq("x")),
            client.table("t").filter(col(attack).is_null()),
            client.table("t").order_by([format!("\"{}\"", attack.replace('"', "\"\""))]),
            client.table("t").order_by([attack]),
            client.table(attack),
            client.table(format!("public.{attack}")),
            client.table(format!("public.\"{}\"", attack.replace('"', "\"\""))),
        ] {
            let (reason, message) = refused(&read).await;
            assert!(
                matches!(reason, Some(Reason::InvalidRequest | Reason::UnknownTable)),
                "{attack}: {reason:?} {message}"
            );
        }
    }
    for nul in [client.table("t\0"), client.table("t").columns(["a\0"]), client.table("t").filter(col("a").eq("\0"))] {
        assert_eq!(nul.stream().await.expect_err("NUL").code(), Code::InvalidArgument);
    }
    assert_eq!(pair.psql("SELECT count(*) FROM t"), "3");
}

#[tokio::test]
async fn parameters_of_statements_do_not_go_with_a_table() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("CREATE TABLE t (a int)");
    let client = pair.client();
    let error = client.table("t").call().bind(1).stream().await.expect_err("refused");
    assert!(error.to_string().contains("statement.parameters: go with sql and query"), "{error}");
    let error = client.table("t").call().bind_named("a", 1).stream().await.expect_err("refused");
    assert!(error.to_string().contains("statement.named_parameters: go with a query"), "{error}");
}

// === Pages and round trips

#[tokio::test]
async fn pages_hold_every_table_once() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql("DO $$ BEGIN FOR i IN 1..25 LOOP EXECUTE format('CREATE TABLE %I (i int)', 'T.' || i); END LOOP; END $$");
    let mut raw = pair.raw().await;
    let (mut seen, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = ListTablesRequest { page_size: 10, page_token };
        let ListTablesResponse { tables, next_page_token } =
            raw.list_tables(request).await.expect("a page").into_inner();
        seen.extend(tables.into_iter().map(|table| table.name));
        (page_token, pages) = (next_page_token, pages + 1);
        if page_token.is_empty() {
            break;
        }
    }
    let expected = pair.psql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'T%' ORDER BY 1");
    assert_eq!((seen, pages), (expected.lines().map(str::to_owned).collect(), 3));
    for (page_size, page_token, field) in [(-1, "", "page_size"), (0, "a.b.c", "page_token")] {
        let request = ListTablesRequest { page_size, page_token: page_token.to_owned() };
        let status = raw.list_tables(request).await.expect_err("refused");
        assert!(status.message().starts_with(field), "{status:?}");
    }
}

#[tokio::test]
async fn a_page_closes_before_it_is_too_large() {
    let pair = Pair::without_sql(&OPEN).await;
    pair.psql(
        "DO $$ BEGIN FOR t IN 1..12 LOOP EXECUTE (SELECT format('CREATE TABLE wide_%s (%s)', t, string_agg(format('%I int', \
         'column_with_quite_a_long_name_number_' || c), ', ')) FROM generate_series(1, 1200) c); END LOOP; END $$",
    );
    let mut raw = pair.raw().await;
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListTablesRequest { page_size: 0, page_token };
        let page = raw.list_tables(request).await.expect("a page").into_inner();
        pages.push(page.tables.iter().map(|table| table.columns.len()).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    // The table that passes 10,000 columns is the page's last.
    assert_eq!(pages, [vec![1200; 9], vec![1200; 3]]);
}

#[tokio::test]
async fn a_table_seen_before_costs_no_round_trip_of_its_own() {
    let (pair, proxy) = Pair::through_proxy(&["--pool-max", "1", "--tables", "public.*"]).await;
    pair.psql("CREATE TABLE t AS SELECT i, i::text AS s FROM generate_series(1, 10) i");
    let client = pair.client();
    let trips = async |read: TableRead| {
        // Seen before, and warm.
        read.query_row().await.expect("a row");
        let before: Vec<u64> = proxy.connection_counts().iter().map(|counts| counts.round_trips).collect();
        read.query_row().await.expect("a row");
        let after = proxy.connection_counts();
        let more = after.iter().enumerate().map(|(i, counts)| counts.round_trips - before.get(i).copied().unwrap_or(0));
        more.max().expect("a connection")
    };
    // As for a statement: one, or three with values.
    assert_eq!(trips(client.table("t")).await, 1);
    assert_eq!(trips(client.table("t").filter(col("i").eq(3))).await, 3);
}

#[tokio::test]
async fn tables_are_listed_again_once_the_database_is_back() {
    let pair = Pair::with(&OPEN).await;
    pair.psql("CREATE TABLE t (i int)");
    let client = pair.client();
    client.tables().await.expect("tables");
    pair.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    eventually("the tables are listed", PATIENCE, async || client.tables().await.is_ok()).await;
    pair.assert_settled().await;
}
