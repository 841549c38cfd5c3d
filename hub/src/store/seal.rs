//! Sealing of secrets: XChaCha20-Poly1305 under the master key.
//!
//! A sealed text is `version (1 byte) ‖ nonce (24) ‖ ciphertext and tag`. Its table, row and
//! field are authenticated with it, so that a sealed text moved to another row or field does
//! not open. The master key lives in a file of its own and never in the database.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::{Result, StoreError};
use crate::model::Secret;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Sealed under the key in use and kept in `meta`: opens only with the same key.
pub(super) const KEY_CHECK: &str = "gander master key";

/// The key that seals every secret: 256 random bits, wiped from memory when dropped.
#[derive(Clone)]
pub struct MasterKey {
    bytes: Arc<Zeroizing<[u8; KEY_BYTES]>>,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// A new random key that is in no file: for tests and for a first look.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        fill_random(&mut *bytes)?;
        Ok(Self {
            bytes: Arc::new(bytes),
        })
    }

    /// Reads the key file, or makes one (mode 0600, on disk before this returns).
    ///
    /// # Errors
    /// The file is readable by others, is not a key, or cannot be read or made.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        match OpenOptions::new().read(true).open(path) {
            Ok(file) => Self::load(path, file),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(key_file(path, format!("cannot be read: {error}"))),
        }
    }

    /// Reads the key file; `None` where there is none.
    ///
    /// # Errors
    /// The file is readable by others, is not a key, or cannot be read.
    pub fn load_existing(path: &Path) -> Result<Option<Self>> {
        match OpenOptions::new().read(true).open(path) {
            Ok(file) => Self::load(path, file).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(key_file(path, format!("cannot be read: {error}"))),
        }
    }

    fn load(path: &Path, file: File) -> Result<Self> {
        let metadata = file
            .metadata()
            .map_err(|error| key_file(path, format!("cannot be read: {error}")))?;
        if !metadata.is_file() {
            return Err(key_file(path, "is not a regular file: name another one"));
        }
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            let fix = format!(
                "can be read or written by others (mode {mode:04o}): run chmod 600 {}",
                path.display()
            );
            return Err(key_file(path, fix));
        }
        // Sized beforehand: growing would leave copies of the key behind in memory.
        let mut text = Zeroizing::new(String::with_capacity(256));
        file.take(200)
            .read_to_string(&mut text)
            .map_err(|error| key_file(path, format!("cannot be read: {error}")))?;
        let bytes = parse_hex(text.trim()).ok_or_else(|| {
            key_file(
                path,
                "does not hold 64 hexadecimal digits: put the right file back; \
                 an empty one of a first start that was cut short may be deleted",
            )
        })?;
        Ok(Self {
            bytes: Arc::new(bytes),
        })
    }

    fn create(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| key_file(path, format!("cannot be made: {error}"));
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).map_err(failed)?;
        let key = Self::random()?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES * 2 + 1));
        for byte in key.bytes.iter() {
            let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
            text.push(digit(byte >> 4));
            text.push(digit(byte & 15));
        }
        text.push('\n');
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(failed)?;
        Ok(key)
    }

    /// Seals a text for one place.
    pub(super) fn seal(&self, place: &Place, text: &str) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        fill_random(&mut nonce)?;
        let associated = place.to_string();
        let message = Payload {
            msg: text.as_bytes(),
            aad: associated.as_bytes(),
        };
        let ciphertext = self
            .cipher()
            .encrypt(&XNonce::from(nonce), message)
            .map_err(|_| StoreError::unreadable("sealing", "the text is too long"))?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// Opens what was sealed for this place; `None` when the key, the place or the bytes are not the same.
    pub(super) fn open(&self, place: &Place, sealed: &[u8]) -> Option<Secret> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if *version != VERSION {
            return None;
        }
        let associated = place.to_string();
        let message = Payload {
            msg: ciphertext,
            aad: associated.as_bytes(),
        };
        let text = self.cipher().decrypt(&XNonce::from(*nonce), message).ok()?;
        match String::from_utf8(text) {
            Ok(text) => Some(Secret::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                None
            }
        }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(**self.bytes))
    }
}

/// The place a sealed text belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) table: &'static str,
    pub(super) row: i64,
    pub(super) field: &'static str,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}/{}", self.table, self.row, self.field)
    }
}

/// Fills with random bytes of the system.
pub(super) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| StoreError::Random(error.to_string()))
}

fn key_file(path: &Path, problem: impl Into<String>) -> StoreError {
    StoreError::KeyFile {
        path: PathBuf::from(path),
        problem: problem.into(),
    }
}

pub(super) fn parse_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if text.len() != KEY_BYTES * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}
