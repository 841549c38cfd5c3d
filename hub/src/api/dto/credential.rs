//! Shared credentials and host authorities: what clients see, and what they may send. Never a secret.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{
    Certificate, CredentialId, HostAuthority, HostKey, ServerId, Timestamp, credential::CredentialKind,
    host_authority::HostAuthorityId,
};

/// A log-in that servers share. Its secrets are never returned.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialView {
    /// Row id.
    pub id: CredentialId,
    /// Unique name.
    pub name: String,
    /// Where its key comes from.
    pub kind: CredentialKind,
    /// Log-in name of servers that have none of their own; empty: each has its own.
    pub ssh_user: String,
    /// Whether a password is stored.
    pub has_password: bool,
    /// Whether a passphrase of the key is stored.
    pub has_passphrase: bool,
    /// The public half of its key: stored with it, or the hub's; null for the other kinds.
    pub key: Option<HostKey>,
    /// Of kind `agent`: `SHA256:…` of the key to take; null for any the agent holds.
    pub agent_key: Option<String>,
    /// Its OpenSSH user certificate; null without one.
    pub certificate: Option<Certificate>,
    /// One line for a shell on a server, as the user the hub logs in as: lets the key in.
    pub authorise_command: Option<String>,
    /// How many servers use it.
    pub server_count: usize,
    /// Their ids.
    pub server_ids: Vec<ServerId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed or rotated.
    pub updated_at: Timestamp,
}

/// A shared credential to make (`POST`), or its full configuration (`PUT`: what is left out takes its
/// default, except for secrets and the certificate, which stay).
#[derive(Debug, ToSchema)]
pub struct CredentialRequest {
    /// Unique name, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, example = "fleet-2026")]
    pub name: String,
    /// `password`: no key; `key`: the private key below; `hub_key`: the hub's own; `agent`: one in the
    /// ssh-agent beside the hub.
    pub kind: CredentialKind,
    /// Log-in name of servers that have none of their own.
    #[schema(required = false, nullable, max_length = 64)]
    pub ssh_user: Option<String>,
    /// Password; required for kind `password`, and asked for after the key with the others. Write-only.
    #[schema(required = false, nullable, write_only)]
    pub password: Option<String>,
    /// Private key: OpenSSH, PEM or PKCS#8 text. Only for kind `key`. Write-only.
    #[schema(required = false, nullable, write_only)]
    pub private_key: Option<String>,
    /// Passphrase of the private key. Write-only.
    #[schema(required = false, nullable, write_only)]
    pub passphrase: Option<String>,
    /// OpenSSH user certificate of the key (`ssh-ed25519-cert-v01@openssh.com AAAA…`), offered first.
    #[schema(required = false, nullable)]
    pub certificate: Option<String>,
    /// Of kind `agent`: `SHA256:…` of the key to take; null for any the agent holds.
    #[schema(required = false, nullable)]
    pub agent_key: Option<String>,
}

/// Some fields of a shared credential; what is left out stays as it is. A new private key drops the
/// passphrase and the certificate of the old one, unless new ones come along.
#[derive(Debug, ToSchema)]
pub struct CredentialPatchRequest {
    /// Unique name, 1 to 100 characters.
    #[schema(required = false, min_length = 1, max_length = 100)]
    pub name: String,
    /// Where its key comes from. Another kind drops what belongs to the old one.
    #[schema(required = false)]
    pub kind: CredentialKind,
    /// Log-in name of servers that have none of their own; null for none.
    #[schema(required = false, nullable, max_length = 64)]
    pub ssh_user: Option<String>,
    /// Password; null removes it. Write-only.
    #[schema(required = false, nullable, write_only)]
    pub password: Option<String>,
    /// Private key. Write-only.
    #[schema(required = false, nullable, write_only)]
    pub private_key: Option<String>,
    /// Passphrase of the private key; null removes it. Write-only.
    #[schema(required = false, nullable, write_only)]
    pub passphrase: Option<String>,
    /// OpenSSH user certificate of the key; null removes it.
    #[schema(required = false, nullable)]
    pub certificate: Option<String>,
    /// Of kind `agent`: `SHA256:…` of the key to take; null for any the agent holds.
    #[schema(required = false, nullable)]
    pub agent_key: Option<String>,
}

/// A key that vouches for hosts with certificates, or one that is revoked.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = HostAuthority)]
pub struct HostAuthorityView {
    /// Row id.
    pub id: HostAuthorityId,
    /// The key.
    pub public_key: HostKey,
    /// Hosts it counts for, as in `known_hosts`: `*.example.org,10.0.*,!bastion.example.org`.
    pub patterns: String,
    /// `true`: neither this key nor a certificate signed by it is trusted, whatever else says so.
    pub revoked: bool,
    /// What it is, for people.
    pub comment: String,
    /// The line of `known_hosts` that says the same.
    pub known_hosts: String,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl From<&HostAuthority> for HostAuthorityView {
    fn from(authority: &HostAuthority) -> Self {
        let spec = &authority.spec;
        Self {
            id: authority.id,
            public_key: spec.public_key.clone(),
            patterns: spec.patterns.clone(),
            revoked: spec.revoked,
            comment: spec.comment.clone(),
            known_hosts: spec.known_hosts_line(),
            created_at: authority.created_at,
            updated_at: authority.updated_at,
        }
    }
}

/// Host authorities to enter: one by its fields, or the marked lines of a `known_hosts` file.
#[derive(Debug, ToSchema)]
pub struct HostAuthorityRequest {
    /// Lines beginning with `@cert-authority` or `@revoked`; others are passed over. In place of the
    /// fields below.
    #[schema(required = false, nullable)]
    pub known_hosts: Option<String>,
    /// The key: `ssh-ed25519 AAAA…`.
    #[schema(required = false, nullable)]
    pub public_key: Option<String>,
    /// Hosts it counts for.
    #[schema(required = false, default = "*")]
    pub patterns: String,
    /// `true`: a key that is never trusted.
    #[schema(required = false, default = false)]
    pub revoked: bool,
    /// What it is, for people.
    #[schema(required = false, max_length = 200)]
    pub comment: String,
}

/// Some fields of a host authority; what is left out stays as it is. Its key cannot be changed.
#[derive(Debug, ToSchema)]
pub struct HostAuthorityPatchRequest {
    /// Hosts it counts for.
    #[schema(required = false)]
    pub patterns: String,
    /// `true`: a key that is never trusted.
    #[schema(required = false)]
    pub revoked: bool,
    /// What it is, for people.
    #[schema(required = false, max_length = 200)]
    pub comment: String,
}
