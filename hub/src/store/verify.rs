//! Looking at every block, byte by byte, without changing anything.

use std::collections::HashSet;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::block::Damaged;
use super::chunks::{self, BlockRow, Loaded, Want, block_columns};
use super::{Result, Store};
use crate::model::{ServerId, Timestamp};

/// Blocks looked at in one view of the database.
const TOGETHER: i64 = 16;

/// What [`Store::verify_blocks`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockReport {
    /// Blocks looked at, of samples and roll-ups.
    pub blocks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Samples in them.
    pub samples: u64,
    /// Buckets of roll-ups in them.
    pub buckets: u64,
    /// The newest sample in them.
    pub newest: Option<Timestamp>,
    /// Blocks that are not as they were written.
    pub faults: Vec<BlockFault>,
}

/// A block that cannot be read, or is not what the database says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockFault {
    /// Its id.
    pub block_id: i64,
    /// Whose.
    pub server_id: ServerId,
    /// Length of its buckets in milliseconds; 0: single samples.
    pub tier_ms: i64,
    /// The first sample (or bucket) it should hold.
    pub first_at: Timestamp,
    /// The last one.
    pub last_at: Timestamp,
    /// How many it should hold.
    pub samples: u64,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl BlockFault {
    pub(super) fn new(row: &BlockRow, problem: Damaged) -> Self {
        Self {
            block_id: row.id,
            server_id: ServerId(row.server_id),
            tier_ms: row.tier,
            first_at: Timestamp(row.first_at),
            last_at: Timestamp(row.last_at),
            samples: row.samples.unsigned_abs(),
            problem: problem.0,
        }
    }
}

impl Store {
    /// Reads every block whole: checksums, every column decodes, the numbers agree with the
    /// database's, the server and the series are known. Changes nothing; blocks the hub folds or
    /// merges meanwhile are seen before or after, not both. `progress` is told how many blocks
    /// were looked at, and about how many there are.
    ///
    /// # Errors
    /// The database cannot be read. What is wrong with a block is in the report.
    pub async fn verify_blocks(&self, mut progress: impl FnMut(u64, u64)) -> Result<BlockReport> {
        let mut report = BlockReport::default();
        let mut after = 0;
        loop {
            let mut connection = self.read().await?;
            let Some(last) = some_blocks(&mut connection, after, &mut report).await? else {
                return Ok(report);
            };
            after = last;
            let total: i64 = sqlx::query_scalar("SELECT count(*) FROM block")
                .fetch_one(&mut *connection)
                .await?;
            progress(report.blocks, total.unsigned_abs().max(report.blocks));
        }
    }
}

/// Verifies every block in the view of this connection.
pub(super) async fn all_blocks(connection: &mut SqliteConnection) -> Result<BlockReport> {
    let mut report = BlockReport::default();
    let mut after = 0;
    while let Some(last) = some_blocks(connection, after, &mut report).await? {
        after = last;
    }
    Ok(report)
}

/// Verifies the next few blocks and answers the id of the last one.
async fn some_blocks(
    connection: &mut SqliteConnection,
    after: i64,
    report: &mut BlockReport,
) -> Result<Option<i64>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE id > ? ORDER BY id LIMIT ?"
    ))
    .bind(after)
    .bind(TOGETHER)
    .fetch_all(&mut *connection)
    .await?;
    let rows = rows.iter().map(BlockRow::read).collect::<Result<Vec<_>>>()?;
    let Some(last) = rows.last().map(|row| row.id) else {
        return Ok(None);
    };
    report.blocks += rows.len() as u64;
    report.bytes += rows.iter().map(|row| row.bytes.unsigned_abs()).sum::<u64>();
    for row in &rows {
        let count = if row.tier == 0 {
            &mut report.samples
        } else {
            &mut report.buckets
        };
        *count += row.samples.unsigned_abs();
        if row.tier == 0 {
            report.newest = report.newest.max(Some(Timestamp(row.last_at)));
        }
    }
    let known = known(connection, &rows).await?;
    let mut lost = Vec::new();
    chunks::load(connection, rows, Want::All, &mut lost, |loaded, _| {
        verify(&loaded, &known)
    })
    .await?;
    report
        .faults
        .extend(lost.iter().map(|lost| BlockFault::new(&lost.row, lost.problem)));
    Ok(Some(last))
}

/// The series of the servers these blocks belong to; the servers themselves stand as (server, 0).
async fn known(connection: &mut SqliteConnection, rows: &[BlockRow]) -> Result<HashSet<(i64, i64)>> {
    let servers: Vec<i64> = rows.iter().map(|row| row.server_id).collect();
    let servers = super::words::to_json(&servers)?;
    let found = sqlx::query(
        "SELECT server_id, id FROM series WHERE server_id IN (SELECT value FROM json_each(?1))
         UNION ALL SELECT id, 0 FROM server WHERE id IN (SELECT value FROM json_each(?1))
         UNION ALL SELECT server_id, 0 FROM removal",
    )
    .bind(servers)
    .fetch_all(connection)
    .await?;
    found
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

fn verify(loaded: &Loaded, known: &HashSet<(i64, i64)>) -> Result<(), Damaged> {
    let Loaded {
        row,
        directory,
        bytes,
    } = loaded;
    let table = directory.table(bytes)?;
    if directory.end().max(row.directory_bytes as usize) != row.bytes as usize {
        return Err(Damaged("its length differs from what the database says"));
    }
    let visible = &table.times[table.times.partition_point(|time| *time < row.first_at)..];
    if visible.len() as i64 != row.samples
        || visible.first() != Some(&row.first_at)
        || visible.last() != Some(&row.last_at)
    {
        return Err(Damaged("its samples differ from what the database says"));
    }
    if directory.values() as i64 != row.cells {
        return Err(Damaged("its values differ from what the database says"));
    }
    if !known.contains(&(row.server_id, 0)) {
        return Err(Damaged("its server does not exist"));
    }
    if visible.len() < table.times.len() {
        // What was cut off may have been the last of a series.
        return Ok(());
    }
    // A deleted server's series go before its samples do.
    let removed = !known
        .iter()
        .any(|(server_id, series)| *server_id == row.server_id && *series > 0);
    if !removed && !directory.ids().all(|id| known.contains(&(row.server_id, id))) {
        return Err(Damaged("it has a series that does not exist"));
    }
    Ok(())
}
