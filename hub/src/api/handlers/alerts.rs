//! Alerts: looking at them, and resolving them by hand.

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        access::Caller,
        dto::alert::{AlertView, ResolveAnswer, ResolveRequest},
        error::{ApiError, ApiResult},
        extract::{Body, Id, Query},
        fault::Fault,
        handlers::metrics::{must_exist, server_field},
        paging,
        state::ApiState,
        words::language_of,
    },
    ingest::Resolve,
    model::{Alert, AlertId, Level, ServerId},
    store::AlertQuery,
};

/// The names of all servers, for alerts and sheets.
pub(super) async fn server_names(state: &ApiState) -> ApiResult<HashMap<ServerId, String>> {
    let servers = state.store.servers().await?;
    Ok(servers
        .into_iter()
        .map(|server| (server.id, server.spec.name))
        .collect())
}

/// The name of an alert's server; a server removed this very moment has none any more.
pub(super) fn name_of<'a>(names: &'a HashMap<ServerId, String>, alert: &Alert) -> &'a str {
    names.get(&alert.key.server_id).map_or("?", String::as_str)
}

/// Alerts, newest first
///
/// A plain array; further pages by the `Link` header (`rel="next"`).
#[utoipa::path(get, path = "/api/alerts", tag = "alerts",
    params(
        ("resolved" = Option<bool>, Query, description = "Only ended (true) or only open ones (false)"),
        ("server_id" = Option<i64>, Query, description = "Of one server"),
        ("level" = Option<String>, Query, description = "warning or critical"),
        ("limit" = Option<u32>, Query, description = "At most this many, 1 to 10,000 (default 1,000)"),
        ("cursor" = Option<String>, Query, description = "From the Link header of the page before"),
    ),
    responses((status = 200, body = Vec<AlertView>)))]
pub(crate) async fn list_alerts(
    State(state): State<ApiState>,
    uri: Uri,
    headers: HeaderMap,
    Query(mut form): Query,
) -> ApiResult<Response> {
    let resolved = form.boolean("resolved").value();
    let server_id = server_field(&mut form);
    let levels = [("warning", Level::Warning), ("critical", Level::Critical)];
    let level = form.choice("level", &levels).value();
    let limit = form.integer("limit", 1..=10_000u32).or(1000);
    let before = form.integer("cursor", 1..=i64::MAX).map(AlertId).value();
    form.finish()?;
    must_exist(&state, server_id).await?;
    let mut alerts = state
        .store
        .alerts(&AlertQuery {
            resolved,
            server_id,
            level,
            limit: limit + 1,
            before,
        })
        .await?;
    let next = paging::cut(&mut alerts, limit, |alert| alert.id.0);
    let names = server_names(&state).await?;
    let language = language_of(&headers);
    let views: Vec<AlertView> = alerts
        .iter()
        .map(|alert| AlertView::new(alert, name_of(&names, alert), language))
        .collect();
    Ok((paging::link_header(&uri, next.as_deref()), Json(views)).into_response())
}

/// Resolve one alert
///
/// It stays quiet until its condition clears or worsens. Resolving a resolved one changes nothing.
#[utoipa::path(post, path = "/api/alerts/{id}/resolve", tag = "alerts", params(("id" = i64, Path)),
    responses((status = 200, body = AlertView)))]
pub(crate) async fn resolve_alert(
    State(state): State<ApiState>,
    headers: HeaderMap,
    caller: Caller,
    Id(id): Id,
) -> ApiResult<Json<AlertView>> {
    let id = AlertId(id);
    let find = async || -> ApiResult<Alert> {
        let alert = state.store.alert(id).await?;
        alert.ok_or_else(|| ApiError::not_found("alert", id.0))
    };
    find().await?;
    state
        .ingest
        .resolve_alerts(Resolve::Ids(vec![id]), &caller.actor())
        .await?;
    let alert = find().await?;
    let names = server_names(&state).await?;
    Ok(Json(AlertView::new(
        &alert,
        name_of(&names, &alert),
        language_of(&headers),
    )))
}

/// Resolve several alerts, or all
#[utoipa::path(post, path = "/api/alerts/resolve", tag = "alerts", request_body = ResolveRequest,
    responses((status = 200, body = ResolveAnswer)))]
pub(crate) async fn resolve_alerts(
    State(state): State<ApiState>,
    caller: Caller,
    Body(mut form): Body,
) -> ApiResult<Json<ResolveAnswer>> {
    let ids = form.ids("ids", 1000).value();
    let all = form.boolean("all").or(false);
    match (&ids, all) {
        (Some(_), true) => form.refuse(
            "all",
            Fault::not_together("ids", "cannot be true together with ids"),
        ),
        (None, false) if form.is_clean() => form.refuse("ids", Fault::required_unless("all", "all is true")),
        _ => {}
    }
    form.finish()?;
    let which = match ids {
        Some(ids) => Resolve::Ids(ids.into_iter().map(AlertId).collect()),
        None => Resolve::All,
    };
    let resolved = state.ingest.resolve_alerts(which, &caller.actor()).await?;
    Ok(Json(ResolveAnswer {
        resolved: resolved.len() as u64,
    }))
}
