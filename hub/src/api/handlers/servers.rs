//! Servers: enrolling, changing, removing.

use axum::{Json, extract::State, http::StatusCode, response::Response};

use crate::api::{
    dto::server::{ServerPatchRequest, ServerRequest, ServerView},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// All servers, by name
///
/// A plain array. With `limit`, pages follow by the `Link` header (`rel="next"`).
#[utoipa::path(get, path = "/api/servers", tag = "servers",
    params(
        ("limit" = Option<u32>, Query, description = "At most this many, 1 to 10,000; without it all"),
        ("cursor" = Option<String>, Query, description = "From the Link header of the page before"),
    ),
    responses((status = 200, body = Vec<ServerView>)))]
pub(crate) async fn list_servers(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}

/// Enrol a server
///
/// `name`, `ip`, `ssh_user` and a password or key are enough.
#[utoipa::path(post, path = "/api/servers", tag = "servers", request_body = ServerRequest,
    responses((status = 201, body = ServerView), (status = 409, description = "The name is taken")))]
pub(crate) async fn create_server(
    State(_state): State<ApiState>,
) -> ApiResult<(StatusCode, Json<ServerView>)> {
    Err(ApiError::not_yet())
}

/// One server
#[utoipa::path(get, path = "/api/servers/{id}", tag = "servers", params(("id" = i64, Path)),
    responses((status = 200, body = ServerView)))]
pub(crate) async fn get_server(State(_state): State<ApiState>) -> ApiResult<Json<ServerView>> {
    Err(ApiError::not_yet())
}

/// Replace a server's configuration
///
/// Fields left out take their defaults, except for secrets and the host key, which stay.
#[utoipa::path(put, path = "/api/servers/{id}", tag = "servers", request_body = ServerRequest,
    params(("id" = i64, Path)), responses((status = 200, body = ServerView)))]
pub(crate) async fn replace_server(State(_state): State<ApiState>) -> ApiResult<Json<ServerView>> {
    Err(ApiError::not_yet())
}

/// Change some fields of a server
///
/// Fields left out stay as they are.
#[utoipa::path(patch, path = "/api/servers/{id}", tag = "servers", request_body = ServerPatchRequest,
    params(("id" = i64, Path)), responses((status = 200, body = ServerView)))]
pub(crate) async fn patch_server(State(_state): State<ApiState>) -> ApiResult<Json<ServerView>> {
    Err(ApiError::not_yet())
}

/// Remove a server, with its samples and alerts
#[utoipa::path(delete, path = "/api/servers/{id}", tag = "servers", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_server(State(_state): State<ApiState>) -> ApiResult<StatusCode> {
    Err(ApiError::not_yet())
}
