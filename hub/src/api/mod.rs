//! The HTTP interface: REST, WebSocket, documentation and the dashboard's files.
//!
//! Turns requests into calls of the store, live, ingest and collect, and their answers into DTOs.
//! No decision about a server is made here; no other module knows HTTP. Start reading at
//! [`routes`]: every route with who may call it.

pub mod dto;
pub mod error;
mod fault;
mod form;
pub mod install;
pub mod openapi;
pub mod password;
pub mod table;
pub mod words;
pub mod ws;

mod access;
mod assets;
mod client;
mod credential_form;
mod docs;
mod extract;
mod handlers;
mod limits;
mod middleware;
mod paging;
mod routes;
mod serve;
mod server_form;
mod session_store;
mod state;
mod stats;

#[cfg(test)]
mod tests;

pub use fault::FieldCode;
pub use handlers::{agents::AGENT_TOKEN_PREFIX, setup::issue_setup_token, tokens::TOKEN_PREFIX};
pub use serve::serve;
pub use state::{ApiParts, ApiSettings, ApiState, CollectHandle};

/// The whole HTTP service.
pub fn router(state: ApiState) -> axum::Router {
    let (routes, _, _) = routes::table().split();
    let routes = routes
        .fallback(assets::serve)
        .method_not_allowed_fallback(middleware::method_not_allowed)
        .with_state(state.clone());
    middleware::wrap(routes, state)
}
