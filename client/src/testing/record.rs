//! What a fake server has seen: every call, when it came, what it carried, and how it ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rowstream_contract::{
    deadline::{self, GRPC_TIMEOUT},
    v1::{self, statement::Source},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Code, metadata::KeyAndValueRef};

use super::wire::Wire;
use crate::{Encoding, Strategy, Value};

/// What a caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The rows of a statement, as a stream.
    StreamQuery,
    /// The first row of a statement.
    QueryRow,
    /// What a statement takes and gives.
    DescribeQuery,
}

/// A call as it arrived at a fake server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Counts the server's calls from 0.
    pub number: u64,
    /// What was asked for.
    pub method: Method,
    /// The name of the query or table, or the text of the statement.
    pub query: String,
    /// The values of `$1`, `$2`, ...
    pub parameters: Vec<Value>,
    /// The values of a named query's parameters.
    pub named_parameters: BTreeMap<String, Value>,
    /// The caller's id for the call, or the server's.
    pub query_id: String,
    /// The most rows that the caller wants; 0: no limit.
    pub max_rows: u64,
    /// In which encoding the caller wants them.
    pub encoding: Encoding,
    /// How the caller wants them to be read; a fake server has no other way than its own.
    pub strategy: Strategy,
    /// How much time the caller gives (`grpc-timeout`).
    pub timeout: Option<Duration>,
    /// How many attempts at this call came before (`grpc-previous-rpc-attempts`).
    pub previous_attempts: u32,
    /// All the metadata that is text.
    pub metadata: BTreeMap<String, String>,
    /// The connection it came by: they count from 1.
    pub connection: u64,
    /// When it came, by tokio's clock.
    pub at: Instant,
}

impl Request {
    /// The value of a parameter by its name, or by its position from 1 (`"1"`).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        let by_position = || self.parameters.get(name.parse::<usize>().ok()?.checked_sub(1)?);
        self.named_parameters.get(name).or_else(by_position)
    }

    pub(super) fn read<T>(
        method: Method,
        request: &tonic::Request<T>,
        statement: Option<&v1::Statement>,
        query_id: &str,
    ) -> Self {
        let text = |entry: KeyAndValueRef<'_>| match entry {
            KeyAndValueRef::Ascii(key, value) => Some((key.as_str().to_owned(), value.to_str().ok()?.to_owned())),
            KeyAndValueRef::Binary(..) => None,
        };
        let metadata: BTreeMap<_, _> = request.metadata().iter().filter_map(text).collect();
        let statement = statement.cloned().unwrap_or_default();
        let named = statement.named_parameters.into_iter();
        Self {
            number: 0,
            method,
            query: match statement.source {
                Some(Source::Query(query) | Source::Sql(query)) => query,
                Some(Source::Table(read)) => read.table,
                None => String::new(),
            },
            parameters: statement.parameters.into_iter().map(Value::from_wire).collect(),
            named_parameters: named.map(|(name, value)| (name, Value::from_wire(value))).collect(),
            query_id: query_id.to_owned(),
            max_rows: 0,
            encoding: Encoding::Rows,
            strategy: Strategy::Auto,
            timeout: metadata.get(GRPC_TIMEOUT).and_then(|value| deadline::parse(value).ok()),
            previous_attempts: metadata
                .get("grpc-previous-rpc-attempts")
                .and_then(|value| value.parse().ok())
                .unwrap_or_default(),
            metadata,
            connection: request.extensions().get::<Wire>().map_or(0, |wire| wire.number),
            at: Instant::now(),
        }
    }
}

/// How a call ended on the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// All that the answer has was sent.
    Answered,
    /// With an error.
    Failed(Code),
    /// The caller gave up before the answer's end.
    Cancelled,
    /// The server cut the connection.
    Cut,
}

