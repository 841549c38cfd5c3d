//! Folding: rows become blocks, small blocks become larger ones, and roll-ups are made of them.
//!
//! Runs beside ingest. Reading, encoding and decoding happen outside the writer's lock; then one
//! short transaction puts the new blocks in the place of what they were made from, if that is
//! still as it was read: rows and blocks never change, they only come and go, so it is enough that
//! every one of them is still there and that nothing was deleted meanwhile. Killed at any instant,
//! the database is as before or after such a transaction, and both answer every question alike.
//!
//! Rows of a server are folded when there are 256 of them (or they grow old). Blocks of about the
//! same size are merged, four by four to 1,024 rows and two by two to 4,096; what lies inside the time
//! of a larger block (late samples) is merged with it. Samples enter the roll-ups when their block
//! holds 1,024.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::block::{Damaged, Encoded, Table};
use super::cells;
use super::chunks::{self, BlockRow, Want};
use super::layout::series_of;
use super::merge::{FAN_IN, SIZES, Sizes, block_of, choose, merged, rolled};
use super::rollup::STEPS;
use super::table::Gathered;
use super::words::to_json;
use super::{Result, Store, StoreError};
use crate::model::Timestamp;

/// Fewer rows are folded when the newest of them is this old: the server is gone, or slow.
const OLD_MS: i64 = 6 * 3_600_000;
/// … if there are so many.
const OLD_ROWS: i64 = 32;

/// How far folding stands back where others want the processor.
const NICE: i32 = 10;

/// What a call of [`Store::fold`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FoldReport {
    /// Rows that became part of a block.
    pub folded: u64,
    /// Blocks merged away.
    pub merged: u64,
    /// Blocks written, roll-ups among them.
    pub written: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The longest time one transaction held up others; waiting for its turn is not counted.
    pub longest_write: Duration,
    /// There is more to do.
    pub more: bool,
}

/// Something new for the database, and what it is made from.
#[derive(Debug, Default)]
struct Swap {
    server_id: i64,
    /// Moments of the rows to go.
    rows: Vec<i64>,
    /// Blocks to go, as they were read.
    blocks: Vec<BlockRow>,
    new: Vec<(BlockRow, Encoded)>,
}

impl Store {
    /// Folds for about as long as `budget`: rows into blocks, blocks into larger ones and into
    /// roll-ups, and sweeps up the bytes of blocks that are gone. Changes no answer; may be dropped or
    /// killed at any instant.
    ///
    /// # Errors
    /// The database cannot be read or written. What was folded until then stays folded.
    pub async fn fold(&self, now: Timestamp, budget: Duration) -> Result<FoldReport> {
        self.fold_by(&SIZES, now, budget).await
    }

    /// [`Store::fold`] with other sizes.
    pub(super) async fn fold_by(
        &self,
        sizes: &Sizes,
        now: Timestamp,
        budget: Duration,
    ) -> Result<FoldReport> {
        let begun = Instant::now();
        let mut report = FoldReport::default();
        let mut servers = self.foldable(sizes, now).await?;
        servers.extend(self.unsettled().await?);
        for server_id in servers {
            self.inner.unsettled().get_or_insert_default().insert(server_id);
            let mut settled = false;
            while begun.elapsed() < budget && !settled {
                settled = !self.fold_rows(sizes, server_id, i64::MAX, &mut report).await?
                    && !self.merge_some(sizes, server_id, &mut report).await?;
            }
            if !settled {
                report.more = true;
                break;
            }
            self.inner.unsettled().get_or_insert_default().remove(&server_id);
        }
        while begun.elapsed() < budget {
            let mut write = self.write().await?;
            let held = Instant::now();
            let more = chunks::sweep(write.connection()?).await?;
            write.commit().await?;
            report.longest_write = report.longest_write.max(held.elapsed());
            if !more {
                return Ok(report);
            }
        }
        report.more = true;
        Ok(report)
    }

    /// Servers whose blocks may be worth merging: after the start all of them, later those that a
    /// call had no time for.
    async fn unsettled(&self) -> Result<Vec<i64>> {
        if let Some(servers) = &*self.inner.unsettled() {
            return Ok(servers.iter().copied().collect());
        }
        let servers: Vec<i64> = sqlx::query_scalar("SELECT id FROM server ORDER BY id")
            .fetch_all(&self.inner.readers)
            .await?;
        *self.inner.unsettled() = Some(servers.iter().copied().collect());
        Ok(servers)
    }

