//! The work on every row whose instructions `benches/instructions/run` counts under callgrind.
//!
//! ```text
//! instructions            prints the names of the cases
//! instructions CASE       runs one, and prints how many rows it was
//! ```
//!
//! Counted is what happens inside of [`counted_part`], which callgrind finds by its name.

#[path = "../data/mod.rs"]
mod data;

use std::hint::black_box;

use rowstream_client::{RowBatch, arrow::Decoder};
use rowstream_server::bench::{encode_arrow, encode_rows};

use crate::data::Table;

/// Several batches, and less than a second under callgrind.
const ROWS: usize = 4096;

fn main() -> Result<(), String> {
    let tables = Table::all(ROWS);
    let Some(wanted) = std::env::args().nth(1) else {
        cases(&tables).iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let cases = cases(&tables);
    let (_, case) = cases.iter().find(|(name, _)| *name == wanted).ok_or(format!("there is no case {wanted}"))?;
    // What is done only once is not counted: what statics hold, and the first memory from the system.
    case();
    counted_part(case);
    println!("{ROWS}");
    Ok(())
}

#[inline(never)]
fn counted_part(case: &dyn Fn()) {
    black_box(case)();
}

type Case<'a> = (String, Box<dyn Fn() + 'a>);

fn cases(tables: &[Table]) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for table in tables {
        let mut add = |name: &str, case| cases.push((format!("{name}/{}", table.name), case));
        add("encode/rows", Box::new(|| drop(black_box(encode_rows(table.oids, black_box(&table.rows))))));
        add("decode/rows", Box::new(decode_rows(table)));
        add("encode/arrow", Box::new(|| drop(black_box(encode_arrow(table.oids, black_box(&table.rows))))));
        add("decode/arrow", Box::new(decode_arrow(table)));
    }
    cases
}

/// Every value of every row.
fn decode_rows(table: &Table) -> impl Fn() + use<> {
    let (columns, bodies) = (table.columns(), encode_rows(table.oids, &table.rows));
    move || {
        for body in &bodies {
            let batch = RowBatch::try_new(columns.clone(), body.clone(), 0).expect("what the server encodes");
            for row in batch.iter() {
                for value in row.values() {
                    let _ = black_box(value);
                }
            }
        }
    }
}

/// Every record batch, checked as the library does.
fn decode_arrow(table: &Table) -> impl Fn() + use<> {
    let (schema, bodies) = encode_arrow(table.oids, &table.rows);
    let decoder = Decoder::try_new(&schema).expect("what the server encodes");
    move || {
        for body in &bodies {
            black_box(decoder.decode(body.clone()).expect("what the server encodes"));
        }
    }
}
