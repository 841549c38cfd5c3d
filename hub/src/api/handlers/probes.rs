//! What reaches out to a node on request: connection tests, host keys, refreshes.

use axum::{Json, extract::State, http::StatusCode};

use crate::api::{
    dto::{
        probe::{
            AcceptHostKeyRequest, HostKeyAnswer, HostKeyRequest, RefreshAnswer, TestAnswer, TestRequest,
        },
        server::ServerView,
    },
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// Try to reach a node before it is enrolled
///
/// Connects, logs in and runs the probe once, within 10 s. Nothing is stored.
#[utoipa::path(post, path = "/api/servers/test", tag = "servers", request_body = TestRequest,
    responses((status = 200, body = TestAnswer)))]
pub(crate) async fn test_new(State(_state): State<ApiState>) -> ApiResult<Json<TestAnswer>> {
    Err(ApiError::not_yet())
}

/// Ask a node for its host key
///
/// Sends no credential to it. Within 10 s.
#[utoipa::path(post, path = "/api/servers/host-key", tag = "servers", request_body = HostKeyRequest,
    responses((status = 200, body = HostKeyAnswer)))]
pub(crate) async fn host_key(State(_state): State<ApiState>) -> ApiResult<Json<HostKeyAnswer>> {
    Err(ApiError::not_yet())
}

/// Try to reach an enrolled server
///
/// Connects on its own, logs in and runs the probe once, within 10 s.
#[utoipa::path(post, path = "/api/servers/{id}/test", tag = "servers", params(("id" = i64, Path)),
    responses((status = 200, body = TestAnswer)))]
pub(crate) async fn test_server(State(_state): State<ApiState>) -> ApiResult<Json<TestAnswer>> {
    Err(ApiError::not_yet())
}

/// Accept a host key for an enrolled server
///
/// For a key that changed: collection stands still until a person has looked at the new one.
#[utoipa::path(post, path = "/api/servers/{id}/host-key", tag = "servers", params(("id" = i64, Path)),
    request_body = AcceptHostKeyRequest, responses((status = 200, body = ServerView)))]
pub(crate) async fn accept_host_key(State(_state): State<ApiState>) -> ApiResult<Json<ServerView>> {
    Err(ApiError::not_yet())
}

/// Collect from one server at once
#[utoipa::path(post, path = "/api/servers/{id}/refresh", tag = "servers", params(("id" = i64, Path)),
    responses((status = 202, body = RefreshAnswer)))]
pub(crate) async fn refresh_server(
    State(_state): State<ApiState>,
) -> ApiResult<(StatusCode, Json<RefreshAnswer>)> {
    Err(ApiError::not_yet())
}

/// Collect from every server at once
#[utoipa::path(post, path = "/api/refresh", tag = "servers", responses((status = 202, body = RefreshAnswer)))]
pub(crate) async fn refresh_all(
    State(_state): State<ApiState>,
) -> ApiResult<(StatusCode, Json<RefreshAnswer>)> {
    Err(ApiError::not_yet())
}
