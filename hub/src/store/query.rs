//! The one query interface: series of a server over any time, in buckets.
//!
//! What lies behind it (today rows alone, later also columnar blocks and roll-ups) is nobody
//! else's business: every tier hands its values to [`Buckets::add`], which keeps minimum, mean
//! and maximum, and gaps.

use sqlx::sqlite::SqliteConnection;

use super::buckets::{Buckets, MAX_POINTS, step_for};
use super::plan::Plan;
use super::scan::scan;
use super::{Result, SeriesAnswer, SeriesPoints, SeriesQuery, Store};
use crate::model::Timestamp;

/// Buckets held in memory for one answer, all series together (64 bytes each).
const MAX_BUCKETS: usize = 400_000;
/// Samples looked at to tell how far apart they lie.
const SPACING_SAMPLES: i64 = 50;

impl Store {
    /// Minimum, mean and maximum of the wanted series in steps of equal length.
    ///
    /// The step is the smallest of a ladder of round ones (1 s to days) that needs no more than
    /// `max_points` buckets and is not shorter than the samples lie apart. A bucket nobody
    /// measured in is `None`, unless it lies between two samples no further apart than the ones
    /// around them: then it repeats the bucket before it.
    ///
    /// # Errors
    /// The database cannot be read. A row that is damaged is left out and counted instead.
    pub async fn query(&self, query: &SeriesQuery) -> Result<SeriesAnswer> {
        let (from, to) = (query.from.0, query.to.0);
        if from >= to || query.metrics.is_empty() {
            return Ok(SeriesAnswer {
                from: query.from,
                to: query.to,
                step_ms: step_for(0, 1, 1, 0),
                ..SeriesAnswer::default()
            });
        }
        let mut connection = self.read().await?;
        let plan = Plan::load(&mut connection, &[query.server_id], &query.metrics).await?;
        let spacing = spacing_ms(&mut connection, query).await?;
        let affordable = (MAX_BUCKETS / plan.slots.len().max(1)).min(MAX_POINTS);
        let points = (query.max_points as usize).clamp(1, affordable.max(1));
        let step = step_for(from, to, points, spacing);
        let mut buckets = Buckets::new(from, to, step, plan.slots.len());
        let mut unreadable_rows = 0;
        scan(
            &mut connection,
            query.server_id,
            from,
            to,
            |taken_at, layout_id, cells| {
                let bucket = buckets.at(taken_at);
                if plan
                    .read(layout_id, cells, |slot, value| {
                        buckets.add(bucket, slot, taken_at, value);
                    })
                    .is_err()
                {
                    unreadable_rows += 1;
                }
            },
        )
        .await?;
        drop(connection);
        if unreadable_rows > 0 {
            tracing::error!(
                server.id = query.server_id.0,
                unreadable_rows,
                "samples could not be read: the database is damaged, restore a backup"
            );
        }
        let series = plan
            .slots
            .iter()
            .enumerate()
            .map(|(slot, found)| {
                let (min, avg, max) = buckets.points(slot);
                SeriesPoints {
                    metric: found.key.metric,
                    label: found.key.label.clone(),
                    unit: found.key.metric.unit(),
                    min,
                    avg,
                    max,
                }
            })
            // A series of the dictionary that has nothing to say in this time is left out.
            .filter(|points| points.min.iter().any(Option::is_some))
            .collect();
        Ok(SeriesAnswer {
            from: query.from,
            to: query.to,
            step_ms: step,
            times: buckets.times().map(Timestamp).collect(),
            series,
            unreadable_rows,
        })
    }
}

/// The usual distance of the newest samples in the time asked for; 0 when there are too few to tell.
async fn spacing_ms(connection: &mut SqliteConnection, query: &SeriesQuery) -> Result<i64> {
    let newest: Vec<i64> = sqlx::query_scalar(
        "SELECT taken_at FROM sample WHERE server_id = ? AND taken_at >= ? AND taken_at < ?
         ORDER BY taken_at DESC LIMIT ?",
    )
    .bind(query.server_id.0)
    .bind(query.from.0)
    .bind(query.to.0)
    .bind(SPACING_SAMPLES)
    .fetch_all(connection)
    .await?;
    let mut distances: Vec<i64> = newest.windows(2).map(|pair| pair[0] - pair[1]).collect();
    distances.sort_unstable();
    Ok(distances.get(distances.len() / 2).copied().unwrap_or(0))
}
