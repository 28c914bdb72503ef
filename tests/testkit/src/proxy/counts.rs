//! What passed through a connection.

use std::{
    iter::Sum,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// What passed since the start or the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often the client spoke after the server had spoken, or first of all: bytes that the client sends in
    /// several pieces without an answer in between are one round trip.
    pub round_trips: u64,
    /// Bytes from the client to the server.
    pub client_bytes: u64,
    /// Bytes from the server to the client.
    pub server_bytes: u64,
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Self::default(), |sum, next| Self {
            round_trips: sum.round_trips + next.round_trips,
            client_bytes: sum.client_bytes + next.client_bytes,
            server_bytes: sum.server_bytes + next.server_bytes,
        })
    }
}

/// Counts one connection.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// True from the client's first byte until the server's next.
    client_spoke_last: AtomicBool,
    round_trips: AtomicU64,
    client_bytes: AtomicU64,
    server_bytes: AtomicU64,
}

impl Meter {
    pub(super) fn count_client(&self, bytes: usize) {
        if !self.client_spoke_last.swap(true, Relaxed) {
            self.round_trips.fetch_add(1, Relaxed);
        }
        self.client_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn count_server(&self, bytes: usize) {
        self.client_spoke_last.store(false, Relaxed);
        self.server_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        Counts {
            round_trips: self.round_trips.load(Relaxed),
            client_bytes: self.client_bytes.load(Relaxed),
            server_bytes: self.server_bytes.load(Relaxed),
        }
    }

    /// Who spoke last is not forgotten: it is a state, not a count.
    pub(super) fn reset(&self) {
        self.round_trips.store(0, Relaxed);
        self.client_bytes.store(0, Relaxed);
        self.server_bytes.store(0, Relaxed);
    }
}
