//! The handlers, by subject. Each reads its request, asks the store, live, ingest or collect,
//! and writes a DTO; who may call it stands in [`super::routes`].

pub(super) mod agents;
pub(super) mod alerts;
pub(super) mod backups;
pub(super) mod credentials;
pub(crate) mod events;
pub(super) mod export;
pub(super) mod fleet;
pub(super) mod host_authorities;
pub(super) mod imports;
pub(super) mod keys;
pub(super) mod metrics;
pub(super) mod probes;
pub(super) mod retention;
pub(super) mod series;
pub(super) mod servers;
pub(super) mod session;
pub(super) mod setup;
pub(super) mod system;
pub(super) mod tokens;
pub(super) mod users;
