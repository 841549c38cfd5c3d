//! The ssh-agent beside the hub: which keys it holds, and logging in with them. The keys never
//! leave it; it signs.

use std::{path::Path, time::Duration};

use russh::{
    AgentAuthError, Signer,
    keys::{
        Algorithm, Certificate, HashAlg,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use tokio::{net::UnixStream, time::timeout};

use super::{
    super::{CollectConfig, KeyInfo, explain::AgentTrouble},
    certificate::{UserCertificate, read_user},
    host_key::describe,
    route::Hop,
};
use crate::model::CollectError;

/// The longest the agent may take to say what it holds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keys offered to one server: sshd ends a log-in after six failures (`MaxAuthTries`).
pub(super) const MOST_OFFERED: usize = 5;

/// A key that the agent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKey {
    /// The key.
    pub key: KeyInfo,
    /// What the agent calls it: most often the file it came from.
    pub comment: String,
    /// Whether it holds a certificate of this key too.
    pub has_certificate: bool,
}

/// The agent, and what of it is to be offered.
pub(super) struct Agent {
    client: AgentClient<UnixStream>,
    pub(super) identities: Vec<AgentIdentity>,
    /// The certificate that is stored with the credential: the agent knows only its key.
    stored: Option<Certificate>,
}

/// The keys that the agent at this socket holds.
///
/// # Errors
/// Why it cannot be asked.
pub async fn agent_keys(config: &CollectConfig) -> Result<Vec<AgentKey>, CollectError> {
    let (_, identities) = connect(config.agent_socket.as_deref())
        .await
        .map_err(|trouble| super::super::explain::about_the_agent().ssh_agent(&trouble))?;
    let mut keys: Vec<AgentKey> = Vec::new();
    for identity in &identities {
        let key = describe(&identity.public_key());
        let has_certificate = matches!(identity, AgentIdentity::Certificate { .. });
        if let Some(known) = keys
            .iter_mut()
            .find(|known| known.key.fingerprint == key.fingerprint)
        {
            known.has_certificate |= has_certificate;
            continue;
        }
        keys.push(AgentKey {
            key: KeyInfo {
                algorithm: key.algorithm,
                fingerprint: key.fingerprint,
                public_key: key.public_key,
            },
            comment: gander_probe::wire::sanitise(identity.comment().as_bytes()),
            has_certificate,
        });
    }
    Ok(keys)
}

async fn connect(
    socket: Option<&Path>,
) -> Result<(AgentClient<UnixStream>, Vec<AgentIdentity>), AgentTrouble> {
    let socket = socket.ok_or(AgentTrouble::NotSet)?;
    let silent = |detail: String| AgentTrouble::Silent {
        socket: socket.display().to_string(),
        detail,
    };
    let asking = async {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| silent(super::connect::plain(&error)))?;
        let mut client = AgentClient::connect(stream);
        let identities = client
            .request_identities()
            .await
            .map_err(|error| silent(error.to_string()))?;
        Ok((client, identities))
    };
    timeout(PATIENCE, asking)
        .await
        .map_err(|_| silent(format!("no word within {} s", PATIENCE.as_secs())))?
}

impl Agent {
    /// Asks the agent for the keys to offer: the chosen one, or all it holds, certificates first.
    pub(super) async fn open(
        hop: &Hop,
        config: &CollectConfig,
        chosen: Option<&str>,
    ) -> Result<Self, CollectError> {
        let about = hop.about();
        let (client, mut identities) = connect(config.agent_socket.as_deref())
            .await
            .map_err(|trouble| about.ssh_agent(&trouble))?;
        if identities.is_empty() {
            return Err(about.ssh_agent(&AgentTrouble::Empty));
        }
        if let Some(chosen) = chosen {
            let mut held: Vec<String> = Vec::new();
            identities.retain(|identity| {
                let fingerprint = describe(&identity.public_key()).fingerprint;
                let is_it = fingerprint == chosen;
                if !held.contains(&fingerprint) {
                    held.push(fingerprint);
                }
                is_it
            });
            if identities.is_empty() {
                return Err(about.ssh_agent(&AgentTrouble::NoSuchKey {
                    fingerprint: chosen.to_owned(),
                    held: held.join(", "),
                }));
            }
        }
        let mut stored = None;
        if let Some(text) = &hop.spec.credential.certificate {
            let UserCertificate { wire, .. } = read_user(text, None)
                .map_err(|reason| about.key_unreadable(&format!("its certificate: {reason}")))?;
            identities.insert(
                0,
                AgentIdentity::Certificate {
                    certificate: wire.clone(),
                    comment: String::new(),
                },
            );
            stored = Some(wire);
        }
        // A stable sort: otherwise in the agent's order.
        identities.sort_by_key(|identity| matches!(identity, AgentIdentity::PublicKey { .. }));
        identities.truncate(MOST_OFFERED);
        Ok(Self {
            client,
            identities,
            stored,
        })
    }
}

impl Signer for Agent {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        let is_stored = match identity {
            AgentIdentity::Certificate { certificate, .. } => self.stored.as_ref() == Some(certificate),
            AgentIdentity::PublicKey { .. } => false,
        };
        if !is_stored {
            return Ok(self.client.sign_request(identity, hash, to_sign).await?);
        }
        let key = AgentIdentity::from(identity.public_key().into_owned());
        Ok(self.client.sign_request(&key, hash, to_sign).await?)
    }
}

/// Whether a key signs with RSA, where the hash must be agreed on.
pub(super) fn is_rsa(identity: &AgentIdentity) -> bool {
    matches!(identity.public_key().algorithm(), Algorithm::Rsa { .. })
}
