//! OpenSSH certificates (PROTOCOL.certkeys): reading the user certificate that a person pastes, and
//! judging the host certificate that a machine shows. Pure: the moment comes from outside.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use russh::keys::{
    Algorithm, Certificate as Wire,
    ssh_key::{self, public::KeyData},
};

use super::host_key::describe;
use crate::model::{
    Certificate, HostKey, Timestamp, certificate::Validity, host_authority, host_authority::HostAuthoritySpec,
};

/// Certificates inside one another: more are an attack on whoever unpacks them.
const MOST_NESTED: usize = 8;

/// A user certificate, ready to be offered.
#[derive(Debug, Clone)]
pub(super) struct UserCertificate {
    pub(super) wire: Wire,
    pub(super) says: Certificate,
}

/// Reads an OpenSSH user certificate so that a form can refuse an unusable one at once. `key`: the
/// fingerprint of the key it must belong to, where that is known.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn parse_user_certificate(text: &str, key: Option<&str>) -> Result<Certificate, String> {
    read_user(text, key).map(|certificate| certificate.says)
}

/// The same, with what goes over the wire.
pub(super) fn read_user(text: &str, key: Option<&str>) -> Result<UserCertificate, String> {
    let wire = read(text)?;
    let says = tell(&wire);
    if wire.cert_type().is_host() {
        return Err(
            "it is a host certificate, which proves a machine; a user certificate is made with ssh-keygen -s CA -I NAME -n USER key.pub"
                .into(),
        );
    }
    if wire.verify_signature().is_err() {
        return Err("its signature is wrong; copy the whole file again, unchanged".into());
    }
    if let Some(fingerprint) = key
        && fingerprint != says.key.fingerprint
    {
        return Err(format!(
            "it belongs to another key ({}) than the one to log in with ({fingerprint})",
            says.key.fingerprint
        ));
    }
    Ok(UserCertificate { wire, says })
}

fn read(text: &str) -> Result<Wire, String> {
    let text = text.trim();
    if text.contains("PRIVATE KEY-----") {
        return Err("this is a private key; the certificate is in the file that ends with -cert.pub".into());
    }
    let mut words = text.split_whitespace();
    let (Some(algorithm), Some(encoded)) = (words.next(), words.next()) else {
        return Err(
            "this is no certificate; it must begin like ssh-ed25519-cert-v01@openssh.com AAAA…".into(),
        );
    };
    if !algorithm.ends_with("-cert-v01@openssh.com") {
        return Err(
            if algorithm.starts_with("ssh-") || algorithm.starts_with("ecdsa-") {
                "this is a public key without a certificate; the certificate is in the file that ends with -cert.pub".into()
            } else {
                "this is no certificate; it must begin like ssh-ed25519-cert-v01@openssh.com AAAA…".into()
            },
        );
    }
    let blob = BASE64_STANDARD.decode(encoded).map_err(|error| {
        format!("what follows {algorithm} is not base64 ({error}); copy the whole file again")
    })?;
    let marker = b"-cert-v01@";
    if blob.windows(marker.len()).filter(|part| part == marker).count() > MOST_NESTED {
        return Err("it holds certificates inside certificates".into());
    }
    let wire = Wire::from_bytes(&blob)
        .map_err(|error| format!("it cannot be read ({error}); copy the whole file again, unchanged"))?;
    if wire.algorithm().to_certificate_type() != algorithm {
        return Err(format!("it says {algorithm}, but holds a key of another kind"));
    }
    Ok(wire)
}

/// What a certificate says, for people and for decisions.
pub(super) fn tell(wire: &Wire) -> Certificate {
    // 0 and the largest number mean no limit (PROTOCOL.certkeys); so does what no calendar reaches.
    let moment = |seconds: u64| {
        let millis = i64::try_from(seconds).ok()?.checked_mul(1000)?;
        (seconds != 0 && jiff::Timestamp::from_millisecond(millis).is_ok()).then_some(Timestamp(millis))
    };
    let clean = |text: &str| gander_probe::wire::sanitise(text.as_bytes());
    Certificate {
        key_id: clean(wire.key_id()),
        serial: wire.serial(),
        principals: wire.valid_principals().iter().map(|name| clean(name)).collect(),
        valid_after: moment(wire.valid_after()),
        // A certificate whose end is 0 was never valid.
        valid_before: if wire.valid_before() == 0 {
            Some(Timestamp(0))
        } else {
            moment(wire.valid_before())
        },
        key: key_of(wire.public_key()),
        authority: key_of(wire.signature_key()),
    }
}

fn key_of(data: &KeyData) -> HostKey {
    describe(&ssh_key::PublicKey::new(data.clone(), ""))
}

/// What a host's certificate is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// An authority for this host signed it, and it is valid.
    Vouched(Certificate),
    /// An authority for this host signed it, but it is not valid: why, for a person.
    Invalid(Certificate, String),
    /// Nobody the hub knows signed it: the key in it counts like any other.
    Unknown,
    /// Its authority's key is revoked.
    Revoked(Certificate),
}

