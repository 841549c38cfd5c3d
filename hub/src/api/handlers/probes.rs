//! What reaches out to a node on request: connection tests, host keys, refreshes.

use std::time::{Duration, Instant};

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        access::Caller,
        dto::{
            probe::{
                AcceptHostKeyRequest, HostKeyAnswer, HostKeyRequest, RefreshAnswer, TestAnswer, TestRequest,
            },
            server::ServerView,
        },
        error::{ApiError, ApiResult},
        extract::{Body, Id},
        fault::Fault,
        form::{Form, Given, given},
        handlers::servers::{find, stored_credential, tell, view},
        server_form,
        state::ApiState,
    },
    collect::{self, ConnectSpec, Refresh, authorities_for},
    model::{
        CollectError, CollectErrorCode, CredentialId, HostAuthority, Server, ServerId, Timestamp, Transport,
        server::SshCredential,
    },
};

/// Collection itself ends within 10 s; this is for whatever it may have overlooked.
const DEADLINE: Duration = Duration::from_secs(12);

/// Jump hosts behind one another at most.
const MOST_JUMPS: usize = 8;

/// Runs a look at a node: not too many at once, and not for ever.
async fn reach<T>(
    state: &ApiState,
    name: &str,
    work: impl Future<Output = Result<T, CollectError>>,
) -> ApiResult<Result<T, CollectError>> {
    let Ok(_turn) = state.probes.try_acquire() else {
        return Err(ApiError::too_many(
            "busy",
            "many connection tests are running already: try again in 5 seconds",
            5,
        ));
    };
    Ok(tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| {
        Err(CollectError {
            code: CollectErrorCode::Timeout,
            message: format!("{name} did not answer within {} seconds", DEADLINE.as_secs()),
            params: std::collections::BTreeMap::new(),
        })
    }))
}

/// How to reach the jump host with this id, through its own jump hosts.
async fn jump_spec(state: &ApiState, id: Option<ServerId>) -> ApiResult<Option<Box<ConnectSpec>>> {
    let Some(first) = id else { return Ok(None) };
    let targets = state.store.targets().await?;
    let authorities = state.store.host_authorities().await?;
    // From the nearest hop to the farthest, then nested the other way round.
    let mut hops: Vec<&(Server, SshCredential)> = Vec::new();
    let mut next = Some(first);
    while let Some(id) = next {
        let hop = targets
            .iter()
            .find(|(server, _)| server.id == id)
            .ok_or_else(|| ApiError::field("jump_server_id", Some(id.0.into()), Fault::no_such_server()))?;
        if hops.len() == MOST_JUMPS || hops.iter().any(|(server, _)| server.id == id) {
            return Err(ApiError::field(
                "jump_server_id",
                Some(first.0.into()),
                Fault::jump_circle(MOST_JUMPS),
            ));
        }
        hops.push(hop);
        next = hop.0.spec.jump_server_id;
    }
    let mut spec = None;
    for (server, credential) in hops.into_iter().rev() {
        spec = Some(Box::new(connect_spec(
            server,
            credential.clone(),
            &authorities,
            spec,
        )));
    }
    Ok(spec)
}

fn connect_spec(
    server: &Server,
    credential: SshCredential,
    authorities: &[HostAuthority],
    jump: Option<Box<ConnectSpec>>,
) -> ConnectSpec {
    ConnectSpec {
        name: server.spec.name.clone(),
        host: server.spec.ip.clone(),
        port: server.spec.ssh_port,
        user: server.login_name().to_owned(),
        credential,
        expected_host_key: server.host_key.clone(),
        authorities: authorities_for(authorities, &server.spec.ip, server.spec.ssh_port),
        jump,
    }
}

/// Address, port and jump host of a request.
fn endpoint(form: &mut Form) -> (Option<String>, u16, Option<ServerId>) {
    let ip = form.text("ip", 1..=253);
    let ip = server_form::check_host(form, "ip", ip);
    let ip = form.require("ip", ip);
    let port = form.integer("ssh_port", 1..=65535).or(22);
    let jump = form.integer("jump_server_id", 1..=i64::MAX).map(ServerId).value();
    (ip, port, jump)
}

/// Try to reach a node before it is enrolled
///
/// Connects, logs in and runs the probe once, within 10 s. Nothing is stored.
#[utoipa::path(post, path = "/api/servers/test", tag = "servers", request_body = TestRequest,
    responses((status = 200, body = TestAnswer)))]
pub(crate) async fn test_new(
    State(state): State<ApiState>,
    Body(mut form): Body,
) -> ApiResult<Json<TestAnswer>> {
    let (host, port, jump) = endpoint(&mut form);
    let user = server_form::ssh_user(&mut form);
    let secrets = server_form::secrets(&mut form);
    let user = match secrets.credential {
        Given::Value(_) => user.value(),
        _ => form.require("ssh_user", user),
    };
    let expected_host_key = server_form::host_key(&mut form, "host_key");
    let server_id = form.integer("server_id", 1..=i64::MAX).value();
    form.finish()?;

    let host = given(host)?;
    let mut stored = SshCredential::default();
    let mut shared_before = None;
    if let Some(id) = server_id {
        let server = find(&state, id).await?;
        let spec = &server.spec;
        // Stored secrets go only where they go anyway: a form with another address must bring its own.
        if (&spec.ip, spec.ssh_port, spec.jump_server_id) == (&host, port, jump) {
            shared_before = spec.credential_id;
            if shared_before.is_none() {
                stored = stored_credential(&state, server.id).await?;
            }
        }
    }
    let (credential, user) = match secrets.credential_over(shared_before) {
        Some(id) => shared_login(&state, id, user).await?,
        None => {
            let credential = secrets.over(&stored);
            server_form::check_key(&credential, &secrets).await?;
            let user = user.ok_or_else(|| ApiError::field("ssh_user", None, Fault::required()))?;
            (credential, user)
        }
    };
    let authorities = state.store.host_authorities().await?;
    let spec = ConnectSpec {
        name: host.clone(),
        authorities: authorities_for(&authorities, &host, port),
        host,
        port,
        user,
        credential,
        expected_host_key,
        jump: jump_spec(&state, jump).await?,
    };
    let outcome = reach(&state, &spec.name, collect::test(&state.collect.config, &spec)).await?;
    Ok(Json(outcome.into()))
}

