//! Values for charts, and the newest reading in full.

use axum::{Json, extract::State};

use crate::api::{
    dto::{metric::SeriesAnswer, server::SnapshotAnswer},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Some series of a server, for a chart
///
/// By columns: `times[i]` belongs to `series[n].avg[i]`; null is a gap. The width of a step
/// follows from the span and `points`.
#[utoipa::path(get, path = "/api/servers/{id}/series", tag = "metrics",
    params(
        ("id" = i64, Path),
        ("metrics" = String, Query, description = "Names separated by commas, e.g. cpu.usage,memory.usage"),
        ("hours" = Option<f64>, Query, description = "The last so many hours (default 1), instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("points" = Option<u32>, Query, description = "At most this many steps, 1 to 5,000 (default 500)"),
    ),
    responses((status = 200, body = SeriesAnswer)))]
pub(crate) async fn series(State(_state): State<ApiState>) -> ApiResult<Json<SeriesAnswer>> {
    Err(ApiError::not_yet())
}

/// Everything the hub last read of a server
#[utoipa::path(get, path = "/api/servers/{id}/snapshot", tag = "metrics", params(("id" = i64, Path)),
    responses((status = 200, body = SnapshotAnswer)))]
pub(crate) async fn snapshot(State(_state): State<ApiState>) -> ApiResult<Json<SnapshotAnswer>> {
    Err(ApiError::not_yet())
}
