//! A server's SSH host key as the hub pins it.

use serde::{Deserialize, Serialize};

/// A host key in the words of `known_hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostKey {
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, …
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
    /// `ssh-ed25519 AAAA…`: algorithm and key in base64, without a comment.
    pub public_key: String,
}
