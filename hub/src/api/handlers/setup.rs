//! The first admin, made with the one-time link that the hub prints when it has no users.

use axum::{Json, extract::State, response::Response};

use crate::api::{
    dto::people::{SessionAnswer, SetupAnswer, SetupRequest},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Whether the hub waits for its first admin
#[utoipa::path(get, path = "/api/setup", tag = "people", responses((status = 200, body = SetupAnswer)))]
pub(crate) async fn setup_state(State(_state): State<ApiState>) -> ApiResult<Json<SetupAnswer>> {
    Err(ApiError::not_yet())
}

/// Make the first admin, and log in
///
/// Works once, with the token of the link the hub printed when it started.
#[utoipa::path(post, path = "/api/setup", tag = "people", request_body = SetupRequest,
    responses((status = 201, description = "Made and logged in; sets the cookie", body = SessionAnswer)))]
pub(crate) async fn set_up(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}
