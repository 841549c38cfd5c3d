//! The hub itself: health, fleet figures, storage.

use axum::{Json, extract::State, response::Response};

use crate::api::{
    dto::system::{Health, Stats, Storage},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Whether the hub does its work
///
/// Follows the progress of ingest and a real write and read of the database, not a timer.
#[utoipa::path(get, path = "/api/health", tag = "hub",
    responses((status = 200, body = Health), (status = 503, description = "A check fails", body = Health)))]
pub(crate) async fn health(State(_state): State<ApiState>) -> Response {
    axum::response::IntoResponse::into_response(ApiError::not_yet())
}

/// Figures of the whole fleet
#[utoipa::path(get, path = "/api/stats", tag = "hub", responses((status = 200, body = Stats)))]
pub(crate) async fn stats(State(_state): State<ApiState>) -> ApiResult<Json<Stats>> {
    Err(ApiError::not_yet())
}

/// What the database holds and how much room it takes
#[utoipa::path(get, path = "/api/storage", tag = "hub", responses((status = 200, body = Storage)))]
pub(crate) async fn storage(State(_state): State<ApiState>) -> ApiResult<Json<Storage>> {
    Err(ApiError::not_yet())
}
