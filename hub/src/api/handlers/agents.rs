//! Agents: tokens to enrol with, those that are enrolled, those that wait, and what they install.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        access::Caller,
        client::{Client, requested_host},
        dto::agents::{
            AgentAuthority, AgentTokenRequest, AgentTokenView, AgentView, NewAgentTokenAnswer,
            PendingAgentView,
        },
        error::{ApiError, ApiResult},
        extract::{Body, Id},
        fault::Fault,
        install,
        state::ApiState,
    },
    model::{
        AgentId, ServerId, Timestamp, Transport,
        agent::{AgentTokenSpec, Decision},
    },
    store::{TokenHash, random_token},
};

/// How every enrolment token begins.
pub const AGENT_TOKEN_PREFIX: &str = "gde_";
/// How long a token works when nobody says otherwise.
const USUAL_LIFE_MS: i64 = 3_600_000;
const TRANSPORTS: [(&str, Transport); 2] = [("agent", Transport::Agent), ("auto", Transport::Auto)];

/// Where people reach the hub: as configured, or as this request did.
fn base_url(state: &ApiState, client: Client, headers: &HeaderMap, uri: &Uri) -> ApiResult<String> {
    if let Some(url) = &state.settings.public_url {
        return Ok(url.clone());
    }
    let is_plain = |host: &String| {
        host.chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c))
    };
    let host = requested_host(headers, uri)
        .filter(is_plain)
        .ok_or_else(|| ApiError::bad_request("the request names no host: set http.public_url on the hub"))?;
    let scheme = if client.https { "https" } else { "http" };
    Ok(format!("{scheme}://{host}"))
}

/// Enrolment tokens, without the tokens themselves, newest first
#[utoipa::path(get, path = "/api/agent-tokens", tag = "agents",
    responses((status = 200, body = Vec<AgentTokenView>)))]
pub(crate) async fn list_agent_tokens(State(state): State<ApiState>) -> ApiResult<Json<Vec<AgentTokenView>>> {
    let tokens = state.store.agent_tokens().await?;
    Ok(Json(tokens.into_iter().map(AgentTokenView::from).collect()))
}

/// Make an enrolment token
///
/// Answers the one line to run on each machine. The only time the token is shown.
#[utoipa::path(post, path = "/api/agent-tokens", tag = "agents", request_body = AgentTokenRequest,
    responses((status = 201, body = NewAgentTokenAnswer)))]
pub(crate) async fn create_agent_token(
    State(state): State<ApiState>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    uri: Uri,
    Body(mut form): Body,
) -> ApiResult<(StatusCode, Json<NewAgentTokenAnswer>)> {
    let now = Timestamp::now();
    let name = form.text("name", 1..=100).value();
    let uses = form.integer("uses", 1..=100_000u32).or(1);
    let expires_at = form.moment("expires_at").or(now.plus_millis(USUAL_LIFE_MS));
    if expires_at <= now {
        form.refuse("expires_at", Fault::in_the_past());
    }
    let tags = form.texts("tags", 32, 1..=50).or(Vec::new());
    let group = form
        .text("group", 0..=100)
        .value()
        .filter(|group| !group.is_empty());
    let transport = form.choice("transport", &TRANSPORTS).or(Transport::Agent);
    let server_id = form.integer("server_id", 1..=i64::MAX).value().map(ServerId);
    form.finish()?;
    let base_url = base_url(&state, client, &headers, &uri)?;
    let spec = AgentTokenSpec {
        name: name.unwrap_or_else(|| now.to_string()),
        uses,
        expires_at,
        tags,
        group,
        transport,
        server_id,
    };
    let token = random_token(AGENT_TOKEN_PREFIX)?;
    let info = state
        .store
        .create_agent_token(&spec, TokenHash::of(token.expose()), &caller.actor(), now)
        .await?;
    let agents = agents_to_hand_out(&state).await?;
    let script = install::script(&base_url, &agents);
    let answer = NewAgentTokenAnswer {
        command: install::command(&state.settings.agents, &base_url, &script, token.expose()),
        token: token.expose().to_owned(),
        expires_at,
        architectures: agents.into_iter().map(|(name, _)| name).collect(),
        info: info.into(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Remove an enrolment token; agents that enrolled with it stay
#[utoipa::path(delete, path = "/api/agent-tokens/{id}", tag = "agents", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_agent_token(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    let store = &state.store;
    if !store
        .delete_agent_token(id, &caller.actor(), Timestamp::now())
        .await?
    {
        return Err(ApiError::not_found("enrolment token", id));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Where agents and other programs reach gRPC, and the authority they trust
#[utoipa::path(get, path = "/api/agents/authority", tag = "agents",
    responses((status = 200, body = AgentAuthority)))]
pub(crate) async fn agent_authority(
    State(state): State<ApiState>,
    client: Client,
    headers: HeaderMap,
    uri: Uri,
) -> ApiResult<Json<AgentAuthority>> {
    let settings = &state.settings.agents;
    let base_url = base_url(&state, client, &headers, &uri)?;
    Ok(Json(AgentAuthority {
        address: settings.address(&base_url),
        sha256: settings.authority_sha256.clone(),
        certificate_pem: settings.authority_pem(),
    }))
}

/// Enrolled agents
#[utoipa::path(get, path = "/api/agents", tag = "agents", responses((status = 200, body = Vec<AgentView>)))]
pub(crate) async fn list_agents(State(state): State<ApiState>) -> ApiResult<Json<Vec<AgentView>>> {
    let agents = state.store.agents().await?;
    let views = agents.into_iter().map(|agent| {
        let live = state.agent_board.get(agent.id);
        AgentView::new(agent, live)
    });
    Ok(Json(views.collect()))
}

/// Revoke an agent: its stream is cut, and it does not come back
///
/// Its server and what was measured stay.
#[utoipa::path(post, path = "/api/agents/{id}/revoke", tag = "agents", params(("id" = i64, Path)),
    responses((status = 204, description = "Revoked")))]
