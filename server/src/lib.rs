//! `rowstream-server`: serves PostgreSQL result sets of any size as gRPC streams, backed by cursors,
//! with a deadline per call that reaches the database.
//!
//! The way of a request is the module list: [`service`](self) (the gRPC edge) → `admission` → `plan`
//! → `db` (a connection) → `cursor` → `encode` → `stream` (back to the caller). `stop` is the one
//! signal that ends a call early, wherever it is. `ARCHITECTURE.md` tells it with its invariants.

mod admission;
mod config;
mod cursor;
mod db;
mod encode;
mod error;
mod layers;
mod plan;
mod queries;
mod reload;
mod serve;
mod service;
mod shutdown;
mod stop;
mod stream;
mod telemetry;
mod transport;

pub use config::{Config, ConfigError};
pub use serve::{ServeError, serve};
pub use shutdown::on_signals;
pub use telemetry::init as init_telemetry;
