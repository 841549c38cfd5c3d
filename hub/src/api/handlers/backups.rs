//! Backups of the database: what there is, and one now.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        access::Caller,
        dto::backup::{BackupBucket, BackupFailure, BackupFile, Backups},
        error::{ApiError, ApiResult},
        state::ApiState,
    },
    backup::{self, NotBegun},
};

/// The backups there are, newest first, and when the next one is due
#[utoipa::path(get, path = "/api/backups", tag = "hub", responses((status = 200, body = Backups)))]
pub(crate) async fn list_backups(State(state): State<ApiState>) -> ApiResult<Json<Backups>> {
    answer(&state).await.map(Json)
}

/// Make a backup now
///
/// Answers at once; `running_since` is null again when it is made. A backup that is being made
/// already is 409 `backup_running`.
#[utoipa::path(post, path = "/api/backups", tag = "hub",
    responses((status = 202, description = "It has begun", body = Backups)))]
pub(crate) async fn begin_backup(
    State(state): State<ApiState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Json<Backups>)> {
    state
        .backups
        .begin(caller.actor())
        .map_err(|reason| match reason {
            NotBegun::Running => ApiError::conflict("backup_running", reason.to_string()),
            NotBegun::Stopping => ApiError::unavailable("shutting_down", reason.to_string()),
        })?;
    Ok((StatusCode::ACCEPTED, Json(answer(&state).await?)))
}

async fn answer(state: &ApiState) -> ApiResult<Backups> {
    // Before the list: what this says to be made is in it.
    let now = state.backups.state();
    let config = state.backups.config().clone();
    let directory = config.directory.clone();
    let listed = tokio::task::spawn_blocking(move || backup::list_directory(&directory))
        .await
        .map_err(|error| ApiError::internal(&error))?;
    let mut last_error = now.last_error.map(|error| BackupFailure {
        at: error.at,
        message: error.message,
        of_upload: error.of_upload,
    });
    let backups = listed.unwrap_or_else(|error| {
        last_error = Some(BackupFailure {
            at: crate::model::Timestamp::now(),
            message: format!("{} cannot be read: {error}", config.directory.display()),
            of_upload: false,
        });
        Vec::new()
    });
    Ok(Backups {
        directory: config.directory.display().to_string(),
        bucket: config.bucket.as_ref().map(|bucket| BackupBucket {
            address: bucket.to_string(),
            endpoint: bucket.endpoint.clone(),
            checked_at: now.bucket.as_ref().map(|state| state.at),
            names: now.bucket.map(|state| state.names).unwrap_or_default(),
        }),
        interval_seconds: config.interval.map(|interval| interval.as_secs()),
        keep: config.keep,
        keep_weekly: config.keep_weekly,
        running_since: now.running_since,
        next_run: now.next_run,
        last_success: now.last_success,
        last_error,
        backups: backups
            .into_iter()
            .map(|backup| BackupFile {
                name: backup.name,
                taken_at: backup.taken_at,
                bytes: backup.bytes,
                verified: backup.sha256.is_some(),
                sha256: backup.sha256,
            })
            .collect(),
    })
}
