//! The server's half: PostgreSQL's binary rows into the bodies of batches.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rowstream_server::bench::encode_rows;

use crate::{ROWS, data::Table};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(ROWS as u64));
    for table in Table::all(ROWS) {
        group.bench_function(format!("rows/{}", table.name), |bencher| {
            bencher.iter(|| encode_rows(table.oids, black_box(&table.rows)));
        });
    }
    group.finish();
}
