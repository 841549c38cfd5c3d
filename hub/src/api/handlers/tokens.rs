//! API tokens: for programs.

use axum::{Json, extract::State, http::StatusCode};

use crate::api::{
    dto::people::{NewTokenAnswer, TokenRequest, TokenView},
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// All API tokens, without the tokens themselves
#[utoipa::path(get, path = "/api/tokens", tag = "people", responses((status = 200, body = Vec<TokenView>)))]
pub(crate) async fn list_tokens(State(_state): State<ApiState>) -> ApiResult<Json<Vec<TokenView>>> {
    Err(ApiError::not_yet())
}

/// Make an API token
///
/// The answer is the only time the token is shown.
#[utoipa::path(post, path = "/api/tokens", tag = "people", request_body = TokenRequest,
    responses((status = 201, body = NewTokenAnswer)))]
pub(crate) async fn create_token(
    State(_state): State<ApiState>,
) -> ApiResult<(StatusCode, Json<NewTokenAnswer>)> {
    Err(ApiError::not_yet())
}

/// Remove an API token; it stops working at once
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "people", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_token(State(_state): State<ApiState>) -> ApiResult<StatusCode> {
    Err(ApiError::not_yet())
}
