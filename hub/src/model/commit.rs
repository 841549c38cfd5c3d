//! What ingest asks the store to make durable in one transaction.

use std::sync::Arc;

use gander_probe::Snapshot;

use super::{Alert, AlertId, Event, HostKey, SeriesKey, ServerId, ServerState, Timestamp, server::Endpoint};

/// Everything one group of readings changes. Applied whole or not at all. Cheap to clone, so
/// that a commit that failed is tried again unchanged.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// New samples, in arrival order. A second sample of the same server and moment is ignored.
    pub samples: Vec<Sample>,
    /// New samples of single values, likewise: what another system measured.
    pub bare_samples: Vec<BareSample>,
    /// The state of every server a reading touched (the snapshot in it is not stored again).
    pub states: Vec<(ServerId, Arc<ServerState>)>,
    /// Host keys seen for the first time.
    pub pins: Vec<Pin>,
    /// What the alert engine decided.
    pub alerts: Vec<AlertChange>,
    /// What happened.
    pub events: Vec<Event>,
}

/// A host key to pin because a server was logged in to for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Whose.
    pub server_id: ServerId,
    /// The key it proved.
    pub host_key: HostKey,
    /// Where it was proved. If the server is somewhere else by now, the key is another machine's
    /// and is not pinned.
    pub endpoint: Endpoint,
    /// When it was proved.
    pub at: Timestamp,
}

/// The values of one server at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Whose.
    pub server_id: ServerId,
    /// When they were true.
    pub taken_at: Timestamp,
    /// The values.
    pub snapshot: Arc<Snapshot>,
}

/// Some values of one server at one moment, without the sections of a snapshot: what it would
/// have beside them is absent, not zero.
#[derive(Debug, Clone)]
pub struct BareSample {
    /// Whose.
    pub server_id: ServerId,
    /// When they were true.
    pub taken_at: Timestamp,
    /// The values, each series once.
    pub values: Vec<(SeriesKey, i64)>,
}

/// A change of one alert. The engine gives ids itself (it owns the next one), so that a
/// later change in the same commit can name an alert that an earlier one made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertChange {
    /// Insert, or replace the row with this id.
    Put(Alert),
    /// A pending alert cleared: remove the row.
    Forget(AlertId),
}
