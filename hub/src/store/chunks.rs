//! Blocks in the database: their rows, and their bytes in page-sized chunks.

use std::collections::HashMap;
use std::ops::Range;

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::block::{Bytes, Damaged, Directory, Encoded, Need};
use super::words::to_json;
use super::{Result, StoreError};

/// A chunk with its row's header fills a leaf page of 4,096 bytes to the last but 25, and needs no
/// overflow page (<https://www.sqlite.org/fileformat2.html#b_tree_pages>).
const CHUNK_BYTES: usize = 4_057;
/// Chunks a block may have: 2 to this power.
const CHUNK_BITS: u32 = 16;
/// Blocks whose chunks are fetched together.
const TOGETHER: usize = 200;
/// Chunks deleted in one transaction.
pub(super) const SWEEP_CHUNKS: i64 = 500;

/// What the database knows of a block without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockRow {
    pub(super) id: i64,
    pub(super) server_id: i64,
    pub(super) tier: i64,
    /// First row that is not deleted.
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    /// Rows that are not deleted.
    pub(super) samples: i64,
    /// Values in it, deleted ones included.
    pub(super) cells: i64,
    pub(super) rolled: bool,
    pub(super) directory_bytes: i64,
    pub(super) bytes: i64,
}

/// The columns of [`BlockRow`], for `FROM block`.
macro_rules! block_columns {
    () => {
        "block.id, block.server_id, block.tier, block.first_at, block.last_at, block.samples, \
         block.cells, block.rolled, block.directory_bytes, block.bytes"
    };
}
pub(super) use block_columns;

/// Blocks of some servers in one tier that reach into a time, which begins for each at its own moment. The servers' order leads.
pub(super) const FIND: &str = concat!(
    "SELECT ",
    block_columns!(),
    " FROM json_each(?1) AS wanted CROSS JOIN block
      ON block.server_id = wanted.value ->> 0 AND block.tier = ?2 AND block.last_at >= wanted.value ->> 1
      WHERE block.first_at < ?3 AND block.rolled <= ?4"
);

/// A block read so far as it is needed.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) row: BlockRow,
    pub(super) directory: Directory,
    pub(super) bytes: Bytes,
}

/// What is wanted of every block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want<'a> {
    Times,
    /// These series; a block that has none of them is left out.
    Series(&'a HashMap<i64, usize>),
    All,
}

/// A block that could not be read.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) row: BlockRow,
    pub(super) problem: Damaged,
}

impl BlockRow {
    pub(super) fn read(row: &SqliteRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            server_id: row.try_get(1)?,
            tier: row.try_get(2)?,
            first_at: row.try_get(3)?,
            last_at: row.try_get(4)?,
            samples: row.try_get(5)?,
            cells: row.try_get(6)?,
            rolled: row.try_get(7)?,
            directory_bytes: row.try_get(8)?,
            bytes: row.try_get(9)?,
        })
    }

    fn chunk_id(&self, number: usize) -> i64 {
        (self.id << CHUNK_BITS) + number as i64
    }

    /// The chunks that hold a stretch of bytes.
    fn chunks(&self, range: &Range<usize>) -> Range<i64> {
        let end = range.end.div_ceil(CHUNK_BYTES);
        self.chunk_id(range.start / CHUNK_BYTES)..self.chunk_id(end)
    }
}

/// The blocks of some servers that have something in `[from, to)`; `unrolled`: only those whose
/// samples are in no roll-up.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    servers: &[i64],
    tier: i64,
    (from, to): (i64, i64),
    unrolled: bool,
) -> Result<Vec<BlockRow>> {
    let wanted: Vec<(i64, i64)> = servers.iter().map(|server| (*server, from)).collect();
    find_from(connection, &wanted, tier, to, unrolled).await
}

/// [`find`] with a beginning for each server.
pub(super) async fn find_from(
    connection: &mut SqliteConnection,
    wanted: &[(i64, i64)],
    tier: i64,
    to: i64,
    unrolled: bool,
) -> Result<Vec<BlockRow>> {
    let rows = sqlx::query(FIND)
        .bind(to_json(wanted)?)
        .bind(tier)
        .bind(to)
        .bind(!unrolled)
        .fetch_all(connection)
        .await?;
    rows.iter().map(BlockRow::read).collect()
}

