//! The pair, server and client, against a real PostgreSQL. One binary; one file a behaviour:
//!
//! - [`contract`]: hand-written row messages equal the generated ones; the documents name every reason
//! - [`types`]: every value as psql prints it; parameters of every kind
//! - [`statements`]: what is run and what is refused; named queries; bad input
//! - [`table_reads`]: tables without SQL: filters, names, privileges, changes, what is open
//! - [`streams`]: batches, limits, the first-batch rule, millions of rows in constant memory
//! - [`round_trips`]: how often the server talks to PostgreSQL for a call
//! - [`deadlines`]: in every phase, down to PostgreSQL
//! - [`cancels`]: in every phase, by every way, and never another call's
//! - [`stalls`]: consumers that stop reading, or vanish
//! - [`faults`]: backends killed, PostgreSQL restarted, the pool exhausted, connections gone silent
//! - [`drain`]: the server's end
//!
//! Every fault test ends with [`harness::Pair::assert_settled`]: no backend busy, no permit lost.

mod harness;

mod cancels;
mod contract;
mod deadlines;
mod drain;
mod faults;
mod round_trips;
mod stalls;
mod statements;
mod streams;
mod table_reads;
mod types;
