//! Which algorithms the hub offers, and in which order.

use std::{borrow::Cow, sync::Arc, time::Duration};

use russh::{
    Preferred, cipher,
    client::Config,
    compression, kex,
    keys::{Algorithm, EcdsaCurve, HashAlg},
    mac,
};

use crate::model::HostKey;

/// Modern first; the NIST curves at the end are all that a FIPS-mode machine has.
const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// AES-GCM first: it is not open to Terrapin (CVE-2023-48795) even where the peer knows no
/// strict key exchange, and it is the fastest on machines with AES instructions.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA256,
    mac::HMAC_SHA512,
];

/// No compression: polls are small, and a hostile peer could send a bomb.
const COMPRESSIONS: &[compression::Name] = &[compression::NONE];

const HOST_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
    // Very old machines sign with nothing else; only ever chosen when they offer nothing better.
    Algorithm::Rsa { hash: None },
];

/// The kinds of host key to ask for, the pinned kind first: a server with several keys must
/// prove the one that is known.
fn host_keys(pinned: Option<&HostKey>) -> Cow<'static, [Algorithm]> {
    let is_pinned = |algorithm: &Algorithm| pinned.is_some_and(|key| is_kind_of(algorithm, key));
    if HOST_KEYS.iter().any(is_pinned) {
        let (first, rest): (Vec<_>, Vec<_>) = HOST_KEYS.iter().cloned().partition(is_pinned);
        first.into_iter().chain(rest).collect()
    } else {
        Cow::Borrowed(HOST_KEYS)
    }
}

/// The kinds of host certificate to ask for. russh puts them before every bare key, so that with an
/// expected key only those of its kind are wanted: a certificate of another kind, by an authority
/// nobody knows, must not stand in the way of the key that is known.
fn host_certificates(expected: Option<&HostKey>, wanted: bool) -> Cow<'static, [Algorithm]> {
    if !wanted {
        return Cow::Borrowed(&[]);
    }
    // A certificate may be signed with anything; what proves the key in it must be sound.
    let sound = HOST_KEYS
        .iter()
        .filter(|kind| !matches!(kind, Algorithm::Rsa { hash: None }));
    match expected {
        None => sound.cloned().collect(),
        Some(key) => sound.filter(|kind| is_kind_of(kind, key)).cloned().collect(),
    }
}

fn is_kind_of(algorithm: &Algorithm, key: &HostKey) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => key.algorithm == "ssh-rsa",
        other => other.as_str() == key.algorithm,
    }
}

/// The configuration of one session. `certificates`: whether somebody may vouch for the host.
pub(super) fn client_config(
    pinned: Option<&HostKey>,
    certificates: bool,
    max_poll_bytes: usize,
) -> Arc<Config> {
    Arc::new(Config {
        client_id: russh::SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-gander_",
            env!("CARGO_PKG_VERSION")
        ))),
        preferred: Preferred {
            kex: Cow::Borrowed(KEY_EXCHANGES),
            key: host_keys(pinned),
            host_key_certificates: host_certificates(pinned, certificates),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(COMPRESSIONS),
        },
        // What a hostile peer can make the hub hold: about one window.
        window_size: u32::try_from(max_poll_bytes / 4)
            .unwrap_or(u32::MAX)
            .clamp(32 * 1024, 256 * 1024),
        // russh keeps a buffer of the longest packet it ever read, for every session.
        maximum_packet_size: 4 * 1024,
        channel_buffer_size: 8,
        // Polls keep a connection alive and notice its death; this does it for long intervals.
        keepalive_interval: Some(Duration::from_secs(45)),
        keepalive_max: 1,
        // Ends a session that falls silent in a later key exchange, where russh listens to nobody
        // else (in the first one `Wire` does it). A living one never gets here: it answers the
        // keepalive before.
        inactivity_timeout: Some(Duration::from_secs(60)),
        nodelay: true,
        ..Config::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_kind_of_host_key_is_asked_for_first() {
        let pinned = |algorithm: &str| HostKey {
            algorithm: algorithm.into(),
            fingerprint: String::new(),
            public_key: String::new(),
        };
        for (algorithm, first) in [
            ("ssh-ed25519", "ssh-ed25519"),
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
            ("ssh-rsa", "rsa-sha2-512"),
            ("ssh-unheard-of", "ssh-ed25519"),
        ] {
            let list = host_keys(Some(&pinned(algorithm)));
            assert_eq!(list.len(), HOST_KEYS.len());
            assert_eq!(list[0].as_str(), first, "for {algorithm}");
        }
    }

    #[test]
    fn certificates_are_asked_for_where_somebody_may_vouch_and_of_the_pinned_kind_where_one_is() {
        let names = |pinned: Option<&str>, wanted| {
            let pinned = pinned.map(|algorithm| HostKey {
                algorithm: algorithm.into(),
                fingerprint: String::new(),
                public_key: String::new(),
            });
            let list = host_certificates(pinned.as_ref(), wanted);
            list.iter()
                .map(Algorithm::to_certificate_type)
                .collect::<Vec<_>>()
        };
        assert!(names(None, false).is_empty());
        let all = names(None, true);
        assert_eq!(
            (all.len(), all[0].as_str()),
            (6, "ssh-ed25519-cert-v01@openssh.com")
        );
        assert!(!all.contains(&"ssh-rsa-cert-v01@openssh.com".to_owned()), "SHA-1");
        assert_eq!(
            names(Some("ecdsa-sha2-nistp256"), true),
            ["ecdsa-sha2-nistp256-cert-v01@openssh.com"]
        );
    }
}
