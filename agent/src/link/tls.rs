//! TLS to the hub: its certificate must come from the one authority whose fingerprint this agent was
//! given with its token. No other authority, and no address, counts; from the first byte.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
};

use crate::identity::{Fingerprint, Identity};

/// The name every hub's certificate has, whatever address it is called by.
pub(super) const HUB_NAME: &str = "gander-hub";

/// What connections are made with: of nobody yet (`None`, to enrol), or of this agent.
///
/// # Errors
/// The identity's key or certificate is unreadable.
pub(super) fn config(ca: Fingerprint, identity: Option<&Identity>) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned {
        ca,
        provider: Arc::clone(&provider),
    });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("TLS")?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain.iter().cloned().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone()));
            builder
                .with_client_auth_cert(chain, key)
                .context("the agent's key and certificate do not fit")?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // One stream that lasts: nothing to resume.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes hubs of one authority.
#[derive(Debug)]
struct Pinned {
    ca: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == self.ca)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let verify =
            |now| strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verify(now) {
            // A clock that is behind (no battery, no NTP yet) must not keep the machine from being
            // seen; the hub measures it. One that is ahead cannot be told from a certificate that
            // was stolen long ago.
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                tracing::warn!("this machine's clock is behind: the hub's certificate is not valid yet");
                verify(not_before)
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
