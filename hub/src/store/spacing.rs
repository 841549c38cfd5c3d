//! How far apart the samples of a server lie.

use sqlx::sqlite::SqliteConnection;

use super::chunks::{self, BlockRow, Want, block_columns};
use super::{Result, source};
use crate::model::ServerId;

/// Samples looked at.
const SAMPLES: usize = 50;

/// The newest blocks of a server's samples that reach into a time.
pub(super) const NEWEST_BLOCKS: &str = concat!(
    "SELECT ",
    block_columns!(),
    " FROM block WHERE server_id = ?1 AND tier = 0 AND last_at >= ?2 AND first_at < ?3
      ORDER BY last_at DESC LIMIT ?4"
);

/// The usual distance of the newest samples of `[from, to)`; 0 when there are too few to tell.
pub(super) async fn newest(
    connection: &mut SqliteConnection,
    server_id: ServerId,
    span: (i64, i64),
) -> Result<i64> {
    let newest = moments(connection, server_id.0, span, SAMPLES).await?;
    let mut distances: Vec<i64> = newest.windows(2).map(|pair| pair[0] - pair[1]).collect();
    distances.sort_unstable();
    Ok(distances.get(distances.len() / 2).copied().unwrap_or(0))
}

/// The moments of the newest samples of `[from, to)`, newest first.
pub(super) async fn moments(
    connection: &mut SqliteConnection,
    server_id: i64,
    (from, to): (i64, i64),
    count: usize,
) -> Result<Vec<i64>> {
    let mut newest: Vec<i64> = sqlx::query_scalar(
        "SELECT taken_at FROM sample WHERE server_id = ? AND taken_at >= ? AND taken_at < ?
         ORDER BY taken_at DESC LIMIT ?",
    )
    .bind(server_id)
    .bind(from)
    .bind(to)
    .bind(count as i64)
    .fetch_all(&mut *connection)
    .await?;
    // A block has one sample at least: no more of them than samples are wanted.
    let blocks = sqlx::query(NEWEST_BLOCKS)
        .bind(server_id)
        .bind(from)
        .bind(to)
        .bind(count as i64)
        .fetch_all(&mut *connection)
        .await?;
    let mut lost = Vec::new();
    for block in &blocks {
        let block = BlockRow::read(block)?;
        let oldest = newest.get(count - 1).copied();
        if oldest.is_some_and(|oldest| block.last_at < oldest) {
            break;
        }
        let from = from.max(block.first_at);
        chunks::load(connection, vec![block], Want::Times, &mut lost, |loaded, _| {
            let times = loaded.directory.times(&loaded.bytes)?;
            let end = times.partition_point(|time| *time < to);
            let start = times
                .partition_point(|time| *time < from)
                .max(end.saturating_sub(count));
            newest.extend(times.get(start..end).unwrap_or_default());
            Ok(())
        })
        .await?;
        newest.sort_unstable_by_key(|time| std::cmp::Reverse(*time));
        newest.truncate(count);
    }
    source::report(&lost);
    Ok(newest)
}