/// Judges the certificate that `host` showed, by the authorities that count for it.
pub(super) fn judge(
    wire: &Wire,
    authorities: &[Arc<HostAuthoritySpec>],
    host: &str,
    now: Timestamp,
) -> Judgement {
    let says = tell(wire);
    let known = |revoked: bool| {
        authorities
            .iter()
            .any(|one| one.revoked == revoked && one.public_key.public_key == says.authority.public_key)
    };
    if known(true) {
        return Judgement::Revoked(says);
    }
    if !known(false) {
        return Judgement::Unknown;
    }
    match fault(wire, &says, host, now) {
        None => Judgement::Vouched(says),
        Some(reason) => Judgement::Invalid(says, reason),
    }
}

/// Why a certificate of a known authority does not count, if so.
fn fault(wire: &Wire, says: &Certificate, host: &str, now: Timestamp) -> Option<String> {
    if wire.verify_signature().is_err() {
        return Some("its signature is wrong".into());
    }
    if !wire.cert_type().is_host() {
        return Some("it is a user certificate; sign the host's key with ssh-keygen -h".into());
    }
    if matches!(wire.signature().algorithm(), Algorithm::Rsa { hash: None }) {
        return Some("it is signed with SHA-1; sign it with ssh-keygen -t rsa-sha2-512".into());
    }
    if let Some((option, _)) = wire.critical_options().iter().next() {
        let option = gander_probe::wire::sanitise(option.as_bytes());
        return Some(format!(
            "it has the option {option}, which means nothing for a host"
        ));
    }
    match says.validity(now) {
        Validity::Valid => {}
        Validity::Expired(end) => return Some(format!("it expired on {end}")),
        Validity::NotYet(begin) => return Some(format!("it is valid only from {begin} on")),
    }
    let is_named = |pattern: &String| host_authority::glob(pattern, host);
    if says.principals.is_empty() || says.principals.iter().any(is_named) {
        return None;
    }
    Some(format!(
        "it is for {}, not for {host}",
        says.principals.join(", ")
    ))
}

/// Why a server refused a user certificate, as far as the certificate itself tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It expired at this moment.
    Expired(Timestamp),
    /// It is valid only from this moment on.
    NotYet(Timestamp),
    /// It names other users.
    Principals,
    /// It looks fine: the server does not know its authority, or wants other principals.
    Authority,
}

impl Refusal {
    /// The likely reason, at `now`, for a log-in as `user`.
    pub(super) fn of(certificate: &Certificate, user: &str, now: Timestamp) -> Self {
        match certificate.validity(now) {
            Validity::Expired(end) => Self::Expired(end),
            Validity::NotYet(begin) => Self::NotYet(begin),
            Validity::Valid if certificate.principals.iter().any(|name| name == user) => Self::Authority,
            Validity::Valid => Self::Principals,
        }
    }
}

#[cfg(test)]
mod tests {
    use russh::keys::{
        PrivateKey,
        ssh_key::certificate::{Builder, CertType},
    };

    use super::*;

    fn key() -> PrivateKey {
        PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
    }

