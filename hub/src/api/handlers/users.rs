//! Users: who may log in.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        access::Caller,
        dto::people::{UserPatchRequest, UserRequest},
        error::{ApiError, ApiResult},
        extract::{Body, Id},
        fault::{Fault, FieldCode},
        form::{Form, given},
        state::ApiState,
    },
    model::{
        Role, Secret, Timestamp, User, UserId,
        user::{PASSWORD_LENGTH, USERNAME_LENGTH, check_password, check_username},
    },
};

/// The roles by name.
pub(super) const ROLES: [(&str, Role); 2] = [("viewer", Role::Viewer), ("admin", Role::Admin)];

/// A new log-in name.
pub(super) fn username_field(form: &mut Form) -> Option<String> {
    let username = form.text("username", USERNAME_LENGTH);
    let username = form.require("username", username)?;
    match check_username(&username) {
        Ok(()) => Some(username),
        Err(problem) => {
            form.refuse("username", Fault::because(FieldCode::Username, problem));
            None
        }
    }
}

/// A new password.
pub(super) fn password_field(form: &mut Form, name: &'static str) -> Option<Secret> {
    let password = form.required_secret(name, 1024)?;
    match check_password(password.expose()) {
        Ok(()) => Some(password),
        Err(problem) => {
            form.refuse_secret(name, Fault::length(problem.length, &PASSWORD_LENGTH));
            None
        }
    }
}

/// All users
#[utoipa::path(get, path = "/api/users", tag = "people", responses((status = 200, body = Vec<User>)))]
pub(crate) async fn list_users(State(state): State<ApiState>) -> ApiResult<Json<Vec<User>>> {
    Ok(Json(state.store.users().await?))
}

/// Make a user
#[utoipa::path(post, path = "/api/users", tag = "people", request_body = UserRequest,
    responses((status = 201, body = User)))]
pub(crate) async fn create_user(
    State(state): State<ApiState>,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<(StatusCode, Json<User>)> {
    let username = username_field(&mut form);
    let password = password_field(&mut form, "password");
    let role = form.choice("role", &ROLES).or(Role::Viewer);
    form.finish()?;
    let (username, password) = (given(username)?, given(password)?);
    let hash = state.passwords.hash(password).await?;
    let user = state
        .store
        .create_user(&username, &hash, role, &caller.actor(), Timestamp::now())
        .await?;
    Ok((StatusCode::CREATED, Json(user)))
}

/// Change a user's role or password
///
/// A new password ends the user's sessions. The last admin stays one.
#[utoipa::path(patch, path = "/api/users/{id}", tag = "people", request_body = UserPatchRequest,
    params(("id" = i64, Path)), responses((status = 200, body = User)))]
pub(crate) async fn patch_user(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
    Body(mut form): Body,
) -> ApiResult<Json<User>> {
    let role = form.choice("role", &ROLES);
    let role = form.not_null("role", role);
    let password = form
        .has("password")
        .then(|| password_field(&mut form, "password"))
        .flatten();
    form.known("password");
    form.finish()?;
    let id = UserId(id);
    let find = async || -> ApiResult<User> {
        let users = state.store.users().await?;
        users
            .into_iter()
            .find(|user| user.id == id)
            .ok_or_else(|| ApiError::not_found("user", id.0))
    };
    find().await?;
    let (actor, now) = (caller.actor(), Timestamp::now());
    if let Some(role) = role {
        state.store.set_role(id, role, &actor, now).await?;
    }
    if let Some(password) = password {
        let hash = state.passwords.hash(password).await?;
        state.store.set_password(id, &hash, &actor, now).await?;
    }
    state.access_has_changed();
    Ok(Json(find().await?))
}

/// Remove a user, with their sessions
///
/// The last admin stays.
#[utoipa::path(delete, path = "/api/users/{id}", tag = "people", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_user(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    if !state
        .store
        .delete_user(UserId(id), &caller.actor(), Timestamp::now())
        .await?
    {
        return Err(ApiError::not_found("user", id));
    }
    state.access_has_changed();
    Ok(StatusCode::NO_CONTENT)
}
