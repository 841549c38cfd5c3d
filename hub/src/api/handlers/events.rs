//! Events: the record of what happened and who did it.

use axum::{extract::State, response::Response};

use crate::api::{
    dto::event::EventView,
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Events, newest first
///
/// A plain array; further pages by the `Link` header (`rel="next"`).
#[utoipa::path(get, path = "/api/events", tag = "alerts",
    params(
        ("server_id" = Option<i64>, Query, description = "Of one server"),
        ("kind" = Option<String>, Query, description = "Of one kind, e.g. server_offline"),
        ("limit" = Option<u32>, Query, description = "At most this many, 1 to 1,000 (default 100)"),
        ("cursor" = Option<String>, Query, description = "From the Link header of the page before"),
    ),
    responses((status = 200, body = Vec<EventView>)))]
pub(crate) async fn list_events(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}
