//! The parts of random tables, of every type that has an order and some that have none, skewed and full of NULLs, while
//! others insert, update, delete and vacuum: disjoint, complete, and the rows of the snapshot.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use fastrand::Rng;
use rowstream_contract::v1::{CreateReadSessionRequest, PartitionStrategy, Statement, TableRead, statement::Source};

use crate::{
    harness::{Pair, statement},
    read_sessions::{all, create, delete, expected, wish},
};

/// A type, and a value of it made of a number `n`; whether it has an order.
const TYPES: &[(&str, &str, bool)] = &[
    ("int4", "n - 500", true),
    ("int8", "n::int8 * 1000000007", true),
    ("float4", "(n / 7.0)::float4", true),
    ("float8", "CASE WHEN n % 50 = 0 THEN 'NaN' WHEN n % 51 = 0 THEN '-Infinity' ELSE (n / 7.0)::float8 END", true),
    ("numeric", "n / 3.0", true),
    ("text", "CASE WHEN n % 20 = 0 THEN '' ELSE chr(60 + n % 60) || E'\\'\\\\' || n END", true),
    ("text COLLATE \"C\"", "chr(60 + n % 60) || n", true),
    ("varchar(40)", "md5(n::text)", true),
    ("char(8)", "(n % 100)::text", true),
    ("text", "repeat(chr(65 + n % 20), 700) || n", true),
    ("name", "'n' || n", true),
    ("bool", "n % 2 = 0", true),
    ("bytea", "decode(md5(n::text), 'hex')", true),
    ("date", "CASE WHEN n % 60 = 0 THEN 'infinity' ELSE date '2000-01-01' - n * 1000 END", true),
    ("timestamp", "timestamp '2024-01-01' + n * interval '1.000001 s'", true),
    ("timestamptz", "timestamptz '1890-01-01 UTC' + n * interval '1 month'", true),
    ("interval", "n * interval '1 month' - n * interval '1 day'", true),
    ("uuid", "md5(n::text)::uuid", true),
    ("inet", "'10.0.0.0'::inet + n", true),
    ("int4range", "int4range(n, n + n % 5)", true),
    ("int4[]", "ARRAY[n % 10, n]", true),
    ("mood", "(ARRAY['sad', 'calm', 'wild'])[n % 3 + 1]::mood", true),
    ("jsonb", "jsonb_build_object('n', n)", true),
    ("bit(12)", "n::bit(12)", true),
    ("money", "n::money", true),
    ("point", "point(n, n)", false),
    ("json", "json_build_object('n', n)", false),
    ("xml", "NULL::xml", false),
];

/// Which number each row's value is made of.
const SKEWS: [&str; 5] =
    ["i", "i % 5", "CASE WHEN i % 10 > 0 THEN 77 ELSE i END", "0", "(power(2, random() * 10))::int"];

struct Made {
    name: String,
    ordered: bool,
}

fn make(pair: &Pair, random: &mut Rng, i: usize) -> Made {
    let (of, value, ordered) = TYPES[i % TYPES.len()];
    let skew = random.choice(SKEWS).expect("not empty");
    let nulls = *random.choice(&["false", "i % 3 = 0", "true"]).expect("not empty");
    let rows = *random.choice(&[0, 1, 3, 200, 2500]).expect("not empty");
    let name = format!("r{i}");
    let padding = *random.choice(&[0, 10, 300]).expect("not empty");
    let create = match random.u8(..3) {
        0 => format!("CREATE TABLE {name} (id int8 PRIMARY KEY, k {of}, pad text)"),
        1 => format!("CREATE TABLE {name} (id int8, k {of}, pad text)"),
        _ => format!(
            "CREATE TABLE {name} (id int8, k {of}, pad text) PARTITION BY RANGE (id);
             CREATE TABLE {name}_a PARTITION OF {name} FOR VALUES FROM (MINVALUE) TO (100);
             CREATE TABLE {name}_b PARTITION OF {name} FOR VALUES FROM (100) TO (1000);
             CREATE TABLE {name}_c PARTITION OF {name} DEFAULT"
        ),
    };
    let analyze = if random.bool() { format!("; ANALYZE {name}") } else { String::new() };
    pair.psql(&format!(
        "{create}; INSERT INTO {name} SELECT i, CASE WHEN {nulls} THEN NULL ELSE {value} END, repeat('x', {padding})
         FROM (SELECT i, ({skew})::int AS n FROM generate_series(1, {rows}) i) s{analyze}"
    ));
    Made { name, ordered }
}