/// Stores a block. The id in `row` is ignored; answers the new one.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    row: &BlockRow,
    encoded: &Encoded,
) -> Result<i64> {
    let chunks: Vec<&[u8]> = encoded.bytes.chunks(CHUNK_BYTES).collect();
    if chunks.len() >> CHUNK_BITS > 0 {
        return Err(StoreError::unreadable("block", "too large to be stored"));
    }
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO block
             (server_id, tier, first_at, last_at, samples, cells, rolled, directory_bytes, bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(row.server_id)
    .bind(row.tier)
    .bind(row.first_at)
    .bind(row.last_at)
    .bind(row.samples)
    .bind(row.cells)
    .bind(row.rolled)
    .bind(encoded.directory_bytes as i64)
    .bind(encoded.bytes.len() as i64)
    .fetch_one(&mut *connection)
    .await?;
    for (number, chunk) in chunks.iter().enumerate() {
        sqlx::query("INSERT INTO chunk (id, data) VALUES (?, ?)")
            .bind((id << CHUNK_BITS) + number as i64)
            .bind(*chunk)
            .execute(&mut *connection)
            .await?;
    }
    Ok(id)
}

/// Makes blocks disappear at once; their bytes are swept away later. Answers how many there were.
pub(super) async fn discard(connection: &mut SqliteConnection, ids: &[i64]) -> Result<u64> {
    let ids = to_json(ids)?;
    sqlx::query(
        "INSERT INTO trash (block_id, chunks) SELECT id, (bytes + ?2 - 1) / ?2 FROM block
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(&ids)
    .bind(CHUNK_BYTES as i64)
    .execute(&mut *connection)
    .await?;
    let gone = sqlx::query("DELETE FROM block WHERE id IN (SELECT value FROM json_each(?))")
        .bind(&ids)
        .execute(connection)
        .await?;
    Ok(gone.rows_affected())
}

/// Deletes some chunks of discarded blocks; answers whether any are left.
pub(super) async fn sweep(connection: &mut SqliteConnection) -> Result<bool> {
    let mut room = SWEEP_CHUNKS;
    while room > 0 {
        let next: Option<(i64, i64)> = sqlx::query_as("SELECT block_id, chunks FROM trash LIMIT 1")
            .fetch_optional(&mut *connection)
            .await?;
        let Some((block_id, chunks)) = next else {
            return Ok(false);
        };
        // From the end: what is left is again a block of so many chunks.
        let keep = (chunks - room).max(0);
        sqlx::query("DELETE FROM chunk WHERE id >= ? AND id < ?")
            .bind((block_id << CHUNK_BITS) + keep)
            .bind((block_id << CHUNK_BITS) + chunks)
            .execute(&mut *connection)
            .await?;
        let rest = if keep == 0 {
            "DELETE FROM trash WHERE block_id = ?1 AND ?2 = 0"
        } else {
            "UPDATE trash SET chunks = ?2 WHERE block_id = ?1"
        };
        sqlx::query(rest)
            .bind(block_id)
            .bind(keep)
            .execute(&mut *connection)
            .await?;
        room -= chunks - keep;
    }
    Ok(true)
}

/// Reads blocks, so far as wanted, and hands each to `visit`; those that cannot be read go into
/// `lost` and the others are not touched by it.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    rows: Vec<BlockRow>,
    want: Want<'_>,
    lost: &mut Vec<Lost>,
    mut visit: impl FnMut(Loaded, &[usize]) -> Result<(), Damaged>,
) -> Result<()> {
    let together = if matches!(want, Want::All) { 4 } else { TOGETHER };
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let batch: Vec<BlockRow> = rows.by_ref().take(together).collect();
        for (row, read) in read_batch(connection, batch, want).await? {
            let (loaded, numbers) = match read {
                Ok(Some(read)) => read,
                Ok(None) => continue,
                Err(problem) => {
                    lost.push(Lost { row, problem });
                    continue;
                }
            };
            if let Err(problem) = visit(loaded, &numbers) {
                lost.push(Lost { row, problem });
            }
        }
    }
    Ok(())
}

type ReadBlock = (BlockRow, Result<Option<(Loaded, Vec<usize>)>, Damaged>);

