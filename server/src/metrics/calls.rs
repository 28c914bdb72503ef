//! Calls: how many, how they ended, how long each phase took, and what was sent.
//!
//! A call takes its handles once, when it begins. What is counted for each batch or fetch is an atomic
//! addition; nothing is counted for each row.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};
use tokio::time::Instant;

use super::names;
use crate::{
    error::Error,
    service::status::code_name,
    stop::{self, Cause, Stopped},
};

/// What a call is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    StreamQuery,
    QueryRow,
    DescribeQuery,
    ListQueries,
    ListTables,
    CancelQuery,
    CreateReadSession,
    ReadPartition,
    RenewReadSession,
    DeleteReadSession,
    /// The server's own check of a named query.
    Check,
}

impl Method {
    const ALL: [Self; 11] = [
        Self::StreamQuery,
        Self::QueryRow,
        Self::DescribeQuery,
        Self::ListQueries,
        Self::ListTables,
        Self::CancelQuery,
        Self::CreateReadSession,
        Self::ReadPartition,
        Self::RenewReadSession,
        Self::DeleteReadSession,
        Self::Check,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::StreamQuery => "StreamQuery",
            Self::QueryRow => "QueryRow",
            Self::DescribeQuery => "DescribeQuery",
            Self::ListQueries => "ListQueries",
            Self::ListTables => "ListTables",
            Self::CancelQuery => "CancelQuery",
            Self::CreateReadSession => "CreateReadSession",
            Self::ReadPartition => "ReadPartition",
            Self::RenewReadSession => "RenewReadSession",
            Self::DeleteReadSession => "DeleteReadSession",
            Self::Check => "check",
        }
    }
}

/// Where a call's time goes. The phases do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Until it was admitted, or refused.
    Queue,
    /// Until it had a database connection, or had none in time.
    Connection,
    /// Until the cursor was ready: transaction, description, values, DECLARE.
    Plan,
    /// Reading rows, without the two below; and the rest of the way to the end.
    Database,
    /// Encoding rows.
    Encode,
    /// Waiting for the caller to take them.
    Client,
}

impl Phase {
    const ALL: [Self; 6] = [Self::Queue, Self::Connection, Self::Plan, Self::Database, Self::Encode, Self::Client];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Connection => "connection",
            Self::Plan => "plan",
            Self::Database => "database",
            Self::Encode => "encode",
            Self::Client => "client",
        }
    }
}

/// The label of a call whose method, or statement, is not known.
const NONE: &str = "none";
/// How many statements of a method have series of their own; those beyond share one.
const MAX_STATEMENTS: usize = 1_000;
const OTHER: &str = "other";
const OK: &str = "OK";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct CallCounts(Arc<Families>);

#[derive(Debug)]
struct Families {
    ended: IntCounterVec,
    duration: HistogramVec,
    reads: IntCounterVec,
    rows: IntCounterVec,
    row_bytes: IntCounterVec,
    batches: IntCounterVec,
    overshoot: Histogram,
    first_row: HistogramVec,
    phases: HistogramVec,
    fetches: IntCounterVec,
    trips: IntCounterVec,
    methods: [OfMethod; Method::ALL.len()],
}

/// The handles of a method; those that not every method has are made when they are first used.
#[derive(Debug)]
struct OfMethod {
    in_flight: IntGauge,
    first_row: OnceLock<Histogram>,
    fetches: OnceLock<[IntCounter; 2]>,
    phases: [OnceLock<Histogram>; Phase::ALL.len()],
    statements: RwLock<HashMap<String, Arc<OfStatement>>>,
}

/// The handles of a statement of a method.
#[derive(Debug)]
struct OfStatement {
    label: String,
    duration: Histogram,
    rows: IntCounter,
    row_bytes: IntCounter,
    batches: IntCounter,
}

impl CallCounts {
    pub(super) fn new(registry: &Registry) -> Self {
        let in_flight = names::CALLS_IN_FLIGHT.gauges(registry);
        let method = |method: Method| OfMethod {
            in_flight: in_flight.with_label_values(&[method.as_str()]),
            first_row: OnceLock::new(),
            fetches: OnceLock::new(),
            phases: Default::default(),
            statements: RwLock::default(),
        };
        Self(Arc::new(Families {
            methods: Method::ALL.map(method),
            ended: names::CALLS.counters(registry),
            first_row: names::FIRST_ROW.histograms(registry),
            phases: names::PHASE_DURATION.histograms(registry),
            fetches: names::FETCHES.counters(registry),
            trips: names::FETCH_TRIPS.counters(registry),
            duration: names::CALL_DURATION.histograms(registry),
            reads: names::READS.counters(registry),
            rows: names::ROWS.counters(registry),
            row_bytes: names::ROW_BYTES.counters(registry),
            batches: names::BATCHES.counters(registry),
            overshoot: names::DEADLINE_OVERSHOOT.histograms(registry).with_label_values::<&str>(&[]),
        }))
    }

