//! Samples as the original system's rows, page by page.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Sqlite};

use super::buckets::Bucket;
use super::chunks::{self, BlockRow, Want, block_columns};
use super::plan::Plan;
use super::source::{self, Sink};
use super::{Cursor, MetricRow, MetricsPage, MetricsQuery, Result, Store};
use crate::model::{Metric, ServerId, Timestamp};

/// Most rows a page may have.
const MAX_ROWS: u32 = 100_000;
/// A disk usage is shown for this long after it was measured.
const DISK_HOLDS_MS: i64 = 15 * 60_000;
/// Blocks whose times are looked at together.
const TOGETHER: usize = 64;

const METRICS: [Metric; 5] = [
    Metric::CpuUsage,
    Metric::MemoryUsage,
    Metric::FilesystemUsage,
    Metric::Load1,
    Metric::ProcessesTotal,
];

/// A moment and a server: the order of rows.
type Key = (i64, i64);

impl Store {
    /// One page of rows, oldest first; rows of one moment by server.
    ///
    /// # Errors
    /// The database cannot be read. A row that is damaged is left out and counted instead.
    pub async fn metric_rows(&self, query: &MetricsQuery) -> Result<MetricsPage> {
        let limit = query.limit.clamp(1, MAX_ROWS) as usize;
        let mut connection = self.read().await?;
        let mut page = MetricsPage::default();
        let mut keys = keys(&mut connection, query, limit + 1, &mut page).await?;
        if keys.len() > limit {
            keys.truncate(limit);
            page.next = keys.last().map(|(taken_at, server_id)| Cursor {
                taken_at: Timestamp(*taken_at),
                server_id: ServerId(*server_id),
            });
        }
        let (Some((first, _)), Some((last, _))) = (keys.first(), keys.last()) else {
            return Ok(page);
        };
        let span = (first - DISK_HOLDS_MS, last + 1);
        let mut servers: Vec<i64> = keys.iter().map(|(_, server_id)| *server_id).collect();
        servers.sort_unstable();
        servers.dedup();
        let ids: Vec<ServerId> = servers.iter().map(|id| ServerId(*id)).collect();
        let plan = Plan::load(&mut connection, &ids, &METRICS).await?;
        let mut sheet = Sheet::new(&plan, &keys);
        let servers: Vec<(i64, i64)> = servers.iter().map(|server| (*server, span.0)).collect();
        let damage = source::read(&mut connection, &plan, &servers, 0, span.1, &mut sheet).await?;
        page.unreadable_blocks += damage.blocks;
        sheet.finish(&mut page);
        Ok(page)
    }
}

/// The keys of the first so many samples of a query, in order.
async fn keys(
    connection: &mut SqliteConnection,
    query: &MetricsQuery,
    count: usize,
    page: &mut MetricsPage,
) -> Result<Vec<Key>> {
    let after = query.after.map(|after| (after.taken_at.0, after.server_id.0));
    let from = query
        .from
        .map_or(i64::MIN, |from| from.0)
        .max(after.map_or(i64::MIN, |after| after.0));
    let to = query.to.map_or(i64::MAX, |to| to.0);
    // The largest on top: it goes when a smaller one comes.
    let mut first: BinaryHeap<Key> = BinaryHeap::new();
    let servers: Vec<i64> = match query.server_id {
        Some(server_id) => vec![server_id.0],
        None => sqlx::query_scalar(ROWS_OF).fetch_all(&mut *connection).await?,
    };
    for server_id in servers {
        let to = match first.peek() {
            Some((largest, _)) if first.len() == count => to.min(largest.saturating_add(1)),
            _ => to,
        };
        let times: Vec<i64> = sqlx::query_scalar(ROWS)
            .bind(server_id)
            .bind(from)
            .bind(to)
            .bind(count as i64 + 1)
            .fetch_all(&mut *connection)
            .await?;
        for taken_at in times {
            let key = (taken_at, server_id);
            if after.is_none_or(|after| key > after) {
                first.push(key);
                if first.len() > count {
                    first.pop();
                }
            }
        }
    }
    let found = blocks_sql(query, (from, to))
        .build()
        .fetch_all(&mut *connection)
        .await?;
    let mut blocks = found
        .iter()
        .map(BlockRow::read)
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .peekable();
    let mut lost = Vec::new();
    while let Some(next) = blocks.peek() {
        if first.len() == count && first.peek().is_some_and(|(largest, _)| next.first_at > *largest) {
            break;
        }
        let batch: Vec<BlockRow> = blocks.by_ref().take(TOGETHER).collect();
        chunks::load(connection, batch, Want::Times, &mut lost, |loaded, _| {
            let (from, server_id) = (from.max(loaded.row.first_at), loaded.row.server_id);
            let times = loaded.directory.times(&loaded.bytes)?;
            for taken_at in &times[times.partition_point(|time| *time < from)..] {
                let key = (*taken_at, server_id);
                if *taken_at >= to
                    || first.len() == count && first.peek().is_some_and(|largest| key > *largest)
                {
                    break;
                }
                if after.is_none_or(|after| key > after) {
                    first.push(key);
                    if first.len() > count {
                        first.pop();
                    }
                }
            }
            Ok(())
        })
        .await?;
    }
    page.unreadable_blocks += source::report(&lost);
    Ok(first.into_sorted_vec())
}

