//! A server's SSH host key as the hub pins it.

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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

impl HostKey {
    /// Reads a public key as `ssh-keyscan`, `known_hosts` or `/etc/ssh/ssh_host_*_key.pub` show it:
    /// `ssh-ed25519 AAAA…`, with or without a comment.
    ///
    /// # Errors
    /// What is wrong with the text, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (Some(algorithm), Some(encoded)) = (words.next(), words.next()) else {
            return Err("must be a public key like \"ssh-ed25519 AAAA…\"".into());
        };
        let blob = BASE64_STANDARD
            .decode(encoded)
            .map_err(|error| format!("the key after {algorithm} is not base64: {error}"))?;
        // RFC 4253, 6.6: the blob begins with its algorithm's name as a length-prefixed string.
        let named = blob.split_at_checked(4).and_then(|(length, rest)| {
            let length = u32::from_be_bytes(length.try_into().ok()?);
            rest.get(..usize::try_from(length).ok()?)
                .filter(|_| rest.len() > length as usize)
        });
        if named != Some(algorithm.as_bytes()) {
            return Err(format!(
                "the key after {algorithm} is cut off or of another algorithm"
            ));
        }
        Ok(Self {
            algorithm: algorithm.to_owned(),
            fingerprint: format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(&blob))),
            public_key: format!("{algorithm} {}", BASE64_STANDARD.encode(&blob)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::HostKey;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_public_key_has_the_fingerprint_that_ssh_keygen_prints() {
        // github.com's published key and fingerprint.
        let key = HostKey::parse(&format!("  {KEY} a comment\n")).unwrap();
        assert_eq!(key.algorithm, "ssh-ed25519");
        assert_eq!(
            key.fingerprint,
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
        );
        assert_eq!(key.public_key, KEY);
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "must be a public key"),
            ("ssh-ed25519", "must be a public key"),
            ("ssh-ed25519 !!!", "not base64"),
            ("ssh-ed25519 AAAA", "cut off"),
            (&KEY.replace("ssh-ed25519", "ssh-rsa"), "another algorithm"),
        ] {
            assert!(HostKey::parse(text).unwrap_err().contains(reason), "{text}");
        }
    }
}
