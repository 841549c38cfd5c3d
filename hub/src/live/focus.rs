//! Which servers somebody looks at right now: a count of guards for each.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::model::ServerId;

#[derive(Clone)]
pub(super) struct Focus {
    counts: Arc<Mutex<HashMap<ServerId, usize>>>,
    watched: watch::Sender<Arc<HashSet<ServerId>>>,
}

impl Default for Focus {
    fn default() -> Self {
        Self {
            counts: Arc::default(),
            watched: watch::Sender::new(Arc::default()),
        }
    }
}

impl Focus {
    pub(super) fn add(&self, server_id: ServerId) -> FocusGuard {
        self.change(server_id, 1);
        FocusGuard {
            focus: self.clone(),
            server_id,
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<HashSet<ServerId>>> {
        self.watched.subscribe()
    }

    /// Adds to the count of a server; tells the watchers when the set itself changed.
    fn change(&self, server_id: ServerId, by: isize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = counts.get(&server_id).copied().unwrap_or(0);
        let after = before.saturating_add_signed(by);
        if after == 0 {
            counts.remove(&server_id);
        } else {
            counts.insert(server_id, after);
        }
        if (before == 0) != (after == 0) {
            // Under the lock, so that the set that is sent last is the set that holds.
            self.watched
                .send_replace(Arc::new(counts.keys().copied().collect()));
        }
    }
}

/// Keeps a server in focus until it is dropped.
#[must_use = "the server leaves the focus when the guard is dropped"]
pub struct FocusGuard {
    focus: Focus,
    server_id: ServerId,
}

impl FocusGuard {
    /// The server in focus.
    #[must_use]
    pub fn server_id(&self) -> ServerId {
        self.server_id
    }
}

impl Drop for FocusGuard {
    fn drop(&mut self) {
        self.focus.change(self.server_id, -1);
    }
}
