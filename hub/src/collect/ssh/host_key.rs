//! What the hub hears of a peer during a session: its host key, compared with the pinned one
//! before anything secret is sent, what was agreed on, and its last words.

use std::sync::{Arc, OnceLock};

use gander_probe::wire::sanitise;
use russh::{
    Names,
    client::{DisconnectReason, Handler, Session},
    keys::{HashAlg, PublicKey, PublicKeyOrCertificate},
};

use super::{
    super::Authorities,
    certificate::{Judgement, judge},
};
use crate::model::{Certificate, HostKey, Timestamp, host_authority::HostAuthoritySpec};

/// What a session left for whoever holds its handle.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The host key the peer proved.
    pub(super) host_key: OnceLock<HostKey>,
    /// The certificate that vouched for it; without one the expected key did.
    pub(super) host_certificate: OnceLock<Certificate>,
    /// What the first key exchange agreed on.
    pub(super) agreed: OnceLock<Agreed>,
    /// The first line the peer said; an SSH server's begins with `SSH-`.
    pub(super) first_words: OnceLock<String>,
    /// Why the session ended, in the peer's words or russh's.
    pub(super) farewell: OnceLock<String>,
}

/// The algorithms of a session, by their names.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) key_exchange: String,
    pub(super) host_key: String,
    pub(super) cipher: String,
    /// `None` where the cipher authenticates by itself.
    pub(super) mac: Option<String>,
    pub(super) is_strict: bool,
}

impl Agreed {
    fn of(names: &Names) -> Self {
        let cipher = names.cipher.as_ref();
        let is_whole = cipher.contains("gcm") || cipher.contains("poly1305");
        Self {
            key_exchange: names.kex.as_ref().to_owned(),
            host_key: names.key.to_string(),
            cipher: cipher.to_owned(),
            mac: (!is_whole).then(|| names.client_mac.as_ref().to_owned()),
            is_strict: names.strict_kex(),
        }
    }

    /// Whether a man in the middle could drop packets unseen at the beginning (CVE-2023-48795).
    pub(super) fn is_open_to_terrapin(&self) -> bool {
        let encrypts_then_macs = self.mac.as_ref().is_some_and(|mac| mac.contains("etm"));
        !self.is_strict
            && (self.cipher.contains("poly1305") || (self.cipher.contains("cbc") && encrypts_then_macs))
    }
}

/// The client side of a session: answers russh's questions.
pub(super) struct Observer {
    /// The key it must prove, and whether that one is pinned; `None` takes any.
    pub(super) expected: Option<(HostKey, bool)>,
    /// Who may vouch for another one, and for which host.
    pub(super) authorities: Authorities,
    pub(super) host: String,
    /// Ends the session as soon as the key is known.
    pub(super) only_host_key: bool,
    /// For the holder of the handle.
    pub(super) seen: Arc<Seen>,
}

/// Why a session did not come about.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// russh's reason.
    Ssh(russh::Error),
    /// The peer proved another key than the one it must prove.
    HostKeyChanged {
        /// The key it must prove.
        expected: Box<HostKey>,
        /// Whether that one is pinned, or only known from a contact before.
        is_pinned: bool,
        /// The key it proved.
        offered: Box<HostKey>,
    },
    /// A known authority signed its certificate, but it does not count, nor is its key expected.
    CertificateInvalid {
        /// What it says.
        certificate: Box<Certificate>,
        /// Why it does not count.
        reason: String,
    },
    /// Somebody may vouch for it, and nobody did; nor is any key expected.
    NotVouchedFor {
        /// The key it proved.
        key: Box<HostKey>,
    },
    /// Its key, or that of its authority, is revoked.
    Revoked {
        /// The key that is revoked.
        key: Box<HostKey>,
    },
    /// Only the key was wanted, and now it is known.
    HostKeySeen,
}

impl From<russh::Error> for HandshakeError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Handler for Observer {
    type Error = HandshakeError;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let shown = offered.certificate();
        let offered = describe(&offered.public_key());
        let is_revoked = |one: &Arc<HostAuthoritySpec>| one.revoked && one.public_key == offered;
        if self.authorities.iter().any(is_revoked) {
            return Err(HandshakeError::Revoked {
                key: Box::new(offered),
            });
        }
        let expected = self.expected.take();
        let is_expected = expected
            .as_ref()
            .is_some_and(|(key, _)| key.public_key == offered.public_key);
        let judgement = shown.map_or(Judgement::Unknown, |certificate| {
            judge(certificate, &self.authorities, &self.host, Timestamp::now())
        });
        match judgement {
            Judgement::Vouched(certificate) => {
                let _ = self.seen.host_certificate.set(certificate);
            }
            Judgement::Revoked(certificate) => {
                return Err(HandshakeError::Revoked {
                    key: Box::new(certificate.authority),
                });
            }
            // The expected key is as good without a certificate.
            Judgement::Invalid(..) | Judgement::Unknown if is_expected => {}
            Judgement::Invalid(certificate, reason) => {
                return Err(HandshakeError::CertificateInvalid {
                    certificate: Box::new(certificate),
                    reason,
                });
            }
            Judgement::Unknown => match expected {
                Some((expected, is_pinned)) => {
                    return Err(HandshakeError::HostKeyChanged {
                        expected: Box::new(expected),
                        is_pinned,
                        offered: Box::new(offered),
                    });
                }
                // A first contact takes any key, but not of a host that can prove itself: whoever is
                // in between would only have to leave the certificate out.
                None if !self.only_host_key && self.authorities.iter().any(|one| !one.revoked) => {
                    return Err(HandshakeError::NotVouchedFor {
                        key: Box::new(offered),
                    });
                }
                None => {}
            },
        }
        let _ = self.seen.host_key.set(offered);
        if self.only_host_key {
            return Err(HandshakeError::HostKeySeen);
        }
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        names: &Names,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let _ = self.seen.agreed.set(Agreed::of(names));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let words = match reason {
            DisconnectReason::ReceivedDisconnect(info) => sanitise(info.message.as_bytes()),
            DisconnectReason::Error(HandshakeError::Ssh(error)) => error.to_string(),
            DisconnectReason::Error(_) => String::new(),
        };
        let _ = self.seen.farewell.set(words);
        Ok(())
    }
}

/// A public key in the words of `known_hosts`.
pub(super) fn describe(key: &PublicKey) -> HostKey {
    // The comment is no part of the key; a host key has none.
    let key = PublicKey::new(key.key_data().clone(), "");
    HostKey {
        algorithm: key.algorithm().as_str().to_owned(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        public_key: key.to_openssh().unwrap_or_default().trim_end().to_owned(),
    }
}
