//! `rowstream fanout`.

mod checkpoint;
mod input;
mod mapping;
mod output;
mod types;
mod values;
#[cfg(test)]
mod testing;
