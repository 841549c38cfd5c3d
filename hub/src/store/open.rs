//! Opening and closing the database file, and the two ways into it: one writer, many readers.

use std::collections::{BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::fs::Access;
use rustix::io::Errno;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::layout::LayoutCache;
use super::recall::Recall;
use super::retention::Ages;
use super::secrets::check_key;
use super::write_back::LAST_RESORT_PAGES;
use super::{MasterKey, Result, StoreError};
use crate::model::{ServerId, Timestamp};

/// Older ones can corrupt a WAL database when a checkpoint and a write meet
/// (<https://www.sqlite.org/wal.html#walresetbug>).
const OLDEST_SQLITE: &str = "3.51.3";
const READERS: u32 = 6;
/// How long to wait for another process that writes (`gander-hub token create`).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a reader may wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// The log file is cut back to this after a burst.
const WAL_LIMIT_BYTES: u32 = 64 << 20;

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// The store. A cheap handle: clone it freely.
#[derive(Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) key: MasterKey,
    /// The one connection that writes; its lock is fair.
    pub(super) writer: Arc<Mutex<Writer>>,
    pub(super) readers: SqlitePool,
    /// Writes the log back; opened when it is first needed.
    pub(super) copier: Mutex<Option<SqliteConnection>>,
    pub(super) servers_changed: watch::Sender<u64>,
    /// How long samples are kept while the database says nothing of it.
    pub(super) configured_ages: std::sync::Mutex<Ages>,
    /// Servers whose blocks are to be looked through for some to merge; `None`: all.
    unsettled: std::sync::Mutex<Option<BTreeSet<i64>>>,
    /// Rises with every deletion of samples.
    pub(super) deletions: AtomicU64,
    pub(super) recall: Recall,
    pub(super) agents_changed: watch::Sender<u64>,
    /// Values not kept since the start, by server.
    dropped_values: std::sync::Mutex<HashMap<ServerId, u64>>,
}

/// The one connection that writes, and what the writer remembers of the database.
pub(super) struct Writer {
    /// `None` once closed.
    pub(super) connection: Option<SqliteConnection>,
    pub(super) cache: LayoutCache,
}

impl Inner {
    /// Servers whose blocks are to be looked through.
    pub(super) fn unsettled(&self) -> std::sync::MutexGuard<'_, Option<BTreeSet<i64>>> {
        self.unsettled
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Store")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

/// A write under way: one transaction. Dropped without [`Write::commit`], it is rolled back
/// and the writer forgets what it remembered.
///
/// Not sqlx's `Transaction`: SQLite ends a transaction by itself when the disk is full or
/// failing, and sqlx would go on counting it as open.
pub(super) struct Write {
    writer: Option<OwnedMutexGuard<Writer>>,
}

impl Write {
    /// The connection inside the transaction.
    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection> {
        Ok(self.parts()?.1)
    }

    /// The writer's memory and the connection inside the transaction.
    pub(super) fn parts(&mut self) -> Result<(&mut LayoutCache, &mut SqliteConnection)> {
        self.writer.as_mut().ok_or_else(closed)?.parts()
    }

    /// Makes it durable.
    pub(super) async fn commit(mut self) -> Result<()> {
        sqlx::query("COMMIT").execute(self.connection()?).await?;
        // Done: nothing is left for `drop` to roll back.
        self.writer = None;
        Ok(())
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.cache.forget_all();
            // The lock goes along, so that nobody writes into the transaction that is to go.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { writer.roll_back().await });
            }
        }
    }
}

impl Writer {
    fn parts(&mut self) -> Result<(&mut LayoutCache, &mut SqliteConnection)> {
        Ok((&mut self.cache, self.connection.as_mut().ok_or_else(closed)?))
    }

