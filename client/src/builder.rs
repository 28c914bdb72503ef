//! From raw endpoints and settings to a [`Client`]: everything that can be wrong is found here,
//! before anything is sent.

use std::time::Duration;

use http::Uri;
use tonic::transport::Endpoint;

use crate::{
    Client, Error,
    channel::{Channels, Settings, Target},
    tls::Tls,
};

/// The server sends a row that is larger than its message limit alone, up to its --max-row-bytes.
/// A message of this size is taken whole into memory; most are 96 KiB.
const DEFAULT_MAX_MESSAGE_BYTES: usize = 256 << 20;

/// Settings of a [`Client`]; made by [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    endpoints: Vec<String>,
    settings: Settings,
    tls: Tls,
    max_message_bytes: usize,
}

impl ClientBuilder {
    pub(crate) fn new(endpoints: Vec<String>) -> Self {
        let settings = Settings::default();
        Self { endpoints, settings, tls: Tls::default(), max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES }
    }

    /// How many connections to open to each server, at most: to each address of an endpoint's name. Default 2; 0 counts
    /// as 1. A further one is opened when those that are open are busy, and a call takes the one with the fewest
    /// streams. One carries 256 streams at most, as many as a server takes by default; beyond that calls wait.
    ///
    /// Streams that are not read hold back no other: each has a window of its own, 2 MiB, which is also the memory that
    /// an unread stream can take.
    pub fn connections_per_endpoint(mut self, connections: usize) -> Self {
        self.settings.connections_per_endpoint = connections;
        self
    }

    /// How long opening one connection may take, TLS included, and looking up a name. Default 10 s. A call's deadline
    /// covers it as well.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How often a quiet connection is probed, and how long an answer may take before the connection
    /// counts as dead. Default 20 s.
    pub fn keepalive(mut self, interval: Duration) -> Self {
        self.settings.keepalive = interval;
        self
    }

    /// Makes the choice among several servers repeatable: with the same seed, the same calls and the same answers it is
    /// the same. Default: a seed of its own for each client.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// The largest message to accept, in bytes. Default 256 MiB: a server sends a row that is larger
    /// than its own message limit in a message of its own.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Trusts the certificate authorities of this PEM text, and no others, for `https://` endpoints. Default: those
    /// that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.authorities = Some(pem.into());
        self
    }

    /// The name that the certificate of an `https://` endpoint must have, a DNS name or an IP address. Default: the
    /// endpoint's host. For servers that are reached by another name than their certificate's.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.server_name = Some(name.into());
        self
    }

    /// Checks the settings. Connections are opened when first used.
    ///
    /// # Errors
    /// [`Error::InvalidEndpoint`] names an endpoint that is neither `http://HOST:PORT` nor `https://HOST:PORT`, or
    /// says that there is none; [`Error::InvalidSetting`] a CA certificate or server name that is none.
    pub fn build(self) -> Result<Client, Error> {
        self.tls.check()?;
        let endpoints = self.endpoints.iter().map(|text| self.parse(text)).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(invalid("", "no endpoint was given"));
        }
        Ok(Client::new(Channels::new(endpoints, &self.settings), self.max_message_bytes))
    }

    fn parse(&self, text: &str) -> Result<Target, Error> {
        let uri: Uri = text.parse().map_err(|error| invalid(text, format!("{error}; write http://HOST:PORT")))?;
        let secret = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid(text, "write http://HOST:PORT, or https://HOST:PORT")),
        };
        if uri.path_and_query().is_some_and(|path| path != "/") {
            return Err(invalid(text, "a path has no meaning here; write http://HOST:PORT"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(invalid("", "a user or password in the URL has no meaning here; write http://HOST:PORT"));
        }
        let mut endpoint = Endpoint::from(uri);
        if secret {
            endpoint =
                self.tls.apply(endpoint, self.settings.connect_timeout).map_err(|problem| invalid(text, problem))?;
        }
        Ok(Target::new(text.trim_end_matches('/'), endpoint))
    }
}

fn invalid(endpoint: &str, problem: impl Into<String>) -> Error {
    Error::InvalidEndpoint { endpoint: endpoint.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_cannot_be_used_is_refused_with_what_to_write_instead() {
        for (text, told) in [
            ("127.0.0.1:50051", "http://HOST:PORT"),
            ("localhost", "http://HOST:PORT"),
            ("ftp://host:1", "http://HOST:PORT"),
            ("http://host:1/path", "a path has no meaning"),
            ("https://host:1/path", "a path has no meaning"),
            ("http://ho st:1", "http://HOST:PORT"),
            ("", "http://HOST:PORT"),
        ] {
            let error = Client::builder([text]).build().unwrap_err();
            assert!(error.to_string().contains(told), "{text:?}: {error}");
            assert!(matches!(error, Error::InvalidEndpoint { endpoint, .. } if endpoint == text));
        }
        let error = Client::builder(["http://user:secret@host:1"]).build().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(Client::builder(Vec::<String>::new()).build().is_err());
    }

    #[test]
    fn what_tls_cannot_use_is_refused_before_anything_is_sent() {
        let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (pem, told) in [("", "holds no CERTIFICATE"), ("hello", "holds no CERTIFICATE"), (garbage, "BadEncoding")] {
            let error = Client::builder(["https://host:1"]).ca_certificate(pem).build().unwrap_err();
            assert!(error.to_string().starts_with("the CA certificate cannot be used: "), "{error}");
            assert!(error.to_string().contains(told), "{error}");
        }
        let error = Client::builder(["https://host:1"]).server_name("no name").build().unwrap_err();
        assert!(error.to_string().starts_with("the server name cannot be used: "), "{error}");
    }

    #[test]
    fn building_needs_no_runtime_and_no_server() {
        for text in ["http://127.0.0.1:50051", "http://[::1]:50051/", "http://host"] {
            assert!(Client::builder([text]).build().is_ok(), "{text}");
        }
    }
}
