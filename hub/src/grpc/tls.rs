//! TLS of the gRPC port: the hub's certificate, renewed while it runs, and the check of agents'.
//!
//! A client certificate is optional: those who enrol and other programs have none. One that is
//! sent must be of the hub's authority. One that has run out passes the handshake, so that its
//! agent can be told so in words; what it may do is decided where it is used.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use super::authority::Authority;

/// The hub's certificate is made anew this often; it works three times as long.
const RENEWAL: Duration = Duration::from_secs(30 * 24 * 3600);

/// The hub's certificate, and what makes it anew.
pub(super) struct HubCertificate {
    authority: Arc<Authority>,
    names: Vec<String>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl HubCertificate {
    /// A first certificate with these names and addresses beside the usual ones.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new(authority: Arc<Authority>, names: BTreeSet<String>) -> anyhow::Result<Self> {
        let names: Vec<String> = names.into_iter().collect();
        let first = issue(&authority, &names)?;
        Ok(Self {
            authority,
            names,
            current: Arc::new(Current(RwLock::new(first))),
        })
    }

    /// What connections are accepted with.
    ///
    /// # Errors
    /// The cryptography at hand cannot do it.
    pub(super) fn config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(self.authority.certificate().clone())
            .context("the authority's certificate")?;
        let strict = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .context("the check of client certificates")?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS")?
            .with_client_cert_verifier(Arc::new(Agents(strict)))
            .with_cert_resolver(Arc::<Current>::clone(&self.current));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Streams last: remembering sessions would cost memory for each and save next to nothing.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Makes the certificate anew, again and again, until `shutdown`.
    pub(super) async fn renew(self, shutdown: &CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RENEWAL) => {}
            }
            match issue(&self.authority, &self.names) {
                Ok(next) => *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = next,
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the hub's certificate was not renewed"
                    );
                }
            }
        }
    }
}

fn issue(authority: &Authority, names: &[String]) -> anyhow::Result<Arc<CertifiedKey>> {
    let (chain, key) = authority
        .issue_hub(names, SystemTime::now())
        .context("the hub's certificate")?;
    let provider: &CryptoProvider = &rustls::crypto::aws_lc_rs::default_provider();
    let key = provider
        .key_provider
        .load_private_key(key)
        .context("the hub's private key")?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// The strict check, except that the end of a certificate is not its business.
#[derive(Debug)]
struct Agents(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Agents {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.0.verify_client_cert(end_entity, intermediates, now) {
            // Everything else is checked again, as it was on its last day.
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                let last_day = Duration::from_secs(not_after.as_secs().saturating_sub(1));
                self.0
                    .verify_client_cert(end_entity, intermediates, UnixTime::since_unix_epoch(last_day))
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
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
