//! The state of all servers and open alerts at one moment.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Delta;
use crate::model::{Alert, AlertId, Level, ServerId, ServerState, alert::AlertPhase};

/// Firing alerts of one server, or of all, by level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertCounts {
    /// Firing at level warning.
    pub warning: u32,
    /// Firing at level critical.
    pub critical: u32,
}

impl AlertCounts {
    /// Of both levels.
    #[must_use]
    pub fn total(self) -> u32 {
        self.warning + self.critical
    }

    fn slot(&mut self, level: Level) -> &mut u32 {
        match level {
            Level::Warning => &mut self.warning,
            Level::Critical => &mut self.critical,
        }
    }
}

/// The state of all servers and open alerts at one moment. Clones share the states.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    version: u64,
    servers: HashMap<ServerId, Arc<ServerState>>,
    alerts: BTreeMap<AlertId, Arc<Alert>>,
    counts: HashMap<ServerId, AlertCounts>,
    total: AlertCounts,
}

impl Fleet {
    pub(super) fn new(
        states: impl IntoIterator<Item = (ServerId, Arc<ServerState>)>,
        open_alerts: impl IntoIterator<Item = Alert>,
    ) -> Self {
        let mut fleet = Self {
            servers: states.into_iter().collect(),
            ..Self::default()
        };
        for alert in open_alerts {
            fleet.put_alert(&alert);
        }
        fleet
    }

    /// Counts publications since the start of the hub.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Number of servers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there are no servers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Every server with its state, in no particular order.
    pub fn servers(&self) -> impl Iterator<Item = (ServerId, &Arc<ServerState>)> {
        self.servers.iter().map(|(id, state)| (*id, state))
    }

    /// The state of one server.
    #[must_use]
    pub fn server(&self, server_id: ServerId) -> Option<&Arc<ServerState>> {
        self.servers.get(&server_id)
    }

    /// The firing alerts, oldest first.
    pub fn alerts(&self) -> impl DoubleEndedIterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    /// How many alerts of a server fire.
    #[must_use]
    pub fn alert_counts(&self, server_id: ServerId) -> AlertCounts {
        self.counts.get(&server_id).copied().unwrap_or_default()
    }

    /// How many alerts fire in all.
    #[must_use]
    pub fn total_alert_counts(&self) -> AlertCounts {
        self.total
    }

    pub(super) fn apply(&mut self, delta: &Delta) {
        self.version += 1;
        for (server_id, state) in &delta.servers {
            self.servers.insert(*server_id, Arc::clone(state));
        }
        for alert in &delta.alerts {
            self.put_alert(alert);
        }
        for server_id in &delta.removed {
            self.servers.remove(server_id);
            if self.counts.contains_key(server_id) {
                let gone: Vec<AlertId> = self
                    .alerts
                    .values()
                    .filter(|alert| alert.key.server_id == *server_id)
                    .map(|alert| alert.id)
                    .collect();
                for id in gone {
                    self.take_alert(id);
                }
            }
        }
    }

    fn put_alert(&mut self, alert: &Alert) {
        self.take_alert(alert.id);
        if alert.phase == AlertPhase::Firing {
            *self
                .counts
                .entry(alert.key.server_id)
                .or_default()
                .slot(alert.level) += 1;
            *self.total.slot(alert.level) += 1;
            self.alerts.insert(alert.id, Arc::new(alert.clone()));
        }
    }

    fn take_alert(&mut self, id: AlertId) {
        let Some(alert) = self.alerts.remove(&id) else {
            return;
        };
        *self.total.slot(alert.level) -= 1;
        if let Some(counts) = self.counts.get_mut(&alert.key.server_id) {
            *counts.slot(alert.level) -= 1;
            if counts.total() == 0 {
                self.counts.remove(&alert.key.server_id);
            }
        }
    }
}
