//! The first admin, made with the one-time link that the hub prints when it has no users.

use std::time::Instant;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    api::{
        client::Client,
        dto::people::{SessionAnswer, SessionUser, SetupAnswer, SetupRequest, Via},
        error::{ApiError, ApiResult},
        extract::Body,
        form::given,
        handlers::{
            session::too_many_attempts,
            users::{password_field, username_field},
        },
        session_store,
        state::ApiState,
    },
    model::{Secret, Timestamp},
    store::{Store, StoreError, random_token},
};

/// Where the hash of the link's token is kept.
const META_KEY: &str = "setup_token_sha256";

/// While the hub has no users: makes a new one-time token, which replaces the one before.
/// `None` once there is a user.
///
/// # Errors
/// The store fails.
pub async fn issue_setup_token(store: &Store) -> Result<Option<Secret>, StoreError> {
    if store.count_users().await? > 0 {
        store.set_meta(META_KEY, None).await?;
        return Ok(None);
    }
    let token = random_token("")?;
    store.set_meta(META_KEY, Some(&digest(token.expose()))).await?;
    Ok(Some(token))
}

fn digest(token: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(token.as_bytes())
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Whether the hub waits for its first admin
#[utoipa::path(get, path = "/api/setup", tag = "people", responses((status = 200, body = SetupAnswer)))]
pub(crate) async fn setup_state(State(state): State<ApiState>) -> ApiResult<Json<SetupAnswer>> {
    let required = state.store.count_users().await? == 0;
    Ok(Json(SetupAnswer { required }))
}

/// Make the first admin, and log in
///
/// Works once, with the token of the link the hub printed when it started.
#[utoipa::path(post, path = "/api/setup", tag = "people", request_body = SetupRequest,
    responses((status = 201, description = "Made and logged in; sets the cookie", body = SessionAnswer)))]
pub(crate) async fn set_up(
    State(state): State<ApiState>,
    client: Client,
    Body(mut form): Body,
) -> ApiResult<Response> {
    let token = form.required_secret("token", 200);
    let username = username_field(&mut form);
    let password = password_field(&mut form, "password");
    form.finish()?;
    let (token, username, password) = (given(token)?, given(username)?, given(password)?);

    state
        .login_limits
        .take_anonymous(client.network(), Instant::now())
        .map_err(too_many_attempts)?;
    if state.store.count_users().await? > 0 {
        return Err(already_set_up());
    }
    let expected = state.store.get_meta(META_KEY).await?.unwrap_or_default();
    let fits: bool = digest(token.expose())
        .as_bytes()
        .ct_eq(expected.as_bytes())
        .into();
    if !fits {
        return Err(ApiError::forbidden(
            "invalid_setup_token",
            "this set-up link is not valid (any more): open the one the hub printed when it last started",
        ));
    }
    let now = Timestamp::now();
    let hash = state.passwords.hash(password).await?;
    let user = state
        .store
        .create_first_user(&username, &hash, now)
        .await?
        .ok_or_else(already_set_up)?;
    state.store.set_meta(META_KEY, None).await?;
    let cookie = session_store::start(&state, user.id, client, now).await?;
    let answer = SessionAnswer {
        user: SessionUser::from(&user),
        via: Via::Session,
    };
    Ok((StatusCode::CREATED, [(header::SET_COOKIE, cookie)], Json(answer)).into_response())
}

fn already_set_up() -> ApiError {
    ApiError::conflict("already_set_up", "the hub has its first admin already: log in")
}
