//! Client connections.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::names;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionCounts {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    failures: IntCounterVec,
    accept_errors: IntCounter,
}

/// Why a connection ended that was not closed by its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It did not finish its greeting (TLS's handshake, HTTP/2's preface) in time.
    Silent,
    /// It did not speak TLS or HTTP/2, broke its rules, did not answer a ping, or was cut.
    Error,
}

impl Failure {
    const ALL: [Self; 2] = [Self::Silent, Self::Error];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Error => "error",
        }
    }
}

/// A connection, open until dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    counts: ConnectionCounts,
    transport: &'static str,
}

/// The transports there are.
pub(crate) const PLAINTEXT: &str = "plaintext";
pub(crate) const TLS: &str = "tls";

impl ConnectionCounts {
    pub(super) fn new(registry: &Registry) -> Self {
        let counts = Self {
            open: names::CONNECTIONS.gauges(registry),
            accepted: names::ACCEPTED.counters(registry),
            failures: names::CONNECTION_FAILURES.counters(registry),
            accept_errors: names::ACCEPT_ERRORS.counters(registry).with_label_values::<&str>(&[]),
        };
        for transport in [PLAINTEXT, TLS] {
            counts.open.with_label_values(&[transport]);
            counts.accepted.with_label_values(&[transport]);
            for failure in Failure::ALL {
                counts.failures.with_label_values(&[transport, failure.as_str()]);
            }
        }
        counts
    }

    /// A connection was accepted over that transport.
    pub(crate) fn accepted(&self, transport: &'static str) -> OpenConnection {
        self.accepted.with_label_values(&[transport]).inc();
        self.open.with_label_values(&[transport]).inc();
        OpenConnection { counts: self.clone(), transport }
    }

    /// Accepting failed, for a reason that is not one connection's.
    pub(crate) fn accept_failed(&self) {
        self.accept_errors.inc();
    }
}

impl OpenConnection {
    pub(crate) fn failed(&self, failure: Failure) {
        self.counts.failures.with_label_values(&[self.transport, failure.as_str()]).inc();
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.counts.open.with_label_values(&[self.transport]).dec();
    }
}
