//! API tokens: for programs.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        access::Caller,
        dto::people::{NewTokenAnswer, TokenRequest},
        error::{ApiError, ApiResult},
        extract::{Body, Id},
        fault::Fault,
        form::given,
        handlers::users::ROLES,
        state::ApiState,
    },
    model::{Role, Timestamp, user::ApiToken},
    store::{TokenHash, random_token},
};

/// How every API token begins, so that people and secret scanners know one when they see it.
pub const TOKEN_PREFIX: &str = "gdr_";

/// All API tokens, without the tokens themselves
#[utoipa::path(get, path = "/api/tokens", tag = "people", responses((status = 200, body = Vec<ApiToken>)))]
pub(crate) async fn list_tokens(State(state): State<ApiState>) -> ApiResult<Json<Vec<ApiToken>>> {
    Ok(Json(state.store.tokens().await?))
}

/// Make an API token
///
/// The answer is the only time the token is shown.
#[utoipa::path(post, path = "/api/tokens", tag = "people", request_body = TokenRequest,
    responses((status = 201, body = NewTokenAnswer)))]
pub(crate) async fn create_token(
    State(state): State<ApiState>,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<(StatusCode, Json<NewTokenAnswer>)> {
    let now = Timestamp::now();
    let name = form.text("name", 1..=100);
    let name = form.require("name", name);
    let role = form.choice("role", &ROLES).or(Role::Viewer);
    let expires_at = form.moment("expires_at").value();
    if expires_at.is_some_and(|moment| moment <= now) {
        form.refuse("expires_at", Fault::in_the_past());
    }
    form.finish()?;
    let name = given(name)?;
    let token = random_token(TOKEN_PREFIX)?;
    let info = state
        .store
        .create_token(
            &name,
            role,
            TokenHash::of(token.expose()),
            expires_at,
            &caller.actor(),
            now,
        )
        .await?;
    let answer = NewTokenAnswer {
        token: token.expose().to_owned(),
        info,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Remove an API token; it stops working at once
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "people", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_token(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    if !state
        .store
        .delete_token(id, &caller.actor(), Timestamp::now())
        .await?
    {
        return Err(ApiError::not_found("token", id));
    }
    state.access_has_changed();
    Ok(StatusCode::NO_CONTENT)
}