    /// Ends whatever transaction is open. There may be none: SQLite ends one itself on some errors.
    async fn roll_back(&mut self) {
        if let Some(connection) = &mut self.connection {
            let _ = sqlx::query("ROLLBACK").execute(connection).await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Sqlx(sqlx::Error::PoolClosed)
}

impl Store {
    /// Opens the database, makes it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// The directory or file cannot be written, is damaged, belongs to a newer gander, holds
    /// secrets of another master key, or the linked SQLite is too old.
    pub async fn open(path: &Path, key: MasterKey) -> Result<Self> {
        prepare_file(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", WAL_LIMIT_BYTES.to_string())
            .pragma("wal_autocheckpoint", LAST_RESORT_PAGES.to_string())
            .pragma("temp_store", "memory")
            .pragma("trusted_schema", "off");
        let mut connection = SqliteConnection::connect_with(&options.pragma("cache_size", "-32000"))
            .await
            .map_err(|error| StoreError::from(error).at(path))?;
        Self::set_up(path, &key, &mut connection).await?;
        // No mmap: a failing disk would end the hub with SIGBUS instead of an error.
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_release(|connection, _| {
                // A reader that was dropped half way must not hold on to an old view.
                Box::pin(async move {
                    let _ = sqlx::query("ROLLBACK").execute(connection).await;
                    Ok(true)
                })
            })
            .connect_lazy_with(
                SqliteConnectOptions::new()
                    .filename(path)
                    .read_only(true)
                    .busy_timeout(BUSY_TIMEOUT)
                    .row_buffer_size(512)
                    .pragma("query_only", "on")
                    .pragma("cache_size", "-8000")
                    .pragma("temp_store", "memory")
                    .pragma("trusted_schema", "off"),
            );
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                key,
                writer: Arc::new(Mutex::new(Writer {
                    connection: Some(connection),
                    cache: LayoutCache::default(),
                })),
                readers,
                copier: Mutex::default(),
                servers_changed: watch::Sender::new(0),
                configured_ages: std::sync::Mutex::default(),
                unsettled: std::sync::Mutex::default(),
                deletions: AtomicU64::new(0),
                recall: Recall::default(),
                agents_changed: watch::Sender::new(0),
                dropped_values: std::sync::Mutex::default(),
            }),
        })
    }

    async fn set_up(path: &Path, key: &MasterKey, connection: &mut SqliteConnection) -> Result<()> {
        let fail = |error: sqlx::Error| StoreError::from(error).at(path);
        let version: String = sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut *connection)
            .await
            .map_err(fail)?;
        if version_number(&version) < version_number(OLDEST_SQLITE) {
            return Err(StoreError::OldSqlite {
                found: version,
                required: OLDEST_SQLITE,
            });
        }
        MIGRATOR
            .run(&mut *connection)
            .await
            .map_err(|error| migrate_error(path, error))?;
        check_key(path, key, connection)
            .await
            .map_err(|error| error.at(path))
    }

    /// Writes the log back into the database file and closes it. Later calls fail.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        if let Some(copier) = self.inner.copier.lock().await.take() {
            let _ = copier.close().await;
        }
        let mut writer = self.inner.writer.lock().await;
        let Some(mut connection) = writer.connection.take() else {
            return;
        };
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await;
        if let Err(error) = checkpoint.map(drop).and(connection.close().await) {
            tracing::warn!(%error, "the log could not be written back at the end; the next start does it");
        }
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Begins a write: waits for its turn, then holds the database's write lock.
    pub(super) async fn write(&self) -> Result<Write> {
        let writer = Arc::clone(&self.inner.writer).lock_owned().await;
        // From here on a drop rolls back, be it in the middle of BEGIN.
        let mut write = Write { writer: Some(writer) };
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(write.connection()?).await;
        if let Err(error) = begun.map_err(StoreError::from) {
            if matches!(error, StoreError::Busy) {
                return Err(error);
            }
            // A transaction is open that was dropped where nothing could roll it back.
            if let Some(writer) = &mut write.writer {
                writer.roll_back().await;
                writer.cache.forget_all();
            }
            sqlx::query("BEGIN IMMEDIATE")
                .execute(write.connection()?)
                .await?;
        }
        let (cache, connection) = write.parts()?;
        // Changes when another process wrote: what is remembered may be gone.
        let version: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(connection)
            .await?;
        if cache.saw_data_version(version) {
            self.samples_are_deleted();
            // A log-in rotated on the command line counts at once.
            self.servers_changed();
        }
        Ok(write)
    }

    /// A consistent view of the last commit, for as long as the connection is held.
    pub(super) async fn read(&self) -> Result<PoolConnection<Sqlite>> {
        let mut connection = self.inner.readers.acquire().await?;
        sqlx::query("BEGIN").execute(&mut *connection).await?;
        Ok(connection)
    }

    /// Tells whoever collects that servers, credentials or keys changed.
    pub(super) fn servers_changed(&self) {
        self.inner
            .servers_changed
            .send_modify(|generation| *generation += 1);
    }

    /// Values not kept since the start, by server.
    pub(super) fn dropped_values(&self) -> std::sync::MutexGuard<'_, HashMap<ServerId, u64>> {
        self.inner
            .dropped_values
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A real write and a real read of what was written.
    ///
    /// # Errors
    /// The database cannot be written or read.
    pub async fn health_check(&self) -> Result<()> {
        let written = Timestamp::now().0.to_string();
        self.set_meta("health.checked_at", Some(&written)).await?;
        match self.get_meta("health.checked_at").await? {
            Some(read) if read >= written => Ok(()),
            read => Err(StoreError::unreadable(
                "health check",
                format!("wrote {written}, read {read:?}"),
            )),
        }
    }

    /// A small text kept under a key (`setup.token_hash`, …).
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn get_meta(&self, key: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.inner.readers)
            .await?)
    }

    /// Keeps a small text under a key; `None` removes it.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn set_meta(&self, key: &str, value: Option<&str>) -> Result<()> {
        let mut write = self.write().await?;
        put_meta(write.connection()?, key, value).await?;
        write.commit().await
    }
}

