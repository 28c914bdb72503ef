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

use rowstream_client::RowBatch;
use rowstream_server::bench::encode_rows;

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

fn cases(tables: &[Table]) -> Vec<(String, Box<dyn Fn() + '_>)> {
    let mut cases: Vec<(String, Box<dyn Fn() + '_>)> = Vec::new();
    for table in tables {
        let encode = || drop(black_box(encode_rows(table.oids, black_box(&table.rows))));
        cases.push((format!("encode/rows/{}", table.name), Box::new(encode)));
        let (columns, bodies) = (table.columns(), encode_rows(table.oids, &table.rows));
        let decode = move || {
            for body in &bodies {
                let batch = RowBatch::try_new(columns.clone(), body.clone(), 0).expect("what the server encodes");
                for row in batch.iter() {
                    for value in row.values() {
                        let _ = black_box(value);
                    }
                }
            }
        };
        cases.push((format!("decode/rows/{}", table.name), Box::new(decode)));
    }
    cases
}
