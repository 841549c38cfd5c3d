//! A text that must not be shown: wiped when dropped, never printed.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// A password, private key or passphrase in the clear. `Debug` prints `Secret(…)`;
/// it has no `Serialize`, so it cannot leave by an answer or a log line. Clones share the text, so
/// that a key of ten thousand servers is in memory once; it is wiped with the last of them.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(SecretString::from(text)))
    }

    /// The text itself; only for handing it to the peer or the cipher.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.expose() == other.expose()
    }
}

impl Eq for Secret {}
