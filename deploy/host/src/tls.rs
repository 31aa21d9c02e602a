//! TLS with `rustls` and `ring`: 1.2 and 1.3, certificates that are read again when their files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme};

/// A server's TLS, as typed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTls {
    /// The certificate and those between it and its authority, PEM.
    pub cert_file: PathBuf,
    /// The certificate's private key, PEM.
    pub key_file: PathBuf,
    /// Authorities of client certificates, PEM; with it, a client without a certificate of theirs is turned away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
}

impl RawTls {
    /// Files that this reads.
    pub fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.cert_file, &mut self.key_file].into_iter().chain(&mut self.client_ca_file)
    }
}

/// A client's TLS: whom it trusts, and what it shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientTls {
    /// Authorities of the server's certificate, or that very certificate; PEM. Read at each handshake.
    pub ca_file: Option<PathBuf>,
    /// A certificate of our own and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What is wrong with a certificate or a key, and in which file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("{path} {sentence}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        sentence: String,
    },
    /// The parts do not fit together.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

fn wrong(path: &Path, sentence: impl std::fmt::Display) -> TlsError {
    TlsError::File { path: path.display().to_string(), sentence: sentence.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| wrong(path, format_args!("cannot be read: {error}")))?;
    if found.is_empty() { Err(wrong(path, "holds no certificate")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(path, format_args!("holds no private key: {error}")))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| wrong(path, format_args!("holds no authority: {error}")))?;
    }
    Ok(roots)
}

/// Reads what a server shows, and whom it asks for a certificate. HTTP/2 and HTTP/1.1 are offered, in this order.
///
/// # Errors
/// [`TlsError`], with the file.
pub fn server(raw: &RawTls) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?;
    let builder = match &raw.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider());
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(path, error))?)
        }
    };
    let (chain, key) = (certificates(&raw.cert_file)?, private_key(&raw.key_file)?);
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Reads what a client trusts and shows.
///
/// # Errors
/// [`TlsError`], with the file.
pub fn client(tls: &ClientTls) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?;
    let builder = match &tls.ca_file {
        None => builder.with_root_certificates(RootCertStore::empty()),
        Some(path) => {
            roots(path)?;
            let trust = Trust { path: path.clone(), provider: provider() };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(trust))
        }
    };
    match &tls.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(unusable),
    }
}

/// Trusts the certificates of a file, in two ways. One that the server shows itself is trusted as it is, whatever names it
/// holds: whoever wrote the file meant that server, and what `openssl req -x509` makes is no certificate of a server by the
/// rules of authorities. Otherwise they are authorities, and all the usual rules hold.
#[derive(Debug)]
struct Trust {
    path: PathBuf,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let failed = |error: TlsError| Error::General(error.to_string());
        if certificates(&self.path).map_err(failed)?.contains(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        let roots = Arc::new(roots(&self.path).map_err(failed)?);
        let rules = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider)).build();
        rules.map_err(|error| Error::General(error.to_string()))?.verify_server_cert(shown, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