async fn read_batch(
    connection: &mut SqliteConnection,
    batch: Vec<BlockRow>,
    want: Want<'_>,
) -> Result<Vec<ReadBlock>> {
    // First the directories (with Times and Series), or everything at once.
    let first = |row: &BlockRow| match want {
        Want::All => 0..row.bytes as usize,
        _ => 0..row.directory_bytes as usize,
    };
    let ids = batch.iter().flat_map(|row| row.chunks(&first(row))).collect();
    let mut chunks = fetch(connection, ids).await?;
    let mut more = Vec::new();
    let mut opened = Vec::with_capacity(batch.len());
    for row in batch {
        let directory = open(&row, &chunks);
        let wanted = directory.map(|directory| {
            let numbers: Vec<usize> = match want {
                Want::Times | Want::All => Vec::new(),
                Want::Series(wanted) => {
                    let ids = directory.ids().enumerate();
                    ids.filter(|(_, id)| wanted.contains_key(id))
                        .map(|(number, _)| number)
                        .collect()
                }
            };
            let ranges = match want {
                Want::Times => directory.ranges(Need::Times),
                Want::All => std::iter::once(0..row.bytes as usize).collect(),
                Want::Series(_) if numbers.is_empty() => Vec::new(),
                Want::Series(_) => directory.ranges(Need::Series(&numbers)),
            };
            let ids = ranges.iter().flat_map(|range| row.chunks(range));
            more.extend(ids.filter(|id| !chunks.contains_key(id)));
            (directory, numbers, ranges)
        });
        opened.push((row, wanted));
    }
    more.sort_unstable();
    more.dedup();
    if !more.is_empty() {
        chunks.extend(fetch(connection, more).await?);
    }
    let whole = opened.into_iter().map(|(row, wanted)| {
        let read = wanted.and_then(|(directory, numbers, ranges)| {
            if matches!(want, Want::Series(_)) && numbers.is_empty() {
                return Ok(None);
            }
            let mut bytes = Bytes::default();
            let mut next = row.chunk_id(0);
            for id in ranges.iter().flat_map(|range| row.chunks(range)) {
                if id < next {
                    continue;
                }
                let chunk = chunks.get(&id).ok_or(Damaged("a chunk is missing"))?;
                bytes.push((id - row.chunk_id(0)) as usize * CHUNK_BYTES, chunk.clone());
                next = id + 1;
            }
            Ok(Some((
                Loaded {
                    row: row.clone(),
                    directory,
                    bytes,
                },
                numbers,
            )))
        });
        (row, read)
    });
    Ok(whole.collect())
}

fn open(row: &BlockRow, chunks: &HashMap<i64, Vec<u8>>) -> Result<Directory, Damaged> {
    let length = row.directory_bytes as usize;
    let mut bytes = Vec::with_capacity(length.min(1 << 24));
    for id in row.chunks(&(0..length)) {
        bytes.extend_from_slice(chunks.get(&id).ok_or(Damaged("a chunk is missing"))?);
    }
    Directory::parse(bytes.get(..length).ok_or(Damaged("a directory is too short"))?)
}

/// The chunks with these ids, so far as they are there and the database can read them.
async fn fetch(connection: &mut SqliteConnection, ids: Vec<i64>) -> Result<HashMap<i64, Vec<u8>>> {
    match fetch_all(connection, &ids).await {
        Err(StoreError::Corrupt { .. }) if ids.len() > 1 => {}
        answer => return answer,
    }
    // A damaged page of the database takes its chunk with it, not the others.
    let mut found = HashMap::with_capacity(ids.len());
    for id in ids {
        match fetch_all(connection, &[id]).await {
            Ok(one) => found.extend(one),
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn fetch_all(connection: &mut SqliteConnection, ids: &[i64]) -> Result<HashMap<i64, Vec<u8>>> {
    let mut found = HashMap::with_capacity(ids.len());
    let mut rows = sqlx::query(
        "SELECT chunk.id, chunk.data FROM json_each(?) AS wanted CROSS JOIN chunk ON chunk.id = wanted.value",
    )
    .bind(to_json(ids)?)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        found.insert(row.try_get(0)?, row.try_get::<&[u8], _>(1)?.to_vec());
    }
    Ok(found)
}
