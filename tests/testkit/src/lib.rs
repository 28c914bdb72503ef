//! What the tests and the demo stand on, and no knowledge of rowstream itself.
//!
//! - [`Postgres`]: a private PostgreSQL cluster that ends with this process, however this process ends;
//!   [`Database`]: a database of it for one test.
//! - [`Proxy`]: a TCP proxy that counts round trips, stalls, resets and cuts.
//! - [`eventually`]: the only place that polls.
//! - [`bin`]: where cargo has put a program of this workspace.
//!
//! Starting servers and asserting invariants is the business of the tests' own harness.

mod bins;
mod error;
mod postgres;
mod proxy;
mod until;

pub use bins::bin;
pub use error::Error;
pub use postgres::{Backend, Builder, Database, Postgres, StopMode};
pub use proxy::{Counts, Proxy};
pub use until::eventually;
