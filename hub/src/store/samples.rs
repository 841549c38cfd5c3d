//! Writing samples: many rows a statement, each (server, moment) once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::sqlite::SqliteConnection;

use super::Result;
use super::layout::Placed;
use crate::model::{ServerId, Timestamp};

/// A row to insert.
#[derive(Debug)]
pub(super) struct SampleRow {
    pub(super) server_id: ServerId,
    pub(super) taken_at: Timestamp,
    pub(super) placed: Placed,
}

/// Statements that insert so many rows at once; few sizes, so that each stays prepared.
static INSERTS: LazyLock<[(usize, String); 4]> = LazyLock::new(|| {
    [64, 16, 4, 1].map(|rows| {
        let tuples = vec!["(?, ?, ?, ?)"; rows].join(", ");
        let sql = format!(
            "INSERT INTO sample (server_id, taken_at, layout_id, cells) VALUES {tuples}
             ON CONFLICT (server_id, taken_at) DO NOTHING RETURNING server_id"
        );
        (rows, sql)
    })
});

/// Inserts the rows and counts them in the tally; answers how many there are now that were not before.
pub(super) async fn insert(connection: &mut SqliteConnection, rows: &[SampleRow]) -> Result<u64> {
    let mut rest = rows;
    let mut added: BTreeMap<i64, i64> = BTreeMap::new();
    for (size, sql) in INSERTS.iter() {
        while let Some((chunk, after)) = rest.split_at_checked(*size) {
            rest = after;
            let mut query = sqlx::query_scalar::<_, i64>(sql.as_str());
            for row in chunk {
                query = query
                    .bind(row.server_id.0)
                    .bind(row.taken_at.0)
                    .bind(row.placed.layout_id)
                    .bind(row.placed.cells.as_slice());
            }
            for server_id in query.fetch_all(&mut *connection).await? {
                *added.entry(server_id).or_default() += 1;
            }
        }
    }
    count_all(connection, &added).await?;
    Ok(added.values().sum::<i64>().unsigned_abs())
}

/// Statements that move so many servers' numbers of samples at once.
static COUNTS: LazyLock<[(usize, String); 3]> = LazyLock::new(|| {
    [64, 8, 1].map(|rows| {
        let tuples = vec!["(?, ?)"; rows].join(", ");
        let sql = format!(
            "INSERT INTO tally (server_id, samples) VALUES {tuples}
             ON CONFLICT (server_id) DO UPDATE SET samples = samples + excluded.samples"
        );
        (rows, sql)
    })
});

/// Moves each server's number of samples by so many.
async fn count_all(connection: &mut SqliteConnection, added: &BTreeMap<i64, i64>) -> Result<()> {
    let added: Vec<(i64, i64)> = added.iter().map(|(server_id, by)| (*server_id, *by)).collect();
    let mut rest = added.as_slice();
    for (size, sql) in COUNTS.iter() {
        while let Some((chunk, after)) = rest.split_at_checked(*size) {
            rest = after;
            let mut query = sqlx::query(sql.as_str());
            for (server_id, by) in chunk {
                query = query.bind(*server_id).bind(*by);
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Moves a server's number of samples by so many.
pub(super) async fn count(connection: &mut SqliteConnection, server_id: i64, by: i64) -> Result<()> {
    count_all(connection, &BTreeMap::from([(server_id, by)])).await
}
