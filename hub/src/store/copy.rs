//! A copy of the database as of its last commit, made while the hub goes on writing.
//!
//! `VACUUM INTO` through a read-only connection of its own: it reads one consistent view of the
//! WAL, never takes the write lock, and writes a compact file with every index built anew (so a
//! damaged index does not travel). SQLite's backup API would do too, but it starts over whenever
//! the source changes, which is ten times a second here, unless it goes through the writer. The
//! price: the log cannot be cut back while the copy is made, so it grows by what is written
//! meanwhile.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::open::{BUSY_TIMEOUT, directory_of, explain_io};
use super::{Result, StoreError};

/// Steps of SQLite's machine between two looks at whether to give up: well under a millisecond.
const STEPS: i32 = 10_000;

/// Opens a database file for reading only, without making or changing anything.
pub(super) async fn open_read_only(path: &Path) -> Result<SqliteConnection> {
    // SQLite's own words for a missing file help nobody.
    File::open(path).map_err(|error| explain_io(path, &error))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", "-16000")
        .pragma("temp_store", "memory")
        .pragma("trusted_schema", "off");
    SqliteConnection::connect_with(&options)
        .await
        .map_err(|error| StoreError::from(error).at(path))
}

/// Copies the database at `source` into the new file `target` (mode 0600), which is on disk when
/// this returns. `target` must not exist; where this fails it is removed.
///
/// # Errors
/// `source` cannot be read, `target` cannot be written, or `stop` was cancelled.
pub async fn copy_database(source: &Path, target: &Path, stop: &CancellationToken) -> Result<()> {
    // SQLite would make it readable by everybody; an empty file it takes as it is.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(|error| explain_io(target, &error))?;
    let copied = copy_into(source, target, stop).await;
    if copied.is_err() {
        let _ = std::fs::remove_file(target);
    }
    copied
}

async fn copy_into(source: &Path, target: &Path, stop: &CancellationToken) -> Result<()> {
    let name = target.to_str().ok_or_else(|| StoreError::Open {
        path: target.to_owned(),
        reason: "its name is not UTF-8".to_owned(),
    })?;
    let mut connection = open_read_only(source).await?;
    let asked = stop.clone();
    connection
        .lock_handle()
        .await?
        .set_progress_handler(STEPS, move || !asked.is_cancelled());
    let copied = sqlx::query("VACUUM INTO ?")
        .bind(name)
        .execute(&mut connection)
        .await;
    let _ = connection.close().await;
    if stop.is_cancelled() {
        return Err(StoreError::Interrupted);
    }
    copied.map_err(|error| StoreError::from(error).at(source))?;
    sync(target)
}

/// Forces a file to the disk. Its name in the directory is another matter: [`sync_directory`].
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| explain_io(path, &error))
}

/// Forces what happened to the names in a file's directory to the disk.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    sync(directory_of(path))
}

/// Bytes an unprivileged program may still write in the file system that holds `path`.
///
/// # Errors
/// The path does not exist.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let system = rustix::fs::statvfs(path).map_err(|error| explain_io(path, &error.into()))?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}
