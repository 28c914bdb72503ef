//! `rowstream-server`: serves PostgreSQL result sets of any size as gRPC streams, backed by cursors,
//! with a deadline per call that reaches the database.
//!
//! The way of a request is the module list: [`service`](self) (the gRPC edge) → `admission` → `plan`
//! → `db` (a connection) → `cursor` → `encode` → `stream` (back to the caller). `stop` is the one
//! signal that ends a call early, wherever it is. `ARCHITECTURE.md` tells it with its invariants.

mod admin;
mod admission;
mod background;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod config;
mod cursor;
mod db;
mod encode;
mod error;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod incoming;
mod layers;
mod linger;
mod metrics;
mod plan;
mod preface;
mod preflight;
mod queries;
mod reload;
mod serve;
mod service;
mod shutdown;
mod snapshot;
mod stop;
mod stream;
mod telemetry;
mod tls;
mod token;
mod transport;

pub use config::{Config, ConfigError, Task};
pub use preflight::{Checked, preflight};
pub use serve::{ServeError, serve};
pub use shutdown::on_signals;
pub use telemetry::init as init_telemetry;
