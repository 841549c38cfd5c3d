//! The one query interface: series of a server over any time, in buckets.
//!
//! What lies behind it (rows, blocks, roll-ups: `store/source.rs`) is nobody else's business:
//! every tier hands its values to [`Buckets`], which keep minimum, mean and maximum, and gaps. The
//! answer is the same whichever tier gives it, for it is always made of whole buckets.

use sqlx::sqlite::SqliteConnection;

use super::buckets::{Bucket, Buckets, MAX_POINTS, step_for};
use super::plan::Plan;
use super::rollup::STEPS;
use super::source::{self, Sink};
use super::{Result, SeriesAnswer, SeriesPoints, SeriesQuery, Step, Store, spacing};
use crate::model::Timestamp;

/// Buckets held in memory for one answer, all series together (64 bytes each).
const MAX_BUCKETS: usize = 400_000;

impl Sink for Buckets {
    fn samples(&mut self, slot: usize, times: &[i64], values: &[i64]) {
        self.add_run(slot, times, values);
    }

    fn bucket(&mut self, slot: usize, start: i64, bucket: &Bucket) {
        self.absorb(slot, start, bucket);
    }
}

impl Store {
    /// Minimum, mean and maximum of the wanted series in steps of equal length.
    ///
    /// An automatic step is the smallest of a ladder of round ones (1 s to days) that needs no more
    /// than `max_points` buckets and is not shorter than the samples lie apart. Where retention has
    /// left only a roll-up, the step is one of its multiples. The buckets at both ends are whole:
    /// the first begins at or before `from`, the last ends at or after `to`. A bucket nobody
    /// measured in is `None`, unless it lies between two samples no further apart than the ones
    /// around them: then it repeats the bucket before it.
    ///
    /// # Errors
    /// The database cannot be read. A row or block that is damaged is left out and counted instead.
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
        let affordable = (MAX_BUCKETS / plan.slots.len().max(1)).min(MAX_POINTS);
        let points = (query.max_points as usize).clamp(1, affordable.max(1));
        let spacing = spacing::newest(&mut connection, query.server_id, (from, to)).await?;
        let finest = finest(&mut connection, &[query.server_id.0], from).await?;
        let step = step(query.step, (from, to), points, affordable, spacing, finest);
        let mut buckets = Buckets::new(from, to, step, plan.slots.len());
        let (tier, span) = (tier_of(step), buckets.span());
        let servers = [(query.server_id.0, span.0)];
        let damage = source::read(&mut connection, &plan, &servers, tier, span.1, &mut buckets).await?;
        drop(connection);
        if damage.rows > 0 {
            tracing::error!(
                server.id = query.server_id.0,
                unreadable_rows = damage.rows,
                "samples could not be read: the database is damaged, restore a backup"
            );
        }
        let series = plan
            .slots
            .iter()
            .enumerate()
            .map(|(slot, found)| {
                let mut points = SeriesPoints::gaps(found.key.metric, found.key.label.clone());
                points.fill(&buckets.bridged(slot));
                points
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
            unreadable_rows: damage.rows,
            unreadable_blocks: damage.blocks,
        })
    }
}

/// The step of an answer. `finest`: the shortest that what is kept from its start on allows.
pub(super) fn step(
    wanted: Step,
    (from, to): (i64, i64),
    points: usize,
    affordable: usize,
    spacing: i64,
    finest: i64,
) -> i64 {
    let step = match wanted {
        Step::Auto => step_for(from, to, points, spacing.max(finest)),
        Step::Fixed(step) => {
            let step = (step.max(1_000) / 1_000).saturating_mul(1_000);
            let buckets = to.saturating_sub(1).div_euclid(step) - from.div_euclid(step) + 1;
            if usize::try_from(buckets).is_ok_and(|buckets| buckets <= affordable.max(2)) {
                step
            } else {
                step_for(from, to, affordable, step)
            }
        }
    };
    // The ladder's steps are multiples already, a step that was asked for may not be.
    if finest > 0 {
        step.saturating_add(finest - 1) / finest * finest
    } else {
        step
    }
}

/// The roll-up that answers for a step, 0: the samples.
pub(super) fn tier_of(step: i64) -> i64 {
    STEPS
        .into_iter()
        .rev()
        .find(|length| step % length == 0)
        .unwrap_or(0)
}

/// The shortest step that is kept of all these servers from a moment on; 0: single samples.
pub(super) async fn finest(connection: &mut SqliteConnection, servers: &[i64], from: i64) -> Result<i64> {
    let gone: Vec<i64> = sqlx::query_scalar(
        "SELECT DISTINCT tier FROM horizon WHERE at > ? AND server_id IN (SELECT value FROM json_each(?))",
    )
    .bind(from)
    .bind(super::words::to_json(servers)?)
    .fetch_all(connection)
    .await?;
    let kept = std::iter::once(0).chain(STEPS).find(|tier| !gone.contains(tier));
    // Where nothing is left, the longest kept is asked: its answer is gaps.
    Ok(kept.unwrap_or(STEPS[STEPS.len() - 1]))
}
