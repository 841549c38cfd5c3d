//! Key pairs of every kind and format, made by `ssh-keygen`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use gander_hub::model::{Secret, server::SshCredential};

use super::run;

/// A key pair made by `ssh-keygen`.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The text of the private key's file.
    pub private: String,
    /// The line for `authorized_keys`.
    pub public: String,
    /// What opens the private key; empty for none.
    pub passphrase: String,
}

impl KeyPair {
    /// A key in OpenSSH's format. `kind` is as for `ssh-keygen -t`.
    #[must_use]
    pub fn generate(kind: &str) -> Self {
        Self::generate_as(kind, "RFC4716", "")
    }

    /// The same, locked with a passphrase.
    #[must_use]
    pub fn generate_locked(kind: &str, passphrase: &str) -> Self {
        Self::generate_as(kind, "RFC4716", passphrase)
    }

    /// A key in a format as for `ssh-keygen -m`: `RFC4716` (OpenSSH's own), `PEM`, `PKCS8`.
    #[must_use]
    pub fn generate_as(kind: &str, format: &str, passphrase: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("key");
        run(
            "openssh-client",
            Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-m", format, "-N", passphrase, "-C", "", "-f"])
                .arg(&file),
        );
        Self {
            private: fs::read_to_string(&file).unwrap(),
            public: fs::read_to_string(file.with_extension("pub"))
                .unwrap()
                .trim_end()
                .to_owned(),
            passphrase: passphrase.to_owned(),
        }
    }

    /// A certificate of this key by `authority`: the text of the file `…-cert.pub`. `options` are
    /// those of `ssh-keygen -s`, such as `-n deploy -V -2d:-1d`, or `-h` for a host.
    #[must_use]
    pub fn certify(&self, authority: &KeyPair, options: &[&str]) -> String {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let subject = dir.path().join("key.pub");
        fs::write(&subject, &self.public).unwrap();
        authority.sign(&subject, options);
        fs::read_to_string(dir.path().join("key-cert.pub")).unwrap()
    }

    /// Signs the public key in a file; the certificate lies beside it.
    pub(super) fn sign(&self, subject: &Path, options: &[&str]) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let authority = self.write_into(dir.path());
        run(
            "openssh-client",
            Command::new("ssh-keygen")
                .arg("-q")
                .arg("-s")
                .arg(&authority)
                .args(["-I", "a test"])
                .args(options)
                .arg(subject),
        );
    }

    /// Writes the private key into a directory, as ssh wants it.
    pub(crate) fn write_into(&self, directory: &Path) -> PathBuf {
        let file = directory.join("private");
        let mut opened = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .unwrap();
        opened.write_all(self.private.as_bytes()).unwrap();
        file
    }

    /// The credential a person would enter.
    #[must_use]
    pub fn credential(&self) -> SshCredential {
        SshCredential {
            password: None,
            private_key: Some(Secret::new(self.private.clone())),
            passphrase: (!self.passphrase.is_empty()).then(|| Secret::new(self.passphrase.clone())),
            ..SshCredential::default()
        }
    }
}
