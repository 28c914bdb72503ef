//! TLS on this side: whose certificates are trusted, and which name the server's must have; and what to try when a
//! handshake fails.
//!
//! The handshake itself is rustls's, within tonic's channel.

use std::{error::Error as StdError, io, iter::successors, time::Duration};

use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::{Error, error::root};

/// What `https://` endpoints are held to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// PEM; without it the system's certificate authorities are trusted.
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) server_name: Option<String>,
}

impl Tls {
    /// Checks what can be checked without a connection.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(pem) = &self.authorities {
            check_authorities(pem).map_err(|problem| Error::InvalidSetting { setting: "CA certificate", problem })?;
        }
        match &self.server_name {
            Some(name) if ServerName::try_from(name.as_str()).is_err() => {
                let problem = format!("{name:?} is neither a DNS name nor an IP address");
                Err(Error::InvalidSetting { setting: "server name", problem })
            }
            _ => Ok(()),
        }
    }

    /// An endpoint that speaks TLS.
    pub(crate) fn apply(&self, endpoint: Endpoint, handshake_timeout: Duration) -> Result<Endpoint, String> {
        let config = ClientTlsConfig::new().timeout(handshake_timeout);
        let mut config = match &self.authorities {
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
            None => config.with_native_roots(),
        };
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        let refused = |error| format!("TLS: {}; --cacert names a CA certificate to trust", root(&error));
        endpoint.tls_config(config).map_err(|error: tonic::transport::Error| refused(error))
    }
}

fn check_authorities(pem: &[u8]) -> Result<(), String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| format!("it is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("it holds no CERTIFICATE in PEM".to_owned());
    }
    let mut store = RootCertStore::empty();
    certificates.into_iter().try_for_each(|one| store.add(one)).map_err(|error| error.to_string())
}

/// What to try after a handshake that failed. `None` if something else did.
pub(crate) fn hint(endpoint: &str, source: &(dyn StdError + 'static)) -> Option<String> {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    if !endpoint.starts_with("https:") {
        return None;
    }
    let no_tls = || format!("does {endpoint} speak TLS? If not, write http:// instead of https://");
    Some(match find(source) {
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            Expired | ExpiredContext { .. } => {
                "the server's certificate has expired: its operator must renew it; or is this machine's clock wrong?"
            }
            NotValidYet | NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: is this machine's clock wrong?"
            }
            NotValidForName | NotValidForNameContext { .. } => {
                "the server's certificate is for another name: connect by a name that it has, or give one with \
                 --server-name (ClientBuilder::server_name)"
            }
            // The latter: an authority of the same name is trusted, with another key.
            UnknownIssuer | BadSignature => {
                "the authority that signed the server's certificate is not trusted here: give its certificate with \
                 --cacert (ClientBuilder::ca_certificate)"
            }
            _ => "the server's certificate cannot be used: its operator must replace it",
        }
        .to_owned(),
        Some(rustls::Error::InvalidMessage(_)) => no_tls(),
        Some(_) => format!("{endpoint} and this client do not agree on TLS: is it rowstream-server's port?"),
        None => match io_kind(source) {
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::InvalidData) => {
                no_tls()
            }
            _ => return None,
        },
    })
}

/// rustls's own error: it stands within an `io::Error`, which does not name it as its source.
fn find<'a>(source: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    successors(Some(source), |error| (*error).source())
        .find_map(|error| error.downcast_ref().or_else(|| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()))
}

fn io_kind(source: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    successors(Some(source), |error| (*error).source())
        .find_map(|error| Some(error.downcast_ref::<io::Error>()?.kind()))
}
