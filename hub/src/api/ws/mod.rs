//! `/ws`: the live state of the fleet, first whole, then as changes.

use axum::{extract::State, response::Response};

use super::{
    dto::ws::Message,
    error::{ApiError, ApiResult},
    state::ApiState,
};

/// The live state of the fleet, over a WebSocket
///
/// First one `initial`, then a `delta` after every commit. The text `ping` is answered `pong`,
/// `refresh` collects from every server at once, `{"type":"watch","servers":[1,2]}` names the
/// servers looked at: they are read every second and come as `snapshot`.
#[utoipa::path(get, path = "/ws", tag = "live",
    responses((status = 101, description = "Switched to WebSocket; messages are JSON text", body = Message<'static>)))]
pub(crate) async fn upgrade(State(_state): State<ApiState>) -> ApiResult<Response> {
    Err(ApiError::not_yet())
}
