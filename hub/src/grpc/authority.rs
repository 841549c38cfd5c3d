//! The hub's own certificate authority: it names agents, and the hub to them.
//!
//! Made once and kept in the store, its key sealed. Agents pin the SHA-256 of its certificate,
//! so a name that moves to another address breaks nothing. A certificate of an agent carries the
//! agent's random uid in its serial number: that is who it is.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use crate::{
    model::{Secret, Timestamp, agent::AgentUid},
    store::Store,
};

/// The name that every certificate of a hub has: agents, which trust this one authority only,
/// ask for it whatever address they call.
pub const HUB_NAME: &str = "gander-hub";
/// How long a certificate of the hub itself works. It is made anew far more often.
const HUB_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// Clocks of nodes are wrong: what is issued now also holds by a clock that is this far behind.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// A PKCS#10 request of a P-256 key has some 250 bytes.
const REQUEST_BYTES: usize = 8 * 1024;
/// In front of the uid in serial numbers: positive, and not zero.
const SERIAL_PREFIX: u8 = 0x47;

/// The authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    fingerprint: String,
}

/// A certificate request that cannot be granted.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// Not PKCS#10, or its signature is wrong.
    #[error("csr_der is not a certificate request signed with its own key (PKCS#10, DER): {0}")]
    Unreadable(String),
    /// A kind of key that is not taken.
    #[error("the key of csr_der is of a kind that is not taken: use ECDSA P-256 or Ed25519")]
    Key,
}

/// A certificate request that holds.
pub(super) struct Request(CertificateSigningRequestParams);

impl Request {
    /// Reads a request and checks that it was signed with the key it names.
    pub(super) fn read(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > REQUEST_BYTES {
            return Err(RequestError::Unreadable(format!("it has {} bytes", der.len())));
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
            .map_err(|error| RequestError::Unreadable(error.to_string()))?;
        let algorithm = request.public_key.algorithm();
        if *algorithm != rcgen::PKCS_ECDSA_P256_SHA256 && *algorithm != rcgen::PKCS_ED25519 {
            return Err(RequestError::Key);
        }
        Ok(Self(request))
    }

    /// SHA-256 of the public key.
    pub(super) fn key_hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.public_key.der_bytes()).into()
    }
}

impl Authority {
    /// The authority of this store's hub; made now if there is none.
    ///
    /// # Errors
    /// The store cannot be read or written, or what it holds is no authority.
    pub async fn load(store: &Store) -> anyhow::Result<Arc<Self>> {
        if store.authority().await?.is_none() {
            let (certificate, key) = make().context("the agents' certificate authority cannot be made")?;
            store.put_authority(&certificate, &key, Timestamp::now()).await?;
        }
        let (certificate, key) = store
            .authority()
            .await?
            .context("the agents' certificate authority was not kept")?;
        let certificate = CertificateDer::from(certificate);
        let key = KeyPair::from_pem(key.expose()).context("the key of the agents' authority")?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .context("the certificate of the agents' authority")?;
        let fingerprint = hex(&Sha256::digest(&certificate));
        Ok(Arc::new(Self {
            issuer,
            certificate,
            fingerprint,
        }))
    }

    /// SHA-256 of the certificate, as 64 lower-case hexadecimal digits: what agents pin.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for an agent, which works until `not_after`, and the authority's own behind it (DER).
    pub(super) fn issue_agent(
        &self,
        uid: AgentUid,
        request: &Request,
        not_after: SystemTime,
    ) -> Result<Vec<Vec<u8>>, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.not_before = (SystemTime::now() - BACKDATED).into();
        params.not_after = not_after.into();
        params.serial_number = Some(serial(uid));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("gander agent {}", hex(&uid.0)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&request.0.public_key, &self.issuer)?;
        Ok(vec![certificate.der().to_vec(), self.certificate.to_vec()])
    }

    /// A certificate for the hub itself, with a new key.
    pub(super) fn issue_hub(
        &self,
        names: &[String],
        now: SystemTime,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + HUB_LIFETIME).into();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, HUB_NAME);
        params.subject_alt_names = alternative_names(names);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok((chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }
}

