//! Removing samples and old history, and giving the space back.
//!
//! Always in small transactions: what the pipeline commits goes in between them.

use std::collections::HashSet;

use sqlx::QueryBuilder;

use super::chunks::{self, BlockRow, block_columns};
use super::layout::{LAG_MS, series_of};
use super::words::to_json;
use super::{DeleteRange, Result, Store, erase, samples};
use crate::model::{Actor, Event, EventKind, ServerId, Timestamp};

/// Rows deleted in one transaction.
pub(super) const BATCH_ROWS: i64 = 2_000;
/// Pages given back in one step.
const VACUUM_PAGES: i64 = 128;
/// Retention leaves up to this share of the file free: it fills again at once.
pub(super) const FREE_SHARE: i64 = 64;

impl Store {
    /// How many samples [`Store::delete_samples`] would delete.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count_samples(&self, range: &DeleteRange) -> Result<u64> {
        let mut connection = self.read().await?;
        let before = range.before.map_or(i64::MAX, |before| before.0);
        let mut sql = QueryBuilder::new(
            "SELECT count(*) FROM tally CROSS JOIN sample ON sample.server_id = tally.server_id
             WHERE sample.taken_at < ",
        );
        sql.push_bind(before);
        if let Some(server_id) = range.server_id {
            sql.push(" AND tally.server_id = ").push_bind(server_id.0);
        }
        let mut count: i64 = sql.build_query_scalar().fetch_one(&mut *connection).await?;
        let mut sql = QueryBuilder::new(concat!("SELECT ", block_columns!(), " FROM block WHERE tier = 0"));
        sql.push(" AND first_at < ").push_bind(before);
        if let Some(server_id) = range.server_id {
            sql.push(" AND server_id = ").push_bind(server_id.0);
        }
        for row in sql.build().fetch_all(&mut *connection).await? {
            let block = BlockRow::read(&row)?;
            count += block.samples;
            if block.last_at >= before {
                let left = erase::left(&mut connection, &block, before).await?;
                count -= left.map_or(0, |(_, samples)| samples);
            }
        }
        Ok(count.unsigned_abs())
    }

    /// Deletes samples, shrinks the file, and answers how many there were.
    ///
    /// # Errors
    /// The database cannot be written. What was deleted until then stays deleted.
    pub async fn delete_samples(&self, range: &DeleteRange, actor: &Actor, now: Timestamp) -> Result<u64> {
        let deleted = self.delete_in_batches(range).await?;
        if deleted > 0 {
            self.sweep_chunks().await?;
            self.record_event(&Event {
                at: now,
                kind: EventKind::SamplesDeleted,
                server_id: range.server_id,
                actor: actor.0.clone(),
                details: serde_json::json!({ "samples": deleted, "before": range.before }),
            })
            .await?;
            self.drop_unused_layouts(range).await?;
            self.give_space_back(0).await?;
        }
        Ok(deleted)
    }

    /// Retention of the record: deletes events, and alerts resolved, before a moment.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn purge_history(&self, older_than: Timestamp) -> Result<u64> {
        let mut total = 0;
        for sql in [
            "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at < ? LIMIT ?)",
            "DELETE FROM alert WHERE id IN (SELECT id FROM alert
                 WHERE phase = 'resolved' AND held = 0 AND resolved_at < ? LIMIT ?)",
        ] {
            loop {
                let mut write = self.write().await?;
                let deleted = sqlx::query(sql)
                    .bind(older_than.0)
                    .bind(BATCH_ROWS)
                    .execute(write.connection()?)
                    .await?
                    .rows_affected();
                write.commit().await?;
                total += deleted;
                if deleted < BATCH_ROWS.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(total)
    }

    /// Sweeps away the samples of deleted servers.
    pub(super) async fn sweep_removed(&self) -> Result<()> {
        let removed: Vec<i64> = sqlx::query_scalar("SELECT server_id FROM removal")
            .fetch_all(&self.inner.readers)
            .await?;
        for server_id in &removed {
            self.delete_in_batches(&DeleteRange {
                server_id: Some(ServerId(*server_id)),
                before: None,
            })
            .await?;
            let mut write = self.write().await?;
            let connection = write.connection()?;
            for sql in [
                "DELETE FROM horizon WHERE server_id = ?",
                "DELETE FROM tally WHERE server_id = ?",
                "DELETE FROM removal WHERE server_id = ?",
            ] {
                sqlx::query(sql).bind(server_id).execute(&mut *connection).await?;
            }
            write.commit().await?;
            self.dropped_values().remove(&ServerId(*server_id));
        }
        if !removed.is_empty() {
            self.sweep_chunks().await?;
            self.give_space_back(FREE_SHARE).await?;
        }
        Ok(())
    }

    /// Deletes rows and blocks. The bytes of blocks are still to be swept up.
    pub(super) async fn delete_in_batches(&self, range: &DeleteRange) -> Result<u64> {
        Ok(self.delete_rows(range).await? + self.delete_blocks(range).await?)
    }

    async fn delete_blocks(&self, range: &DeleteRange) -> Result<u64> {
        let before = range.before.map_or(i64::MAX, |before| before.0);
        let mut sql = QueryBuilder::new("SELECT DISTINCT server_id FROM block WHERE first_at < ");
        sql.push_bind(before);
        if let Some(server_id) = range.server_id {
            sql.push(" AND server_id = ").push_bind(server_id.0);
        }
        let servers: Vec<i64> = sql.build_query_scalar().fetch_all(&self.inner.readers).await?;
        let mut total = 0;
        for server_id in servers {
            let mut write = self.write().await?;
            let (cache, connection) = write.parts()?;
            cache.forget_folded(ServerId(server_id));
            self.samples_are_deleted();
            total += erase::before(connection, server_id, before).await?;
            write.commit().await?;
            self.samples_are_deleted();
        }
        Ok(total.unsigned_abs())
    }

    /// Deletes the bytes of all discarded blocks.
    pub(super) async fn sweep_chunks(&self) -> Result<()> {
        loop {
            let mut write = self.write().await?;
            let more = chunks::sweep(write.connection()?).await?;
            write.commit().await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Deletes rows, server by server.
    pub(super) async fn delete_rows(&self, range: &DeleteRange) -> Result<u64> {
        let before = range.before.map_or(i64::MAX, |before| before.0);
        let servers: Vec<i64> = match range.server_id {
            Some(server_id) => vec![server_id.0],
            None => {
                sqlx::query_scalar(
                    "SELECT server_id FROM tally WHERE
                     (SELECT min(taken_at) FROM sample WHERE server_id = tally.server_id) < ?",
                )
                .bind(before)
                .fetch_all(&self.inner.readers)
                .await?
            }
        };
        let mut total = 0;
        for server_id in servers {
            loop {
                let mut write = self.write().await?;
                self.samples_are_deleted();
                let connection = write.connection()?;
                let gone = sqlx::query(BATCH)
                    .bind(server_id)
                    .bind(before)
                    .bind(BATCH_ROWS)
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                if gone > 0 {
                    samples::count(connection, server_id, -gone.cast_signed()).await?;
                }
                write.commit().await?;
                self.samples_are_deleted();
                total += gone;
                if gone < BATCH_ROWS.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(total)
    }

    /// Removes layouts that no sample uses any more, and the series that are in none left.
    pub(super) async fn drop_unused_layouts(&self, range: &DeleteRange) -> Result<()> {
        let mut sql = QueryBuilder::new("SELECT id FROM server WHERE TRUE");
        if let Some(server_id) = range.server_id {
            sql.push(" AND id = ").push_bind(server_id.0);
        }
        let servers: Vec<i64> = sql.build_query_scalar().fetch_all(&self.inner.readers).await?;
        for server_id in servers {
            let mut write = self.write().await?;
            let (cache, connection) = write.parts()?;
            let (oldest, oldest_of_all): (Option<i64>, Option<i64>) = sqlx::query_as(
                "SELECT oldest, min(coalesce(oldest, folded), coalesce(folded, oldest)) FROM (SELECT
                     (SELECT min(taken_at) FROM sample WHERE server_id = ?1) AS oldest,
                     (SELECT min(first_at) FROM block WHERE server_id = ?1) AS folded)",
            )
            .bind(server_id)
            .fetch_one(&mut *connection)
            .await?;
            let unused = sqlx::query("DELETE FROM layout WHERE server_id = ? AND last_used_at < ?")
                .bind(server_id)
                .bind(oldest.map_or(i64::MAX, |oldest| oldest - LAG_MS))
                .execute(&mut *connection)
                .await?;
            let layouts: Vec<Vec<u8>> = sqlx::query_scalar("SELECT series FROM layout WHERE server_id = ?")
                .bind(server_id)
                .fetch_all(&mut *connection)
                .await?;
            let used: HashSet<i64> = layouts
                .iter()
                .filter_map(|bytes| series_of(bytes))
                .flatten()
                .collect();
            // Blocks may have values of any series that was seen since the oldest of them.
            let forgotten = sqlx::query(
                "DELETE FROM series WHERE server_id = ? AND id NOT IN (SELECT value FROM json_each(?))
                     AND last_seen_at < ?",
            )
            .bind(server_id)
            .bind(to_json(&used)?)
            .bind(oldest_of_all.map_or(i64::MAX, |oldest| oldest - LAG_MS))
            .execute(connection)
            .await?;
            if unused.rows_affected() + forgotten.rows_affected() > 0 {
                cache.forget_server(ServerId(server_id));
            }
            write.commit().await?;
        }
        Ok(())
    }

    /// Gives free pages back to the file system, unless they are less than 1/`share` of the file
    /// (0: give back every one).
    pub(super) async fn give_space_back(&self, share: i64) -> Result<()> {
        let mut free: i64 = sqlx::query_scalar("PRAGMA freelist_count")
            .fetch_one(&self.inner.readers)
            .await?;
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
            .fetch_one(&self.inner.readers)
            .await?;
        if share > 0 && free.saturating_mul(share) < pages {
            return Ok(());
        }
        while free > 0 {
            let mut write = self.write().await?;
            let connection = write.connection()?;
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "PRAGMA incremental_vacuum({VACUUM_PAGES})"
            )))
            .fetch_all(&mut *connection)
            .await?;
            let left: i64 = sqlx::query_scalar("PRAGMA freelist_count")
                .fetch_one(connection)
                .await?;
            write.commit().await?;
            if left >= free {
                break;
            }
            free = left;
        }
        // In WAL the file shrinks when the log is written back; where a reader is in the way, a
        // later commit does it.
        self.write_back().await
    }
}

/// Deletes the oldest rows of a server, so many at most.
pub(super) const BATCH: &str = "DELETE FROM sample WHERE server_id = ?1 AND taken_at IN
     (SELECT taken_at FROM sample WHERE server_id = ?1 AND taken_at < ?2 ORDER BY taken_at LIMIT ?3)";