pub(crate) async fn revoke_agent(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    let store = &state.store;
    if !store
        .revoke_agent(AgentId(id), &caller.actor(), Timestamp::now())
        .await?
    {
        return Err(ApiError::not_found("agent", id));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Machines that look like a server that is there, and wait for a person
#[utoipa::path(get, path = "/api/agents/pending", tag = "agents",
    responses((status = 200, body = Vec<PendingAgentView>)))]
pub(crate) async fn list_pending_agents(
    State(state): State<ApiState>,
) -> ApiResult<Json<Vec<PendingAgentView>>> {
    let pending = state.store.pending_agents().await?;
    Ok(Json(pending.into_iter().map(PendingAgentView::from).collect()))
}

/// It is that server: its agent takes the place of the one before
#[utoipa::path(post, path = "/api/agents/pending/{id}/merge", tag = "agents", params(("id" = i64, Path)),
    responses((status = 204, description = "Carried out when the machine next asks")))]
pub(crate) async fn merge_agent(State(state): State<ApiState>, Id(id): Id) -> ApiResult<StatusCode> {
    decide(&state, id, Decision::Merge).await
}

/// It is another machine: it becomes a server of its own
#[utoipa::path(post, path = "/api/agents/pending/{id}/separate", tag = "agents", params(("id" = i64, Path)),
    responses((status = 204, description = "Carried out when the machine next asks")))]
pub(crate) async fn separate_agent(State(state): State<ApiState>, Id(id): Id) -> ApiResult<StatusCode> {
    decide(&state, id, Decision::Separate).await
}

/// It may not enrol
#[utoipa::path(post, path = "/api/agents/pending/{id}/reject", tag = "agents", params(("id" = i64, Path)),
    responses((status = 204, description = "Told when the machine next asks")))]
pub(crate) async fn reject_agent(State(state): State<ApiState>, Id(id): Id) -> ApiResult<StatusCode> {
    decide(&state, id, Decision::Reject).await
}

async fn decide(state: &ApiState, id: i64, decision: Decision) -> ApiResult<StatusCode> {
    if !state.store.decide_pending_agent(id, decision).await? {
        return Err(ApiError::not_found("waiting machine", id));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The script that the one line runs.
pub(crate) async fn install_script(
    State(state): State<ApiState>,
    client: Client,
    headers: HeaderMap,
    uri: Uri,
) -> ApiResult<Response> {
    let base_url = base_url(&state, client, &headers, &uri)?;
    let agents = agents_to_hand_out(&state).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, install::script(&base_url, &agents)).into_response())
}

/// An agent, by the architecture it is for (as `uname -m`).
pub(crate) async fn agent_binary(
    State(state): State<ApiState>,
    Path(architecture): Path<String>,
) -> ApiResult<Response> {
    let wanted = architecture.clone();
    let binaries = std::sync::Arc::clone(&state.agent_binaries);
    let found = tokio::task::spawn_blocking(move || binaries.get(&wanted))
        .await
        .map_err(|error| ApiError::internal(&error))?;
    let Some(binary) = found else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no_agent",
            format!(
                "this hub has no agent for {architecture:?}: put gander-agent-ARCHITECTURE into the directory of grpc.agent_directory (GANDER_AGENT_DIRECTORY), or gander-agent beside the hub's program"
            ),
        ));
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (HeaderName::from_static("x-sha256"), binary.sha256.clone()),
    ];
    Ok((headers, binary.bytes.clone()).into_response())
}

async fn agents_to_hand_out(state: &ApiState) -> ApiResult<Vec<(String, std::sync::Arc<install::Binary>)>> {
    let binaries = std::sync::Arc::clone(&state.agent_binaries);
    tokio::task::spawn_blocking(move || binaries.all())
        .await
        .map_err(|error| ApiError::internal(&error))
}
