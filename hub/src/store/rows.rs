//! Samples as the original system's rows, page by page.

use std::collections::{BTreeSet, HashMap};

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row, Sqlite};

use super::plan::Plan;
use super::{Cursor, MetricRow, MetricsPage, MetricsQuery, Result, Store};
use crate::model::{Metric, ServerId, Timestamp};

/// Most rows a page may have.
const MAX_ROWS: u32 = 100_000;
/// A disk usage is shown for this long after it was measured.
const DISK_HOLDS_MS: i64 = 15 * 60_000;

const METRICS: [Metric; 5] = [
    Metric::CpuUsage,
    Metric::MemoryUsage,
    Metric::FilesystemUsage,
    Metric::Load1,
    Metric::ProcessesTotal,
];

/// The newest known disk usage of each server on the way through a page.
#[derive(Default)]
struct Disks {
    known: HashMap<ServerId, Option<(i64, i64)>>,
}

impl Store {
    /// One page of rows, oldest first; rows of one moment by server.
    ///
    /// # Errors
    /// The database cannot be read. A row that is damaged is left out and counted instead.
    pub async fn metric_rows(&self, query: &MetricsQuery) -> Result<MetricsPage> {
        let limit = query.limit.clamp(1, MAX_ROWS);
        let mut connection = self.read().await?;
        let stored = rows_sql(query, limit).build().fetch_all(&mut *connection).await?;
        let mut servers = BTreeSet::new();
        for row in &stored {
            servers.insert(ServerId(row.try_get("server_id")?));
        }
        let servers: Vec<ServerId> = servers.into_iter().collect();
        let plan = Plan::load(&mut connection, &servers, &METRICS).await?;
        let mut page = MetricsPage::default();
        let mut disks = Disks::default();
        for row in stored.iter().take(limit as usize) {
            match metric_row(&plan, row)? {
                Some(mut found) => {
                    disks.fill(&mut connection, &plan, &mut found).await?;
                    page.rows.push(found);
                }
                None => page.unreadable_rows += 1,
            }
        }
        if stored.len() > limit as usize
            && let Some(last) = stored.get(limit as usize - 1)
        {
            page.next = Some(Cursor {
                taken_at: Timestamp(last.try_get("taken_at")?),
                server_id: ServerId(last.try_get("server_id")?),
            });
        }
        Ok(page)
    }
}

/// The sample rows of a page and one more, which tells whether another page follows.
pub(super) fn rows_sql(query: &MetricsQuery, limit: u32) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT server_id, taken_at, layout_id, cells FROM sample WHERE ");
    match query.server_id {
        Some(server_id) => sql.push("server_id = ").push_bind(server_id.0),
        // The rows of a deleted server wait to be swept away.
        None => sql.push("server_id NOT IN (SELECT server_id FROM removal)"),
    };
    if let Some(from) = query.from {
        sql.push(" AND taken_at >= ").push_bind(from.0);
    }
    if let Some(to) = query.to {
        sql.push(" AND taken_at < ").push_bind(to.0);
    }
    if let Some(after) = query.after {
        if query.server_id.is_some() {
            sql.push(" AND taken_at > ").push_bind(after.taken_at.0);
        } else {
            sql.push(" AND (taken_at, server_id) > (")
                .push_bind(after.taken_at.0)
                .push(", ")
                .push_bind(after.server_id.0)
                .push(")");
        }
    }
    sql.push(" ORDER BY taken_at, server_id LIMIT ")
        .push_bind(i64::from(limit) + 1);
    sql
}

/// `None`: the stored row is damaged.
fn metric_row(plan: &Plan, row: &SqliteRow) -> Result<Option<MetricRow>> {
    let mut found = MetricRow {
        server_id: ServerId(row.try_get("server_id")?),
        taken_at: Timestamp(row.try_get("taken_at")?),
        cpu_usage_permille: None,
        memory_usage_permille: None,
        disk_usage_permille: None,
        load_1_hundredths: None,
        processes: None,
    };
    let read = plan.read(row.try_get("layout_id")?, row.try_get("cells")?, |slot, value| {
        let key = &plan.slots[slot].key;
        let column = match key.metric {
            Metric::CpuUsage => &mut found.cpu_usage_permille,
            Metric::MemoryUsage => &mut found.memory_usage_permille,
            Metric::FilesystemUsage if key.label == "/" => &mut found.disk_usage_permille,
            Metric::Load1 => &mut found.load_1_hundredths,
            Metric::ProcessesTotal => &mut found.processes,
            _ => return,
        };
        *column = Some(value);
    });
    Ok(read.is_ok().then_some(found))
}

impl Disks {
    /// Filesystems are measured less often than the rest: a row without takes the last known value.
    async fn fill(
        &mut self,
        connection: &mut SqliteConnection,
        plan: &Plan,
        row: &mut MetricRow,
    ) -> Result<()> {
        if let Some(usage) = row.disk_usage_permille {
            self.known.insert(row.server_id, Some((row.taken_at.0, usage)));
            return Ok(());
        }
        let known = match self.known.get(&row.server_id) {
            Some(known) => *known,
            None => {
                let found = look_back(connection, plan, row).await?;
                self.known.insert(row.server_id, found);
                found
            }
        };
        row.disk_usage_permille = known
            .filter(|(at, _)| row.taken_at.0 - at <= DISK_HOLDS_MS)
            .map(|(_, usage)| usage);
        Ok(())
    }
}

/// The last disk usage measured before a row.
async fn look_back(
    connection: &mut SqliteConnection,
    plan: &Plan,
    row: &MetricRow,
) -> Result<Option<(i64, i64)>> {
    let mut before = sqlx::query(
        "SELECT server_id, taken_at, layout_id, cells FROM sample
         WHERE server_id = ? AND taken_at < ? AND taken_at >= ? ORDER BY taken_at DESC",
    )
    .bind(row.server_id.0)
    .bind(row.taken_at.0)
    .bind(row.taken_at.0 - DISK_HOLDS_MS)
    .fetch(connection);
    while let Some(stored) = before.try_next().await? {
        if let Some(found) = metric_row(plan, &stored)?
            && let Some(usage) = found.disk_usage_permille
        {
            return Ok(Some((found.taken_at.0, usage)));
        }
    }
    Ok(None)
}
