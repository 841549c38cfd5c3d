//! Writing the log back into the database file, beside commits instead of inside them.
//!
//! SQLite would do it at the end of the commit that makes the log long, which then takes as long as
//! copying and syncing some thousand pages does. Here a connection of its own copies what is there
//! while commits go on, again and again until little came meanwhile; then the writer is held back for
//! that little, so that the whole log is copied once and the next commit begins it anew. It writes
//! nothing of its own.

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::{Result, Store};

/// So many pages not yet copied are worth a look at the disk (4 MB).
const SOME_PAGES: i64 = 1_000;
/// A log of so many pages is to begin anew (32 MB).
const FULL_PAGES: i64 = 8_192;
/// What the writer may be held back for, if a few passes lead there …
const FEW_PAGES: i64 = 250;
/// … which on a busy hub they do not.
const PASSES: usize = 4;
/// A longer one (128 MB) is copied by the commit that finds it: the disk cannot keep up.
pub(super) const LAST_RESORT_PAGES: u32 = 32_768;

/// What SQLite says of the log.
struct Log {
    pages: i64,
    /// Pages of it that are in the database file already.
    copied: i64,
}

impl Store {
    /// Copies what the log holds into the database file once it is some megabytes, so far as no reader
    /// still needs the old pages. To be called every now and then while the hub runs; commits go on
    /// beside it. May be dropped or killed at any instant.
    ///
    /// # Errors
    /// The file cannot be written. Nothing is lost by that: the log keeps what it has, and grows.
    pub async fn tend_log(&self) -> Result<()> {
        self.copy_log(SOME_PAGES).await
    }

    /// Copies what the log holds, be it little.
    pub(super) async fn write_back(&self) -> Result<()> {
        self.copy_log(1).await
    }

    async fn copy_log(&self, least: i64) -> Result<()> {
        let mut copier = self.inner.copier.lock().await;
        let connection = match &mut *copier {
            Some(connection) => connection,
            none => none.insert(
                SqliteConnection::connect_with(
                    &SqliteConnectOptions::new()
                        .filename(&self.inner.path)
                        .pragma("synchronous", "full")
                        .pragma("trusted_schema", "off"),
                )
                .await?,
            ),
        };
        let mut log = look(connection).await?;
        if log.pages - log.copied < least {
            return Ok(());
        }
        for _ in 0..PASSES {
            let before = log.pages;
            log = copy(connection).await?;
            if log.pages < FULL_PAGES || log.pages - before <= FEW_PAGES {
                break;
            }
        }
        if log.pages >= FULL_PAGES {
            // Held back: nobody writes while the rest is copied.
            let _writer = self.inner.writer.lock().await;
            copy(connection).await?;
        }
        Ok(())
    }
}

async fn look(connection: &mut SqliteConnection) -> Result<Log> {
    run("PRAGMA wal_checkpoint(NOOP)", connection).await
}

async fn copy(connection: &mut SqliteConnection) -> Result<Log> {
    run("PRAGMA wal_checkpoint(PASSIVE)", connection).await
}

async fn run(pragma: &'static str, connection: &mut SqliteConnection) -> Result<Log> {
    let (_, pages, copied): (i64, i64, i64) = sqlx::query_as(pragma).fetch_one(connection).await?;
    Ok(Log { pages, copied })
}
