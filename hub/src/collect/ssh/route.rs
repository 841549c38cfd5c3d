//! The way to a server: the jump hosts before it, in order, and the server itself.

use std::sync::Arc;

use russh::keys::PrivateKey;
use tokio::sync::OnceCell;

use super::{super::ConnectSpec, super::explain::About, key};
use crate::model::CollectError;

/// One SSH server on the way.
pub(crate) struct Hop {
    /// Where it is and how to log in. Its own `jump` is the hop before it.
    pub(crate) spec: ConnectSpec,
    /// The private key, read once: opening one with a passphrase is slow on purpose.
    key: OnceCell<Result<Arc<PrivateKey>, CollectError>>,
}

impl Hop {
    pub(crate) fn new(spec: ConnectSpec) -> Self {
        Self {
            spec,
            key: OnceCell::new(),
        }
    }

    /// The same server after a change; its private key is read again only if it changed too.
    pub(crate) fn with_spec(&self, spec: ConnectSpec) -> Self {
        let (old, new) = (&self.spec.credential, &spec.credential);
        let same_key = old.private_key == new.private_key
            && old.passphrase == new.passphrase
            && self.spec.name == spec.name;
        let key = if same_key {
            self.key.clone()
        } else {
            OnceCell::new()
        };
        Self { spec, key }
    }

    pub(crate) fn about(&self) -> About<'_> {
        About::from(&self.spec)
    }

    /// The private key to log in with, or `None` where none is stored.
    pub(super) async fn private_key(&self) -> Result<Option<Arc<PrivateKey>>, CollectError> {
        let credential = &self.spec.credential;
        let Some(text) = credential.private_key.clone() else {
            return Ok(None);
        };
        let read = || async {
            let passphrase = credential.passphrase.clone();
            let outcome = tokio::task::spawn_blocking(move || {
                key::read(text.expose(), passphrase.as_ref().map(|secret| secret.expose()))
            })
            .await;
            match outcome {
                Ok(Ok(key)) => Ok(Arc::new(key)),
                Ok(Err(reason)) => Err(self.about().key_unreadable(&reason)),
                Err(panicked) => Err(self.about().key_unreadable(&panicked.to_string())),
            }
        };
        self.key.get_or_init(read).await.clone().map(Some)
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
