//! How long the parts take that work on every row, and those that work on every call, without a network and without a
//! PostgreSQL: `cargo bench --bench micro`, or one of them: `cargo bench --bench micro -- encode`.
//!
//! Criterion compares each with the run before. What does not depend on the machine is in `benches/instructions`.

#[path = "../data/mod.rs"]
mod data;
mod decode;
mod encode;
mod plan;

use criterion::{criterion_group, criterion_main};

/// How many rows a table has here: many batches, and few enough to stay in the processor's caches as a stream does.
const ROWS: usize = 4096;

criterion_group!(benches, encode::bench, decode::bench, plan::bench);
criterion_main!(benches);
