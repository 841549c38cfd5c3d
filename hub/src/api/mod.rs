//! The HTTP interface: REST, WebSocket, documentation and the dashboard's files.
//!
//! Turns requests into calls of the store, live, ingest and collect, and their answers into DTOs.
//! No decision about a server is made here; no other module knows HTTP.

pub mod dto;
pub mod error;
pub mod form;
pub mod openapi;
pub mod state;
pub mod table;
pub mod words;

mod access;
mod docs;
mod handlers;
mod middleware;
mod routes;
mod ws;
