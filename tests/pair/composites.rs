//! Columns of composite types in Arrow, and of arrays of them: structs of the same values that their fields have as columns, whichever way they
//! are read; and what stays text.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray as _, types::Int32Type};
use arrow_schema::{DataType, Field};
use rowstream_client::{ArrowOptions, Call, PartitionStrategy, Strategy};

use crate::{
    arrow_values::{COLUMNS, held},
    harness::{PATIENCE, Pair},
};

const STRATEGIES: [Strategy; 3] = [Strategy::Cursor, Strategy::Portal, Strategy::Copy];
const ROWS: usize = 10_000;

/// Composites of which PostgreSQL's own record is read, and such that need casts, in one another; in a table, `every`,
/// with NULLs at every depth.
async fn pair_with_rows() -> Pair {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    let fields: Vec<_> = COLUMNS.iter().enumerate().map(|(n, (name, ..))| format!("c{n} {name}")).collect();
    let value = |(_, value, _): &(&str, &str, &str)| format!("case when random() < 0.15 then null else {value} end");
    let values: Vec<_> = COLUMNS.iter().map(value).collect();
    // All types but the one that has to become text.
    let plain: Vec<_> = plain().map(|(n, ..)| fields[n].clone()).collect();
    let plain_values: Vec<_> = plain.iter().map(|field| field.split(' ').next().expect("a name")).collect();
    pair.psql(&format!(
        "create type mood as enum ('sad', 'ok', 'very happy, indeed');
         create domain positive as int4 check (value > 0); create domain moods as mood[];
         create type plain as ({});
         create type mixed as (gone int8, p plain, r int8range, d positive, m moods, ip inet, ds positive[]);
         alter type mixed drop attribute gone;
         create domain known as mixed check (value is distinct from null or value is null);
         create table flat (i int4, {});
         select setseed(0.5);
         insert into flat select i, {} from generate_series(1, {ROWS}) i;
         create table every as
             select i, case when i % 7 > 0 then row({all})::plain end as a,
                 case when i % 11 = 0 then row(null, null, null, null, null, null)::mixed
                     when i % 5 > 0 then row(case when i % 3 > 0 then row({all})::plain end, int8range(i, i + 1),
                         nullif(i % 4, 0), enum_range(null::mood), ('10.0.0.0'::inet + i), array[i, 3])::mixed end as b
             from flat;
         alter table every add column d known, add primary key (i);
         update every set d = b where i % 2 = 0; vacuum every;",
        plain.join(", "),
        fields.join(", "),
        values.join(", "),
        all = plain_values.join(", "),
    ));
    pair
}

fn plain() -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    COLUMNS
        .iter()
        .enumerate()
        .map(|(n, (name, _, image))| (n, *name, *image))
        .filter(|(_, name, _)| *name != "int8range")
}

/// What Arrow is to hold of a composite, as PostgreSQL tells it: each field between bars.
fn image(composite: &str, fields: &[String]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("coalesce({field}, 'NULL')")).collect();
    format!("case when {composite} is distinct from null then '(' || {} || ')' end", fields.join(" || '|' || "))
}

fn plain_image(composite: &str) -> String {
    let field = |(n, name, image): (usize, &str, &str)| {
        // `||` takes the blanks away.
        let image = if name == "char(9)" { "rpad(x, 9)" } else { image };
        format!("(select {image} from (select ({composite}).c{n} as x) s)")
    };
    image(composite, &plain().map(field).collect::<Vec<_>>())
}

fn mixed_image(composite: &str) -> String {
    let text = |name: &str| format!("({composite}).{name}::text");
    // As the list of an enum's labels is shown by `held`.
    let moods = format!("replace({}, '\"', '')", text("m"));
    // As the output function prints it; the cast adds /32.
    let host = format!("host(({composite}).ip)");
    let all = [plain_image(&format!("({composite}).p")), text("r"), text("d"), moods, host, text("ds")];
    image(composite, &all)
}

async fn expected(pair: &Pair) -> Vec<[Option<String>; 3]> {
    let (a, b, d) = (plain_image("a"), mixed_image("b"), mixed_image("d"));
    let sql = format!("select {a}, {b}, {d} from every order by i");
    let mut rows = pair.client().sql(sql).deadline(PATIENCE).stream().await.expect("rows");
    let mut all = Vec::new();
    while let Some(batch) = rows.next_batch().await.expect("rows") {
        all.extend(batch.iter().map(|row| [0, 1, 2].map(|n| row.get(n).expect("text or NULL"))));
    }
    all
}

