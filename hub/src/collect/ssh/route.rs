//! The way to a server: the jump hosts before it, in order, and the server itself.

use std::sync::{Arc, OnceLock};

use russh::keys::PrivateKey;
use tokio::sync::OnceCell;

use super::{
    super::{ConnectSpec, explain::About},
    certificate::{UserCertificate, read_user},
    host_key::describe,
    key,
};
use crate::model::{CollectError, HostKey, server::SshCredential};

/// One SSH server on the way.
pub(crate) struct Hop {
    /// Where it is and how to log in. Its own `jump` is the hop before it.
    pub(crate) spec: ConnectSpec,
    key: Arc<KeyCell>,
    /// The host key it proved at the first contact, while none is pinned.
    ///
    /// A key is pinned for good only by a log-in that succeeded: a machine that refuses us may be
    /// the wrong one, and what it showed must not become the truth behind a person's back. But
    /// the next attempt, with the same credential or a corrected one, must meet the same machine:
    /// nobody may come in between from one attempt to the next to be handed the password. A
    /// person can accept the other key, as with a pinned one. The memory is that of the process:
    /// after a restart of the hub it is a first contact again. Shared by all versions of a hop.
    first_key: Arc<OnceLock<HostKey>>,
}

impl Hop {
    pub(crate) fn new(spec: ConnectSpec) -> Self {
        Self {
            spec,
            key: Arc::default(),
            first_key: Arc::default(),
        }
    }

    /// The same with a key that others log in with too.
    pub(crate) fn sharing(self, key: Arc<KeyCell>) -> Self {
        Self { key, ..self }
    }

    /// The same server after a change; its private key is read again only if it changed too.
    pub(crate) fn with_spec(&self, spec: ConnectSpec) -> Self {
        let (old, new) = (&self.spec.credential, &spec.credential);
        let same_key = old.private_key == new.private_key
            && old.passphrase == new.passphrase
            && old.certificate == new.certificate;
        let key = if same_key {
            Arc::clone(&self.key)
        } else {
            Arc::default()
        };
        // Another place is another machine; and whoever unpins a key wants to begin anew.
        let (before, after) = (&self.spec, &spec);
        let is_same_place = before.host == after.host
            && before.port == after.port
            && before.jump == after.jump
            && (before.expected_host_key.is_none() || after.expected_host_key.is_some());
        let first_key = if is_same_place {
            Arc::clone(&self.first_key)
        } else {
            Arc::default()
        };
        Self { spec, key, first_key }
    }

    /// The host key it must prove, and whether that one is pinned; `None` at a first contact.
    pub(super) fn expected_host_key(&self) -> Option<(HostKey, bool)> {
        match &self.spec.expected_host_key {
            Some(pinned) => Some((pinned.clone(), true)),
            None => self.first_key.get().map(|first| (first.clone(), false)),
        }
    }

    /// Notes the key it proved, whether or not it then lets us in.
    pub(super) fn proved(&self, key: &HostKey) {
        if self.spec.expected_host_key.is_none() {
            let _ = self.first_key.set(key.clone());
        }
    }

    pub(crate) fn about(&self) -> About<'_> {
        About::from(&self.spec)
    }

    /// The stored key to log in with, or `None` where none is stored.
    pub(super) async fn own_key(&self) -> Result<Option<OwnKey>, CollectError> {
        let read = self.key.read(&self.spec.credential).await;
        read.map_err(|reason| self.about().key_unreadable(&reason))
    }
}

/// A stored private key, read once for all who log in with it: opening one with a passphrase is
/// slow on purpose.
#[derive(Default)]
pub(crate) struct KeyCell(OnceCell<Result<OwnKey, String>>);

impl KeyCell {
    /// The key of a credential, the same at every call; the error is the reason, for a person.
    async fn read(&self, credential: &SshCredential) -> Result<Option<OwnKey>, String> {
        let Some(text) = credential.private_key.clone() else {
            return Ok(None);
        };
        let read = || async {
            let passphrase = credential.passphrase.clone();
            let certificate = credential.certificate.clone();
            tokio::task::spawn_blocking(move || {
                let key = key::read(text.expose(), passphrase.as_ref().map(|secret| secret.expose()))?;
                OwnKey::new(Arc::new(key), certificate.as_deref())
            })
            .await
            .map_err(|panicked| panicked.to_string())?
        };
        self.0.get_or_init(read).await.clone().map(Some)
    }
}

/// A key that the hub holds itself, and its certificate.
#[derive(Clone)]
pub(super) struct OwnKey {
    pub(super) key: Arc<PrivateKey>,
    pub(super) certificate: Option<Arc<UserCertificate>>,
}

impl OwnKey {
    /// With the text of its certificate; the error is the reason, for a person.
    pub(super) fn new(key: Arc<PrivateKey>, certificate: Option<&str>) -> Result<Self, String> {
        let fingerprint = describe(key.public_key()).fingerprint;
        let certificate = certificate
            .map(|text| read_user(text, Some(&fingerprint)))
            .transpose()
            .map_err(|reason| format!("its certificate: {reason}"))?
            .map(Arc::new);
        Ok(Self { key, certificate })
    }
}

/// The hops to a server, itself last; never empty.
#[derive(Clone)]
pub(crate) struct Route {
    jumps: Vec<Arc<Hop>>,
    target: Arc<Hop>,
}

impl Route {
    pub(crate) fn new(jumps: Vec<Arc<Hop>>, target: Arc<Hop>) -> Self {
        Self { jumps, target }
    }

    /// The route a [`ConnectSpec`] describes by itself.
    pub(crate) fn of(spec: &ConnectSpec) -> Self {
        let mut jumps = Vec::new();
        let mut before = spec.jump.as_deref();
        while let Some(jump) = before {
            jumps.push(Arc::new(Hop::new(jump.clone())));
            before = jump.jump.as_deref();
        }
        jumps.reverse();
        Self::new(jumps, Arc::new(Hop::new(spec.clone())))
    }

    /// The jump hosts, nearest to the hub first.
    pub(crate) fn jumps(&self) -> &[Arc<Hop>] {
        &self.jumps
    }

    /// All of them, the server itself last.
    pub(crate) fn hops(&self) -> impl Iterator<Item = &Arc<Hop>> {
        self.jumps.iter().chain(std::iter::once(&self.target))
    }

    /// The server itself.
    pub(crate) fn target(&self) -> &Arc<Hop> {
        &self.target
    }
}
