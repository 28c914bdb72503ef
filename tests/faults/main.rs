//! The fault matrix: the built `rowstream-server` as a process of its own, a real PostgreSQL, and what goes wrong
//! between and around them. One binary; one file a fault.
//!
//! `make test` runs it at a size for every day, where behaviour is asserted and times are only printed. `make faults`
//! builds for release and runs it one test after another at full size (`ROWSTREAM_FAULTS=full`), where the figures of
//! docs/reliability.md are printed and held against their bars.
//!
//! - [`deadlines`]: in every phase (figure 3)
//! - [`cancels`]: RST_STREAM and TCP resets; a pool of one (figures 4 and 5)
//! - [`backends`]: backends killed under streams (figure 6)
//! - [`kills`]: kill -9 of the server (figure 6)
//! - [`resumes`]: the same while streams are read that go on (figure 6)
//! - [`exports`]: the same while an export runs, and of the export itself (figure 6)
//! - [`stalled_database`]: silent connections, backends and clusters that hang (figure 7)
//! - [`drain`]: SIGTERM with streams under way (figure 8)
//! - [`restarts`]: PostgreSQL crashed, starting, without room
//! - [`standby`]: recovery conflicts, promotion
//! - [`cuts`]: the connection to PostgreSQL cut at any byte
//! - [`ddl`]: in mid-read and between reads
//! - [`descriptors`]: none left
//! - [`floods`]: HTTP/2 frames by the million (figure 9)
//! - [`requests`]: wrong, too large, or never ending
//! - [`consumers`]: slow and standing still, by the hundred (figures 1 and 2)
//! - [`large`]: rows of megabytes
//! - [`overload`]: more calls than there is room for, clients that fall silent
//! - [`fanout`]: the client's fan-out over three servers, of which some are killed, slow or given up
//!
//! What is under them:
//!
//! - [`harness`]: a server, its database, and [`harness::Server::assert_settled`], which every test ends with
//! - [`fleet`]: several servers over one database
//! - [`calls`]: requests, and streams read to their end with rows counted and checksums compared
//! - [`watch`]: what `pg_stat_activity` says, asked often
//! - [`direct`]: a caller that can reset its TCP connection
//! - [`frames`]: HTTP/2 by hand; [`flood`]: very many of them, and an honest caller beside them
//! - [`reference`]: a table, and whether a disturbed read of it delivered its rows
//! - [`size`]: how much is run, and how a figure is printed

mod calls;
mod direct;
mod fleet;
mod flood;
mod frames;
mod harness;
mod reference;
mod size;
mod watch;

mod backends;
mod cancels;
mod consumers;
mod cuts;
mod ddl;
mod deadlines;
mod descriptors;
mod drain;
mod exports;
mod fanout;
mod floods;
mod kills;
mod large;
mod overload;
mod requests;
mod restarts;
mod resumes;
mod stalled_database;
mod standby;