async fn batches(call: Call) -> Vec<RecordBatch> {
    let mut stream = call.max_batch_bytes(256 << 10).deadline(PATIENCE).record_batches().await.expect("a stream");
    let mut all = Vec::new();
    while let Some(batch) = stream.next_batch().await.expect("a batch") {
        all.push(batch);
    }
    all
}

fn assert_same(batches: &[RecordBatch], expected: &[[Option<String>; 3]], what: &str) {
    assert!(batches.len() > 3, "several batches");
    let mut seen = 0;
    for batch in batches {
        for i in 0..batch.num_rows() {
            let number = usize::try_from(batch.column(0).as_primitive::<Int32Type>().value(i)).expect("a number");
            for (column, expected) in batch.columns()[1..].iter().zip(&expected[number - 1]) {
                assert!(matches!(column.data_type(), DataType::Struct(_)), "{what}: {}", column.data_type());
                assert_eq!(held(column, i), *expected, "row {number}, {what}");
            }
        }
        seen += batch.num_rows();
    }
    assert_eq!(seen, expected.len(), "{what}");
}

#[tokio::test]
async fn composites_are_structs_of_the_same_values_by_every_strategy() {
    let pair = pair_with_rows().await;
    let expected = expected(&pair).await;
    assert_eq!(expected.len(), ROWS);
    for strategy in STRATEGIES {
        let call = pair.client().sql("select i, a, b, d from every order by i").strategy(strategy);
        assert_same(&batches(call).await, &expected, &format!("{strategy:?}"));
        let call = pair.client().table("every").columns(["i", "a", "b", "d"]).call().strategy(strategy);
        assert_same(&batches(call).await, &expected, &format!("the table, {strategy:?}"));
    }
    let call = pair.client().sql("select i, a, b, d from every where i > $1").bind(0_i32).resume_key(["i"]);
    assert_same(&batches(call).await, &expected, "with a value and a key");
    pair.assert_settled().await;
}

#[tokio::test]
async fn the_parts_of_a_session_have_structs_too() {
    let pair = pair_with_rows().await;
    let expected = expected(&pair).await;
    let client = pair.client();
    for call in [client.table("every").columns(["i", "a", "b", "d"]).call(), client.sql("select i, a, b, d from every")]
    {
        for strategy in [None, Some(PartitionStrategy::KeyRange)] {
            let builder = client.create_read_session(call.clone()).partitions(3);
            let builder = match strategy {
                Some(strategy) => builder.partition_by(["i"]).strategy(strategy),
                None => builder,
            };
            let session = builder.create().await.expect("a session");
            let mut all = Vec::new();
            for partition in session.partitions() {
                let read = client.read_partition(partition.token.clone());
                let mut stream = read.record_batches().await.expect("a stream");
                while let Some(batch) = stream.next_batch().await.expect("a batch") {
                    all.push(batch);
                }
            }
            assert_same(&all, &expected, &format!("{:?}", session.strategy()));
            assert!(client.delete_read_session(session.id()).await.expect("an answer"));
        }
    }
    pair.assert_settled().await;
}

/// The only batch of a statement.
async fn batch(pair: &Pair, sql: &str, strategy: Strategy) -> RecordBatch {
    let mut all = batches(pair.client().sql(sql).strategy(strategy)).await;
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0)
}

fn printed(column: &ArrayRef) -> Vec<Option<String>> {
    (0..column.len()).map(|i| held(column, i)).collect()
}

