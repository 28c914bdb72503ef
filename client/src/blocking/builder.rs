//! Settings of a blocking client: those of the asynchronous one.

use std::time::Duration;

use super::{Client, runtime::Runtime};
use crate::Error;

/// Settings of a [`Client`]; made by [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    inner: crate::ClientBuilder,
}

impl ClientBuilder {
    pub(super) fn new(inner: crate::ClientBuilder) -> Self {
        Self { inner }
    }

    /// As [`crate::ClientBuilder::connections_per_endpoint`]: default 2.
    pub fn connections_per_endpoint(mut self, connections: usize) -> Self {
        self.inner = self.inner.connections_per_endpoint(connections);
        self
    }

    /// As [`crate::ClientBuilder::connect_timeout`]: default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.inner = self.inner.connect_timeout(timeout);
        self
    }

    /// As [`crate::ClientBuilder::keepalive`]: default 20 s.
    pub fn keepalive(mut self, interval: Duration) -> Self {
        self.inner = self.inner.keepalive(interval);
        self
    }

    /// As [`crate::ClientBuilder::seed`]: default, one of its own for each client.
    pub fn seed(mut self, seed: u64) -> Self {
        self.inner = self.inner.seed(seed);
        self
    }

    /// As [`crate::ClientBuilder::max_message_bytes`]: default 256 MiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.inner = self.inner.max_message_bytes(bytes);
        self
    }

    /// As [`crate::ClientBuilder::ca_certificate`]: default, those that the system trusts.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.inner = self.inner.ca_certificate(pem);
        self
    }

    /// As [`crate::ClientBuilder::server_name`]: default, the endpoint's host.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.inner = self.inner.server_name(name);
        self
    }

    /// Checks the settings and starts the client's thread. Connections are opened when first used.
    ///
    /// # Errors
    /// [`Error::InvalidEndpoint`], as [`crate::ClientBuilder::build`]; [`Error::Start`] if the operating
    /// system gives no thread.
    pub fn build(self) -> Result<Client, Error> {
        let client = self.inner.build()?;
        Ok(Client::new(client, Runtime::start().map_err(Error::Start)?))
    }
}
