//! Who this agent is: its key, its certificate, and the hub that gave it, in one file, so that they
//! change together. Lines of `name = value`, then PEM.

use std::fmt::Write as _;

use anyhow::Context as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};

use crate::address::Address;

/// SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of these bytes.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        // SHA-256 of the provider's own cipher suite: no second implementation for one call.
        let hash = provider.cipher_suites.iter().find_map(|suite| {
            let hash = suite.tls13()?.common.hash_provider;
            (hash.output_len() == 32).then(|| hash.hash(der))
        });
        let mut bytes = [0; 32];
        if let Some(hash) = hash {
            bytes.copy_from_slice(hash.as_ref());
        }
        Self(bytes)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text
            .trim()
            .trim_start_matches("sha256:")
            .chars()
            .filter(|character| *character != ':')
            .collect();
        let mut bytes = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(format!(
                "a fingerprint is 64 hexadecimal digits, and {text:?} has {}: copy the whole line the hub shows",
                digits.len()
            ));
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| format!("{text:?} is no fingerprint: it has more than hexadecimal digits"))?;
        }
        Ok(Self(bytes))
    }
}

/// An enrolled agent.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Where the hub is.
    pub hub: Address,
    /// SHA-256 of the hub's CA certificate.
    pub ca: Fingerprint,
    /// The server's name on the hub when it was last told.
    pub server_name: String,
    /// Its number there.
    pub server_id: i64,
    /// When the certificate ends, milliseconds since 1970.
    pub not_after_ms: i64,
    /// When to ask for the next one.
    pub renew_after_ms: i64,
    /// The interval the hub ordered last, kept for a start while the hub is away; 0: none yet.
    pub interval_ms: i64,
    /// The agent's certificate first, then the CA's, DER.
    pub chain: Vec<Vec<u8>>,
    /// The private key, PKCS#8 DER.
    pub key: Vec<u8>,
}

/// An enrolment that waits for a person at the hub.
#[derive(Clone, PartialEq, Eq)]
pub struct Pending {
    /// Where the hub is.
    pub hub: Address,
    /// SHA-256 of the hub's CA certificate.
    pub ca: Fingerprint,
    /// What it was asked with.
    pub token: String,
    /// The private key, PKCS#8 DER.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("hub", &self.hub)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pending")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The file's content.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# gander-agent: who this machine is to its hub. Keep it secret; never copy it to another machine.\n\
             hub = {}\nca = {}\nserver_name = {}\nserver_id = {}\nnot_after_ms = {}\nrenew_after_ms = {}\ninterval_ms = {}\n",
            self.hub,
            self.ca,
            self.server_name.replace(['\n', '\r'], " "),
            self.server_id,
            self.not_after_ms,
            self.renew_after_ms,
            self.interval_ms
        );
        for certificate in &self.chain {
            put_pem(&mut text, "CERTIFICATE", certificate);
        }
        put_pem(&mut text, "PRIVATE KEY", &self.key);
        text
    }

    /// Reads the file's content. The error says what is wrong with it.
    ///
    /// # Errors
    /// A line or a part is missing or unreadable.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("its certificates: {error}"))?;
        if chain.is_empty() {
            return Err("it has no certificate".into());
        }
        Ok(Self {
            hub: value(text, "hub")?.parse()?,
            ca: value(text, "ca")?.parse()?,
            server_name: value(text, "server_name")?.to_owned(),
            server_id: number(text, "server_id")?,
            not_after_ms: number(text, "not_after_ms")?,
            renew_after_ms: number(text, "renew_after_ms")?,
            interval_ms: number(text, "interval_ms")?,
            chain,
            key: key(text)?,
        })
    }
}

impl Pending {
    /// The file's content.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# gander-agent: an enrolment that waits for a person at the hub.\nhub = {}\nca = {}\ntoken = {}\n",
            self.hub, self.ca, self.token
        );
        put_pem(&mut text, "PRIVATE KEY", &self.key);
        text
    }

    /// Reads the file's content. The error says what is wrong with it.
    ///
    /// # Errors
    /// A line or a part is missing or unreadable.
    pub fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self {
            hub: value(text, "hub")?.parse()?,
            ca: value(text, "ca")?.parse()?,
            token: value(text, "token")?.to_owned(),
            key: key(text)?,
        })
    }
}

