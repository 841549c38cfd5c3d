//! The store: everything the hub keeps, in one SQLite file.
//!
//! The only module that knows SQL and where a sample lies. Writes go through one connection
//! and are serialised by one lock; reads through a pool of read-only connections, which see
//! the last commit and never block the writer. What a call acknowledged survives `kill -9`
//! and power loss (WAL with `synchronous=FULL`).
//!
//! Decisions are not made here: alerts and states come ready to be written.

mod agent_tokens;
mod agents;
mod alerts;
mod block;
mod buckets;
mod carry;
mod cells;
mod check;
mod chunks;
mod commit;
mod copy;
mod credentials;
mod enrolment;
mod erase;
mod error;
mod events;
mod fleet;
mod fleet_change;
mod fold;
mod forecast;
mod host_authorities;
mod hub_key;
mod late;
mod latest;
mod layout;
mod lock;
mod merge;
pub mod monitor;
mod open;
mod people;
mod plan;
mod query;
mod recall;
mod remove;
mod repair;
mod restore;
mod retention;
mod rollup;
mod rows;
mod samples;
mod seal;
mod secrets;
mod servers;
mod source;
mod spacing;
mod states;
mod stats;
mod table;
mod types;
mod verify;
mod words;
mod write_back;

#[cfg(test)]
mod tests;

pub use carry::Carried;
pub use check::{CheckReport, KeyFit, Problem, ProblemKind, check};
pub use copy::{copy_database, free_bytes};
pub use credentials::SecretChange;
pub use error::StoreError;
pub use fleet_change::{
    ChangedServer, FleetChange, FleetReceipt, NewCredential, NewLogin, NewServer, Through,
};
pub use fold::FoldReport;
pub use layout::{MAX_LABEL_BYTES, MAX_SERIES};
pub use lock::DatabaseLock;
pub use open::Store;
pub use people::random_token;
pub use repair::{Repair, repair};
pub use restore::{Restored, restore};
pub use retention::{Ages, Retention};
pub use seal::MasterKey;
pub use types::{
    AlertQuery, Change, CommitReceipt, CredentialChange, Cursor, DeleteRange, EventQuery, FleetAnswer,
    FleetGroup, FleetLine, FleetQuery, Forecast, GroupBy, Latest, MetricRow, MetricsPage, MetricsQuery,
    SeriesAnswer, SeriesPoints, SeriesQuery, ServerStorage, Step, StorageStats, StoredEvent, TierStorage,
    TokenHash,
};
pub use verify::{BlockFault, BlockReport};

/// What store calls answer.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
