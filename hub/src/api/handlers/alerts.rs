//! Alerts: looking at them, and resolving them by hand.

use axum::{Json, extract::State, response::Response};

use crate::api::{
    dto::alert::{AlertView, ResolveAnswer, ResolveRequest},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Alerts, newest first
///
/// A plain array; further pages by the `Link` header (`rel="next"`).
#[utoipa::path(get, path = "/api/alerts", tag = "alerts",
    params(
        ("resolved" = Option<bool>, Query, description = "Only ended (true) or only open ones (false)"),
        ("server_id" = Option<i64>, Query, description = "Of one server"),
        ("level" = Option<String>, Query, description = "warning or critical"),
        ("limit" = Option<u32>, Query, description = "At most this many, 1 to 10,000 (default 1,000)"),
        ("cursor" = Option<String>, Query, description = "From the Link header of the page before"),
    ),
    responses((status = 200, body = Vec<AlertView>)))]
pub(crate) async fn list_alerts(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}

/// Resolve one alert
///
/// It stays quiet until its condition clears or worsens. Resolving a resolved one changes nothing.
#[utoipa::path(post, path = "/api/alerts/{id}/resolve", tag = "alerts", params(("id" = i64, Path)),
    responses((status = 200, body = AlertView)))]
pub(crate) async fn resolve_alert(State(_state): State<ApiState>) -> ApiResult<Json<AlertView>> {
    Err(ApiError::not_yet())
}

/// Resolve several alerts, or all
#[utoipa::path(post, path = "/api/alerts/resolve", tag = "alerts", request_body = ResolveRequest,
    responses((status = 200, body = ResolveAnswer)))]
pub(crate) async fn resolve_alerts(State(_state): State<ApiState>) -> ApiResult<Json<ResolveAnswer>> {
    Err(ApiError::not_yet())
}