/// A new private key, PKCS#8 DER: ECDSA on P-256, which every hub takes.
///
/// # Errors
/// The system has no random numbers.
pub fn new_key() -> anyhow::Result<Vec<u8>> {
    let pair = rcgen::KeyPair::generate().context("no key can be made")?;
    Ok(pair.serialize_der())
}

/// A certificate request signed with a key, DER. It names nobody: the hub decides who this is.
///
/// # Errors
/// The key is none.
pub fn request(key: &[u8]) -> anyhow::Result<Vec<u8>> {
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let pair = rcgen::KeyPair::try_from(&der).context("the agent's key is unreadable")?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params
        .serialize_request(&pair)
        .context("no certificate request can be made")?;
    Ok(request.der().to_vec())
}

fn value<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))
        .map(str::trim)
        .ok_or_else(|| format!("the line \"{name} = …\" is missing"))
}

fn number(text: &str, name: &str) -> Result<i64, String> {
    let value = value(text, name)?;
    value
        .parse()
        .map_err(|_| format!("{name} = {value} is not a number"))
}

fn key(text: &str) -> Result<Vec<u8>, String> {
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs8(key)) => Ok(key.secret_pkcs8_der().to_vec()),
        Ok(_) => Err("its key is not in PKCS#8 form".into()),
        Err(error) => Err(format!("its key: {error}")),
    }
}

fn put_pem(text: &mut String, label: &str, der: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let _ = writeln!(text, "-----BEGIN {label}-----");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group
                .iter()
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - group.len()));
            for place in 0..4 {
                if place <= group.len() {
                    let index = (bits >> (18 - 6 * place)) & 63;
                    text.push(char::from(ALPHABET[index as usize]));
                } else {
                    text.push('=');
                }
            }
        }
        text.push('\n');
    }
    let _ = writeln!(text, "-----END {label}-----");
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn identity() -> Identity {
        Identity {
            hub: "hub.example:8001".parse().unwrap(),
            ca: Fingerprint([0xa5; 32]),
            server_name: "web 1 = the first".into(),
            server_id: 7,
            not_after_ms: 2,
            renew_after_ms: 1,
            interval_ms: 10_000,
            chain: vec![vec![1; 700], vec![2]],
            key: new_key().unwrap().iter().map(|_| 3).collect(),
        }
    }

    pub(crate) fn pending() -> Pending {
        Pending {
            hub: "[::1]:8001".parse().unwrap(),
            ca: Fingerprint([1; 32]),
            token: "t0ken".into(),
            key: vec![9; 138],
        }
    }

    #[test]
    fn the_fingerprint_is_sha_256() {
        assert_eq!(
            Fingerprint::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let text = "sha256:BA:78:16:bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text.parse(), Ok(Fingerprint::of(b"abc")));
        assert!("ba78".parse::<Fingerprint>().unwrap_err().contains("has 4"));
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn every_line_is_missed_when_it_is_gone() {
        let text = identity().to_text();
        for name in [
            "hub",
            "ca",
            "server_name",
            "server_id",
            "not_after_ms",
            "renew_after_ms",
            "interval_ms",
        ] {
            let without: String = text
                .lines()
                .filter(|line| !line.starts_with(&format!("{name} =")))
                .flat_map(|line| [line, "\n"])
                .collect();
            assert!(
                Identity::from_text(&without).unwrap_err().contains(name),
                "{name}"
            );
        }
        let no_key = &text[..text.find("-----BEGIN PRIVATE").unwrap()];
        assert!(Identity::from_text(no_key).unwrap_err().contains("key"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", identity(), pending());
        assert!(
            !shown.contains("t0ken") && !shown.contains("3, 3") && !shown.contains("9, 9"),
            "{shown}"
        );
    }

    #[test]
    fn a_request_is_made_of_a_key() {
        let key = new_key().unwrap();
        assert_eq!(request(&key).unwrap()[0], 0x30);
        assert!(request(b"no key").is_err());
    }

    proptest! {
        #[test]
        fn texts_come_back(certificate in proptest::collection::vec(any::<u8>(), 1..500), key in proptest::collection::vec(any::<u8>(), 1..200)) {
            let identity = Identity { chain: vec![certificate], key: key.clone(), ..identity() };
            prop_assert_eq!(Identity::from_text(&identity.to_text()).unwrap(), identity);
            let pending = Pending { key, ..pending() };
            prop_assert_eq!(Pending::from_text(&pending.to_text()).unwrap(), pending);
        }
    }
}