/// Changes a table again and again, until it is told to end.
fn write(database: &rowstream_testkit::Database, name: &str, end: &AtomicBool, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut next = 100_000;
    while !end.load(Ordering::Relaxed) {
        let part = random.u32(..7);
        let sql = match random.u8(..5) {
            0 => {
                next += 100;
                format!("INSERT INTO {name} SELECT {next} + i, NULL, 'new' FROM generate_series(1, 100) i")
            }
            1 => format!("UPDATE {name} SET pad = pad || 'u' WHERE id % 7 = {part}"),
            2 => format!("DELETE FROM {name} WHERE id % 7 = {part}"),
            3 => format!("UPDATE {name} SET k = NULL WHERE id % 7 = {part}"),
            _ => format!("VACUUM {name}"),
        };
        database.psql(&sql).expect("a change");
    }
}

fn reads(made: &Made) -> Vec<(CreateReadSessionRequest, String)> {
    use PartitionStrategy::{Ctid, Hash, KeyRange, Unspecified};
    let read = TableRead { table: made.name.clone(), columns: vec!["id".to_owned()], ..TableRead::default() };
    let table = Statement { source: Some(Source::Table(read)), ..Statement::default() };
    let plain = format!("SELECT id FROM {}", made.name);
    let both = statement(&format!("SELECT id, k, id AS again FROM {} WHERE id % 4 < 3", made.name));
    let ids = |request: CreateReadSessionRequest| (request, plain.clone());
    let by_k = |request| CreateReadSessionRequest { partition_by: vec!["k".to_owned()], ..request };
    let mut reads = vec![
        ids(wish(table.clone(), 5, Unspecified)),
        ids(wish(table.clone(), 3, Ctid)),
        ids(by_k(wish(table.clone(), 4, Hash))),
        ids(wish(table.clone(), 4, Hash)),
        ids(wish(statement(&plain), 4, Unspecified)),
        ids(wish(statement(&plain), 6, KeyRange)),
    ];
    if made.ordered {
        reads.push(ids(by_k(wish(table, 6, KeyRange))));
        let sql = format!("SELECT id, id FROM {} WHERE id % 4 < 3", made.name);
        let pairs = statement(&format!("SELECT id, id AS other, k FROM ({}) AS s", source(&both)));
        reads.push((by_k(wish(pairs, 6, KeyRange)), sql));
    }
    reads
}

fn source(statement: &Statement) -> String {
    match &statement.source {
        Some(Source::Sql(sql)) => sql.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_of_random_tables_are_disjoint_and_complete_while_others_write() {
    let seed = std::env::var("ROWSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(6);
    let mut random = Rng::with_seed(seed);
    let pair = Arc::new(Pair::with(&["--tables", "public.*"]).await);
    pair.psql("CREATE TYPE mood AS ENUM ('wild', 'calm', 'sad')");
    let mut client = pair.raw_sessions();
    for (i, kind) in TYPES.iter().enumerate() {
        let made = make(&pair, &mut random, i);
        let end = Arc::new(AtomicBool::new(false));
        let (writing, name, seed) = (pair.clone(), made.name.clone(), random.u64(..));
        let told = end.clone();
        let writer = tokio::task::spawn_blocking(move || write(&writing.database, &name, &told, seed));
        for (request, sql) in reads(&made) {
            let what = format!("seed {seed}, {} {} {request:?}", made.name, kind.0);
            let session = create(&mut client, request).await;
            let before = ids(expected(&pair, &session, &sql));
            let read = ids(all(&mut client, &session).await);
            assert!(read == before, "{what}: {} rows, expected {}", read.len(), before.len());
            delete(&mut client, &session).await;
        }
        end.store(true, Ordering::Relaxed);
        writer.await.expect("the writer goes on to its end");
    }
    pair.assert_settled().await;
}

/// The ids: the first value of each row.
fn ids(rows: Vec<String>) -> Vec<i64> {
    let id = |row: &String| row.split('|').next().and_then(|id| id.parse().ok()).expect("a number");
    let mut ids: Vec<i64> = rows.iter().map(id).collect();
    ids.sort_unstable();
    ids
}
