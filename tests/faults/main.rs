//! The fault matrix: the built `rowstream-server` as a process of its own, a real PostgreSQL, and what goes wrong
//! between and around them. One binary; one file a fault.
//!
//! `make test` runs it at a size for every day, where behaviour is asserted and times are only printed. `make faults`
//! builds for release and runs it one test after another at full size (`ROWSTREAM_FAULTS=full`), where the figures of
//! docs/reliability.md are printed and held against their bars. What is under them:
//!
//! - [`harness`]: a server, its database, and [`harness::Server::assert_settled`], which every test ends with
//! - [`calls`]: requests, and streams read to their end with rows counted and checksums compared
//! - [`watch`]: what `pg_stat_activity` says, asked often
//! - [`frames`]: HTTP/2 by hand; [`flood`]: very many of them, and an honest caller beside them
//! - [`size`]: how much is run, and how a figure is printed

mod consumers;
mod deadlines;
mod floods;
mod large;
mod overload;
mod requests;

mod calls;
mod flood;
mod frames;
mod harness;
mod size;
mod watch;