/// A shared credential, and whom to log in as with it.
async fn shared_login(
    state: &ApiState,
    id: CredentialId,
    user: Option<String>,
) -> ApiResult<(SshCredential, String)> {
    let missing = || ApiError::field("credential_id", Some(id.0.into()), Fault::no_such_credential());
    let known = state.store.credential(id).await?.ok_or_else(missing)?;
    let secrets = state.store.credential_secrets(id).await?.ok_or_else(missing)?;
    let user = user.unwrap_or(known.spec.ssh_user);
    if user.is_empty() {
        return Err(ApiError::field("ssh_user", None, Fault::required()));
    }
    Ok((secrets, user))
}

/// Ask a node for its host key
///
/// Sends no credential to it. Within 10 s.
#[utoipa::path(post, path = "/api/servers/host-key", tag = "servers", request_body = HostKeyRequest,
    responses((status = 200, body = HostKeyAnswer)))]
pub(crate) async fn host_key(
    State(state): State<ApiState>,
    Body(mut form): Body,
) -> ApiResult<Json<HostKeyAnswer>> {
    let (host, port, jump) = endpoint(&mut form);
    form.finish()?;
    let host = given(host)?;
    let jump = jump_spec(&state, jump).await?;
    let authorities = authorities_for(&state.store.host_authorities().await?, &host, port);
    let work = collect::fetch_host_key(&state.collect.config, &host, port, jump.as_deref(), authorities);
    let answer = match reach(&state, &host, work).await? {
        Ok(seen) => HostKeyAnswer {
            host_key: Some(seen.host_key),
            host_certificate: seen.host_certificate,
            error: None,
        },
        Err(error) => HostKeyAnswer {
            host_key: None,
            host_certificate: None,
            error: Some(error),
        },
    };
    Ok(Json(answer))
}

/// Try to reach an enrolled server
///
/// Connects on its own, logs in and runs the probe once, within 10 s.
#[utoipa::path(post, path = "/api/servers/{id}/test", tag = "servers", params(("id" = i64, Path)),
    responses((status = 200, body = TestAnswer)))]
pub(crate) async fn test_server(State(state): State<ApiState>, Id(id): Id) -> ApiResult<Json<TestAnswer>> {
    let server = find(&state, id).await?;
    if server.spec.transport == Transport::Local {
        return Err(ApiError::conflict(
            "local_server",
            "this is the hub's own machine: it is read directly, there is no connection to test",
        ));
    }
    let credential = stored_credential(&state, server.id).await?;
    let jump = jump_spec(&state, server.spec.jump_server_id).await?;
    let authorities = state.store.host_authorities().await?;
    let spec = connect_spec(&server, credential, &authorities, jump);
    let outcome = reach(&state, &spec.name, collect::test(&state.collect.config, &spec)).await?;
    Ok(Json(outcome.into()))
}

/// Accept a host key for an enrolled server
///
/// For a key that changed: collection stands still until a person has looked at the new one.
#[utoipa::path(post, path = "/api/servers/{id}/host-key", tag = "servers", params(("id" = i64, Path)),
    request_body = AcceptHostKeyRequest, responses((status = 200, body = ServerView)))]
pub(crate) async fn accept_host_key(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
    Body(mut form): Body,
) -> ApiResult<Json<ServerView>> {
    let key = server_form::host_key(&mut form, "public_key");
    if key.is_none() && !form.is_refused("public_key") {
        form.refuse("public_key", Fault::required());
    }
    form.finish()?;
    let key = given(key)?;
    let server = find(&state, id).await?;
    state
        .store
        .set_host_key(server.id, Some(&key), &caller.actor(), Timestamp::now())
        .await?;
    tell(&state).await;
    Ok(Json(view(&state, &find(&state, id).await?)))
}

/// Collect from one server at once
#[utoipa::path(post, path = "/api/servers/{id}/refresh", tag = "servers", params(("id" = i64, Path)),
    responses((status = 202, body = RefreshAnswer)))]
pub(crate) async fn refresh_server(
    State(state): State<ApiState>,
    Id(id): Id,
) -> ApiResult<(StatusCode, Json<RefreshAnswer>)> {
    let server = find(&state, id).await?;
    start(&state, Refresh::One(server.id))
}

/// Collect from every server at once
#[utoipa::path(post, path = "/api/refresh", tag = "servers", responses((status = 202, body = RefreshAnswer)))]
pub(crate) async fn refresh_all(
    State(state): State<ApiState>,
) -> ApiResult<(StatusCode, Json<RefreshAnswer>)> {
    // Whoever comes within a second of another one gets that one's collection.
    if state.refresh_pace.is_due(Instant::now()) {
        return start(&state, Refresh::All);
    }
    Ok((StatusCode::ACCEPTED, Json(RefreshAnswer { started: true })))
}

fn start(state: &ApiState, which: Refresh) -> ApiResult<(StatusCode, Json<RefreshAnswer>)> {
    if !state.collect.refresh(which) {
        return Err(ApiError::unavailable("shutting_down", "the hub is shutting down"));
    }
    Ok((StatusCode::ACCEPTED, Json(RefreshAnswer { started: true })))
}
