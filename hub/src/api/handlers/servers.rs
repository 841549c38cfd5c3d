//! Servers: enrolling, changing, removing.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        access::Caller,
        dto::server::{ServerPatchRequest, ServerRequest, ServerView},
        error::{ApiError, ApiResult},
        extract::{Body, Id, Query},
        fault::Fault,
        form::{Form, given},
        paging,
        server_form::{self, Base, ServerDraft},
        state::ApiState,
    },
    model::{
        Server, ServerId, Timestamp,
        server::{ServerSpec, SshCredential},
    },
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
pub(crate) async fn list_servers(
    State(state): State<ApiState>,
    uri: axum::http::Uri,
    Query(mut form): Query,
) -> ApiResult<Response> {
    let limit = form.integer("limit", 1..=10_000usize).value();
    let after = form.text("cursor", 1..=100).value();
    form.finish()?;

    let mut servers = state.store.servers().await?;
    servers.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    if let Some(after) = after {
        servers.retain(|server| server.spec.name > after);
    }
    let mut next = None;
    if let Some(limit) = limit
        && servers.len() > limit
    {
        servers.truncate(limit);
        next = servers.last().map(|server| server.spec.name.clone());
    }
    let fleet = state.live.snapshot();
    let views: Vec<ServerView> = servers
        .iter()
        .map(|server| view_in(&state, &fleet, server))
        .collect();
    Ok((paging::link_header(&uri, next.as_deref()), Json(views)).into_response())
}

/// A server as clients see it.
pub(super) fn view(state: &ApiState, server: &Server) -> ServerView {
    view_in(state, &state.live.snapshot(), server)
}

fn view_in(state: &ApiState, fleet: &crate::live::Fleet, server: &Server) -> ServerView {
    let unseen = crate::model::ServerState::default();
    ServerView::new(
        server,
        fleet.server(server.id).map_or(&unseen, |seen| seen),
        fleet.alert_counts(server.id).into(),
        state.collect.default_interval_seconds(),
    )
}

/// The stored server with this id.
pub(super) async fn find(state: &ApiState, id: i64) -> ApiResult<Server> {
    state
        .store
        .server(ServerId(id))
        .await?
        .ok_or_else(|| ApiError::not_found("server", id))
}

/// What is stored to log in to a server with.
pub(super) async fn stored_credential(state: &ApiState, id: ServerId) -> ApiResult<SshCredential> {
    let targets = state.store.targets().await?;
    let found = targets.into_iter().find(|(server, _)| server.id == id);
    Ok(found.map(|(_, credential)| credential).unwrap_or_default())
}

/// Refuses a server without a log-in name whose shared credential brings none either.
async fn check_login_name(state: &ApiState, spec: &ServerSpec) -> ApiResult<()> {
    let Some(id) = spec.credential_id else {
        return Ok(());
    };
    let credential = state.store.credential(id).await?;
    let credential = credential
        .ok_or_else(|| ApiError::field("credential_id", Some(id.0.into()), Fault::no_such_credential()))?;
    if spec.ssh_user.is_empty() && credential.spec.ssh_user.is_empty() {
        return Err(ApiError::field("ssh_user", None, Fault::required()));
    }
    Ok(())
}

/// Tells the running parts. The change is stored already, so a failure to tell is no failure of
/// the request: they hear of it again with the next change, or from the store at their start.
pub(super) async fn tell(state: &ApiState) {
    if let Err(error) = state.ingest.servers_changed().await {
        tracing::warn!(%error, "a change of the servers is stored, but not shown yet");
    }
}

/// Enrol a server
///
/// `name`, `ip`, `ssh_user` and a password, a key or a shared credential are enough.
#[utoipa::path(post, path = "/api/servers", tag = "servers", request_body = ServerRequest,
    responses((status = 201, body = ServerView), (status = 409, description = "The name is taken")))]
pub(crate) async fn create_server(
    State(state): State<ApiState>,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<(StatusCode, Json<ServerView>)> {
    let draft = server_form::read(&mut form, &Base::New);
    form.finish()?;
    let ServerDraft {
        spec,
        secrets,
        host_key,
    } = given(draft)?;
    check_login_name(&state, &spec).await?;
    let credential = secrets.over(&SshCredential::default());
    server_form::check_key(&credential, &secrets).await?;
    let server = state
        .store
        .create_server(
            &spec,
            &credential,
            host_key.as_ref(),
            &caller.actor(),
            Timestamp::now(),
        )
        .await?;
    tell(&state).await;
    Ok((StatusCode::CREATED, Json(view(&state, &server))))
}

/// One server
#[utoipa::path(get, path = "/api/servers/{id}", tag = "servers", params(("id" = i64, Path)),
    responses((status = 200, body = ServerView)))]
pub(crate) async fn get_server(State(state): State<ApiState>, Id(id): Id) -> ApiResult<Json<ServerView>> {
    let server = find(&state, id).await?;
    Ok(Json(view(&state, &server)))
}

/// Replace a server's configuration
///
/// Fields left out take their defaults, except for secrets and the host key, which stay.
#[utoipa::path(put, path = "/api/servers/{id}", tag = "servers", request_body = ServerRequest,
    params(("id" = i64, Path)), responses((status = 200, body = ServerView)))]
pub(crate) async fn replace_server(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
    Body(form): Body,
) -> ApiResult<Json<ServerView>> {
    let server = find(&state, id).await?;
    change(&state, &caller, form, &server, &Base::Replace(&server)).await
}

/// Change some fields of a server
///
/// Fields left out stay as they are.
#[utoipa::path(patch, path = "/api/servers/{id}", tag = "servers", request_body = ServerPatchRequest,
    params(("id" = i64, Path)), responses((status = 200, body = ServerView)))]
pub(crate) async fn patch_server(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
    Body(form): Body,
) -> ApiResult<Json<ServerView>> {
    let server = find(&state, id).await?;
    change(&state, &caller, form, &server, &Base::Patch(&server)).await
}

async fn change(
    state: &ApiState,
    caller: &Caller,
    mut form: Form,
    server: &Server,
    base: &Base<'_>,
) -> ApiResult<Json<ServerView>> {
    let draft = server_form::read(&mut form, base);
    form.finish()?;
    let ServerDraft {
        spec,
        secrets,
        host_key,
    } = given(draft)?;
    check_login_name(state, &spec).await?;
    if spec.credential_id.is_none() && secrets.touches_key() {
        let credential = secrets.over(&stored_credential(state, server.id).await?);
        server_form::check_key(&credential, &secrets).await?;
    }
    let server = state
        .store
        .update_server(
            server.id,
            &spec,
            &secrets.change(host_key),
            &caller.actor(),
            Timestamp::now(),
        )
        .await?;
    tell(state).await;
    Ok(Json(view(state, &server)))
}

/// Remove a server, with its samples and alerts
#[utoipa::path(delete, path = "/api/servers/{id}", tag = "servers", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_server(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    if !state
        .store
        .delete_server(ServerId(id), &caller.actor(), Timestamp::now())
        .await?
    {
        return Err(ApiError::not_found("server", id));
    }
    tell(&state).await;
    Ok(StatusCode::NO_CONTENT)
}
