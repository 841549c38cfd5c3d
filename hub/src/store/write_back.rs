//! Writing the log back into the database file, beside commits instead of inside them.
//!
//! SQLite would do it at the end of the commit that makes the log long, which then takes as long as
//! copying and syncing some thousand pages does. Here a connection of its own copies what is there
//! while commits go on; then the writer is held back for the little that came meanwhile, so that the
//! whole log is copied once and the next commit begins it anew. It writes nothing of its own.

use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::{Result, Store};

/// A log of so many pages is copied to its end (16 MB).
const FULL_PAGES: i64 = 4_096;
/// A longer one (128 MB) is copied by the commit that finds it: nobody folds, or the disk cannot keep up.
pub(super) const LAST_RESORT_PAGES: u32 = 32_768;
/// Time between two looks while there is much to do.
pub(super) const EVERY: Duration = Duration::from_millis(500);

impl Store {
    /// Copies what the log holds into the database file, so far as no reader still needs the old pages.
    pub(super) async fn write_back(&self) -> Result<()> {
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
        let pages = copy(connection).await?;
        if pages >= FULL_PAGES {
            // Held back: nobody writes while the rest is copied.
            let _writer = self.inner.writer.lock().await;
            copy(connection).await?;
        }
        Ok(())
    }
}

/// Answers how many pages the log has.
async fn copy(connection: &mut SqliteConnection) -> Result<i64> {
    let (_, pages, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(connection)
        .await?;
    Ok(pages)
}
