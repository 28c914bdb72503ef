//! Every metric there is: name, type, labels, and what it tells. Nothing else spells a metric's name.
//!
//! `docs/metrics.md` is the reference for readers; tests hold it, the dashboard and the alerts to this
//! list (`documents`).

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    /// Of durations, with the buckets [`DURATIONS`].
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// Upper bounds of the buckets of every histogram, in seconds: 100 us to an hour.
pub(crate) const DURATIONS: &[f64] =
    &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0];

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// Every metric of ours.
        #[cfg(test)]
        pub(crate) const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    CALLS: Counter "rowstream_calls_total" ["method", "statement", "code", "reason"]
        "Calls that have ended, by their outcome.";
    CALLS_IN_FLIGHT: Gauge "rowstream_calls_in_flight" ["method"]
        "Calls that have begun and not ended, waiting ones included.";
    CALL_DURATION: Histogram "rowstream_call_duration_seconds" ["method", "statement"]
        "Time from a call's begin to its last event, or to its error.";
    PHASE_DURATION: Histogram "rowstream_call_phase_duration_seconds" ["method", "phase"]
        "Time that calls spent in each phase.";
    FIRST_ROW: Histogram "rowstream_first_row_duration_seconds" ["method"]
        "Time from a call's begin to its first row's being encoded and ready to send.";
    DEADLINE_OVERSHOOT: Histogram "rowstream_deadline_overshoot_seconds" []
        "Time from a deadline that passed until the call's statement had ended and its connection was back.";

    READS: Counter "rowstream_reads_total" ["method", "strategy", "encoding"]
        "Statements begun to be read, by the way they are read and how their rows are sent.";
    ROWS: Counter "rowstream_rows_sent_total" ["method", "statement"]
        "Rows handed over for sending.";
    ROW_BYTES: Counter "rowstream_row_bytes_sent_total" ["method", "statement"]
        "Bytes of rows handed over for sending, as the summary counts them.";
    BATCHES: Counter "rowstream_batches_sent_total" ["method", "statement"]
        "Batches of rows handed over for sending.";

    STREAMS: Gauge "rowstream_streams_open" []
        "Streams and rows in work, or waiting for their callers: permits in use.";
    STREAMS_LIMIT: Gauge "rowstream_streams_limit" []
        "The most there may be, --max-streams.";
    QUEUE: Gauge "rowstream_queue_length" []
        "Calls that wait for a permit.";
    QUEUE_LIMIT: Gauge "rowstream_queue_limit" []
        "The most that may wait, --max-queue.";
    MEMORY: Gauge "rowstream_row_memory_bytes" []
        "Memory set aside for rows on their way.";
    MEMORY_LIMIT: Gauge "rowstream_row_memory_limit_bytes" []
        "The most there may be, --max-buffered-bytes.";

    DATABASE_UP: Gauge "rowstream_database_up" []
        "1 while PostgreSQL answers, otherwise 0.";
    FETCHES: Counter "rowstream_fetches_total" ["method"]
        "FETCH commands that PostgreSQL has answered in full.";
    FETCH_TRIPS: Counter "rowstream_fetch_round_trips_total" ["method"]
        "Round trips to PostgreSQL that carried them.";
    POOL_CONNECTIONS: Gauge "rowstream_pool_connections" ["pool", "state"]
        "Connections to PostgreSQL: idle, or in use (being opened included).";
    POOL_LIMIT: Gauge "rowstream_pool_connections_limit" ["pool"]
        "The most there may be: --pool-max for calls, 2 for control.";
    POOL_WAITING: Gauge "rowstream_pool_waiting" ["pool"]
        "Calls, or control statements, that wait for a connection.";
    POOL_OPENS: Counter "rowstream_pool_opens_total" ["pool", "outcome"]
        "Attempts to open a connection.";
    POOL_OPEN_DURATION: Histogram "rowstream_pool_open_duration_seconds" ["pool"]
        "Time to open a connection and prepare its session, where that succeeded.";
    POOL_DISCARDS: Counter "rowstream_pool_discards_total" ["pool", "cause"]
        "Connections that were closed.";
    CONTROL: Counter "rowstream_control_statements_total" ["kind", "outcome"]
        "Statements on the control connections.";
    CANCEL_DURATION: Histogram "rowstream_cancel_duration_seconds" ["end"]
        "Time from asking PostgreSQL to cancel a running statement until the statement had ended.";
    PLAN_LOOKUPS: Counter "rowstream_plan_cache_lookups_total" ["result"]
        "Statements looked up among those described before.";
    PLAN_FORGOTTEN: Counter "rowstream_plan_cache_forgotten_total" []
        "Descriptions found out of date and forgotten.";
    PLAN_ENTRIES: Gauge "rowstream_plan_cache_entries" []
        "Statements described before and still known.";
    PLAN_BYTES: Gauge "rowstream_plan_cache_bytes" []
        "Estimate of the memory they take.";

    CONNECTIONS: Gauge "rowstream_connections_open" ["transport"]
        "Open client connections.";
    CONNECTIONS_LIMIT: Gauge "rowstream_connections_limit" []
        "The most there may be, --max-connections.";
    ACCEPTED: Counter "rowstream_connections_accepted_total" ["transport"]
        "Client connections accepted.";
    CONNECTION_FAILURES: Counter "rowstream_connection_failures_total" ["transport", "cause"]
        "Client connections that did not end by being closed.";
    ACCEPT_ERRORS: Counter "rowstream_accept_errors_total" []
        "Times that accepting connections failed for want of file descriptors or memory.";

    NAMED_QUERIES: Gauge "rowstream_named_queries" ["state"]
        "Named queries that callers find (served), and files whose newest version is broken.";
    NAMED_QUERY_LOADS: Counter "rowstream_named_query_loads_total" ["outcome"]
        "Times that the folder of named queries was read.";
    DRAINING: Gauge "rowstream_draining" []
        "1 once the server has been told to end, otherwise 0.";
    BUILD: Gauge "rowstream_build_info" ["version"]
        "Always 1; the label tells the version.";
}

/// What the client library tells of the process, on Linux, under the names that Prometheus prescribes.
#[cfg(test)]
pub(crate) const PROCESS: &[(&str, Kind)] = &[
    ("process_cpu_seconds_total", Kind::Counter),
    ("process_resident_memory_bytes", Kind::Gauge),
    ("process_virtual_memory_bytes", Kind::Gauge),
    ("process_open_fds", Kind::Gauge),
    ("process_max_fds", Kind::Gauge),
    ("process_threads", Kind::Gauge),
    ("process_start_time_seconds", Kind::Gauge),
];
