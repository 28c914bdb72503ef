//! The pair, server and client, against a real PostgreSQL. One binary; one file a behaviour:
//!
//! - [`contract`]: hand-written row messages equal the generated ones; the documents name every reason
//! - [`arrow`]: record batches: every type and value, and what Arrow cannot hold
//! - [`arrow_values`]: random rows of every type, in Arrow and as rows
//! - [`composites`]: composite types in Arrow, field by field, by every strategy, and what becomes of them after DDL
//! - [`types`]: every value as psql prints it; parameters of every kind
//! - [`statements`]: what is run and what is refused; named queries; bad input
//! - [`table_reads`]: tables without SQL: filters, names, privileges, changes, what is open
//! - [`named_queries`]: their files changed while the server runs; estimates of plans
//! - [`streams`]: batches, limits, the first-batch rule, millions of rows in constant memory
//! - [`read_sessions`]: one snapshot in many parts: complete and disjoint whatever is written meanwhile
//! - [`read_sessions_life`]: how sessions end, who holds them, and what is told then
//! - [`read_sessions_client`]: the same through the client library, cut and resumed, kept alive and let go
//! - [`read_sessions_shapes`]: the same for tables of unusual shapes
//! - [`read_sessions_live`]: parts that are read without their snapshot
//! - [`read_sessions_random`]: the same for random tables, types, skews and writers
//! - [`round_trips`]: how often the server talks to PostgreSQL for a call
//! - [`resume`]: streams that are cut go on, every row once; tokens altered, foreign, outdated
//! - [`strategies`]: cursor, portal and COPY give the same, and end alike
//! - [`deadlines`]: in every phase, down to PostgreSQL
//! - [`blocking`]: the blocking client gives what the asynchronous one does
//! - [`cancels`]: in every phase, by every way, and never another call's
//! - [`stalls`]: consumers that stop reading, or vanish
//! - [`faults`]: backends killed, PostgreSQL restarted, the pool exhausted, connections gone silent
//! - [`drain`]: the server's end
//! - [`tls`]: trust, names and time of certificates; certificates replaced; the wrong protocol
//! - [`documents`]: the Rust of the documents
//!
//! Every fault test ends with [`harness::Pair::assert_settled`]: no backend busy, no permit lost.

mod harness;

mod arrow;
mod arrow_values;
mod blocking;
mod cancels;
mod composites;
mod contract;
mod deadlines;
mod documents;
mod drain;
mod faults;
mod named_queries;
mod read_sessions;
mod read_sessions_client;
mod read_sessions_life;
mod read_sessions_live;
mod read_sessions_random;
mod read_sessions_shapes;
mod resume;
mod round_trips;
mod stalls;
mod statements;
mod strategies;
mod streams;
mod table_reads;
mod tls;
mod types;
