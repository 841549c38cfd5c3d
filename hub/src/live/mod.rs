//! The present: the latest state of every server and every open alert, and the stream of changes.
//!
//! Ingest publishes here after a commit, never before, so what a page shows has been made
//! durable. Reading is one `Arc` clone whatever the size of the fleet; a publication copies
//! the map of pointers only while somebody still holds the one before.
//!
//! Knows nothing of the store, of collection or of HTTP.

mod agents;
mod fleet;
mod focus;

use std::{
    collections::HashSet,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::{broadcast, watch};

pub use agents::{AgentBoard, AgentLive};
pub use fleet::{AlertCounts, Fleet};
pub use focus::FocusGuard;

use crate::model::{Alert, ServerId, ServerState, Timestamp};

/// Changes a slow subscriber may fall behind by before it loses them and must take the whole
/// [`Fleet`] again. A change comes at most every 100 ms, so this is more than 6 seconds.
const SUBSCRIBER_BACKLOG: usize = 64;

/// What one commit changed.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// When it was committed, by the hub's clock.
    pub at: Timestamp,
    /// Counts publications. A subscriber that took a [`Fleet`] of the same or a later version
    /// already has this change. Set by [`Live::publish`].
    pub version: u64,
    /// The new state of every server that a reading or a person touched.
    pub servers: Vec<(ServerId, Arc<ServerState>)>,
    /// Servers that are no more.
    pub removed: Vec<ServerId>,
    /// Alerts that fired, changed or resolved (never pending ones).
    pub alerts: Vec<Alert>,
    /// Whether the configuration of some server changed, so that what is cached of it is stale.
    pub servers_changed: bool,
}

impl Delta {
    /// Whether it holds no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.removed.is_empty() && self.alerts.is_empty() && !self.servers_changed
    }
}

/// A handle on the present; clones share it.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    fleet: RwLock<Arc<Fleet>>,
    deltas: broadcast::Sender<Arc<Delta>>,
    focus: focus::Focus,
}

impl Live {
    /// Starts from what the store remembers: the states of all servers and the open alerts.
    #[must_use]
    pub fn new(
        states: impl IntoIterator<Item = (ServerId, Arc<ServerState>)>,
        open_alerts: impl IntoIterator<Item = Alert>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                fleet: RwLock::new(Arc::new(Fleet::new(states, open_alerts))),
                deltas: broadcast::Sender::new(SUBSCRIBER_BACKLOG),
                focus: focus::Focus::default(),
            }),
        }
    }

    /// The present state of the fleet. Does not change once taken; cheap at any size.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Fleet> {
        Arc::clone(&self.read())
    }

    /// The present state of one server; `None` when it does not exist.
    #[must_use]
    pub fn server(&self, server_id: ServerId) -> Option<Arc<ServerState>> {
        self.read().server(server_id).map(Arc::clone)
    }

    /// Makes a committed change visible to readers, then to subscribers.
    pub fn publish(&self, mut delta: Delta) {
        let mut guard = self.write();
        let fleet = Arc::make_mut(&mut guard);
        fleet.apply(&delta);
        delta.version = fleet.version();
        // Sent under the lock, so that versions arrive in order. Nobody listening is no error.
        let _ = self.shared.deltas.send(Arc::new(delta));
    }

    /// The changes from now on. A receiver that gets `Lagged` has lost some: it takes
    /// [`Live::snapshot`] again and skips changes up to that version.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Delta>> {
        self.shared.deltas.subscribe()
    }

    /// Declares that somebody looks at this server closely, until the guard is dropped. As long
    /// as there is one guard, the server is read every second.
    pub fn watch_server(&self, server_id: ServerId) -> FocusGuard {
        self.shared.focus.add(server_id)
    }

    /// The servers somebody looks at closely.
    #[must_use]
    pub fn focus(&self) -> watch::Receiver<Arc<HashSet<ServerId>>> {
        self.shared.focus.subscribe()
    }

    // A panic while publishing leaves a whole map (the pointer is replaced, not its parts), so
    // a poisoned lock is safe to go on with.
    fn read(&self) -> RwLockReadGuard<'_, Arc<Fleet>> {
        self.shared
            .fleet
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Arc<Fleet>> {
        self.shared
            .fleet
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
