//! A certificate chain and its key: read from PEM files, and held against each other.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _, time::ASN1Time};

/// What HTTP/2 calls itself in a handshake.
const H2: &[u8] = b"h2";

/// The files, as they were given.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What the files hold. No Debug: one of the two is a key.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that can be served.
pub(super) struct Pair {
    pub(super) config: Arc<ServerConfig>,
    pub(super) not_before: ASN1Time,
    pub(super) not_after: ASN1Time,
}

impl Files {
    /// The contents now.
    ///
    /// # Errors
    /// Names the flag and the file.
    pub(super) fn read(&self) -> Result<Contents, String> {
        let read = |flag, path: &Path| fs::read(path).map_err(|error| wrong(flag, path, &error.to_string()));
        Ok(Contents { certificate: read("--tls-cert", &self.certificate)?, key: read("--tls-key", &self.key)? })
    }

    /// Makes a pair of the contents.
    ///
    /// # Errors
    /// Names the flag, the file and what is wrong with it.
    pub(super) fn pair(&self, contents: &Contents) -> Result<Pair, String> {
        let in_certificate = |problem: String| wrong("--tls-cert", &self.certificate, &problem);
        let in_key = |problem: String| wrong("--tls-key", &self.key, &problem);
        let chain = chain(&contents.certificate).map_err(in_certificate)?;
        let (_, first) = X509Certificate::from_der(&chain[0])
            .map_err(|_| in_certificate("the first certificate is no X.509 certificate".to_owned()))?;
        let (not_before, not_after) = (first.validity().not_before, first.validity().not_after);
        let key = key(&contents.key).map_err(in_key)?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => in_key(format!(
                "it is not the key of the certificate in {}, whose first certificate must be the server's own",
                self.certificate.display()
            )),
            error => in_key(error.to_string()),
        })?;
        Ok(Pair { config: config(certified)?, not_before, not_after })
    }
}

impl Pair {
    /// Whether the certificate is valid now; if not, what callers will say.
    pub(super) fn check_time(&self) -> Result<(), String> {
        let now = ASN1Time::now();
        if now > self.not_after {
            Err(format!("the certificate expired at {}", self.not_after))
        } else if now < self.not_before {
            Err(format!("the certificate is valid from {} on", self.not_before))
        } else {
            Ok(())
        }
    }
}

fn config(certified: CertifiedKey) -> Result<Arc<ServerConfig>, String> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![H2.to_vec()];
    Ok(Arc::new(config))
}

/// At least one certificate.
fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| format!("not PEM: {error}"))?;
    if chain.is_empty() { Err("holds no CERTIFICATE in PEM".to_owned()) } else { Ok(chain) }
}

fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let contains = |label: &[u8]| text.windows(label.len()).any(|window| window == label);
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(b"ENCRYPTED PRIVATE KEY") => {
            "the key is encrypted; decrypt it, with openssl pkey for instance".to_owned()
        }
        pem::Error::NoItemsFound => "holds no PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY in PEM".to_owned(),
        error => format!("not PEM: {error}"),
    })
}

fn wrong(flag: &str, path: &Path, problem: &str) -> String {
    format!("{flag} {}: {problem}", path.display())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    fn files(folder: &TempDir, certificate: &str, key: &str) -> Files {
        let files = Files { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        fs::write(&files.certificate, certificate).expect("written");
        fs::write(&files.key, key).expect("written");
        files
    }

    fn made(names: &[&str]) -> (String, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
        (params.self_signed(&key).expect("signed").pem(), key)
    }

    #[test]
    fn a_pair_that_cannot_be_served_is_refused_with_the_flag_and_the_reason() {
        let folder = TempDir::new().expect("a folder");
        let (certificate, key) = made(&["a"]);
        let (key, other) = (key.serialize_pem(), made(&["b"]).1.serialize_pem());
        let broken = certificate.replacen("MII", "M*I", 1);
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (certificate, key, told) in [
            ("", key.as_str(), "holds no CERTIFICATE in PEM"),
            (&key, &key, "holds no CERTIFICATE in PEM"),
            (&broken, &key, "not PEM"),
            (garbage, &key, "no X.509 certificate"),
            (&certificate, "", "holds no PRIVATE KEY"),
            (&certificate, &certificate, "holds no PRIVATE KEY"),
            (&certificate, &encrypted, "the key is encrypted"),
            (&certificate, &other, "it is not the key of the certificate in"),
        ] {
            let files = files(&folder, certificate, key);
            let error = files.read().and_then(|contents| files.pair(&contents)).err().expect(told);
            assert!(error.contains(told) && error.starts_with("--tls-"), "{told}: {error}");
        }
        let missing = Files { key: folder.path().join("missing"), ..files(&folder, &certificate, &key) };
        let error = missing.read().err().expect("not there");
        assert!(
            error.starts_with("--tls-key ") && error.ends_with("No such file or directory (os error 2)"),
            "{error}"
        );
    }

    #[test]
    fn a_certificate_out_of_its_time_is_told() {
        let folder = TempDir::new().expect("a folder");
        for (from, until, told) in [(1990, 2000, "expired at"), (2900, 3000, "is valid from"), (2000, 3000, "")] {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec!["a".to_owned()]).expect("names");
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(until, 1, 1));
            let files = files(&folder, &params.self_signed(&key).expect("signed").pem(), &key.serialize_pem());
            let pair =
                files.read().and_then(|contents| files.pair(&contents)).unwrap_or_else(|error| panic!("{error}"));
            let checked = pair.check_time();
            assert_eq!(checked.is_err(), !told.is_empty());
            assert!(checked.err().unwrap_or_default().contains(told));
        }
    }
}
