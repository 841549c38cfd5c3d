//! Events: the record of what happened and who did it.

use axum::{
    Json,
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};

use crate::{
    api::{
        access::Caller, dto::event::EventView, error::ApiResult, extract::Query, fault::Fault,
        handlers::metrics::server_field, paging, state::ApiState,
    },
    model::{EventKind, Role},
    store::{EventQuery, StoredEvent},
};

/// Events, newest first
///
/// A plain array; further pages by the `Link` header (`rel="next"`).
#[utoipa::path(get, path = "/api/events", tag = "alerts",
    params(
        ("server_id" = Option<i64>, Query, description = "Of one server"),
        ("kind" = Option<String>, Query, description = "Of one kind, e.g. server_offline"),
        ("limit" = Option<u32>, Query, description = "At most this many, 1 to 1,000 (default 100)"),
        ("cursor" = Option<String>, Query, description = "From the Link header of the page before"),
    ),
    responses((status = 200, body = Vec<EventView>)))]
pub(crate) async fn list_events(
    State(state): State<ApiState>,
    caller: Caller,
    uri: Uri,
    Query(mut form): Query,
) -> ApiResult<Response> {
    let server_id = server_field(&mut form);
    let kind = form.text("kind", 1..=40).value().and_then(|name| {
        let kind: Option<EventKind> = serde_json::from_value(name.as_str().into()).ok();
        if kind.is_none() {
            form.refuse(
                "kind",
                Fault::not_allowed(&name, "server_offline, alert_resolved, …"),
            );
        }
        kind
    });
    let limit = form.integer("limit", 1..=1000u32).or(100);
    let before = form.integer("cursor", 1..=i64::MAX).value();
    form.finish()?;
    let mut events = state
        .store
        .events(&EventQuery {
            server_id,
            kind,
            limit: limit + 1,
            before,
        })
        .await?;
    let next = paging::cut(&mut events, limit, |stored| stored.id);
    let views: Vec<EventView> = events
        .into_iter()
        .map(|stored| view(stored, caller.role()))
        .collect();
    Ok((paging::link_header(&uri, next.as_deref()), Json(views)).into_response())
}

/// Where people log in from is for admins.
fn view(stored: StoredEvent, role: Role) -> EventView {
    let event = stored.event;
    let is_private = matches!(event.kind, EventKind::LoggedIn | EventKind::LoginFailed) && role < Role::Admin;
    EventView {
        id: stored.id,
        at: event.at,
        kind: event.kind,
        server_id: event.server_id,
        actor: event.actor,
        details: if is_private {
            serde_json::json!({})
        } else {
            event.details
        },
    }
}
