//! What the server does once for each call, before it talks to PostgreSQL.

use std::{fmt::Write as _, hint::black_box};

use criterion::{BatchSize, Criterion};
use rowstream_contract::v1::{Statement, StreamQueryRequest, Value, statement::Source, value::Kind};
use rowstream_server::bench::{named_query, plan_request};

const NAMED: &str = include_str!("../../examples/queries/orders_of_customer.sql");
const INT8: u32 = 20;
const TEXT: u32 = 25;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    let short = request("select * from lineitem where l_orderkey = $1 and l_comment = $2".to_owned());
    group.bench_function("request of two values", |bencher| {
        bencher.iter_batched(|| short.clone(), |request| plan_request(request, &[INT8, TEXT]), BatchSize::SmallInput);
    });
    let long = request(long_statement());
    group.bench_function("request of 64 KiB of SQL", |bencher| {
        bencher.iter_batched(|| long.clone(), |request| plan_request(request, &[INT8, TEXT]), BatchSize::SmallInput);
    });
    group.bench_function("file of a named query", |bencher| bencher.iter(|| named_query(black_box(NAMED))));
    group.finish();
}

fn request(sql: String) -> StreamQueryRequest {
    let value = |kind| Value { kind: Some(kind) };
    let parameters = vec![value(Kind::Int64(42)), value(Kind::Text("carefully".into()))];
    let statement = Statement { source: Some(Source::Sql(sql)), parameters, ..Statement::default() };
    StreamQueryRequest { statement: Some(statement), max_rows: 1000, ..StreamQueryRequest::default() }
}

fn long_statement() -> String {
    let mut sql = "select * from lineitem where l_comment = $2 and l_orderkey = $1".to_owned();
    let mut number = 0;
    while sql.len() < 64 * 1024 {
        write!(sql, "\n  and l_comment <> 'value {number}' -- one more").expect("a string takes everything");
        number += 1;
    }
    sql
}
