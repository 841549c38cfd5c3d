//! Where the values of a sample go: the dictionary of series, and layouts.
//!
//! A layout is the list of a server's live series, ordered by metric and label. A sample is
//! written against the newest layout of its server; series it lacks are absent cells, which
//! cost next to nothing, so one layout serves polls with and without the slow sections. Only
//! a series the layout does not have makes a new one. Everything a node can grow is capped
//! here: labels by length, series by number.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use gander_probe::Snapshot;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use gander_probe::varint;

use super::cells::Encoder;
use super::late::Folded;
use super::words::to_json;
use super::{Result, StoreError};
use crate::model::metric::visit;
use crate::model::{Metric, SeriesKey, ServerId, Timestamp};

/// Series a server may have that were seen within [`LIVE_MS`].
pub const MAX_SERIES: usize = 1000;
/// Longest label, in bytes.
pub const MAX_LABEL_BYTES: usize = 255;
/// A series not seen for this long no longer counts as live.
pub(super) const LIVE_MS: i64 = 24 * 3_600_000;
/// How far `last_seen_at` and `last_used_at` in the database may lag behind.
pub(super) const LAG_MS: i64 = 3_600_000;
/// A server over its cap is not looked at again for this long.
const FULL_MS: i64 = 10 * 60_000;

/// What the writer remembers between commits. Losing it costs a few reads, nothing else.
#[derive(Debug, Default)]
pub(super) struct LayoutCache {
    data_version: i64,
    servers: Option<Arc<HashSet<ServerId>>>,
    layouts: HashMap<ServerId, Layout>,
    pub(super) folded: Folded,
    /// Servers over their cap, of which it was told.
    limited: HashSet<ServerId>,
    flat: Flat,
}

/// The newest layout of a server.
#[derive(Debug)]
struct Layout {
    id: i64,
    keys: Vec<Key>,
    last_used_at: i64,
    /// Unknown series are not looked up before this moment: the server is over its cap.
    full_until: i64,
}

#[derive(Debug, Clone)]
struct Key {
    metric: i64,
    label: Arc<str>,
    series_id: i64,
    last_seen_at: i64,
}

/// A sample ready to be inserted.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) layout_id: i64,
    pub(super) cells: Vec<u8>,
    /// Values in it.
    pub(super) values: u64,
    /// Values that have no place.
    pub(super) dropped: u64,
    /// Values have no place for the first time.
    pub(super) newly_limited: bool,
}

impl LayoutCache {
    /// Forgets everything when another connection has written since, and answers whether it has.
    pub(super) fn saw_data_version(&mut self, version: i64) -> bool {
        let changed = self.data_version != version;
        if changed {
            self.data_version = version;
            self.forget_all();
        }
        changed
    }

    pub(super) fn forget_all(&mut self) {
        self.servers = None;
        self.layouts.clear();
        self.folded = Folded::default();
    }

    /// The blocks of a server have changed.
    pub(super) fn forget_folded(&mut self, id: ServerId) {
        self.folded.forget(id);
    }

    pub(super) fn forget_servers(&mut self) {
        self.servers = None;
    }

    pub(super) fn forget_server(&mut self, id: ServerId) {
        self.servers = None;
        self.layouts.remove(&id);
    }

