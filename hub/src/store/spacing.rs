//! How far apart the samples of a server lie.

use sqlx::sqlite::SqliteConnection;

use super::chunks::{self, Want};
use super::{Result, source};
use crate::model::ServerId;

/// Samples looked at.
const SAMPLES: usize = 50;

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
    let mut blocks = chunks::find(connection, &[server_id], 0, (from, to), false).await?;
    blocks.sort_unstable_by_key(|block| std::cmp::Reverse(block.last_at));
    let mut lost = Vec::new();
    for block in blocks {
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
