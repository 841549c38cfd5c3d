//! Shared credentials: one log-in of many servers, rotated in one place.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        access::Caller,
        credential_form::{self, Base, CredentialDraft},
        dto::credential::{CredentialPatchRequest, CredentialRequest, CredentialView},
        error::{ApiError, ApiResult},
        extract::{Body, Id},
        fault::{Fault, FieldCode},
        form::{Form, given},
        handlers::servers::tell,
        state::ApiState,
    },
    collect::{lock, parse_user_certificate},
    model::{Credential, CredentialId, HostKey, Timestamp, credential::CredentialKind},
};

/// A credential as clients see it.
fn view(state: &ApiState, credential: Credential) -> CredentialView {
    let hub_key = || {
        let info = state.collect.config.hub_key.as_ref()?.info().clone();
        Some(HostKey {
            algorithm: info.algorithm,
            fingerprint: info.fingerprint,
            public_key: info.public_key,
        })
    };
    let key = match credential.spec.kind {
        CredentialKind::HubKey => hub_key(),
        _ => credential.public_key,
    };
    CredentialView {
        id: credential.id,
        name: credential.spec.name,
        kind: credential.spec.kind,
        ssh_user: credential.spec.ssh_user,
        has_password: credential.has_password,
        has_passphrase: credential.has_passphrase,
        authorise_command: key.as_ref().map(|key| lock::authorise_command(&key.public_key)),
        key,
        agent_key: credential.spec.agent_key,
        certificate: credential
            .certificate
            .and_then(|text| parse_user_certificate(&text, None).ok()),
        server_count: credential.servers.len(),
        server_ids: credential.servers,
        created_at: credential.created_at,
        updated_at: credential.updated_at,
    }
}

async fn find(state: &ApiState, id: i64) -> ApiResult<Credential> {
    let found = state.store.credential(CredentialId(id)).await?;
    found.ok_or_else(|| ApiError::not_found("credential", id))
}

/// All shared credentials, by name
///
/// With who uses them; without their secrets.
#[utoipa::path(get, path = "/api/credentials", tag = "servers",
    responses((status = 200, body = Vec<CredentialView>)))]
pub(crate) async fn list_credentials(State(state): State<ApiState>) -> ApiResult<Json<Vec<CredentialView>>> {
    let credentials = state.store.credentials().await?;
    Ok(Json(
        credentials
            .into_iter()
            .map(|credential| view(&state, credential))
            .collect(),
    ))
}

/// Make a shared credential
#[utoipa::path(post, path = "/api/credentials", tag = "servers", request_body = CredentialRequest,
    responses((status = 201, body = CredentialView), (status = 409, description = "The name is taken")))]
pub(crate) async fn create_credential(
    State(state): State<ApiState>,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<(StatusCode, Json<CredentialView>)> {
    let draft = credential_form::read(&mut form, Base::New);
    form.finish()?;
    let draft = given(draft)?;
    let now = Timestamp::now();
    let hub_key = state.collect.config.hub_key.as_ref();
    let secrets = draft.change(None, hub_key, now).await?;
    let made = state
        .store
        .create_credential(&draft.spec, &secrets, &caller.actor(), now)
        .await?;
    Ok((StatusCode::CREATED, Json(view(&state, made))))
}

/// One shared credential
#[utoipa::path(get, path = "/api/credentials/{id}", tag = "servers", params(("id" = i64, Path)),
    responses((status = 200, body = CredentialView)))]
pub(crate) async fn get_credential(
    State(state): State<ApiState>,
    Id(id): Id,
) -> ApiResult<Json<CredentialView>> {
    let credential = find(&state, id).await?;
    Ok(Json(view(&state, credential)))
}

/// Replace a shared credential's configuration
///
/// Fields left out take their defaults, except for secrets and the certificate, which stay.
#[utoipa::path(put, path = "/api/credentials/{id}", tag = "servers", request_body = CredentialRequest,
    params(("id" = i64, Path)), responses((status = 200, body = CredentialView)))]
pub(crate) async fn replace_credential(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
    Body(form): Body,
) -> ApiResult<Json<CredentialView>> {
    let stored = find(&state, id).await?;
    change(&state, &caller, form, &stored, Base::Replace(&stored)).await
}

/// Change or rotate a shared credential
///
/// Fields left out stay as they are. Every server that uses it is logged in to anew.
#[utoipa::path(patch, path = "/api/credentials/{id}", tag = "servers", request_body = CredentialPatchRequest,
    params(("id" = i64, Path)), responses((status = 200, body = CredentialView)))]
pub(crate) async fn patch_credential(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
    Body(form): Body,
) -> ApiResult<Json<CredentialView>> {
    let stored = find(&state, id).await?;
    change(&state, &caller, form, &stored, Base::Patch(&stored)).await
}

async fn change(
    state: &ApiState,
    caller: &Caller,
    mut form: Form,
    stored: &Credential,
    base: Base<'_>,
) -> ApiResult<Json<CredentialView>> {
    let draft = credential_form::read(&mut form, base);
    form.finish()?;
    let draft = given(draft)?;
    check_name_is_not_needed(state, stored, &draft).await?;
    let secrets = state.store.credential_secrets(stored.id).await?;
    let secrets = secrets.ok_or_else(|| ApiError::not_found("credential", stored.id))?;
    let now = Timestamp::now();
    let hub_key = state.collect.config.hub_key.as_ref();
    let secrets = draft.change(Some((stored, &secrets)), hub_key, now).await?;
    let changed = state
        .store
        .update_credential(stored.id, &draft.spec, &secrets, &caller.actor(), now)
        .await?;
    tell(state).await;
    Ok(Json(view(state, changed)))
}

/// Refuses to take the log-in name away from servers that have none of their own.
async fn check_name_is_not_needed(
    state: &ApiState,
    stored: &Credential,
    draft: &CredentialDraft,
) -> ApiResult<()> {
    if !draft.spec.ssh_user.is_empty() || stored.spec.ssh_user.is_empty() {
        return Ok(());
    }
    let servers = state.store.servers().await?;
    let needy = servers
        .iter()
        .find(|server| server.spec.credential_id == Some(stored.id) && server.spec.ssh_user.is_empty());
    match needy {
        None => Ok(()),
        Some(server) => Err(ApiError::field(
            "ssh_user",
            None,
            Fault::because(
                FieldCode::Invalid,
                format!(
                    "is needed by {}, which has no user name of its own: give it one first",
                    server.spec.name
                ),
            ),
        )),
    }
}

/// Remove a shared credential
///
/// Refused while servers use it; the error names them.
#[utoipa::path(delete, path = "/api/credentials/{id}", tag = "servers", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed"), (status = 409, description = "Servers use it")))]
pub(crate) async fn delete_credential(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    let gone = state
        .store
        .delete_credential(CredentialId(id), &caller.actor(), Timestamp::now())
        .await?;
    if !gone {
        return Err(ApiError::not_found("credential", id));
    }
    Ok(StatusCode::NO_CONTENT)
}