/// Servers that may have rows not folded yet. Those of a deleted server wait to be swept away.
pub(super) const ROWS_OF: &str =
    "SELECT server_id FROM tally WHERE server_id NOT IN (SELECT server_id FROM removal)";

/// The first rows of a server in a time. One more than wanted is asked for: a page may begin between
/// two servers of one moment.
pub(super) const ROWS: &str = "SELECT taken_at FROM sample WHERE server_id = ? AND taken_at >= ? AND taken_at < ? ORDER BY taken_at LIMIT ?";

/// The blocks of samples that reach into a time, by their beginning.
pub(super) fn blocks_sql(query: &MetricsQuery, (from, to): (i64, i64)) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(concat!("SELECT ", block_columns!(), " FROM block WHERE "));
    push_servers(&mut sql, query);
    sql.push(" AND tier = 0 AND last_at >= ")
        .push_bind(from)
        .push(" AND first_at < ")
        .push_bind(to)
        .push(" ORDER BY first_at");
    sql
}

fn push_servers(sql: &mut QueryBuilder<Sqlite>, query: &MetricsQuery) {
    match query.server_id {
        Some(server_id) => sql.push("server_id = ").push_bind(server_id.0),
        // The rows of a deleted server wait to be swept away.
        None => sql.push("server_id NOT IN (SELECT server_id FROM removal)"),
    };
}

/// A page being filled.
struct Sheet<'a> {
    plan: &'a Plan,
    rows: HashMap<Key, MetricRow>,
    unreadable: u64,
    /// Disk usage of each server, by time: measured less often than the rest.
    disks: HashMap<i64, BTreeMap<i64, i64>>,
}

impl<'a> Sheet<'a> {
    fn new(plan: &'a Plan, keys: &[Key]) -> Self {
        let row = |(taken_at, server_id): &Key| MetricRow {
            server_id: ServerId(*server_id),
            taken_at: Timestamp(*taken_at),
            cpu_usage_permille: None,
            memory_usage_permille: None,
            disk_usage_permille: None,
            load_1_hundredths: None,
            processes: None,
        };
        Self {
            plan,
            rows: keys.iter().map(|key| (*key, row(key))).collect(),
            unreadable: 0,
            disks: HashMap::new(),
        }
    }

    fn finish(self, page: &mut MetricsPage) {
        page.unreadable_rows += self.unreadable;
        page.rows = self.rows.into_values().collect();
        page.rows
            .sort_unstable_by_key(|row| (row.taken_at, row.server_id));
        for row in &mut page.rows {
            let disks = self.disks.get(&row.server_id.0);
            let known = disks.and_then(|disks| disks.range(..=row.taken_at.0).next_back());
            row.disk_usage_permille = known
                .filter(|(at, _)| row.taken_at.0 - **at <= DISK_HOLDS_MS)
                .map(|(_, usage)| *usage);
        }
    }
}

impl Sink for Sheet<'_> {
    fn samples(&mut self, slot: usize, times: &[i64], values: &[i64]) {
        let slot = &self.plan.slots[slot];
        if slot.key.metric == Metric::FilesystemUsage {
            if slot.key.label == "/" {
                let both = times.iter().copied().zip(values.iter().copied());
                self.disks.entry(slot.server_id.0).or_default().extend(both);
            }
            return;
        }
        for (taken_at, value) in times.iter().zip(values) {
            let Some(row) = self.rows.get_mut(&(*taken_at, slot.server_id.0)) else {
                continue;
            };
            match slot.key.metric {
                Metric::CpuUsage => row.cpu_usage_permille = Some(*value),
                Metric::MemoryUsage => row.memory_usage_permille = Some(*value),
                Metric::Load1 => row.load_1_hundredths = Some(*value),
                Metric::ProcessesTotal => row.processes = Some(*value),
                _ => {}
            }
        }
    }

    fn bucket(&mut self, _: usize, _: i64, _: &Bucket) {}

    fn unreadable_row(&mut self, server_id: i64, taken_at: i64) {
        self.unreadable += u64::from(self.rows.remove(&(taken_at, server_id)).is_some());
    }
}