/// Sets or removes a row of `meta` inside a transaction.
pub(super) async fn put_meta(
    connection: &mut SqliteConnection,
    key: &str,
    value: Option<&str>,
) -> Result<()> {
    match value {
        Some(value) => {
            sqlx::query(
                "INSERT INTO meta (key, value) VALUES (?, ?)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )
            .bind(key)
            .bind(value)
            .execute(connection)
            .await?;
        }
        None => {
            sqlx::query("DELETE FROM meta WHERE key = ?")
                .bind(key)
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

/// Makes the directory and an empty file only its owner can read, and checks that both can be
/// written: SQLite would say no more than "unable to open".
fn prepare_file(path: &Path) -> Result<()> {
    prepare_directory(path)?;
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| explain_io(path, &error))
}

/// Makes the directory of a file, and checks that it can be written.
pub(super) fn prepare_directory(path: &Path) -> Result<()> {
    let directory = directory_of(path);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(directory)
        .map_err(|error| explain_io(path, &error))?;
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| explain_io(path, &error.into()))
}

/// The directory a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// What the system said of a file, in words that name the fix.
pub(super) fn explain_io(path: &Path, error: &std::io::Error) -> StoreError {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ACCESS | Errno::ROFS | Errno::PERM) => StoreError::ReadOnly {
            place: path.display().to_string(),
        },
        Some(Errno::NOSPC | Errno::DQUOT) => StoreError::Full,
        _ => StoreError::Open {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    }
}

/// `3.51.3` as something that compares.
fn version_number(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn migrate_error(path: &Path, error: MigrateError) -> StoreError {
    let known = newest_schema();
    match error {
        MigrateError::VersionMissing(found) if found > known => StoreError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            match StoreError::from(error) {
                StoreError::Sqlx(error) => StoreError::Migrate {
                    path: path.to_owned(),
                    reason: error.to_string(),
                },
                known => known.at(path),
            }
        }
        other => StoreError::Migrate {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    }
}

/// The newest schema this program knows.
pub(super) fn newest_schema() -> i64 {
    MIGRATOR
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}
