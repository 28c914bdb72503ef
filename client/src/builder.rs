//! From raw endpoints and settings to a [`Client`]: everything that can be wrong is found here,
//! before anything is sent.

use std::time::Duration;

use http::Uri;
use tonic::transport::Endpoint;

use crate::{
    Client, Error,
    channel::{Channels, Settings},
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
    max_message_bytes: usize,
}

impl ClientBuilder {
    pub(crate) fn new(endpoints: Vec<String>) -> Self {
        let settings = Settings {
            connections_per_endpoint: 2,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(20),
        };
        Self { endpoints, settings, max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES }
    }

    /// How many connections to open to each endpoint, at most. Default 2; 0 counts as 1. Calls take
    /// them in turn; a stream that is not read holds back the others of its connection.
    pub fn connections_per_endpoint(mut self, connections: usize) -> Self {
        self.settings.connections_per_endpoint = connections;
        self
    }

    /// How long opening one connection may take. Default 10 s. A call's deadline covers it as well.
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

    /// The largest message to accept, in bytes. Default 256 MiB: a server sends a row that is larger
    /// than its own message limit in a message of its own.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Checks the settings. Connections are opened when first used.
    ///
    /// # Errors
    /// [`Error::InvalidEndpoint`] names an endpoint that is no `http://HOST:PORT`, or says that there
    /// is none.
    pub fn build(self) -> Result<Client, Error> {
        let endpoints = self.endpoints.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(invalid("", "no endpoint was given"));
        }
        Ok(Client::new(Channels::new(&endpoints, &self.settings), self.max_message_bytes))
    }
}

fn parse(text: &str) -> Result<(String, Endpoint), Error> {
    let uri: Uri = text.parse().map_err(|error| invalid(text, format!("{error}; write http://HOST:PORT")))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(invalid(text, "this version does not speak TLS; write http://HOST:PORT")),
        _ => return Err(invalid(text, "write http://HOST:PORT")),
    }
    if uri.path_and_query().is_some_and(|path| path != "/") {
        return Err(invalid(text, "a path has no meaning here; write http://HOST:PORT"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(invalid("", "a user or password in the URL has no meaning here; write http://HOST:PORT"));
    }
    Ok((text.trim_end_matches('/').to_owned(), Endpoint::from(uri)))
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
            ("https://host:1", "does not speak TLS"),
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
    fn building_needs_no_runtime_and_no_server() {
        for text in ["http://127.0.0.1:50051", "http://[::1]:50051/", "http://host"] {
            assert!(Client::builder([text]).build().is_ok(), "{text}");
        }
    }
}
