//! The hub itself: health, fleet figures, storage.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{Json, extract::State, http::StatusCode};
use tokio::sync::Mutex;

use crate::{
    api::{
        dto::system::{Check, Health, RefusedReading, ServerStorage, Stats, Storage, StorageTier},
        error::ApiResult,
        handlers::alerts::server_names,
        state::ApiState,
        stats,
    },
    ingest::Progress,
    model::Timestamp,
    store::{self, TierStorage},
};

/// Ingest goes round at least every second; a commit of a busy disk may take some.
const INGEST_STALLED_MS: i64 = 15_000;
/// How long the store has for its check.
const STORE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a check of the store counts: everybody may ask, and each check is a real write.
const STORE_CHECK_LASTS: Duration = Duration::from_secs(1);

/// The store's last check, and when it began. Whoever asks during a check waits for its result.
#[derive(Debug, Default)]
pub(crate) struct HealthCache(Mutex<Option<(Instant, Option<Check>)>>);

/// Whether the hub does its work
///
/// Follows the progress of ingest and a real write and read of the database, not a timer.
#[utoipa::path(get, path = "/api/health", tag = "hub",
    responses((status = 200, body = Health), (status = 503, description = "A check fails", body = Health)))]
pub(crate) async fn health(State(state): State<ApiState>) -> (StatusCode, Json<Health>) {
    let checks = BTreeMap::from([
        ("store", check_store(&state).await),
        ("ingest", check_ingest(&state.ingest.progress(), Timestamp::now())),
    ]);
    let ok = checks.values().all(|check| check.ok);
    let health = Health {
        status: if ok { "ok" } else { "failing" },
        version: env!("CARGO_PKG_VERSION"),
        checks,
        warnings: warnings(&state),
    };
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health))
}

/// Below this the disk of the database is said to be running full: room for some hours, and for
/// the log while a backup is made.
const LITTLE_ROOM_BYTES: u64 = 256 << 20;

/// What needs a person, but not another hub: never a reason for 503. Everybody may read it, so
/// it names no path.
fn warnings(state: &ApiState) -> BTreeMap<&'static str, String> {
    let mut warnings = BTreeMap::new();
    let free = store::free_bytes(state.store.path()).ok();
    if let Some(free) = free.filter(|free| *free < LITTLE_ROOM_BYTES) {
        warnings.insert(
            "disk",
            format!("the disk that holds the database has {free} bytes free: make room, before readings cannot be stored"),
        );
    }
    if let Some(error) = state.backups.state().last_error {
        warnings.insert(
            "backup",
            format!("the backup of {} failed: GET /api/backups says why", error.at),
        );
    }
    warnings
}

async fn check_store(state: &ApiState) -> Check {
    let mut last = state.health.0.lock().await;
    if let Some((began, Some(check))) = last.as_ref()
        && began.elapsed() < STORE_CHECK_LASTS
    {
        return check.clone();
    }
    if let Some((before, None)) = *last {
        // Whoever asked last hung up half way. Asking and hanging up must not be a way to write
        // more often either.
        tokio::time::sleep_until((before + STORE_CHECK_LASTS).into()).await;
    }
    let began = Instant::now();
    *last = Some((began, None));
    let message = match tokio::time::timeout(STORE_DEADLINE, state.store.health_check()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!(
            "the database did not answer within {} seconds",
            STORE_DEADLINE.as_secs()
        )),
    };
    let check = Check {
        ok: message.is_none(),
        message,
    };
    *last = Some((began, Some(check.clone())));
    check
}

fn check_ingest(progress: &Progress, now: Timestamp) -> Check {
    let message = if let Some(since) = progress.failing_since {
        let reason = progress
            .last_error
            .as_deref()
            .unwrap_or("the reason is in the log");
        Some(format!("readings cannot be stored since {since}: {reason}"))
    } else if now.millis_since(progress.last_turn) > INGEST_STALLED_MS {
        Some(format!("ingest stands still since {}", progress.last_turn))
    } else {
        None
    };
    let ok = message.is_none();
    // Which servers is not for everybody: the log and `/api/storage` name them.
    let refused = progress.refused_readings;
    let note = (refused > 0).then(|| {
        format!(
            "the database refused {refused} readings since the start of the hub; its log says of which servers, and why"
        )
    });
    Check {
        ok,
        message: message.or(note),
    }
}

/// Figures of the whole fleet
#[utoipa::path(get, path = "/api/stats", tag = "hub", responses((status = 200, body = Stats)))]
pub(crate) async fn stats(State(state): State<ApiState>) -> ApiResult<Json<Stats>> {
    let servers = state.store.servers().await?;
    Ok(Json(stats::of(&servers, &state.live.snapshot())))
}

/// What the database holds and how much room it takes
#[utoipa::path(get, path = "/api/storage", tag = "hub", responses((status = 200, body = Storage)))]
pub(crate) async fn storage(State(state): State<ApiState>) -> ApiResult<Json<Storage>> {
    let stats = state.store.storage_stats().await?;
    let mut names = server_names(&state).await?;
    let progress = state.ingest.progress();
    let last_refusal = progress.last_refusal.as_ref().map(|refusal| RefusedReading {
        server_id: refusal.server_id,
        server_name: names.get(&refusal.server_id).cloned(),
        at: refusal.at,
        reason: refusal.reason.clone(),
    });
    let servers = stats
        .per_server
        .into_iter()
        .filter_map(|entry| {
            Some(ServerStorage {
                server_id: entry.server_id,
                server_name: names.remove(&entry.server_id)?,
                samples: entry.samples,
                oldest: entry.oldest,
                newest: entry.newest,
                series: entry.series,
                dropped_values: entry.dropped_values,
                at_series_limit: entry.at_series_limit,
            })
        })
        .collect();
    Ok(Json(Storage {
        database_bytes: stats.database_bytes,
        free_bytes: stats.free_bytes,
        wal_bytes: stats.wal_bytes,
        samples: stats.samples,
        oldest: stats.oldest,
        newest: stats.newest,
        refused_readings: progress.refused_readings,
        last_refusal,
        unfolded_samples: stats.unfolded,
        trash_bytes: stats.trash_bytes,
        tiers: stats.tiers.iter().map(tier).collect(),
        servers,
    }))
}

fn tier(tier: &TierStorage) -> StorageTier {
    StorageTier {
        step_ms: tier.tier_ms,
        blocks: tier.blocks,
        values: tier.values,
        bytes: tier.bytes,
        oldest: tier.oldest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingest_is_healthy_while_it_moves_and_stores() {
        let now = Timestamp(1_000_000);
        let moving = Progress {
            last_turn: now.plus_millis(-1000),
            ..Progress::default()
        };
        assert!(check_ingest(&moving, now).ok);
        let stalled = check_ingest(&moving, now.plus_millis(60_000));
        assert!(stalled.message.unwrap().contains("stands still since"));
        let refusing = Progress {
            refused_readings: 3,
            ..moving.clone()
        };
        let check = check_ingest(&refusing, now);
        assert!(check.ok, "the others are stored");
        assert!(check.message.unwrap().contains("refused 3 readings"));
        let failing = Progress {
            failing_since: Some(now),
            last_error: Some("the disk of /data is full".into()),
            ..moving
        };
        assert!(
            check_ingest(&failing, now)
                .message
                .unwrap()
                .contains("the disk of /data is full")
        );
    }
}
