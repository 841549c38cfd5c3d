//! Stored samples as rows: reading, counting, deleting.

use axum::{Json, extract::State, response::Response};

use crate::api::{
    dto::metric::{CountAnswer, DeletedAnswer, MetricRow},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Stored samples as rows, oldest first
///
/// A plain array; further pages by the `Link` header (`rel="next"`).
#[utoipa::path(get, path = "/api/metrics", tag = "metrics",
    params(
        ("server_id" = Option<i64>, Query, description = "One server; without it all"),
        ("hours" = Option<f64>, Query, description = "The last so many hours (default 24), instead of from and to"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "Last moment, RFC 3339; default now"),
        ("limit" = Option<u32>, Query, description = "At most this many rows, 1 to 100,000 (default 10,000)"),
        ("cursor" = Option<String>, Query, description = "From the Link header of the page before"),
    ),
    responses((status = 200, body = Vec<MetricRow>)))]
pub(crate) async fn metric_rows(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}

/// Delete stored samples
///
/// Of one server or all, of all time or before a moment. The space is given back.
#[utoipa::path(delete, path = "/api/metrics", tag = "metrics",
    params(
        ("server_id" = Option<i64>, Query, description = "One server; without it all"),
        ("before" = Option<String>, Query, description = "Only samples before this moment, RFC 3339"),
    ),
    responses((status = 200, body = DeletedAnswer)))]
pub(crate) async fn delete_metrics(State(_state): State<ApiState>) -> ApiResult<Json<DeletedAnswer>> {
    Err(ApiError::not_yet())
}

/// How many samples a deletion would remove
#[utoipa::path(get, path = "/api/metrics/count", tag = "metrics",
    params(
        ("server_id" = Option<i64>, Query, description = "One server; without it all"),
        ("before" = Option<String>, Query, description = "Only samples before this moment, RFC 3339"),
    ),
    responses((status = 200, body = CountAnswer)))]
pub(crate) async fn count_metrics(State(_state): State<ApiState>) -> ApiResult<Json<CountAnswer>> {
    Err(ApiError::not_yet())
}
