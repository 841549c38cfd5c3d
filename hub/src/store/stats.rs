//! What the database holds, and how much room it takes.

use super::layout::{LIVE_MS, MAX_SERIES};
use super::{Result, ServerStorage, StorageStats, Store, forecast};
use crate::model::{ServerId, Timestamp};

/// Server, samples, of which folded, oldest row and block, newest row and block, series, whether they are
/// at the limit.
type Row = (
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
    bool,
);

/// Sizes and numbers per server. `+first_at` keeps SQLite from looking for the smallest of all servers'
/// blocks until it meets one of this server's.
pub(super) const PER_SERVER: &str = "SELECT server.id, coalesce(tally.samples, 0), coalesce(tally.folded, 0),
         (SELECT min(taken_at) FROM sample WHERE server_id = server.id),
         (SELECT min(+first_at) FROM block WHERE server_id = server.id AND tier = 0),
         (SELECT max(taken_at) FROM sample WHERE server_id = server.id),
         (SELECT max(last_at) FROM block WHERE server_id = server.id AND tier = 0),
         coalesce(known.series, 0), coalesce(known.live, 0) >= ?2
     FROM server LEFT JOIN tally ON tally.server_id = server.id
     LEFT JOIN (
         SELECT series.server_id, count(*) AS series, sum(last_seen_at > newest.at - ?1) AS live
         FROM series JOIN (
             SELECT server_id, max(last_seen_at) AS at FROM series GROUP BY server_id
         ) AS newest ON newest.server_id = series.server_id
         GROUP BY series.server_id
     ) AS known ON known.server_id = server.id
     ORDER BY server.id";

impl Store {
    /// The version of the SQLite library linked in.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn sqlite_version(&self) -> Result<String> {
        let mut connection = self.read().await?;
        Ok(sqlx::query_scalar("SELECT sqlite_version()")
            .fetch_one(&mut *connection)
            .await?)
    }

    /// How many samples there are. As fast with thousands of servers as with one.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn sample_count(&self) -> Result<u64> {
        let mut connection = self.read().await?;
        let count: i64 = sqlx::query_scalar("SELECT coalesce(sum(samples), 0) FROM tally")
            .fetch_one(&mut *connection)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Sizes and numbers of samples, in all and of each server. Counts nothing row by row.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn storage_stats(&self) -> Result<StorageStats> {
        let mut connection = self.read().await?;
        let rows: Vec<Row> = sqlx::query_as(PER_SERVER)
            .bind(LIVE_MS)
            .bind(MAX_SERIES as i64)
            .fetch_all(&mut *connection)
            .await?;
        let free_pages: i64 = sqlx::query_scalar("PRAGMA freelist_count")
            .fetch_one(&mut *connection)
            .await?;
        let page_bytes: i64 = sqlx::query_scalar("PRAGMA page_size")
            .fetch_one(&mut *connection)
            .await?;
        let tiers = forecast::tiers(&mut connection).await?;
        let trash: i64 = sqlx::query_scalar("SELECT coalesce(sum(chunks), 0) FROM trash")
            .fetch_one(&mut *connection)
            .await?;
        drop(connection);
        let mut unfolded = 0;
        let dropped = self.dropped_values().clone();
        let per_server: Vec<ServerStorage> = rows
            .into_iter()
            .map(
                |(id, samples, folded, first_row, first_block, last_row, last_block, series, full)| {
                    unfolded += (samples - folded).unsigned_abs();
                    ServerStorage {
                        server_id: ServerId(id),
                        samples: samples.unsigned_abs(),
                        oldest: first_row.into_iter().chain(first_block).min().map(Timestamp),
                        newest: last_row.max(last_block).map(Timestamp),
                        series: series.unsigned_abs(),
                        dropped_values: dropped.get(&ServerId(id)).copied().unwrap_or(0),
                        at_series_limit: full,
                    }
                },
            )
            .collect();
        let size = |suffix: &str| {
            let mut path = self.inner.path.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        Ok(StorageStats {
            database_bytes: size(""),
            free_bytes: (free_pages * page_bytes).unsigned_abs(),
            wal_bytes: size("-wal"),
            samples: per_server.iter().map(|server| server.samples).sum(),
            oldest: per_server.iter().filter_map(|server| server.oldest).min(),
            newest: per_server.iter().filter_map(|server| server.newest).max(),
            unfolded,
            trash_bytes: (trash * page_bytes).unsigned_abs(),
            tiers,
            per_server,
        })
    }
}
