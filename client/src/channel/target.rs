//! What the user wrote as an endpoint, and where it leads: one address, or a name that leads to several.
//!
//! Asking for a name's addresses is in `resolve.rs`.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tonic::transport::Endpoint;

/// An endpoint as the user wrote it. TLS and the requests keep its host, whichever address a connection goes to.
#[derive(Debug)]
pub(crate) struct Target {
    /// The URL, for messages.
    pub(super) name: Arc<str>,
    pub(super) endpoint: Endpoint,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Address(SocketAddr),
    /// `HOST:PORT`.
    Name(Arc<str>),
}

impl Target {
    pub(crate) fn new(name: &str, endpoint: Endpoint) -> Self {
        let uri = endpoint.uri();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let host = uri.host().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let place = match literal {
            Ok(address) => Place::Address(SocketAddr::new(address, port)),
            Err(_) => Place::Name(format!("{host}:{port}").into()),
        };
        Self { name: name.into(), endpoint, place }
    }

    pub(super) fn map(self, change: impl FnOnce(Endpoint) -> Endpoint) -> Self {
        Self { endpoint: change(self.endpoint), ..self }
    }

    /// The address, unless it is a name that is to be looked up.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Address(address) => Some(address),
            Place::Name(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_address_is_itself_and_a_name_has_its_port() {
        for (url, place) in [
            ("http://127.0.0.1:50051", Place::Address("127.0.0.1:50051".parse().unwrap())),
            ("https://[::1]", Place::Address("[::1]:443".parse().unwrap())),
            ("http://[2001:db8::1]:7", Place::Address("[2001:db8::1]:7".parse().unwrap())),
            ("http://rows.internal", Place::Name("rows.internal:80".into())),
            ("https://localhost:5", Place::Name("localhost:5".into())),
        ] {
            assert_eq!(Target::new(url, Endpoint::from_static(url)).place, place, "{url}");
        }
    }
}
