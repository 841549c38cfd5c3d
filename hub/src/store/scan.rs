//! Reading the samples of one server in order of time.

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::Result;
use crate::model::ServerId;

pub(super) const SCAN: &str = "SELECT taken_at, layout_id, cells FROM sample
     WHERE server_id = ? AND taken_at >= ? AND taken_at < ? ORDER BY taken_at";

/// Calls `visit(taken_at, layout_id, cells)` for every sample of `[from, to)`, oldest first.
pub(super) async fn scan(
    connection: &mut SqliteConnection,
    server_id: ServerId,
    from: i64,
    to: i64,
    mut visit: impl FnMut(i64, i64, &[u8]),
) -> Result<()> {
    let mut rows = sqlx::query(SCAN)
        .bind(server_id.0)
        .bind(from)
        .bind(to)
        .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        visit(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    }
    Ok(())
}
