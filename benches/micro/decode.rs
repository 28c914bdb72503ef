//! The client's half: the bodies of batches into values, and into the formats that the program prints.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use rowstream_client::{
    Columns, RowBatch,
    sink::{CsvSink, JsonLinesSink, Sink},
};
use rowstream_server::bench::encode_rows;

use crate::{ROWS, data::Table};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS as u64));
    for table in Table::all(ROWS) {
        let (columns, bodies) = (table.columns(), encode_rows(table.oids, &table.rows));
        group.bench_function(format!("rows/{}", table.name), |bencher| {
            bencher.iter(|| batches(&columns, &bodies).for_each(|batch| every_value(&batch)));
        });
        print(&mut group, &format!("csv/{}", table.name), CsvSink::default, &columns, &bodies);
        print(&mut group, &format!("jsonl/{}", table.name), JsonLinesSink::default, &columns, &bodies);
    }
    group.finish();
}

fn batches<'a>(columns: &'a Columns, bodies: &'a [Bytes]) -> impl Iterator<Item = RowBatch> + 'a {
    let batch = |body: &Bytes| RowBatch::try_new(columns.clone(), body.clone(), 0).expect("what the server encodes");
    bodies.iter().map(batch)
}

fn every_value(batch: &RowBatch) {
    for row in batch.iter() {
        for value in row.values() {
            black_box(value.expect("UTF-8"));
        }
    }
}

fn print<S: Sink>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    new: impl Fn() -> S,
    columns: &Columns,
    bodies: &[Bytes],
) {
    let mut out = Vec::new();
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut sink = new();
            out.clear();
            sink.begin(columns, &mut out);
            for batch in batches(columns, bodies) {
                sink.batch(&batch, &mut out).expect("values of their types");
            }
            sink.end(&mut out);
            black_box(out.len())
        });
    });
}
