//! Users: who may log in.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        dto::people::{UserPatchRequest, UserRequest},
        error::{ApiError, ApiResult},
        state::ApiState,
    },
    model::User,
};

/// All users
#[utoipa::path(get, path = "/api/users", tag = "people", responses((status = 200, body = Vec<User>)))]
pub(crate) async fn list_users(State(_state): State<ApiState>) -> ApiResult<Json<Vec<User>>> {
    Err(ApiError::not_yet())
}

/// Make a user
#[utoipa::path(post, path = "/api/users", tag = "people", request_body = UserRequest,
    responses((status = 201, body = User)))]
pub(crate) async fn create_user(State(_state): State<ApiState>) -> ApiResult<(StatusCode, Json<User>)> {
    Err(ApiError::not_yet())
}

/// Change a user's role or password
///
/// A new password ends the user's sessions. The last admin stays one.
#[utoipa::path(patch, path = "/api/users/{id}", tag = "people", request_body = UserPatchRequest,
    params(("id" = i64, Path)), responses((status = 200, body = User)))]
pub(crate) async fn patch_user(State(_state): State<ApiState>) -> ApiResult<Json<User>> {
    Err(ApiError::not_yet())
}

/// Remove a user, with their sessions
///
/// The last admin stays.
#[utoipa::path(delete, path = "/api/users/{id}", tag = "people", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_user(State(_state): State<ApiState>) -> ApiResult<StatusCode> {
    Err(ApiError::not_yet())
}