    /// The servers there are.
    pub(super) async fn servers(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<Arc<HashSet<ServerId>>> {
        if let Some(servers) = &self.servers {
            return Ok(Arc::clone(servers));
        }
        let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM server")
            .fetch_all(connection)
            .await?;
        let servers = Arc::new(ids.into_iter().map(ServerId).collect());
        self.servers = Some(Arc::clone(&servers));
        Ok(servers)
    }

    /// Finds, or makes, a place for every value of a snapshot.
    pub(super) async fn place(
        &mut self,
        connection: &mut SqliteConnection,
        server_id: ServerId,
        taken_at: Timestamp,
        values: Values<'_>,
    ) -> Result<Placed> {
        self.flat.fill(values);
        if !self.layouts.contains_key(&server_id)
            && let Some(layout) = Layout::load(connection, server_id).await?
        {
            self.layouts.insert(server_id, layout);
        }
        let fits = self
            .layouts
            .get(&server_id)
            .is_some_and(|layout| taken_at.0 < layout.full_until || layout.lacks(&self.flat) == 0);
        if !fits {
            let current = self.layouts.remove(&server_id);
            let layout = grow(connection, server_id, taken_at, &self.flat, current).await?;
            self.layouts.insert(server_id, layout);
        }
        let Some(layout) = self.layouts.get_mut(&server_id) else {
            return Err(StoreError::unreadable("layout", "missing after it was made"));
        };
        let touched_before = taken_at.0 - lag_of(server_id);
        let (cells, values, stale) = layout.encode(&self.flat, taken_at, touched_before);
        layout.touch(connection, taken_at, touched_before, stale).await?;
        let without_place = self.flat.values.len() as u64 - values;
        let newly_limited = if without_place > 0 {
            self.limited.insert(server_id)
        } else {
            // Not for one poll without the slow sections.
            if taken_at.0 >= layout.full_until {
                self.limited.remove(&server_id);
            }
            false
        };
        Ok(Placed {
            layout_id: layout.id,
            cells,
            values,
            dropped: without_place + self.flat.oversized,
            newly_limited,
        })
    }
}

/// How far the dictionary of a server may trail: each has its own, from half of [`LAG_MS`] to the whole, so
/// that a thousand servers enrolled at once do not all bring it up to date in one commit every hour.
fn lag_of(server_id: ServerId) -> i64 {
    const HALF: i64 = LAG_MS / 2;
    HALF + server_id.0.wrapping_mul(0x9e37_79b9).rem_euclid(HALF)
}

/// Values to find a place for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    /// Every number of a snapshot.
    Of(&'a Snapshot),
    /// These.
    Bare(&'a [(SeriesKey, i64)]),
}

/// The values of a snapshot in the order of layouts. Reused from sample to sample.
#[derive(Debug, Default)]
struct Flat {
    labels: String,
    values: Vec<FlatValue>,
    oversized: u64,
}

#[derive(Debug, Clone, Copy)]
struct FlatValue {
    metric: i64,
    label: (usize, usize),
    value: i64,
}

impl Flat {
    fn fill(&mut self, given: Values<'_>) {
        let Self {
            labels,
            values,
            oversized,
        } = self;
        labels.clear();
        values.clear();
        *oversized = 0;
        let mut take = |metric: Metric, label: &str, value| {
            if label.len() > MAX_LABEL_BYTES {
                *oversized += 1;
                return;
            }
            let start = labels.len();
            labels.push_str(label);
            values.push(FlatValue {
                metric: metric.id(),
                label: (start, labels.len()),
                value,
            });
        };
        match given {
            Values::Of(snapshot) => visit(snapshot, take),
            Values::Bare(list) => {
                for (key, value) in list {
                    take(key.metric, &key.label, *value);
                }
            }
        }
        let key = |value: &FlatValue| (value.metric, &labels[value.label.0..value.label.1]);
        values.sort_by(|a, b| key(a).cmp(&key(b)));
        // Two of the same name (a mount point mounted over): the first one stands.
        values.dedup_by(|later, first| key(later) == key(first));
    }

    fn label(&self, value: &FlatValue) -> &str {
        &self.labels[value.label.0..value.label.1]
    }
}

impl Layout {
    /// The newest layout of a server, if it is whole.
    async fn load(connection: &mut SqliteConnection, server_id: ServerId) -> Result<Option<Self>> {
        let newest: Option<(i64, Vec<u8>, i64)> = sqlx::query_as(
            "SELECT id, series, last_used_at FROM layout WHERE server_id = ? ORDER BY id DESC LIMIT 1",
        )
        .bind(server_id.0)
        .fetch_optional(&mut *connection)
        .await?;
        let Some((id, bytes, last_used_at)) = newest else {
            return Ok(None);
        };
        let mut known: HashMap<i64, Key> = load_series(connection, server_id)
            .await?
            .into_iter()
            .map(|key| (key.series_id, key))
            .collect();
        let series = series_of(&bytes).unwrap_or_default();
        let keys: Option<Vec<Key>> = series.iter().map(|id| known.remove(id)).collect();
        Ok(keys.filter(|keys| keys.is_sorted_by(precedes)).map(|keys| Self {
            id,
            keys,
            last_used_at,
            full_until: i64::MIN,
        }))
    }

    /// Number of values this layout has no cell for.
    fn lacks(&self, flat: &Flat) -> usize {
        let mut keys = self.keys.iter();
        let has = |value: &&FlatValue| {
            let wanted = (value.metric, flat.label(value));
            keys.by_ref()
                .find(|key| (key.metric, &*key.label) >= wanted)
                .is_some_and(|key| (key.metric, &*key.label) == wanted)
        };
        flat.values.len() - flat.values.iter().take_while(has).count()
    }

    /// The cells, the number of values in them, and the series whose `last_seen_at` is to be moved on.
    fn encode(&mut self, flat: &Flat, taken_at: Timestamp, touched_before: i64) -> (Vec<u8>, u64, Vec<i64>) {
        let mut encoder = Encoder::default();
        let mut stale = Vec::new();
        let mut count = 0;
        let mut values = flat.values.iter().peekable();
        for key in &mut self.keys {
            let wanted = (key.metric, &*key.label);
            // Values before this key have no cell: the server is over its cap.
            while values
                .next_if(|value| (value.metric, flat.label(value)) < wanted)
                .is_some()
            {}
            match values.next_if(|value| (value.metric, flat.label(value)) == wanted) {
                Some(value) => {
                    encoder.value(value.value);
                    count += 1;
                    if key.last_seen_at < touched_before {
                        key.last_seen_at = taken_at.0;
                        stale.push(key.series_id);
                    }
                }
                None => encoder.absent(),
            }
        }
        (encoder.finish(), count, stale)
    }

    async fn touch(
        &mut self,
        connection: &mut SqliteConnection,
        taken_at: Timestamp,
        touched_before: i64,
        stale: Vec<i64>,
    ) -> Result<()> {
        if self.last_used_at < touched_before {
            self.last_used_at = taken_at.0;
            sqlx::query("UPDATE layout SET last_used_at = ? WHERE id = ?")
                .bind(taken_at.0)
                .bind(self.id)
                .execute(&mut *connection)
                .await?;
        }
        if !stale.is_empty() {
            sqlx::query("UPDATE series SET last_seen_at = ? WHERE id IN (SELECT value FROM json_each(?))")
                .bind(taken_at.0)
                .bind(to_json(&stale)?)
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}

fn precedes(a: &Key, b: &Key) -> bool {
    (a.metric, &*a.label) < (b.metric, &*b.label)
}

/// All series of a server.
async fn load_series(connection: &mut SqliteConnection, server_id: ServerId) -> Result<Vec<Key>> {
    let rows = sqlx::query("SELECT id, metric, label, last_seen_at FROM series WHERE server_id = ?")
        .bind(server_id.0)
        .fetch_all(connection)
        .await?;
    // One allocation a label, however many metrics it has.
    let mut labels: HashSet<Arc<str>> = HashSet::new();
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let text: &str = row.try_get("label")?;
        let label = match labels.get(text) {
            Some(label) => Arc::clone(label),
            None => {
                let label: Arc<str> = Arc::from(text);
                labels.insert(Arc::clone(&label));
                label
            }
        };
        keys.push(Key {
            metric: row.try_get("metric")?,
            label,
            series_id: row.try_get("id")?,
            last_seen_at: row.try_get("last_seen_at")?,
        });
    }
    Ok(keys)
}

/// Makes a layout that has a cell for every value, as far as the cap allows.
async fn grow(
    connection: &mut SqliteConnection,
    server_id: ServerId,
    taken_at: Timestamp,
    flat: &Flat,
    current: Option<Layout>,
) -> Result<Layout> {
    let mut keys = load_series(connection, server_id).await?;
    keys.sort_by(|a, b| (a.metric, &a.label).cmp(&(b.metric, &b.label)));
    let live_since = taken_at.0 - LIVE_MS;
    let mut live = keys.iter().filter(|key| key.last_seen_at >= live_since).count();
    let mut dropped = 0;
    let mut made = Vec::new();
    for value in &flat.values {
        let label = flat.label(value);
        let found = keys.binary_search_by(|key| (key.metric, &*key.label).cmp(&(value.metric, label)));
        if let Ok(index) = found
            && keys[index].last_seen_at >= live_since
        {
            continue;
        }
        if live >= MAX_SERIES {
            dropped += 1;
            continue;
        }
        live += 1;
        let series_id = sqlx::query_scalar(
            "INSERT INTO series (server_id, metric, label, last_seen_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (server_id, metric, label) DO UPDATE SET last_seen_at = excluded.last_seen_at
             RETURNING id",
        )
        .bind(server_id.0)
        .bind(value.metric)
        .bind(label)
        .bind(taken_at.0)
        .fetch_one(&mut *connection)
        .await?;
        match found {
            Ok(index) => keys[index].last_seen_at = taken_at.0,
            Err(_) => made.push(Key {
                metric: value.metric,
                label: Arc::from(label),
                series_id,
                last_seen_at: taken_at.0,
            }),
        }
    }
    keys.append(&mut made);
    keys.retain(|key| key.last_seen_at >= live_since);
    keys.sort_by(|a, b| (a.metric, &a.label).cmp(&(b.metric, &b.label)));
    let full_until = if dropped > 0 {
        tracing::warn!(
            server.id = server_id.0,
            dropped,
            "the server has more than {MAX_SERIES} series: the rest is not kept"
        );
        taken_at.0 + FULL_MS
    } else {
        i64::MIN
    };
    if let Some(current) = current
        && current
            .keys
            .iter()
            .map(|key| key.series_id)
            .eq(keys.iter().map(|key| key.series_id))
    {
        return Ok(Layout {
            full_until,
            ..current
        });
    }
    let mut series = Vec::with_capacity(keys.len() * 3);
    for key in &keys {
        varint::put(&mut series, key.series_id.unsigned_abs());
    }
    let id = sqlx::query_scalar(
        "INSERT INTO layout (server_id, series, last_used_at) VALUES (?, ?, ?) RETURNING id",
    )
    .bind(server_id.0)
    .bind(series)
    .bind(taken_at.0)
    .fetch_one(connection)
    .await?;
    Ok(Layout {
        id,
        keys,
        last_used_at: taken_at.0,
        full_until,
    })
}

/// The series ids of a stored layout; `None` when its bytes are damaged.
pub(super) fn series_of(mut bytes: &[u8]) -> Option<Vec<i64>> {
    let mut series = Vec::new();
    while !bytes.is_empty() {
        series.push(i64::try_from(varint::take(&mut bytes).ok()?).ok()?);
    }
    Some(series)
}
