//! Keys the hub logs in with over SSH, and what they may do where.

use axum::{Json, extract::State};

use crate::{
    api::{
        dto::probe::{HubKeyView, KeyOwner, SshView},
        error::{ApiError, ApiResult},
        extract::Id,
        handlers::servers::{find, stored_credential},
        state::ApiState,
    },
    collect::{HubKey, KeyInfo, lock, parse_private_key},
    model::{Secret, Transport},
};

fn own_key(state: &ApiState) -> ApiResult<&HubKey> {
    let key = state.collect.config.hub_key.as_ref();
    key.ok_or_else(|| ApiError::unavailable("no_hub_key", "the hub has no key of its own yet"))
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
    let key_in_use = credential.password.is_none() || credential.private_key.is_some();
    let own = own_key(&state)?.info().clone();
    let (key_owner, key) = match credential.private_key {
        None => (KeyOwner::Hub, own),
        Some(key) => {
            // Opening a key with a passphrase is made slow on purpose.
            let read = tokio::task::spawn_blocking(move || {
                parse_private_key(key.expose(), credential.passphrase.as_ref().map(Secret::expose))
            });
            let read = read.await.map_err(|error| ApiError::internal(&error))?;
            let read = read.map_err(|error| ApiError::conflict("key_unreadable", error.message))?;
            (KeyOwner::Server, read)
        }
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
        session,
    }))
}
