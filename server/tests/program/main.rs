//! The program `rowstream-server` as a process of its own, against a real PostgreSQL: what a test
//! cannot see, or must not do, inside its own process. One binary; one file a behaviour:
//!
//! - [`settings`]: flags, environment variables, exit statuses
//! - [`start`]: PostgreSQL that is down when the program starts
//! - [`signals`]: SIGTERM once and twice, with streams under way
//! - [`reload`]: SIGHUP, and files of named queries that change
//! - [`kills`]: what the program leaves to PostgreSQL when it is killed, or when a deadline passes
//! - [`logs`]: what is in the log, and what never is
//! - [`metrics`]: the admin port, and what it counts
//! - [`resources`]: how much memory streams take, read or not, and that no file descriptor is lost
//!
//! Nothing here knows the client library: calls are made through the generated client.

mod harness;
mod process;

mod kills;
mod logs;
mod metrics;
mod reload;
#[cfg(target_os = "linux")]
mod resources;
mod settings;
mod signals;
mod start;
