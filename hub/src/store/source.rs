//! Where samples come from: rows, blocks of them, and roll-ups, brought together.
//!
//! The only place that knows how the tiers fit. A sample is in one row or in one block of tier 0.
//! A roll-up holds the samples of the blocks that are marked as rolled: what a reader of a roll-up
//! lacks are the rows and the blocks that are not.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::Result;
use super::block::{Damaged, Shape};
use super::buckets::Bucket;
use super::chunks::{self, Loaded, Want};
use super::plan::Plan;
use super::rollup;
use super::words::to_json;

/// Rows of some servers in order of server and time, of each from its own moment on.
pub(super) const SCAN: &str = "SELECT sample.server_id, taken_at, layout_id, cells
     FROM json_each(?1) AS wanted CROSS JOIN sample
     ON sample.server_id = wanted.value ->> 0 AND taken_at >= wanted.value ->> 1 AND taken_at < ?2";

/// Who takes the values. Values of one series may come in any order of time.
pub(super) trait Sink {
    /// Values of a slot of the plan, in order of time.
    fn samples(&mut self, slot: usize, times: &[i64], values: &[i64]);
    /// A bucket of a roll-up that begins at `start`.
    fn bucket(&mut self, slot: usize, start: i64, bucket: &Bucket);
    /// A row of a sample is damaged.
    fn unreadable_row(&mut self, _server_id: i64, _taken_at: i64) {}
}

/// What could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Damage {
    pub(super) rows: u64,
    pub(super) blocks: u64,
}

impl std::ops::AddAssign for Damage {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.blocks += other.blocks;
    }
}

/// Hands every wanted value of `[from, to)` to the sink, `from` being named with each server: from the
/// samples (tier 0), or from a roll-up and the samples that are not in it. With a roll-up, the borders lie
/// between its buckets.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    plan: &Plan,
    servers: &[(i64, i64)],
    tier: i64,
    to: i64,
    sink: &mut (impl Sink + Send),
) -> Result<Damage> {
    if servers.is_empty() {
        return Ok(Damage::default());
    }
    let begins: HashMap<i64, i64> = servers.iter().copied().collect();
    let span = |loaded: &Loaded| {
        let from = begins.get(&loaded.row.server_id).copied();
        (from.unwrap_or(i64::MIN).max(loaded.row.first_at), to)
    };
    let mut damage = Damage::default();
    let mut lost = Vec::new();
    let want = Want::Series(plan.slots_by_series());
    if tier > 0 {
        let rows = chunks::find_from(connection, servers, tier, to, false).await?;
        chunks::load(connection, rows, want, &mut lost, |loaded, numbers| {
            take_buckets(&loaded, numbers, plan, span(&loaded), sink)
        })
        .await?;
    }
    let rows = chunks::find_from(connection, servers, 0, to, tier > 0).await?;
    chunks::load(connection, rows, want, &mut lost, |loaded, numbers| {
        take_samples(&loaded, numbers, plan, span(&loaded), sink)
    })
    .await?;
    let mut rows = sqlx::query(SCAN)
        .bind(to_json(servers)?)
        .bind(to)
        .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let taken_at: i64 = row.try_get(1)?;
        let read = plan.read(row.try_get(2)?, row.try_get(3)?, |slot, value| {
            sink.samples(slot, &[taken_at], &[value]);
        });
        if read.is_err() {
            damage.rows += 1;
            sink.unreadable_row(row.try_get(0)?, taken_at);
        }
    }
    damage.blocks = report(&lost);
    Ok(damage)
}

/// Logs the blocks that could not be read, and counts them.
pub(super) fn report(lost: &[chunks::Lost]) -> u64 {
    for chunks::Lost { row, problem } in lost {
        tracing::error!(
            server.id = row.server_id,
            block = row.id,
            tier_ms = row.tier,
            samples = row.samples,
            %problem,
            "a block cannot be read and is missing from the answer: the database is damaged, run gander-hub check"
        );
    }
    lost.len() as u64
}

/// The times of all rows of a block, once it is known to hold what is expected of its tier.
fn times_of(loaded: &Loaded, shape: Shape) -> Result<Vec<i64>, Damaged> {
    if loaded.directory.shape != shape {
        return Err(Damaged("a roll-up among samples, or samples among roll-ups"));
    }
    loaded.directory.times(&loaded.bytes)
}

fn take_samples(
    loaded: &Loaded,
    numbers: &[usize],
    plan: &Plan,
    (from, to): (i64, i64),
    sink: &mut impl Sink,
) -> Result<(), Damaged> {
    let all = times_of(loaded, Shape::Samples)?;
    let (directory, bytes) = (&loaded.directory, &loaded.bytes);
    // Everything is decoded before anything is handed on: a damaged block gives nothing.
    let mut times: HashMap<usize, Vec<i64>> = HashMap::new();
    let mut columns = Vec::with_capacity(numbers.len());
    for number in numbers {
        let pattern = directory.pattern_of(*number);
        if let std::collections::hash_map::Entry::Vacant(entry) = times.entry(pattern) {
            let rows = directory.pattern(pattern, bytes)?.rows;
            entry.insert(rows.iter().map(|row| all[*row as usize]).collect());
        }
        columns.push((*number, pattern, directory.series(*number, bytes)?));
    }
    let ids: Vec<i64> = directory.ids().collect();
    for (number, pattern, values) in columns {
        let Some(slot) = plan.slots_by_series().get(&ids[number]) else {
            continue;
        };
        let times = &times[&pattern];
        let range = times.partition_point(|time| *time < from)..times.partition_point(|time| *time < to);
        if !range.is_empty() {
            sink.samples(*slot, &times[range.clone()], &values[0][range]);
        }
    }
    Ok(())
}

fn take_buckets(
    loaded: &Loaded,
    numbers: &[usize],
    plan: &Plan,
    (from, to): (i64, i64),
    sink: &mut impl Sink,
) -> Result<(), Damaged> {
    let all = times_of(loaded, Shape::RollUp)?;
    let (directory, bytes) = (&loaded.directory, &loaded.bytes);
    let mut patterns = HashMap::new();
    let mut found = Vec::new();
    let ids: Vec<i64> = directory.ids().collect();
    for number in numbers {
        let Some(slot) = plan.slots_by_series().get(&ids[*number]) else {
            continue;
        };
        let pattern = directory.pattern_of(*number);
        if let std::collections::hash_map::Entry::Vacant(entry) = patterns.entry(pattern) {
            entry.insert(directory.pattern(pattern, bytes)?);
        }
        let pattern = &patterns[&pattern];
        let columns = directory.series(*number, bytes)?;
        let start_of = |place: usize| all[pattern.rows[place] as usize];
        for place in pattern.rows.partition_point(|row| all[*row as usize] < from)..pattern.rows.len() {
            let start = start_of(place);
            if start >= to {
                break;
            }
            found.push((
                *slot,
                start,
                rollup::bucket(start, place, &pattern.extras, &columns)?,
            ));
        }
    }
    for (slot, start, bucket) in &found {
        sink.bucket(*slot, *start, bucket);
    }
    Ok(())
}
