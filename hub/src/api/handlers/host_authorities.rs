//! Host authorities: who vouches for host keys with certificates, and which keys are revoked.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        access::Caller,
        dto::credential::{HostAuthorityPatchRequest, HostAuthorityRequest, HostAuthorityView},
        error::{ApiError, ApiResult},
        extract::{Body, Id},
        fault::{Fault, FieldCode},
        form::{Form, Given},
        server_form,
        state::ApiState,
    },
    model::{
        Timestamp,
        host_authority::{HostAuthorityId, HostAuthoritySpec, MOST_PATTERN_BYTES, check_patterns},
    },
};

/// A `known_hosts` file of this size has thousands of lines.
const MOST_KNOWN_HOSTS_BYTES: usize = 1024 * 1024;

/// All host authorities and revoked keys, in the order they were entered
#[utoipa::path(get, path = "/api/host-authorities", tag = "servers",
    responses((status = 200, body = Vec<HostAuthorityView>)))]
pub(crate) async fn list_host_authorities(
    State(state): State<ApiState>,
) -> ApiResult<Json<Vec<HostAuthorityView>>> {
    let authorities = state.store.host_authorities().await?;
    Ok(Json(authorities.iter().map(HostAuthorityView::from).collect()))
}

fn patterns(form: &mut Form) -> Given<String> {
    match form.text("patterns", 0..=MOST_PATTERN_BYTES) {
        Given::Value(text) => match check_patterns(&text) {
            Ok(()) => Given::Value(text.to_ascii_lowercase()),
            Err(reason) => {
                form.refuse("patterns", Fault::because(FieldCode::KnownHosts, reason));
                Given::Absent
            }
        },
        given => given,
    }
}

/// What a request enters: the marked lines of a file, or one key by its fields.
fn read(form: &mut Form) -> Vec<HostAuthoritySpec> {
    let text = form.lines("known_hosts", MOST_KNOWN_HOSTS_BYTES).value();
    let key = server_form::host_key(form, "public_key");
    let patterns = patterns(form).or("*".to_owned());
    let revoked = form.boolean("revoked").or(false);
    let comment = form.text("comment", 0..=200).or(String::new());
    match (text, key) {
        (Some(_), Some(_)) => {
            form.refuse(
                "public_key",
                Fault::not_together("known_hosts", "cannot be given together with known_hosts"),
            );
            Vec::new()
        }
        (Some(text), None) => match HostAuthoritySpec::parse_known_hosts(&text) {
            Ok(specs) if specs.is_empty() => {
                let reason = "has no line that begins with @cert-authority or @revoked";
                form.refuse_secret("known_hosts", Fault::because(FieldCode::KnownHosts, reason));
                Vec::new()
            }
            Ok(specs) => specs,
            Err(reason) => {
                form.refuse_secret("known_hosts", Fault::because(FieldCode::KnownHosts, reason));
                Vec::new()
            }
        },
        (None, Some(public_key)) => vec![HostAuthoritySpec {
            public_key,
            patterns,
            revoked,
            comment,
        }],
        (None, None) => {
            form.refuse_once(
                "public_key",
                Fault::required_unless("known_hosts", "there is known_hosts"),
            );
            Vec::new()
        }
    }
}

/// Enter host authorities
///
/// One key with its host patterns, or every marked line of a `known_hosts` file: all of them, or none.
#[utoipa::path(post, path = "/api/host-authorities", tag = "servers", request_body = HostAuthorityRequest,
    responses((status = 201, body = Vec<HostAuthorityView>), (status = 409, description = "A key is entered already")))]
pub(crate) async fn create_host_authorities(
    State(state): State<ApiState>,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<(StatusCode, Json<Vec<HostAuthorityView>>)> {
    let specs = read(&mut form);
    form.finish()?;
    let entered = state
        .store
        .create_host_authorities(&specs, &caller.actor(), Timestamp::now())
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(entered.iter().map(HostAuthorityView::from).collect()),
    ))
}

/// Change for which hosts an authority counts, or revoke it
///
/// Fields left out stay as they are.
#[utoipa::path(patch, path = "/api/host-authorities/{id}", tag = "servers", request_body = HostAuthorityPatchRequest,
    params(("id" = i64, Path)), responses((status = 200, body = HostAuthorityView)))]
pub(crate) async fn patch_host_authority(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
    Body(mut form): Body,
) -> ApiResult<Json<HostAuthorityView>> {
    let stored = state.store.host_authorities().await?;
    let stored = stored.into_iter().find(|authority| authority.id.0 == id);
    let stored = stored.ok_or_else(|| ApiError::not_found("host authority", id))?;
    let spec = &stored.spec;
    let patterns = patterns(&mut form);
    let patterns = form
        .not_null("patterns", patterns)
        .unwrap_or(spec.patterns.clone());
    let revoked = form.boolean("revoked");
    let revoked = form.not_null("revoked", revoked).unwrap_or(spec.revoked);
    let comment = form.text("comment", 0..=200);
    let comment = form.not_null("comment", comment).unwrap_or(spec.comment.clone());
    form.finish()?;
    let changed = state
        .store
        .update_host_authority(
            HostAuthorityId(id),
            &patterns,
            revoked,
            &comment,
            &caller.actor(),
            Timestamp::now(),
        )
        .await?;
    Ok(Json(HostAuthorityView::from(&changed)))
}

/// Remove a host authority
///
/// Hosts it vouched for are connected to anew, and must prove a pinned key then.
#[utoipa::path(delete, path = "/api/host-authorities/{id}", tag = "servers", params(("id" = i64, Path)),
    responses((status = 204, description = "Removed")))]
pub(crate) async fn delete_host_authority(
    State(state): State<ApiState>,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<StatusCode> {
    let gone = state
        .store
        .delete_host_authority(HostAuthorityId(id), &caller.actor(), Timestamp::now())
        .await?;
    if !gone {
        return Err(ApiError::not_found("host authority", id));
    }
    Ok(StatusCode::NO_CONTENT)
}
