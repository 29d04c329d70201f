//! TLS between two ends of this program, for one connection: each makes a certificate for it, the certificates go over
//! the ssh session that stands already, and each end takes exactly that one of the other and nothing else. No name,
//! no date and no authority counts. What goes over the connection is [`stream`]; who listens is the agent.

use std::sync::Arc;

use rustls::CipherSuite;
use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::DistinguishedName;
use rustls::ServerConfig;
use rustls::SignatureScheme;
use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerified;
use rustls::server::danger::ClientCertVerifier;

pub(crate) mod stream;

/// The longest certificate that is taken from the other end; ours have about 350 bytes.
pub(crate) const CERTIFICATE_LIMIT: usize = 4096;

/// What both ends speak in the connection, so that nothing else can be meant by it.
const PROTOCOL: &[u8] = b"replicator-agent";

/// A name that has to be given, and that nobody looks at.
const NAME: &str = "replicator";

/// Why there can be no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// No certificate can be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The library takes not what it was given.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The other end gave something too large.
    #[error("the certificate of the other end has {0} bytes")]
    Size(usize),
}

/// A certificate for one connection, and its key, which never leaves this process.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// A new one.
    pub(crate) fn new() -> Result<Self, TlsError> {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_string()])?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Ok(Self { certificate: made.cert.der().clone(), key: key.into() })
    }

    /// The same once more, for who tries to use it twice.
    #[cfg(test)]
    pub(crate) fn copy(&self) -> Self {
        Self { certificate: self.certificate.clone(), key: self.key.clone_key() }
    }

    /// What the other end has to know.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// For the end that connects to who has exactly this certificate.
    pub(crate) fn connecting(self, peer: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
        let pinned = Arc::new(Pinned::new(peer)?);
        let mut config = ClientConfig::builder_with_provider(pinned.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_client_auth_cert(vec![self.certificate], self.key)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // There is no second connection.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// For the end that waits for who has exactly this certificate.
    pub(crate) fn listening(self, peer: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
        let pinned = Arc::new(Pinned::new(peer)?);
        let mut config = ServerConfig::builder_with_provider(pinned.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(pinned)
            .with_single_cert(vec![self.certificate], self.key)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// The name that a connection has to be given.
pub(crate) fn name() -> ServerName<'static> {
    // It is one, whatever else it may be.
    let other = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    ServerName::try_from(NAME).unwrap_or_else(|_| ServerName::IpAddress(other.into()))
}

/// Takes one certificate, and who can sign with its key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(certificate: &[u8]) -> Result<Self, TlsError> {
        if certificate.is_empty() || certificate.len() > CERTIFICATE_LIMIT {
            return Err(TlsError::Size(certificate.len()));
        }
        let mut provider = rustls::crypto::ring::default_provider();
        // Keys of 128 bits are as strong as anything else here, and cost a quarter less than those of 256.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let provider = Arc::new(provider);
        Ok(Self { certificate: CertificateDer::from(certificate.to_vec()), provider })
    }

    fn is_it(&self, shown: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        if *shown == self.certificate && more.is_empty() {
            Ok(())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn signed(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS 1.2 is not offered.
fn too_old() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken here".to_string())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.is_it(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.is_it(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
