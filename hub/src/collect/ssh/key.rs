//! Private keys: reading what people paste, and saying what is wrong with it.

use std::sync::Arc;

use russh::keys::{Algorithm, Error as KeyError, PrivateKey, decode_secret_key, ssh_key};

use super::host_key::describe;
use crate::{
    collect::KeyInfo,
    model::{CollectError, CollectErrorCode, Secret},
};

/// The hub's own key: what it logs in with where a server has neither a password nor a key.
#[derive(Clone)]
pub struct HubKey {
    key: Arc<PrivateKey>,
    info: KeyInfo,
}

impl std::fmt::Debug for HubKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HubKey({})", self.info.fingerprint)
    }
}

impl HubKey {
    /// A new key, and its text to keep.
    ///
    /// # Errors
    /// The text cannot be written.
    pub fn generate() -> anyhow::Result<(Self, Secret)> {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
        let text = key.to_openssh(ssh_key::LineEnding::LF)?;
        Ok((Self::of(key), Secret::new(text.to_string())))
    }

    /// Reads the text of [`HubKey::generate`].
    ///
    /// # Errors
    /// It is no private key.
    pub fn read(text: &Secret) -> anyhow::Result<Self> {
        read(text.expose(), None)
            .map(Self::of)
            .map_err(anyhow::Error::msg)
    }

    fn of(key: PrivateKey) -> Self {
        let info = info(&key);
        Self {
            key: Arc::new(key),
            info,
        }
    }

    /// Its public half.
    #[must_use]
    pub fn info(&self) -> &KeyInfo {
        &self.info
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.key)
    }
}

fn info(key: &PrivateKey) -> KeyInfo {
    let described = describe(key.public_key());
    KeyInfo {
        algorithm: described.algorithm,
        fingerprint: described.fingerprint,
        public_key: described.public_key,
    }
}

/// Reads a private key (OpenSSH, PEM, PKCS#8) so that a form can refuse an unusable one at once.
///
/// # Errors
/// `KeyUnreadable`, with what is wrong with it.
pub fn parse_private_key(key: &str, passphrase: Option<&str>) -> Result<KeyInfo, CollectError> {
    match read(key, passphrase) {
        Ok(key) => Ok(info(&key)),
        Err(reason) => Err(CollectError {
            code: CollectErrorCode::KeyUnreadable,
            message: format!("the private key cannot be used: {reason}"),
            params: [("reason".to_owned(), reason)].into(),
        }),
    }
}

/// What is in the file of a FIDO key is only where to find it: the key is in the device.
const SECURITY_KEY: &str = "it is the stub of a security key, which must be touched at every log-in; \
     make an ordinary key for gander with ssh-keygen -t ed25519";

fn is_security_key(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256)
}

/// Reads a private key; the error is the reason, for a person.
pub(super) fn read(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, String> {
    // Pasted text comes indented, with carriage returns, with empty lines around it.
    let text: String =
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .fold(String::new(), |mut all, line| {
                all.push_str(line);
                all.push('\n');
                all
            });
    let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
    if text.contains("-cert-v01@openssh.com") {
        return Err("this is a certificate; paste the private key it belongs to".into());
    }
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("---- BEGIN SSH2 PUBLIC") {
        return Err("this is a public key; paste the private one (the file without .pub)".into());
    }
    if !text.contains("PRIVATE KEY-----") && !text.starts_with("PuTTY-User-Key-File-") {
        return Err("this is no private key; it must begin with -----BEGIN … PRIVATE KEY-----".into());
    }
    if !text.contains("-----END ") && !text.starts_with("PuTTY-") {
        return Err(
            "its end is missing; copy the whole file, with the line -----END … PRIVATE KEY-----".into(),
        );
    }
    let encrypted_pem = text.contains("Proc-Type: 4,ENCRYPTED");
    // russh opens old encrypted PEM files of RSA keys with AES-128, which is what ssh-keygen writes.
    if encrypted_pem && !(text.contains("BEGIN RSA PRIVATE KEY") && text.contains("DEK-Info: AES-128-CBC")) {
        return Err(
            "it is locked in an old way the hub cannot open; rewrite it in today's format with ssh-keygen -p -f FILE"
                .into(),
        );
    }
    if text.contains("-----BEGIN DSA PRIVATE KEY") {
        return Err(
            "DSA keys are no longer accepted by any sshd; make a new one with ssh-keygen -t ed25519".into(),
        );
    }
    let locked = encrypted_pem || text.contains("-----BEGIN ENCRYPTED PRIVATE KEY");
    if locked && passphrase.is_none() {
        return Err("it is protected by a passphrase, and none is given".into());
    }
    match decode_secret_key(&text, passphrase) {
        Ok(key) if key.is_encrypted() => Err("it is protected by a passphrase, and none is given".into()),
        Ok(key) if is_security_key(&key.algorithm()) => Err(SECURITY_KEY.into()),
        Ok(key) => Ok(key),
        Err(KeyError::KeyIsEncrypted) => Err("it is protected by a passphrase, and none is given".into()),
        Err(KeyError::SshKey(ssh_key::Error::Crypto)) if passphrase.is_some() => {
            Err("the passphrase is wrong".into())
        }
        Err(_) if locked => Err("the passphrase is wrong".into()),
        Err(KeyError::UnsupportedKeyType { key_type_string, .. }) if key_type_string.starts_with("sk-") => {
            Err(SECURITY_KEY.into())
        }
        Err(KeyError::UnsupportedKeyType { key_type_string, .. }) => Err(format!(
            "the hub does not know keys of type {key_type_string}; make one with ssh-keygen -t ed25519"
        )),
        Err(other) => Err(format!(
            "it cannot be read ({other}); copy the whole file again, unchanged"
        )),
    }
}

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::private::{KeypairData, SkEd25519};

    use super::*;

    #[test]
    fn the_stub_of_a_security_key_is_refused_with_the_reason() {
        let public = ssh_key::public::SkEd25519::from(ssh_key::public::Ed25519PublicKey([7; 32]));
        let stub = SkEd25519::new(public, 1, vec![1, 2, 3]).unwrap();
        let key = PrivateKey::new(KeypairData::SkEd25519(stub), "yubikey").unwrap();
        let text = key.to_openssh(ssh_key::LineEnding::LF).unwrap();
        let error = parse_private_key(&text, None).unwrap_err();
        assert!(
            error.message.contains("security key") && error.message.contains("ssh-keygen -t ed25519"),
            "{error}"
        );
    }
}
