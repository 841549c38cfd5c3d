//! The way to the hub: one connection, secured by its pinned authority, over which the agent enrols,
//! renews its certificate and streams.

pub mod backoff;
pub mod connect;
pub mod enrol;
pub mod session;
mod tls;

use std::sync::Arc;

use rustls::ClientConfig;

use crate::identity::{Fingerprint, Identity};

/// What connections of this agent are made with.
///
/// # Errors
/// The identity's key or certificate is unreadable.
pub fn tls_of(identity: &Identity) -> anyhow::Result<Arc<ClientConfig>> {
    tls::config(identity.ca, Some(identity))
}

/// What a connection is made with before there is an identity.
///
/// # Errors
/// TLS cannot be set up.
pub fn tls_to_enrol(ca: Fingerprint) -> anyhow::Result<Arc<ClientConfig>> {
    tls::config(ca, None)
}
