//! How to read the wanted series out of samples of any layout.

use std::collections::HashMap;
use std::ops::Range;

use gander_probe::varint::Damaged;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::Result;
use super::cells::pick;
use super::layout::series_of;
use super::words::to_json;
use crate::model::{Metric, SeriesKey, ServerId};

/// One wanted series of one server. Its place in [`Plan::slots`] is its slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) server_id: ServerId,
    pub(super) key: SeriesKey,
}

/// For every layout, which cells to read into which slots.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Ordered by server, metric and label.
    pub(super) slots: Vec<Slot>,
    slot_of: HashMap<i64, usize>,
    cells: HashMap<i64, Vec<(u32, u32)>>,
}

impl Plan {
    /// A plan for some metrics of some servers, all labels of each.
    pub(super) async fn load(
        connection: &mut SqliteConnection,
        servers: &[ServerId],
        metrics: &[Metric],
    ) -> Result<Self> {
        Self::load_label(connection, servers, metrics, None).await
    }

    /// The same with one label only, if one is given.
    pub(super) async fn load_label(
        connection: &mut SqliteConnection,
        servers: &[ServerId],
        metrics: &[Metric],
        label: Option<&str>,
    ) -> Result<Self> {
        let server_ids = to_json(&servers.iter().map(|id| id.0).collect::<Vec<_>>())?;
        let metric_ids = to_json(&metrics.iter().map(|metric| metric.id()).collect::<Vec<_>>())?;
        let rows = sqlx::query(
            "SELECT id, server_id, metric, label FROM series
             WHERE server_id IN (SELECT value FROM json_each(?)) AND metric IN (SELECT value FROM json_each(?))
               AND label = coalesce(?, label)
             ORDER BY server_id, metric, label",
        )
        .bind(&server_ids)
        .bind(&metric_ids)
        .bind(label)
        .fetch_all(&mut *connection)
        .await?;
        let mut slots = Vec::with_capacity(rows.len());
        let mut slot_of = HashMap::with_capacity(rows.len());
        for row in &rows {
            let Some(metric) = Metric::from_id(row.try_get("metric")?) else {
                continue;
            };
            slot_of.insert(row.try_get::<i64, _>("id")?, slots.len());
            slots.push(Slot {
                server_id: ServerId(row.try_get("server_id")?),
                key: SeriesKey {
                    metric,
                    label: row.try_get("label")?,
                },
            });
        }
        let layouts =
            sqlx::query("SELECT id, series FROM layout WHERE server_id IN (SELECT value FROM json_each(?))")
                .bind(&server_ids)
                .fetch_all(connection)
                .await?;
        let mut cells = HashMap::with_capacity(layouts.len());
        for row in &layouts {
            let bytes: &[u8] = row.try_get("series")?;
            // A damaged layout stays unknown: its samples are reported when they are met.
            let Some(series) = series_of(bytes) else { continue };
            let wanted = series
                .iter()
                .zip(0_u32..)
                .filter_map(|(id, cell)| Some((cell, u32::try_from(*slot_of.get(id)?).ok()?)))
                .collect();
            cells.insert(row.try_get::<i64, _>("id")?, wanted);
        }
        Ok(Self {
            slots,
            slot_of,
            cells,
        })
    }

    /// The slots of one server, in the order of metric and label.
    pub(super) fn slots_of(&self, server_id: ServerId) -> Range<usize> {
        let place = |after: bool| {
            self.slots
                .partition_point(|slot| slot.server_id < server_id || after && slot.server_id == server_id)
        };
        place(false)..place(true)
    }

    /// The slot of each wanted series, by its id.
    pub(super) fn slots_by_series(&self) -> &HashMap<i64, usize> {
        &self.slot_of
    }

    /// Calls `visit(slot, value)` for every wanted value of a sample.
    pub(super) fn read(
        &self,
        layout_id: i64,
        cells: &[u8],
        mut visit: impl FnMut(usize, i64),
    ) -> Result<(), Damaged> {
        let wanted = self.cells.get(&layout_id).ok_or(Damaged)?;
        pick(cells, wanted, |slot, value| visit(slot as usize, value))
    }
}
