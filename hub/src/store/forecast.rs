//! What each tier takes, and what the file will have grown to.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::retention::Retention;
use super::rollup::STEPS;
use super::words::from_json;
use super::{Forecast, Result, Store, TierStorage};
use crate::model::Timestamp;

const DAY_MS: i64 = 86_400_000;
/// Bytes a value while there is too little to measure: samples, and the buckets of roll-ups.
const USUAL: [f64; 3] = [0.9, 3.5, 4.0];
/// Values to measure by.
const ENOUGH: i64 = 100_000;
/// Pages hold a little less than their size.
const OF_PAGES: f64 = 1.02;

/// What the blocks of every tier take.
pub(super) async fn tiers(connection: &mut SqliteConnection) -> Result<Vec<TierStorage>> {
    let rows: Vec<(i64, i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT tier, count(*), sum(samples), sum(cells), sum(bytes), min(first_at) FROM block GROUP BY tier
         ORDER BY tier",
    )
    .fetch_all(connection)
    .await?;
    let tiers = rows
        .into_iter()
        .map(|(tier, blocks, samples, cells, bytes, oldest)| TierStorage {
            tier_ms: tier,
            blocks: blocks.unsigned_abs(),
            samples: samples.unsigned_abs(),
            values: cells.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
            oldest: Some(Timestamp(oldest)),
        });
    Ok(tiers.collect())
}

impl Store {
    /// The size of the file a year from now, if servers go on as in the last day.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn forecast(&self, now: Timestamp) -> Result<Forecast> {
        let rules = self.retention().await?;
        let mut connection = self.read().await?;
        let tiers = tiers(&mut connection).await?;
        let per_value: HashMap<i64, f64> = std::iter::once(0)
            .chain(STEPS)
            .zip(USUAL)
            .map(|(tier, usual)| {
                let measured = tiers.iter().find(|found| found.tier_ms == tier);
                let measured = measured.filter(|found| found.values as i64 >= ENOUGH);
                (
                    tier,
                    measured.map_or(usual, |found| found.bytes as f64 / found.values as f64),
                )
            })
            .collect();
        let since = now.0 - DAY_MS;
        let servers: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT id, tags, (SELECT count(*) FROM series
                 WHERE server_id = server.id AND last_seen_at >= ?) FROM server",
        )
        .bind(since - super::layout::LAG_MS)
        .fetch_all(&mut *connection)
        .await?;
        let mut forecast = Forecast::default();
        for (server_id, tags, series) in servers {
            let values = values_a_day(&mut connection, server_id, (since, now.0), series).await?;
            forecast.values_a_day += values as u64;
            forecast.bytes_in_a_year += self::bytes(&rules, &tags, values, series as f64, &per_value)?;
        }
        let used: i64 = sqlx::query_scalar(
            "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)",
        )
        .fetch_one(&mut *connection)
        .await?;
        let page: i64 = sqlx::query_scalar("PRAGMA page_size")
            .fetch_one(&mut *connection)
            .await?;
        let blocks: u64 = tiers.iter().map(|tier| tier.bytes).sum();
        // Everything that is no block: servers, events, alerts, rows not folded yet.
        forecast.bytes_in_a_year += ((used * page).unsigned_abs()).saturating_sub(blocks);
        forecast.bytes_a_value = per_value[&0];
        Ok(forecast)
    }
}

/// Bytes of a server's blocks in a year.
fn bytes(
    rules: &Retention,
    tags: &str,
    values_a_day: f64,
    series: f64,
    per_value: &HashMap<i64, f64>,
) -> Result<u64> {
    let ages = rules.of(&from_json::<Vec<String>>(tags)?).by_tier();
    let mut bytes = 0.0;
    for (age, tier) in ages.into_iter().zip(std::iter::once(0).chain(STEPS)) {
        let days = age.unwrap_or(i64::MAX).min(365 * DAY_MS) as f64 / DAY_MS as f64;
        let values = match tier {
            0 => values_a_day,
            // No more buckets than values.
            step => (series * (DAY_MS / step) as f64).min(values_a_day),
        };
        bytes += days * values * per_value[&tier] * OF_PAGES;
    }
    Ok(bytes as u64)
}

/// Values of a server in the last day; of the time it has been looked at, where that is shorter.
async fn values_a_day(
    connection: &mut SqliteConnection,
    server_id: i64,
    (since, now): (i64, i64),
    series: i64,
) -> Result<f64> {
    let blocks: Vec<(i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT first_at, last_at, samples, cells FROM block
         WHERE server_id = ? AND tier = 0 AND last_at >= ?",
    )
    .bind(server_id)
    .bind(since)
    .fetch_all(&mut *connection)
    .await?;
    let (rows, first): (i64, Option<i64>) =
        sqlx::query_as("SELECT count(*), min(taken_at) FROM sample WHERE server_id = ? AND taken_at >= ?")
            .bind(server_id)
            .bind(since)
            .fetch_one(connection)
            .await?;
    let (mut samples, mut values) = (0.0, 0.0);
    let mut oldest = first.unwrap_or(now);
    for (first_at, last_at, count, cells) in &blocks {
        let inside = (last_at - first_at.max(&since)).max(0) as f64 / (last_at - first_at).max(1) as f64;
        samples += *count as f64 * inside;
        values += *cells as f64 * inside;
        oldest = oldest.min(*first_at.max(&since));
    }
    // Rows are as full as blocks are, or have every series.
    let per_row = if samples > 0.0 {
        values / samples
    } else {
        series as f64
    };
    values += rows as f64 * per_row;
    let looked_at = (now - oldest).clamp(600_000, DAY_MS);
    Ok(values * DAY_MS as f64 / looked_at as f64)
}