    /// A call has begun.
    pub(crate) fn begin(&self, method: Method) -> CallCount {
        self.0.methods[method as usize].in_flight.inc();
        CallCount(Arc::new(Counting {
            families: self.0.clone(),
            method,
            started: Instant::now(),
            statement: OnceLock::new(),
            ended: AtomicBool::new(false),
        }))
    }

    /// A request was refused before anything was known of it.
    pub(crate) fn shed(&self, error: &Error) {
        self.0.count(NONE, NONE, Some(error));
    }
}

impl Families {
    fn count(&self, method: &str, statement: &str, error: Option<&Error>) {
        let (code, reason) = error.map_or((OK, OK), |error| (code_name(error.reason()), error.reason_name()));
        self.ended.with_label_values(&[method, statement, code, reason]).inc();
    }

    /// The handles of a statement, made when it is first met.
    fn statement(&self, method: Method, label: &str) -> Arc<OfStatement> {
        let statements = &self.methods[method as usize].statements;
        if let Some(known) = statements.read().unwrap_or_else(PoisonError::into_inner).get(label) {
            return known.clone();
        }
        let mut statements = statements.write().unwrap_or_else(PoisonError::into_inner);
        let label = if statements.len() < MAX_STATEMENTS { label } else { OTHER };
        let labels = [method.as_str(), label];
        // A rate needs the zero before the first event.
        for (code, reason) in [(OK, OK), ("INTERNAL", "INTERNAL")] {
            self.ended.with_label_values(&[method.as_str(), label, code, reason]);
        }
        let made = || OfStatement {
            label: label.to_owned(),
            duration: self.duration.with_label_values(&labels),
            rows: self.rows.with_label_values(&labels),
            row_bytes: self.row_bytes.with_label_values(&labels),
            batches: self.batches.with_label_values(&labels),
        };
        statements.entry(label.to_owned()).or_insert_with(|| Arc::new(made())).clone()
    }
}

/// What a call notes of itself. Clones are of the same call, which leaves the gauges with the last of
/// them; a call that nobody has ended by then was left by its caller, or panicked.
#[derive(Clone, Debug)]
pub(crate) struct CallCount(Arc<Counting>);

#[derive(Debug)]
struct Counting {
    families: Arc<Families>,
    method: Method,
    started: Instant,
    statement: OnceLock<Arc<OfStatement>>,
    ended: AtomicBool,
}

impl CallCount {
    /// The statement is known. `label` must be one of few: a caller's own text makes no series.
    pub(crate) fn of_statement(&self, label: &str) {
        self.0.statement.get_or_init(|| self.0.families.statement(self.0.method, label));
    }

    pub(crate) fn phase(&self, phase: Phase, took: Duration) {
        let labels = [self.0.method.as_str(), phase.as_str()];
        let histogram = &self.of_method().phases[phase as usize];
        histogram.get_or_init(|| self.0.families.phases.with_label_values(&labels)).observe(took.as_secs_f64());
    }

    /// Its statement is about to be read.
    pub(crate) fn read(&self, strategy: &str, encoding: &str) {
        self.0.families.reads.with_label_values(&[self.0.method.as_str(), strategy, encoding]).inc();
    }

    pub(crate) fn batch(&self, rows: i64, bytes: usize, first: bool) {
        if let Some(statement) = self.0.statement.get() {
            statement.rows.inc_by(rows.unsigned_abs());
            statement.row_bytes.inc_by(bytes as u64);
            statement.batches.inc();
        }
        if first {
            let made = || self.0.families.first_row.with_label_values(&[self.0.method.as_str()]);
            self.of_method().first_row.get_or_init(made).observe(self.0.started.elapsed().as_secs_f64());
        }
    }

    /// A round trip has brought the rows of so many FETCHes.
    pub(crate) fn fetched(&self, fetches: i64) {
        let Families { fetches: all, trips, .. } = &*self.0.families;
        let made = || [all, trips].map(|family| family.with_label_values(&[self.0.method.as_str()]));
        let [all, trips] = self.of_method().fetches.get_or_init(made);
        all.inc_by(fetches.unsigned_abs());
        trips.inc();
    }

    /// The deadline had passed when the call ended, by so much.
    pub(crate) fn overshoot(&self, by: Duration) {
        self.0.families.overshoot.observe(by.as_secs_f64());
    }

    /// The call has ended. Counts once, whoever says so first.
    pub(crate) fn end(&self, error: Option<&Error>) {
        self.0.end(error);
    }

    fn of_method(&self) -> &OfMethod {
        &self.0.families.methods[self.0.method as usize]
    }
}

impl Counting {
    fn end(&self, error: Option<&Error>) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let statement = self.statement.get();
        if let Some(statement) = statement {
            statement.duration.observe(self.started.elapsed().as_secs_f64());
        }
        let label = statement.map_or(NONE, |statement| statement.label.as_str());
        self.families.count(self.method.as_str(), label, error);
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.families.methods[self.method as usize].in_flight.dec();
        self.end(Some(&if std::thread::panicking() {
            Error::Internal("a panic".to_owned())
        } else {
            Error::Stopped(Stopped { cause: Cause::CallerGone, phase: stop::Phase::Queue })
        }));
    }
}
