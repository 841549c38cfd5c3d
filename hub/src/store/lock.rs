//! One hub at a time: a lock on a file beside the database, held for as long as the process lives.
//!
//! SQLite lets many processes in, and short ones (`gander-hub token create`) are welcome. But a
//! second hub would poll everything twice, and replacing or repairing the file under a running
//! hub would lose what it acknowledged. The lock is the kernel's (`flock`), so that it goes away
//! with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::open::{explain_io, prepare_directory};
use super::{Result, StoreError};

/// The right to run a hub on a database, or to replace the file. Dropping it gives it back.
#[derive(Debug)]
pub struct DatabaseLock {
    _file: File,
}

impl DatabaseLock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// [`StoreError::InUse`]; or the directory cannot be written.
    pub fn take(database: &Path) -> Result<Self> {
        prepare_directory(database)?;
        let path = beside(database, ".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| explain_io(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(20).read_to_string(&mut holder);
                return Err(StoreError::InUse {
                    path: database.to_owned(),
                    holder: holder.trim().parse().ok(),
                });
            }
            // A file system without locks (some network ones): go on, as without this file.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "{} cannot be locked: make sure that only one hub uses the database", path.display());
            }
        }
        // For people and for the message above; the lock itself does not depend on it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// The path of a file beside another, named after it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