/// A new authority: its certificate and its private key in PEM.
fn make() -> Result<(Vec<u8>, Secret), rcgen::Error> {
    let key = KeyPair::generate()?;
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + AUTHORITY_LIFETIME).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    // Two hubs must not have authorities of one name.
    let name = format!("gander {}", &hex(&Sha256::digest(key.public_key_raw()))[..16]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().to_vec(), Secret::new(key.serialize_pem())))
}

fn serial(uid: AgentUid) -> SerialNumber {
    // Every certificate has a number of its own: the moment makes it so.
    let moment = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    let mut bytes = vec![SERIAL_PREFIX];
    bytes.extend_from_slice(&uid.0);
    bytes.extend_from_slice(&moment.to_be_bytes()[9..]);
    SerialNumber::from(bytes)
}

/// Whom a certificate that the authority signed names, and when it ends. `None`: no agent.
pub(super) fn agent_of(certificate: &[u8]) -> Option<(AgentUid, Timestamp)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let (prefix, rest) = certificate.tbs_certificate.raw_serial().split_first()?;
    let uid = rest
        .first_chunk::<12>()
        .filter(|_| *prefix == SERIAL_PREFIX && rest.len() == 19)?;
    let not_after = certificate.validity().not_after.timestamp();
    Some((AgentUid(*uid), Timestamp(not_after.saturating_mul(1000))))
}

fn alternative_names(names: &[String]) -> Vec<SanType> {
    let own = [HUB_NAME, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut list = Vec::new();
    for name in own.iter().chain(names) {
        let entry = match name.parse::<IpAddr>() {
            Ok(address) => Some(SanType::IpAddress(address)),
            // A name that is no name (of a machine called something odd) is left out.
            Err(_) if !is_host_name(name) => None,
            Err(_) => name.clone().try_into().ok().map(SanType::DnsName),
        };
        if let Some(entry) = entry.filter(|entry| !list.contains(entry)) {
            list.push(entry);
        }
    }
    list
}

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        let (certificate, key) = make().unwrap();
        let certificate = CertificateDer::from(certificate);
        let key = KeyPair::from_pem(key.expose()).unwrap();
        Authority {
            issuer: Issuer::from_ca_cert_der(&certificate, key).unwrap(),
            fingerprint: hex(&Sha256::digest(&certificate)),
            certificate,
        }
    }

    fn request(key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_names_its_agent_whatever_the_request_asked_for() {
        let authority = authority();
        let key = KeyPair::generate().unwrap();
        let request = Request::read(&request(&key)).unwrap();
        let uid = AgentUid([7; 12]);
        let asked = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let chain = authority.issue_agent(uid, &request, asked).unwrap();
        let (named, not_after) = agent_of(&chain[0]).unwrap();
        assert_eq!((named, not_after), (uid, Timestamp(2_000_000_000_000)));
        let (_, parsed) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        assert!(!parsed.is_ca(), "the wish to be an authority is not granted");
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(agent_of(&chain[1]), None, "the authority is no agent");
    }

    #[test]
    fn two_certificates_of_one_agent_have_two_numbers() {
        let authority = authority();
        let key = KeyPair::generate().unwrap();
        let request = Request::read(&request(&key)).unwrap();
        let issue = || {
            authority
                .issue_agent(AgentUid([1; 12]), &request, SystemTime::now())
                .unwrap()
        };
        assert_ne!(issue()[0], issue()[0]);
    }

    #[test]
    fn a_request_must_be_signed_with_its_own_key() {
        let mut der = request(&KeyPair::generate().unwrap());
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(matches!(Request::read(&der), Err(RequestError::Unreadable(_))));
        assert!(Request::read(b"no request").is_err());
        assert!(Request::read(&vec![0x30; 100_000]).is_err());
    }

    #[test]
    fn names_and_addresses_come_once() {
        let names = ["hub.example.org", "192.0.2.7", "localhost", "no name at all\n"].map(str::to_owned);
        let list = alternative_names(&names);
        assert_eq!(list.len(), 6, "{list:?}");
    }
}