    /// Servers with enough rows, those with the most first.
    async fn foldable(&self, sizes: &Sizes, now: Timestamp) -> Result<Vec<i64>> {
        Ok(sqlx::query_scalar(
            "SELECT server_id FROM tally WHERE samples - folded >= ?1 OR samples - folded >= ?2
                 AND (SELECT max(taken_at) FROM sample WHERE server_id = tally.server_id) < ?3
             ORDER BY samples - folded DESC",
        )
        .bind(sizes.fold)
        .bind(OLD_ROWS)
        .bind(now.0 - OLD_MS)
        .fetch_all(&self.inner.readers)
        .await?)
    }

    /// Folds the oldest rows of a server taken before a moment; answers whether it is worth while
    /// to go on.
    async fn fold_rows(
        &self,
        sizes: &Sizes,
        server_id: i64,
        before: i64,
        report: &mut FoldReport,
    ) -> Result<bool> {
        let most = sizes.fold * FAN_IN as i64;
        let deletions = self.deletions();
        let mut connection = self.read().await?;
        let rows = sqlx::query(
            "SELECT taken_at, layout_id, cells FROM sample WHERE server_id = ? AND taken_at < ?
             ORDER BY taken_at LIMIT ?",
        )
        .bind(server_id)
        .bind(before)
        .bind(most)
        .fetch_all(&mut *connection)
        .await?;
        let layouts: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT id, series FROM layout WHERE server_id = ?")
                .bind(server_id)
                .fetch_all(&mut *connection)
                .await?;
        let folded_until: Option<i64> =
            sqlx::query_scalar("SELECT max(last_at) FROM block WHERE server_id = ? AND tier = 0")
                .bind(server_id)
                .fetch_one(&mut *connection)
                .await?;
        drop(connection);
        let layouts: BTreeMap<i64, Vec<i64>> = layouts
            .into_iter()
            .filter_map(|(id, bytes)| Some((id, series_of(&bytes)?)))
            .collect();
        let mut fresh = Gathered::default();
        let mut late = Gathered::default();
        for row in &rows {
            let taken_at: i64 = row.try_get(0)?;
            // Late samples get a block of their own, or a new one would lie across many old ones.
            let is_late = folded_until.is_some_and(|until| taken_at <= until);
            let side = if is_late { &mut late } else { &mut fresh };
            // A damaged row stays a row: queries report it.
            let Some(series) = layouts.get(&row.try_get(1)?) else {
                continue;
            };
            let mut cells = Vec::with_capacity(series.len());
            if cells::each(row.try_get(2)?, |cell, value| cells.push((cell, value))).is_ok() {
                side.push(
                    taken_at,
                    cells
                        .iter()
                        .filter_map(|(cell, value)| Some((*series.get(*cell)?, *value))),
                );
            }
        }
        let full = rows.len() as i64 == most;
        let (mut moved, mut again) = (false, false);
        for side in [late, fresh] {
            if side.is_empty() {
                continue;
            }
            let rows = side.times().to_vec();
            let count = rows.len() as u64;
            let new = in_background(move || {
                let table = side.into_table();
                Ok(vec![block_of(server_id, 0, &table, false)?])
            })
            .await?;
            let swap = Swap {
                server_id,
                rows,
                new,
                ..Swap::default()
            };
            if self.swap(swap, deletions, report).await? {
                report.folded += count;
                moved = true;
            } else {
                again = true;
            }
        }
        Ok(again || moved && full)
    }