#[tokio::test]
async fn tables_rows_are_structs_and_what_has_no_known_fields_is_text() {
    let pair = Pair::start().await;
    pair.psql(
        "create type pair as (x int4, y text); create type empty as ();
         create type \"Odd \"\"name\" as (\"a.b\" inet, \"select\" pair, e empty, r money[]);
         create table t (id int4, gone text, v numeric(6, 2), p pair); alter table t drop column gone;
         insert into t values (1, 1.5, row(1, 'one')), (2, null, null), (3, 3, row(null, null))",
    );
    for strategy in STRATEGIES {
        let rows = batch(&pair, "select t, t.p, array[t.p] as l from t order by id", strategy).await;
        let some = |texts: [&str; 3]| texts.map(|text| Some(text.to_owned())).to_vec();
        assert_eq!(printed(rows.column(0)), some(["(1|1.50|(1|one))", "(2|NULL|NULL)", "(3|3.00|(NULL|NULL))"]));
        assert_eq!(rows.column(1).null_count(), 1);
        assert_eq!(printed(rows.column(2)), some(["{(1|one)}", "{NULL}", "{(NULL|NULL)}"]));
        let schema = rows.schema();
        let DataType::Struct(fields) = schema.field(0).data_type() else { panic!("a struct") };
        let told = |field: &Arc<Field>| (field.name().clone(), field.metadata()["pg_type"].clone());
        let expected = [("id", "int4"), ("v", "numeric"), ("p", "pair")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(fields.iter().map(told).collect::<Vec<_>>(), expected);
        assert_eq!(fields[1].data_type(), &DataType::Decimal128(6, 2));

        let sql = "select row(1, 'a') as r, row()::empty as e, s, (select s from (select 1 as x) s) as q,
                row('10.0.0.1', row(5, '|'), row(), '{1.50}')::\"Odd \"\"name\" as o from (select 1) s";
        let rows = batch(&pair, sql, strategy).await;
        for (column, text) in rows.columns().iter().zip(["(1,a)", "()", "(1)", "(1)", "(10.0.0.1|(5|\\|)|()|{$1.50})"])
        {
            let text = text.replace("\\|", "|");
            assert_eq!(printed(column), [Some(text)], "{strategy:?}");
        }
        assert_eq!(rows.column(1).data_type(), &DataType::Utf8);
        // Of PostgreSQL's own: names, arrays and types without a binary form.
        let classes = batch(&pair, "select c, relname from pg_class c where relname = 't'", strategy).await;
        assert_eq!(
            classes.column(0).as_struct().column_by_name("relname").map(printed),
            Some(printed(classes.column(1)))
        );
    }
    // Rows are sent as they ever were.
    let rows = pair.client().sql("select t from t order by id").deadline(PATIENCE);
    let row = rows.query_row().await.expect("a row");
    assert_eq!(row.get::<String>(0).expect("text"), "(1,1.50,\"(1,one)\")");
    pair.assert_settled().await;
}

#[tokio::test]
async fn arrays_of_composites_are_lists_of_structs() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(
        "create type part as (y text[]); create type pair as (x part, y text);
         create type mixed as (r int8range); create domain known as pair;
         create table t (id int4 primary key, l pair[], m mixed[], d known[]);
         insert into t values (0, null, null, null),
             (1, array[row(row('{a,NULL}'), 'one'), null, row(null, null)]::pair[], array[row('[1,2)')]::mixed[],
                 array[row(row('{}'), 'two')]::known[]),
             (2, '{}', null, null), (3, null, '{}', '{}')",
    );
    // Behind a row that is what it was.
    let some = |texts: [Option<&str>; 3]| {
        let texts = texts.iter().map(|text| text.map(str::to_owned));
        std::iter::once(None).chain(texts).collect::<Vec<_>>()
    };
    let is_structs = |column: &ArrayRef| match column.data_type() {
        DataType::List(item) => matches!(item.data_type(), DataType::Struct(_)),
        _ => false,
    };
    let table = || pair.client().table("t").columns(["l", "m", "d"]).call();
    for strategy in STRATEGIES {
        for call in [pair.client().sql("select l, m, d from t order by id"), table()] {
            let call = call.strategy(strategy);
            // What was known of the type does not hold any more.
            for (ddl, expected) in [
                ("select", "{(({a,NULL})|one),NULL,(NULL|NULL)}"),
                ("alter type part add attribute x int4", "{(({a,NULL}|NULL)|one),NULL,(NULL|NULL)}"),
                ("alter type part drop attribute x", "{(({a,NULL})|one),NULL,(NULL|NULL)}"),
            ] {
                pair.psql(ddl);
                let rows = batches(call.clone()).await.remove(0);
                assert_eq!(printed(rows.column(0)), some([Some(expected), Some("{}"), None]), "{ddl} {strategy:?}");
                // What PostgreSQL has to print is a list of text.
                assert_eq!(printed(rows.column(1)), some([Some("{(\"[1,2)\")}"), None, Some("{}")]));
                assert_eq!(rows.columns().iter().map(is_structs).collect::<Vec<_>>(), [true, false, false]);
            }
            let rows = batches(call.arrow_options(ArrowOptions::new().arrays_as_text())).await.remove(0);
            let told = pair.psql("select l from t where id = 1");
            assert_eq!(printed(rows.column(0))[1].as_deref(), Some(told.trim_end()));
        }
    }
    let sql = "select array[array[row(null, 'deep')::pair]] as l";
    let call = pair.client().sql(sql).deadline(PATIENCE);
    let error = call.clone().record_batches().await.expect_err("no list").to_string();
    assert!(error.contains("\"l\"") && error.contains("an array of several dimensions"), "{error}");
    let rows = batches(call.arrow_options(ArrowOptions::new().unrepresentable_as_null())).await;
    assert_eq!(printed(rows[0].column(0)), [None]);
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_composite_that_has_been_altered_is_read_with_the_fields_that_it_has_now() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(
        "create type pair as (x int4, y text, z inet); create type plain as (x int4, y text);
         create table t (p pair, q plain); insert into t values (row(1, 'one', '::1'), row(2, 'two'))",
    );
    for (ddl, expected) in [
        ("select", ["(1|one|::1)", "(2|two)"]),
        ("alter type pair drop attribute x; alter type plain drop attribute x", ["(one|::1)", "(two)"]),
        ("alter type pair rename attribute y to w; drop table t; alter type plain add attribute k bool; create table t
            as select row('one', '::1')::pair as p, row('two', true)::plain as q", ["(one|::1)", "(two|true)"]),
    ] {
        pair.psql(ddl);
        for strategy in STRATEGIES {
            for call in [pair.client().sql("select p, q from t"), pair.client().table("t").call()] {
                let batch = batches(call.strategy(strategy)).await.remove(0);
                let expected = expected.map(|text| vec![Some(text.to_owned())]);
                assert_eq!(batch.columns().iter().map(printed).collect::<Vec<_>>(), expected, "{ddl}, {strategy:?}");
            }
        }
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn a_composite_can_be_what_a_read_is_resumed_by_and_is_text_then() {
    let pair = Pair::with(&["--tables", "public.*"]).await;
    pair.psql(
        "create type pair as (x int4, y text);
         create table t as select row(i, 'y')::pair as p, row(i, 'q')::pair as q from generate_series(1, 100) i",
    );
    for call in [pair.client().sql("select p, q from t"), pair.client().table("t").call()] {
        let rows = batches(call.resume_key(["p"])).await;
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
        assert_eq!(held(rows[0].column(0), 9).as_deref(), Some("(10,y)"));
        assert_eq!(held(rows[0].column(1), 9).as_deref(), Some("(10|q)"));
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn what_a_field_cannot_hold_is_told_by_its_column_or_null_by_itself() {
    let pair = Pair::start().await;
    pair.psql("create type span as (a date, b text)");
    let sql = "select row('infinity', 'end')::span as s";
    for strategy in STRATEGIES {
        let call = pair.client().sql(sql).strategy(strategy).deadline(PATIENCE);
        let error = call.clone().record_batches().await.expect_err("no place for it").to_string();
        assert!(error.contains("\"s\"") && error.contains("an infinite date"), "{error}");
        let rows = batches(call.arrow_options(ArrowOptions::new().unrepresentable_as_null())).await;
        assert_eq!(printed(rows[0].column(0)), [Some("(NULL|end)".to_owned())]);
    }
    pair.assert_settled().await;
}

#[tokio::test]
async fn composites_in_one_another_are_structs_down_to_the_sixteenth() {
    let pair = Pair::start().await;
    let types = (1..=20).map(|n| format!("create type t{n} as (f t{});", n - 1)).collect::<String>();
    let value = (0..20).fold("7".to_owned(), |inner, _| format!("row({inner})"));
    pair.psql(&format!("create domain t0 as int4; {types} create table t as select {value}::t20 as c"));
    let text = pair.psql("select row(row(row(row(7))))");
    for strategy in STRATEGIES {
        let rows = batch(&pair, "select c from t", strategy).await;
        assert_eq!(held(rows.column(0), 0), Some(format!("{}{text}{}", "(".repeat(16), ")".repeat(16))));
        let schema = rows.schema();
        let mut data_type = schema.field(0).data_type();
        let mut depth = 0;
        while let DataType::Struct(fields) = data_type {
            (data_type, depth) = (fields[0].data_type(), depth + 1);
        }
        assert_eq!((data_type, depth), (&DataType::Utf8, 16));
    }
    pair.assert_settled().await;
}
