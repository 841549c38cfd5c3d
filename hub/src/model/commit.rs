//! What ingest asks the store to make durable in one transaction.

use std::sync::Arc;

use gander_probe::Snapshot;

use super::{Alert, AlertId, Event, HostKey, ServerId, ServerState, Timestamp};

/// Everything one group of readings changes. Applied whole or not at all. Cheap to clone, so
/// that a commit that failed is tried again unchanged.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// New samples, in arrival order. A second sample of the same server and moment is ignored.
    pub samples: Vec<Sample>,
    /// The state of every server a reading touched (the snapshot in it is not stored again).
    pub states: Vec<(ServerId, Arc<ServerState>)>,
    /// Host keys seen for the first time.
    pub pins: Vec<(ServerId, HostKey)>,
    /// What the alert engine decided.
    pub alerts: Vec<AlertChange>,
    /// What happened.
    pub events: Vec<Event>,
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

/// A change of one alert. The engine gives ids itself (it owns the next one), so that a
/// later change in the same commit can name an alert that an earlier one made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlertChange {
    /// Insert, or replace the row with this id.
    Put(Alert),
    /// A pending alert cleared: remove the row.
    Forget(AlertId),
}