    struct Wish<'a> {
        kind: CertType,
        principals: &'a [&'a str],
        seconds: (u64, u64),
    }

    impl Default for Wish<'_> {
        fn default() -> Self {
            Self {
                kind: CertType::Host,
                principals: &["web-1", "*.example.org"],
                seconds: (1_000, 2_000),
            }
        }
    }

    fn sign(subject: &PrivateKey, authority: &PrivateKey, wish: &Wish<'_>) -> Wire {
        let (after, before) = wish.seconds;
        let mut builder =
            Builder::new_with_random_nonce(&mut rand::rng(), subject.public_key(), after, before).unwrap();
        builder.cert_type(wish.kind).unwrap().key_id("a host").unwrap();
        for principal in wish.principals {
            builder.valid_principal(*principal).unwrap();
        }
        if wish.principals.is_empty() {
            builder.all_principals_valid().unwrap();
        }
        builder.sign(authority).unwrap()
    }

    fn trusted(key: &PrivateKey, revoked: bool) -> Arc<HostAuthoritySpec> {
        Arc::new(HostAuthoritySpec {
            public_key: describe(key.public_key()),
            patterns: "*".into(),
            revoked,
            comment: String::new(),
        })
    }

    const NOW: Timestamp = Timestamp(1_500_000);

    #[test]
    fn a_host_is_vouched_for_by_a_known_authority_in_time_and_by_name() {
        let (host, authority, other) = (key(), key(), key());
        let known = [trusted(&authority, false)];
        let wire = sign(&host, &authority, &Wish::default());
        for name in ["web-1", "db.example.org"] {
            assert!(
                matches!(judge(&wire, &known, name, NOW), Judgement::Vouched(_)),
                "{name}"
            );
        }
        assert_eq!(
            judge(&wire, &[trusted(&other, false)], "web-1", NOW),
            Judgement::Unknown
        );
        assert_eq!(judge(&wire, &[], "web-1", NOW), Judgement::Unknown);
        let revoked = [trusted(&authority, false), trusted(&authority, true)];
        assert!(matches!(
            judge(&wire, &revoked, "web-1", NOW),
            Judgement::Revoked(_)
        ));
        let anywhere = sign(
            &host,
            &authority,
            &Wish {
                principals: &[],
                ..Wish::default()
            },
        );
        assert!(matches!(
            judge(&anywhere, &known, "10.0.0.9", NOW),
            Judgement::Vouched(_)
        ));
    }

    #[test]
    fn a_certificate_that_does_not_count_says_why() {
        let (host, authority) = (key(), key());
        let known = [trusted(&authority, false)];
        let user = Wish {
            kind: CertType::User,
            ..Wish::default()
        };
        for (wish, name, now, reason) in [
            (
                Wish::default(),
                "web-2",
                NOW,
                "for web-1, *.example.org, not for web-2",
            ),
            (
                Wish::default(),
                "web-1",
                Timestamp(2_000_000),
                "expired on 1970-01-01T00:33:20.000Z",
            ),
            (
                Wish::default(),
                "web-1",
                Timestamp(999_999),
                "only from 1970-01-01T00:16:40.000Z",
            ),
            (user, "web-1", NOW, "user certificate"),
        ] {
            match judge(&sign(&host, &authority, &wish), &known, name, now) {
                Judgement::Invalid(_, why) => assert!(why.contains(reason), "{why}"),
                other => panic!("{reason}: {other:?}"),
            }
        }
        // Signed by somebody else, with the authority's name on it.
        let mut forged = sign(&host, &key(), &Wish::default()).to_bytes().unwrap();
        let real = sign(&host, &authority, &Wish::default());
        let authority_key = authority.public_key().to_bytes().unwrap();
        let at = forged.len()
            - (real.to_bytes().unwrap().len() - position(&real.to_bytes().unwrap(), &authority_key));
        forged[at..at + authority_key.len()].copy_from_slice(&authority_key);
        let forged = Wire::from_bytes(&forged).unwrap();
        match judge(&forged, &known, "web-1", NOW) {
            Judgement::Invalid(_, why) => assert!(why.contains("signature is wrong"), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    fn position(bytes: &[u8], part: &[u8]) -> usize {
        bytes
            .windows(part.len())
            .rposition(|window| window == part)
            .unwrap()
    }

    #[test]
    fn what_is_pasted_is_read_or_refused_with_the_reason() {
        let (user, authority) = (key(), key());
        let wish = Wish {
            kind: CertType::User,
            principals: &["deploy"],
            seconds: (1_000, u64::MAX),
        };
        let wire = sign(&user, &authority, &wish);
        let text = wire.to_openssh().unwrap();
        let own = describe(user.public_key()).fingerprint;
        let says = parse_user_certificate(&format!("  {text} deploy@laptop\n"), Some(&own)).unwrap();
        assert_eq!(
            (says.principals.as_slice(), says.valid_before),
            (&["deploy".to_owned()][..], None)
        );
        assert_eq!(says.authority, describe(authority.public_key()));

        let host = sign(&user, &authority, &Wish::default()).to_openssh().unwrap();
        let public = user.public_key().to_openssh().unwrap();
        let private = user.to_openssh(ssh_key::LineEnding::LF).unwrap();
        let cut = &text[..text.len() - 40];
        for (text, reason) in [
            (host.as_str(), "host certificate"),
            (public.as_str(), "-cert.pub"),
            (private.as_str(), "this is a private key"),
            (cut, "copy the whole file"),
            ("hello world", "this is no certificate"),
            ("", "this is no certificate"),
        ] {
            let error = parse_user_certificate(text, None).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = parse_user_certificate(&text, Some("SHA256:other")).unwrap_err();
        assert!(error.contains(&own) && error.contains("SHA256:other"), "{error}");
    }

    #[test]
    fn why_a_server_refuses_a_certificate_is_told_from_the_certificate_where_it_can_be() {
        let wish = Wish {
            kind: CertType::User,
            principals: &["deploy"],
            ..Wish::default()
        };
        let says = tell(&sign(&key(), &key(), &wish));
        for (user, now, expected) in [
            ("deploy", NOW, Refusal::Authority),
            ("root", NOW, Refusal::Principals),
            (
                "deploy",
                Timestamp(2_000_000),
                Refusal::Expired(Timestamp(2_000_000)),
            ),
            ("deploy", Timestamp(0), Refusal::NotYet(Timestamp(1_000_000))),
        ] {
            assert_eq!(Refusal::of(&says, user, now), expected, "{user}");
        }
    }
}