    /// Merges some blocks of a server; answers whether there may be more to merge.
    async fn merge_some(&self, sizes: &Sizes, server_id: i64, report: &mut FoldReport) -> Result<bool> {
        for tier in std::iter::once(0).chain(STEPS) {
            let deletions = self.deletions();
            let mut connection = self.read().await?;
            let blocks =
                chunks::find(&mut connection, &[server_id], tier, (i64::MIN, i64::MAX), false).await?;
            let Some(chosen) = choose(blocks, sizes) else {
                continue;
            };
            let Some(tables) = tables_of(&mut connection, &chosen).await? else {
                // What is damaged stays as it is, for queries and checks to report.
                return Ok(false);
            };
            drop(connection);
            let roll = sizes.roll;
            let new = in_background(move || merged(server_id, tier, tables, roll)).await?;
            let merged = chosen.len() as u64;
            let swap = Swap {
                server_id,
                blocks: chosen,
                new,
                ..Swap::default()
            };
            let swapped = self.swap(swap, deletions, report).await?;
            report.merged += if swapped { merged } else { 0 };
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts all samples of a server taken before a moment into the roll-ups.
    pub(super) async fn roll_all(&self, server_id: i64, before: i64, report: &mut FoldReport) -> Result<()> {
        loop {
            let (deletions, folded) = (self.deletions(), report.folded);
            while self.fold_rows(&SIZES, server_id, before, report).await? {}
            if self.deletions() == deletions && report.folded == folded {
                break;
            }
        }
        loop {
            let deletions = self.deletions();
            let mut connection = self.read().await?;
            let span = (i64::MIN, before);
            let mut blocks = chunks::find(&mut connection, &[server_id], 0, span, true).await?;
            blocks.sort_by_key(|block| block.first_at);
            blocks.truncate(1);
            if blocks.is_empty() {
                return Ok(());
            }
            let Some(tables) = tables_of(&mut connection, &blocks).await? else {
                // It can be read no more: queries and checks report it.
                return Ok(());
            };
            drop(connection);
            let new = in_background(move || rolled(server_id, tables)).await?;
            let swap = Swap {
                server_id,
                blocks,
                new,
                ..Swap::default()
            };
            self.swap(swap, deletions, report).await?;
        }
    }

    /// The transaction. `false`: something changed meanwhile, nothing was done.
    async fn swap(&self, swap: Swap, deletions: u64, report: &mut FoldReport) -> Result<bool> {
        let mut write = self.write().await?;
        let held = Instant::now();
        let (cache, connection) = write.parts()?;
        if self.deletions() != deletions {
            return Ok(false);
        }
        if !swap.rows.is_empty() {
            let gone = sqlx::query(
                "DELETE FROM sample WHERE server_id = ? AND taken_at IN (SELECT value FROM json_each(?))",
            )
            .bind(swap.server_id)
            .bind(to_json(&swap.rows)?)
            .execute(&mut *connection)
            .await?;
            if gone.rows_affected() != swap.rows.len() as u64 {
                return Ok(false);
            }
            sqlx::query("UPDATE tally SET folded = folded + ? WHERE server_id = ?")
                .bind(swap.rows.len() as i64)
                .bind(swap.server_id)
                .execute(&mut *connection)
                .await?;
        }
        if !swap.blocks.is_empty() {
            let ids: Vec<i64> = swap.blocks.iter().map(|block| block.id).collect();
            if chunks::discard(connection, &ids).await? != ids.len() as u64 {
                return Ok(false);
            }
        }
        for (row, encoded) in &swap.new {
            chunks::insert(connection, row, encoded).await?;
        }
        cache.forget_folded(crate::model::ServerId(swap.server_id));
        write.commit().await?;
        report.longest_write = report.longest_write.max(held.elapsed());
        report.written += swap.new.len() as u64;
        report.bytes += swap
            .new
            .iter()
            .map(|(_, encoded)| encoded.bytes.len() as u64)
            .sum::<u64>();
        Ok(true)
    }

    /// Changes with every deletion of samples, this process's or another's.
    pub(super) fn deletions(&self) -> u64 {
        self.inner.deletions.load(Ordering::Acquire)
    }

    /// To be called inside every transaction that deletes samples or blocks of them, which folding
    /// must see, and again after its commit, for readers whose view began in between.
    pub(super) fn samples_are_deleted(&self) {
        self.inner.deletions.fetch_add(1, Ordering::AcqRel);
    }
}

/// The tables of some blocks; `None`: one of them is damaged.
async fn tables_of(
    connection: &mut SqliteConnection,
    blocks: &[BlockRow],
) -> Result<Option<Vec<(BlockRow, Table)>>> {
    let (mut tables, mut lost) = (Vec::with_capacity(blocks.len()), Vec::new());
    chunks::load(connection, blocks.to_vec(), Want::All, &mut lost, |loaded, _| {
        tables.push((loaded.row, loaded.directory.table(&loaded.bytes)?));
        Ok(())
    })
    .await?;
    Ok(lost.is_empty().then_some(tables))
}

/// Runs what takes the processor a while where it holds nobody up: in a thread that gets the processor
/// when commits and queries leave it.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Damaged> + Send + 'static,
) -> Result<T> {
    let (sender, done) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("fold".to_owned())
        .spawn(move || {
            // Of this thread alone: Linux has a niceness for each.
            let _ = rustix::process::nice(NICE);
            let _ = sender.send(work());
        })
        .map_err(|error| StoreError::unreadable("folding", error))?;
    done.await
        .map_err(|error| StoreError::unreadable("folding", error))?
        .map_err(|damaged| StoreError::unreadable("block", damaged))
}
