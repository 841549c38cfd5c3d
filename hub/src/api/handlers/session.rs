//! Logging in and out, and one's own password.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        access::Caller,
        client::Client,
        dto::people::{LoginRequest, PasswordRequest, SessionAnswer, SessionUser, Via},
        error::{ApiError, ApiResult},
        extract::Body,
        fault::Fault,
        form::given,
        handlers::users::password_field,
        session_store,
        state::ApiState,
    },
    model::{Event, EventKind, Timestamp},
};

/// 429, from how long there is to wait.
pub(super) fn too_many_attempts(wait: Duration) -> ApiError {
    let seconds = (wait + Duration::from_millis(999)).as_secs().max(1);
    ApiError::too_many(
        "too_many_attempts",
        format!("too many attempts: try again in {seconds} seconds"),
        seconds,
    )
}

/// Log in with a name and a password
///
/// Limited per address and per account: 429 says in `Retry-After` when to try again.
#[utoipa::path(post, path = "/api/login", tag = "people", request_body = LoginRequest,
    responses((status = 200, description = "Logged in; sets the cookie", body = SessionAnswer)))]
pub(crate) async fn login(
    State(state): State<ApiState>,
    client: Client,
    Body(mut form): Body,
) -> ApiResult<Response> {
    let username = form.text("username", 1..=64);
    let username = form.require("username", username);
    let password = form.required_secret("password", 1024);
    form.finish()?;
    let (username, password) = (given(username)?, given(password)?);

    let (started, network) = (Instant::now(), client.network());
    state
        .login_limits
        .take(&username, network, started)
        .map_err(too_many_attempts)?;
    let found = state.store.user_by_name(&username).await?;
    let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
    let fits = state.passwords.verify(password, hash).await?;
    let now = Timestamp::now();
    let Some(user) = user.filter(|_| fits) else {
        // The name is not recorded: what is typed there by mistake is often the password.
        record(&state, EventKind::LoginFailed, None, client, now).await?;
        return Err(ApiError::unauthorized(
            "wrong_credentials",
            "the name or the password is wrong",
        ));
    };
    state.login_limits.succeeded(&username, network, started);
    record(
        &state,
        EventKind::LoggedIn,
        Some(user.username.clone()),
        client,
        now,
    )
    .await?;
    let cookie = session_store::start(&state, user.id, client, now).await?;
    let answer = SessionAnswer {
        user: SessionUser::from(&user),
        via: Via::Session,
    };
    Ok((StatusCode::OK, [(header::SET_COOKIE, cookie)], Json(answer)).into_response())
}

async fn record(
    state: &ApiState,
    kind: EventKind,
    actor: Option<String>,
    client: Client,
    at: Timestamp,
) -> ApiResult<()> {
    let event = Event {
        at,
        kind,
        server_id: None,
        actor,
        details: serde_json::json!({ "address": client.address.to_string() }),
    };
    Ok(state.store.record_event(&event).await?)
}

/// End this session
#[utoipa::path(post, path = "/api/logout", tag = "people", responses((status = 204, description = "Logged out")))]
pub(crate) async fn logout(
    State(state): State<ApiState>,
    client: Client,
    caller: Caller,
) -> ApiResult<Response> {
    caller.user()?;
    state.store.delete_session(caller.proof).await?;
    state.access_has_changed();
    Ok((
        StatusCode::NO_CONTENT,
        [(header::SET_COOKIE, session_store::remove_cookie(client))],
    )
        .into_response())
}

/// Who is asking
#[utoipa::path(get, path = "/api/session", tag = "people", responses((status = 200, body = SessionAnswer)))]
pub(crate) async fn session(caller: Caller) -> Json<SessionAnswer> {
    Json(caller.describe())
}

/// Change one's own password
///
/// Ends all other sessions of the user; this one goes on under a new cookie.
#[utoipa::path(put, path = "/api/session/password", tag = "people", request_body = PasswordRequest,
    responses((status = 204, description = "Changed")))]
pub(crate) async fn change_password(
    State(state): State<ApiState>,
    client: Client,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<Response> {
    let user = caller.user()?;
    let current = form.required_secret("current_password", 1024);
    let new = password_field(&mut form, "new_password");
    form.finish()?;
    let (current, new) = (given(current)?, given(new)?);

    // Somebody at an unlocked screen must not guess the password here without limit.
    let (started, network) = (Instant::now(), client.network());
    state
        .login_limits
        .take(&user.username, network, started)
        .map_err(too_many_attempts)?;
    let hash = state
        .store
        .user_by_name(&user.username)
        .await?
        .map(|(_, hash)| hash);
    if !state.passwords.verify(current, hash).await? {
        return Err(ApiError::field("current_password", None, Fault::wrong_password()));
    }
    state.login_limits.succeeded(&user.username, network, started);
    let now = Timestamp::now();
    let hash = state.passwords.hash(new).await?;
    state
        .store
        .set_password(user.id, &hash, &caller.actor(), now)
        .await?;
    let cookie = session_store::start(&state, user.id, client, now).await?;
    state.access_has_changed();
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}
