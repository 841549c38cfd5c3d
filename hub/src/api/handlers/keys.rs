//! Keys the hub logs in with over SSH, and what they may do where.

use axum::{Json, extract::State};

use crate::{
    api::{
        dto::probe::{HubKeyView, KeyOwner, SshAgentKey, SshAgentView, SshView},
        error::{ApiError, ApiResult},
        extract::Id,
        handlers::servers::{find, stored_credential},
        state::ApiState,
    },
    collect::{HubKey, KeyInfo, agent_keys, lock, parse_private_key, parse_user_certificate},
    model::{CollectError, Secret, Transport, credential::KeySource},
};

fn own_key(state: &ApiState) -> ApiResult<&HubKey> {
    let key = state.collect.config.hub_key.as_ref();
    key.ok_or_else(|| ApiError::unavailable("no_hub_key", "the hub has no key of its own yet"))
}

/// Reads a private key. Opening one with a passphrase is made slow on purpose.
pub(in crate::api) async fn read_key(
    key: Secret,
    passphrase: Option<Secret>,
) -> ApiResult<Result<KeyInfo, CollectError>> {
    tokio::task::spawn_blocking(move || {
        parse_private_key(key.expose(), passphrase.as_ref().map(Secret::expose))
    })
    .await
    .map_err(|error| ApiError::internal(&error))
}

/// The key in the ssh-agent that a credential means: the chosen one, or the first it holds.
async fn agent_key(state: &ApiState, chosen: Option<&str>) -> ApiResult<KeyInfo> {
    let keys = agent_keys(&state.collect.config)
        .await
        .map_err(|error| ApiError::conflict("ssh_agent", error.message))?;
    let found = keys
        .into_iter()
        .find(|held| chosen.is_none_or(|chosen| chosen == held.key.fingerprint));
    found.map(|held| held.key).ok_or_else(|| {
        ApiError::conflict(
            "ssh_agent",
            format!(
                "the ssh-agent of the hub holds no key {}: add it with ssh-add",
                chosen.unwrap_or("at all")
            ),
        )
    })
}

/// The keys in the ssh-agent beside the hub
///
/// For choosing the one a shared credential of kind `agent` takes.
#[utoipa::path(get, path = "/api/ssh-agent", tag = "servers", responses((status = 200, body = SshAgentView)))]
pub(crate) async fn ssh_agent(State(state): State<ApiState>) -> ApiResult<Json<SshAgentView>> {
    let config = &state.collect.config;
    let (keys, error) = match agent_keys(config).await {
        Ok(keys) => (keys, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let keys = keys.into_iter().map(|held| SshAgentKey {
        algorithm: held.key.algorithm,
        fingerprint: held.key.fingerprint,
        public_key: held.key.public_key,
        comment: held.comment,
        has_certificate: held.has_certificate,
    });
    Ok(Json(SshAgentView {
        socket: config
            .agent_socket
            .as_ref()
            .map(|path| path.display().to_string()),
        keys: keys.collect(),
        error,
    }))
}

/// The hub's own SSH key
///
/// Its public half, and the line that lets it in on a server.
#[utoipa::path(get, path = "/api/hub-key", tag = "servers", responses((status = 200, body = HubKeyView)))]
pub(crate) async fn hub_key(State(state): State<ApiState>) -> ApiResult<Json<HubKeyView>> {
    let KeyInfo {
        public_key,
        fingerprint,
        ..
    } = own_key(&state)?.info().clone();
    Ok(Json(HubKeyView {
        authorise_command: lock::authorise_command(&public_key),
        public_key,
        fingerprint,
    }))
}

/// How the hub gets into a server over SSH
///
/// The session in force, the key, and how to lock that key on the server to reading values.
#[utoipa::path(get, path = "/api/servers/{id}/ssh", tag = "servers", params(("id" = i64, Path)),
    responses((status = 200, body = SshView)))]
pub(crate) async fn server_ssh(State(state): State<ApiState>, Id(id): Id) -> ApiResult<Json<SshView>> {
    let server = find(&state, id).await?;
    if server.spec.transport == Transport::Local {
        return Err(ApiError::conflict(
            "local_server",
            "this is the hub's own machine: it is read directly, not over SSH",
        ));
    }
    let credential = stored_credential(&state, server.id).await?;
    let key_in_use = credential.password.is_none() || credential.has_key();
    let is_shared = server.spec.credential_id.is_some();
    let certificate = credential
        .certificate
        .as_deref()
        .and_then(|text| parse_user_certificate(text, None).ok());
    let (key_owner, key) = match (&credential.key_source, credential.private_key.clone()) {
        (KeySource::Agent { fingerprint }, _) => {
            let key = agent_key(&state, fingerprint.as_deref()).await?;
            (KeyOwner::Agent, key)
        }
        (KeySource::Stored, Some(key)) => {
            let read = read_key(key, credential.passphrase.clone()).await?;
            let read = read.map_err(|error| ApiError::conflict("key_unreadable", error.message))?;
            let owner = if is_shared {
                KeyOwner::Credential
            } else {
                KeyOwner::Server
            };
            (owner, read)
        }
        (KeySource::Stored | KeySource::Hub, _) => (KeyOwner::Hub, own_key(&state)?.info().clone()),
    };
    let fleet = state.live.snapshot();
    let session = fleet
        .server(server.id)
        .and_then(|seen| seen.ssh.as_deref().cloned());
    let (from, software) = session.as_ref().map_or((None, ""), |session| {
        let from = session
            .seen_from
            .as_ref()
            .and_then(|address| address.parse().ok());
        (from, session.software.as_str())
    });
    let locked_line = lock::locked_line(&key.public_key, from, software);
    Ok(Json(SshView {
        key_owner,
        key_in_use,
        authorise_command: lock::authorise_command(&key.public_key),
        lock_script: lock::lock_script(&key.public_key, &locked_line),
        locked_line,
        public_key: key.public_key,
        fingerprint: key.fingerprint,
        certificate,
        session,
    }))
}
