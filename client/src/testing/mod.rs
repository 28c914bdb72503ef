//! A server of scripted answers, for the tests of code that uses this crate: no PostgreSQL, no rowstream-server, and
//! every failure on demand. Behind the feature `testing`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rowstream_client::Error> {
//! use rowstream_client::{Code, Reason, testing::{Answer, FakeServer}};
//!
//! let server = FakeServer::start().await;
//! let full = Answer::error(Code::ResourceExhausted, Reason::QueueFull);
//! let events = Answer::rows([("id", "int8"), ("event", "text")], [(1, "login"), (2, "logout")]);
//! // The first call is refused; every later one has rows.
//! server.on("user_events", [full, events]);
//!
//! let call = server.client().query("user_events").bind_named("user", 7);
//! assert_eq!(call.stream().await.err().map(|error| error.code()), Some(Code::ResourceExhausted));
//! let row = call.query_row().await?;
//! assert_eq!(row.get::<&str>("event")?, "login");
//!
//! let calls = server.calls();
//! assert_eq!(calls.len(), 2);
//! assert_eq!(calls[1].request.parameter("user"), Some(&7.into()));
//! # Ok(())
//! # }
//! ```
//!
//! **Time.** With tokio's clock paused (`#[tokio::test(start_paused = true)]`) a test of minutes takes none, and waits
//! are exact: clients of the same process reach the server through memory instead of a socket. Start the server in
//! the runtime that uses the client.
//!
//! **Other processes** and [blocking](crate::blocking) code reach it by its [`url`](FakeServer::url) as well, over TCP;
//! the clock must run then. A test that is not asynchronous starts it in a runtime of its own, and keeps both.
//!
//! **Arrow**: callers who ask for it are answered in it, with the types that rowstream-server gives; a `numeric` is text,
//! as it is without a precision.
//!
//! Deliberately absent: SQL. What a query gives is what was scripted for its name or text, whatever its parameters
//! are; `max_rows` is obeyed, and the deadline is left to the caller.

mod answer;
#[cfg(feature = "arrow")]
mod arrow;
mod catalog;
mod messages;
mod record;
mod rows;
mod script;
mod server;
mod service;
mod sessions;
mod wire;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Damage};
pub use catalog::FakeQuery;
pub use record::{CallRecord, End, Method, Request};
pub use rows::IntoRow;
pub use script::Answers;
pub use server::FakeServer;
pub(crate) use wire::connector;
