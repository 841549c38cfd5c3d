//! What the hub hears of a peer during a session: its host key, compared with the pinned one
//! before anything secret is sent, and its last words.

use std::sync::{Arc, OnceLock};

use gander_probe::wire::sanitise;
use russh::{
    client::{DisconnectReason, Handler},
    keys::{HashAlg, PublicKey, PublicKeyOrCertificate},
};

use crate::model::HostKey;

/// What a session left for whoever holds its handle.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The host key the peer proved.
    pub(super) host_key: OnceLock<HostKey>,
    /// The first line the peer said; an SSH server's begins with `SSH-`.
    pub(super) first_words: OnceLock<String>,
    /// Why the session ended, in the peer's words or russh's.
    pub(super) farewell: OnceLock<String>,
}

/// The client side of a session: answers russh's questions.
pub(super) struct Observer {
    /// The key it must prove, and whether that one is pinned; `None` takes any.
    pub(super) expected: Option<(HostKey, bool)>,
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
        let offered = describe(&offered.public_key());
        if let Some((expected, is_pinned)) = self.expected.take()
            && expected.public_key != offered.public_key
        {
            return Err(HandshakeError::HostKeyChanged {
                expected: Box::new(expected),
                is_pinned,
                offered: Box::new(offered),
            });
        }
        let _ = self.seen.host_key.set(offered);
        if self.only_host_key {
            return Err(HandshakeError::HostKeySeen);
        }
        Ok(true)
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
