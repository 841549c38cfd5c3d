//! `/ws`: the live state of the fleet, first whole, then as changes.

mod client;
mod feed;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::StatusCode,
    response::Response,
};

use super::{
    access::{Caller, Identity},
    dto::ws::Message,
    error::{ApiError, ApiResult},
    state::ApiState,
};

pub(super) use feed::FeedHandle;
pub use feed::{Directory, Feed, encode_delta, encode_initial};

/// WebSockets of all users together.
const MOST_CONNECTIONS: usize = 1000;
/// WebSockets of one user or API token: some browser windows, a wall screen, a script.
const MOST_PER_CALLER: usize = 20;
/// The largest message a client may send: a watch request is some hundred bytes.
const MOST_MESSAGE_BYTES: usize = 16 * 1024;

/// The live state of the fleet, over a WebSocket
///
/// First one `initial`, then a `delta` after every commit. The text `ping` is answered `pong`,
/// `refresh` collects from every server at once, `{"type":"watch","servers":[1,2]}` names the
/// servers looked at: they are read every second and come as `snapshot`.
#[utoipa::path(get, path = "/ws", tag = "live",
    responses((status = 101, description = "Switched to WebSocket; messages are JSON text", body = Message<'static>)))]
pub(in crate::api) async fn upgrade(
    State(state): State<ApiState>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let upgrade = upgrade.map_err(|_| {
        ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this address speaks WebSocket only",
        )
    })?;
    if state.shutdown.is_cancelled() {
        return Err(ApiError::unavailable("shutting_down", "the hub is shutting down"));
    }
    let place = state.connections.take(&caller)?;
    Ok(upgrade
        .max_message_size(MOST_MESSAGE_BYTES)
        .max_frame_size(MOST_MESSAGE_BYTES)
        .on_upgrade(move |socket| {
            let sockets = state.sockets.clone();
            sockets.track_future(async move {
                client::serve(socket, state, caller).await;
                drop(place);
            })
        }))
}

/// Who a connection counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    User(i64),
    Token(i64),
}

/// How many WebSockets there are.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<HashMap<Holder, usize>>>);

impl Connections {
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().values().sum()
    }

    fn take(&self, caller: &Caller) -> ApiResult<Place> {
        let holder = match &caller.identity {
            Identity::User(user) => Holder::User(user.id.0),
            Identity::Token(token) => Holder::Token(token.id),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.values().sum::<usize>() >= MOST_CONNECTIONS;
        let count = counts.entry(holder).or_default();
        if full || *count >= MOST_PER_CALLER {
            let message = format!("{count} live connections are open for you: close a window, then reload");
            return Err(ApiError::too_many("too_many_connections", message, 30));
        }
        *count += 1;
        Ok(Place {
            connections: self.clone(),
            holder,
        })
    }
}

/// A connection's place in the count.
struct Place {
    connections: Connections,
    holder: Holder,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.holder);
            }
        }
    }
}
