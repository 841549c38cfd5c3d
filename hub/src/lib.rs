//! gander's hub: collects readings of every server, stores, alerts, and shows them.
//!
//! See `ARCHITECTURE.md` for the picture and the direction of dependency.

pub mod alert;
pub mod api;
pub mod app;
pub mod backup;
pub mod cli;
pub mod collect;
pub mod config;
pub mod grpc;
pub mod import;
pub mod ingest;
pub mod live;
pub mod log;
pub mod model;
pub mod roster;
pub mod sheet;
pub mod store;