/// A call, and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallRecord {
    /// What arrived.
    pub request: Request,
    /// Batches that were sent, so far. As long as the caller does not read, some are only on their way.
    pub batches: u64,
    /// How it ended, and when by tokio's clock; `None` while it runs.
    pub end: Option<(End, Instant)>,
}

/// All that a server has seen.
#[derive(Debug, Default)]
pub(super) struct Record {
    seen: Mutex<Seen>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<CallRecord>,
    /// Calls before the first of `calls`.
    forgotten: u64,
    /// What ends a running call, by its id.
    running: BTreeMap<u64, (String, CancellationToken)>,
    most_in_flight: usize,
    cancelled: u64,
    cancel_requests: Vec<String>,
}

impl Seen {
    fn call(&mut self, number: u64) -> Option<&mut CallRecord> {
        self.calls.get_mut(usize::try_from(number.checked_sub(self.forgotten)?).ok()?)
    }
}

impl Record {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let outcome = change(&mut self.seen());
        self.changes.send_replace(());
        outcome
    }

    /// Notes a call, until what is answered is dropped.
    pub(super) fn begin(self: &Arc<Self>, request: &mut Request, wire: Option<Wire>) -> Running {
        let token = CancellationToken::new();
        self.change(|seen| {
            request.number = seen.forgotten + seen.calls.len() as u64;
            if request.query_id.is_empty() {
                request.query_id = format!("fake-{}", request.number);
            }
            seen.calls.push(CallRecord { request: request.clone(), batches: 0, end: None });
            seen.running.insert(request.number, (request.query_id.clone(), token.clone()));
            seen.most_in_flight = seen.most_in_flight.max(seen.running.len());
        });
        Running { record: self.clone(), number: request.number, wire, token, ended: false }
    }

    /// Ends the running calls of that id, if there are any.
    pub(super) fn cancel(&self, query_id: String) -> bool {
        self.change(|seen| {
            let tokens = seen.running.values().filter(|(id, _)| *id == query_id).map(|(_, token)| token);
            let found = tokens.inspect(|token| token.cancel()).count() > 0;
            seen.cancel_requests.push(query_id);
            found
        })
    }

    pub(super) fn calls(&self) -> Vec<CallRecord> {
        self.seen().calls.clone()
    }

    pub(super) fn take_calls(&self) -> Vec<CallRecord> {
        self.change(|seen| {
            seen.forgotten += seen.calls.len() as u64;
            std::mem::take(&mut seen.calls)
        })
    }

    pub(super) fn in_flight(&self) -> usize {
        self.seen().running.len()
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.seen().most_in_flight
    }

    pub(super) fn cancelled(&self) -> u64 {
        self.seen().cancelled
    }

    pub(super) fn cancel_requests(&self) -> Vec<String> {
        self.seen().cancel_requests.clone()
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

/// A call that runs. Dropped before it ended, it was cancelled, or its connection was cut.
#[derive(Debug)]
pub(super) struct Running {
    record: Arc<Record>,
    number: u64,
    wire: Option<Wire>,
    token: CancellationToken,
    ended: bool,
}

impl Running {
    /// Becomes ready when CancelQuery asks for the call's end.
    pub(super) fn cancel_requested(&self) -> CancellationToken {
        self.token.clone()
    }

    pub(super) fn batch_sent(&self) {
        self.record.change(|seen| {
            if let Some(call) = seen.call(self.number) {
                call.batches += 1;
            }
        });
    }

    pub(super) fn cut(&self) {
        if let Some(wire) = &self.wire {
            wire.cut();
        }
    }

    pub(super) fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.record.change(|seen| {
            seen.running.remove(&self.number);
            seen.cancelled += u64::from(end == End::Cancelled);
            if let Some(call) = seen.call(self.number) {
                call.end = Some((end, Instant::now()));
            }
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let cut = self.wire.as_ref().is_some_and(Wire::is_cut);
        self.end(if cut { End::Cut } else { End::Cancelled });
    }
}
