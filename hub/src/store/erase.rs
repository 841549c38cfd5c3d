//! Deleting from blocks: whole ones go, and one that lies across the moment is cut.
//!
//! A cut block keeps its bytes; its row says from where on it counts, and the next merge leaves the
//! rest out. Nothing here is committed: the caller's transaction decides.

use sqlx::sqlite::SqliteConnection;

use super::block::Damaged;
use super::chunks::{self, BlockRow, Want};
use super::merge::block_of;
use super::rollup::{RollUp, STEPS};
use super::{Result, StoreError, source};

/// Deletes what a server's blocks hold from before a moment, in every tier; answers the number of
/// samples.
///
/// The bucket of a roll-up that the moment lies in is made again of what is there from the moment
/// on: of the samples for a quarter of an hour, of the quarters of an hour for three hours. What
/// retention has removed of those already is missing in it, so that at most a quarter of an hour
/// after the moment is lost with what was to be deleted (or three hours, where the quarters are gone too).
pub(super) async fn before(connection: &mut SqliteConnection, server_id: i64, moment: i64) -> Result<i64> {
    let mut edges = Vec::new();
    let mut rest = RollUp::default();
    let mut finer = 0;
    for step in STEPS {
        let span = (bucket_end(moment, finer), bucket_end(moment, step));
        add(connection, server_id, finer, step, span, &mut rest).await?;
        if !rest.series.is_empty() {
            let block = block_of(server_id, step, &rest.to_table(), false);
            edges.push(block.map_err(|damaged| StoreError::unreadable("block", damaged))?);
        }
        finer = step;
    }
    let gone = in_tier(connection, server_id, 0, moment).await?;
    for step in STEPS {
        in_tier(connection, server_id, step, bucket_end(moment, step)).await?;
    }
    for (row, encoded) in &edges {
        chunks::insert(connection, row, encoded).await?;
    }
    sqlx::query("UPDATE tally SET samples = samples - ?1, folded = folded - ?1 WHERE server_id = ?2")
        .bind(gone)
        .bind(server_id)
        .execute(connection)
        .await?;
    Ok(gone)
}

/// The end of the bucket a moment lies in; the moment itself, if it is a border or among samples (0).
fn bucket_end(moment: i64, step: i64) -> i64 {
    if step == 0 {
        return moment;
    }
    moment
        .saturating_add(step - 1)
        .div_euclid(step)
        .saturating_mul(step)
        .max(moment)
}

/// Deletes the rows of one tier's blocks that begin before a moment; answers how many.
pub(super) async fn in_tier(
    connection: &mut SqliteConnection,
    server_id: i64,
    tier: i64,
    moment: i64,
) -> Result<i64> {
    let blocks = chunks::find(connection, &[server_id], tier, (i64::MIN, moment), false).await?;
    let (mut whole, across): (Vec<BlockRow>, Vec<BlockRow>) =
        blocks.into_iter().partition(|block| block.last_at < moment);
    let mut gone = 0;
    for block in across {
        match left(connection, &block, moment).await? {
            Some((first_at, samples)) => {
                sqlx::query("UPDATE block SET first_at = ?, samples = ? WHERE id = ?")
                    .bind(first_at)
                    .bind(samples)
                    .bind(block.id)
                    .execute(&mut *connection)
                    .await?;
                gone += block.samples - samples;
            }
            // Not even its times can be read.
            None => whole.push(block),
        }
    }
    gone += whole.iter().map(|block| block.samples).sum::<i64>();
    let ids: Vec<i64> = whole.iter().map(|block| block.id).collect();
    if !ids.is_empty() {
        chunks::discard(connection, &ids).await?;
    }
    Ok(gone)
}

/// The first row of a block from a moment on, and how many there are; `None`: it is damaged.
pub(super) async fn left(
    connection: &mut SqliteConnection,
    block: &BlockRow,
    moment: i64,
) -> Result<Option<(i64, i64)>> {
    let mut found = None;
    let mut lost = Vec::new();
    chunks::load(
        connection,
        vec![block.clone()],
        Want::Times,
        &mut lost,
        |loaded, _| {
            let times = loaded.directory.times(&loaded.bytes)?;
            let rest = &times[times.partition_point(|time| *time < moment)..];
            let first = rest
                .first()
                .ok_or(Damaged("its samples differ from what the database says"))?;
            found = Some((*first, rest.len() as i64));
            Ok(())
        },
    )
    .await?;
    source::report(&lost);
    Ok(found)
}

/// Adds what a tier holds of a time to what is there of one bucket of a coarser one: of the samples,
/// those that are rolled.
async fn add(
    connection: &mut SqliteConnection,
    server_id: i64,
    tier: i64,
    step: i64,
    (from, to): (i64, i64),
    rest: &mut RollUp,
) -> Result<()> {
    let mut lost = Vec::new();
    if from < to {
        let mut blocks = chunks::find(connection, &[server_id], tier, (from, to), false).await?;
        blocks.retain(|block| tier > 0 || block.rolled);
        chunks::load(connection, blocks, Want::All, &mut lost, |loaded, _| {
            let table = loaded.directory.table(&loaded.bytes)?;
            let span = (from.max(loaded.row.first_at), to);
            if tier > 0 {
                rest.add_table(&table, span)
            } else {
                rest.add_samples(&table, step, span);
                Ok(())
            }
        })
        .await?;
    }
    source::report(&lost);
    *rest = std::mem::take(rest).in_steps_of(step);
    Ok(())
}
