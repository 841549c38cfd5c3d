//! Logging in and out, and one's own password.

use axum::{Json, extract::State, response::Response};

use crate::api::{
    dto::people::{LoginRequest, PasswordRequest, SessionAnswer},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Log in with a name and a password
///
/// Limited per address and per account: 429 says in `Retry-After` when to try again.
#[utoipa::path(post, path = "/api/login", tag = "people", request_body = LoginRequest,
    responses((status = 200, description = "Logged in; sets the cookie", body = SessionAnswer)))]
pub(crate) async fn login(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}

/// End this session
#[utoipa::path(post, path = "/api/logout", tag = "people", responses((status = 204, description = "Logged out")))]
pub(crate) async fn logout(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}

/// Who is asking
#[utoipa::path(get, path = "/api/session", tag = "people", responses((status = 200, body = SessionAnswer)))]
pub(crate) async fn session(State(_state): State<ApiState>) -> ApiResult<Json<SessionAnswer>> {
    Err(ApiError::not_yet())
}

/// Change one's own password
///
/// Ends all other sessions of the user; this one goes on under a new cookie.
#[utoipa::path(put, path = "/api/session/password", tag = "people", request_body = PasswordRequest,
    responses((status = 204, description = "Changed")))]
pub(crate) async fn change_password(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}
