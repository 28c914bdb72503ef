//! What the tests and the demo stand on, and no knowledge of rowstream's contract.
//!
//! - [`Postgres`]: a private PostgreSQL cluster that ends with this process, however this process ends;
//!   [`Database`]: a database of it for one test.
//! - [`Proxy`]: a TCP proxy that counts round trips, stalls, resets and cuts.
//! - [`eventually`]: the only place that polls.
//! - [`bin`]: where cargo has put a program of this workspace; [`Program`]: one of them as a process.
//!
//! Starting servers and asserting invariants is the business of the tests' own harness.

mod bins;
mod error;
mod postgres;
mod program;
mod proxy;
mod until;

pub use bins::bin;
pub use error::Error;
pub use postgres::{Backend, Builder, Database, Frozen, Postgres, StopMode};
pub use program::{Ended, Line, PATIENCE, Program};
pub use proxy::{Counts, Proxy};
pub use until::eventually;
