//! The alert engine: readings in, changes of alerts out. Pure: no clock, no I/O.
//!
//! All it knows stands in the [`Alert`] rows, so that `restore` after any commit goes on
//! exactly where it was. The rules:
//!
//! * One open alert per (rule, server, label). Open is pending, firing or held.
//! * A threshold must be crossed for a while before it fires, judged by event time
//!   (`taken_at`), not by when the hub heard of it. It clears below its own, lower
//!   threshold, held for a while.
//! * Only a reading is evidence. A section that was not read says nothing; a node that does
//!   not answer says nothing of its disks, so its other alerts stand still; time in which
//!   nobody looked (the hub was down) starts the clocks anew.
//! * Readings that are older than one already judged, or older than [`Policy::stale_after_ms`],
//!   or from the future, change nothing.

mod condition;
pub mod message;
mod step;

use std::collections::{BTreeMap, HashMap};

use crate::model::{
    Alert, AlertId, Level, Reading, ServerId, Timestamp,
    alert::{AlertKey, AlertPhase, Rule},
    commit::AlertChange,
    server::Thresholds,
};
use condition::Finding;

/// Open alerts one server may have; a node that invents filesystems is not followed further.
const MAX_OPEN_PER_SERVER: usize = 200;

/// The times of the rules. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long CPU use must be over a threshold.
    pub cpu_for_ms: i64,
    /// How long memory use must be over a threshold.
    pub memory_for_ms: i64,
    /// How long a filesystem must be over a threshold.
    pub disk_for_ms: i64,
    /// How long a server must not answer. A failure that only a person can mend counts at once.
    pub unreachable_for_ms: i64,
    /// How many readings in a row must have failed.
    pub unreachable_min_failures: u32,
    /// How far under the threshold a value must fall to clear, in tenths of a percent (at
    /// most a quarter of the threshold).
    pub clear_margin_permille: u16,
    /// How long it must stay there.
    pub keep_firing_for_ms: i64,
    /// How long a filesystem must be missing from the list before its alert resolves.
    pub vanished_after_ms: i64,
    /// Readings older than this page nobody.
    pub stale_after_ms: i64,
    /// Readings at most this far ahead of the clock are believed.
    pub future_tolerance_ms: i64,
    /// A clock starts anew when no reading came for this many intervals …
    pub gap_intervals: i64,
    /// … but never for a gap as short as this.
    pub gap_floor_ms: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            cpu_for_ms: 60_000,
            memory_for_ms: 60_000,
            disk_for_ms: 0,
            unreachable_for_ms: 60_000,
            unreachable_min_failures: 2,
            clear_margin_permille: 50,
            keep_firing_for_ms: 60_000,
            vanished_after_ms: 600_000,
            stale_after_ms: 600_000,
            future_tolerance_ms: 60_000,
            gap_intervals: 3,
            gap_floor_ms: 90_000,
        }
    }
}

/// What the engine must know of a server besides the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerInfo {
    /// Which.
    pub id: ServerId,
    /// Its thresholds.
    pub thresholds: Thresholds,
    /// How often it is read, in milliseconds.
    pub interval_ms: i64,
    /// Event time of the newest reading judged before; that and older ones change nothing.
    pub last_seen: Option<Timestamp>,
}

/// Decides on alerts. See the module for the rules.
#[derive(Debug, Clone)]
pub struct Engine {
    policy: Policy,
    next_id: i64,
    open: HashMap<ServerId, BTreeMap<(Rule, String), Alert>>,
}

impl Engine {
    /// Goes on from the stored alerts (pending, firing and held; others are passed over).
    /// `next_id` is the first id not yet used.
    #[must_use]
    pub fn restore(open: Vec<Alert>, next_id: i64, policy: Policy) -> Self {
        let mut engine = Self {
            policy,
            next_id,
            open: HashMap::new(),
        };
        for alert in open {
            engine.next_id = engine.next_id.max(alert.id.0 + 1);
            if is_open(&alert) {
                engine.keep(alert);
            }
        }
        engine
    }

    /// Judges one reading of one server. The changes are in the order they must be applied.
    pub fn observe(&mut self, server: &ServerInfo, reading: &Reading, now: Timestamp) -> Vec<AlertChange> {
        let at = reading.taken_at;
        if now.millis_since(at) > self.policy.stale_after_ms
            || at.millis_since(now) > self.policy.future_tolerance_ms
            || server.last_seen.is_some_and(|seen| at <= seen)
        {
            return Vec::new();
        }
        let gap_ms =
            (server.interval_ms.saturating_mul(self.policy.gap_intervals)).max(self.policy.gap_floor_ms);
        let mut changes = Vec::new();
        for finding in condition::findings(server, reading, &self.policy, self.open.get(&server.id)) {
            self.judge(server.id, &finding, at, gap_ms, &mut changes);
        }
        changes
    }

    /// Closes firing alerts by hand: each stays quiet until its condition clears or worsens.
    /// Ids that are not firing are passed over.
    pub fn resolve(&mut self, ids: &[AlertId], by: Option<&str>, now: Timestamp) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        for alert in self.open.values_mut().flat_map(BTreeMap::values_mut) {
            if alert.phase == AlertPhase::Firing && ids.contains(&alert.id) {
                step::close(alert, now);
                alert.resolved_by = by.map(str::to_owned);
                alert.held = true;
                changes.push(AlertChange::Put(alert.clone()));
            }
        }
        changes
    }

    /// The ids of the firing alerts, of one server or of all.
    #[must_use]
    pub fn firing(&self, server_id: Option<ServerId>) -> Vec<AlertId> {
        self.open()
            .filter(|alert| alert.phase == AlertPhase::Firing)
            .filter(|alert| server_id.is_none_or(|id| id == alert.key.server_id))
            .map(|alert| alert.id)
            .collect()
    }

    /// Every open alert: pending, firing and held.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.open.values().flat_map(BTreeMap::values)
    }

    /// A person switched the server off: what was open about it ends, since nobody will look.
    pub fn pause_server(&mut self, server_id: ServerId, now: Timestamp) -> Vec<AlertChange> {
        let Some(alerts) = self.open.remove(&server_id) else {
            return Vec::new();
        };
        alerts
            .into_values()
            .map(|mut alert| match alert.phase {
                AlertPhase::Pending => AlertChange::Forget(alert.id),
                AlertPhase::Firing => {
                    step::close(&mut alert, now);
                    AlertChange::Put(alert)
                }
                AlertPhase::Resolved => {
                    alert.held = false;
                    AlertChange::Put(alert)
                }
            })
            .collect()
    }

    /// The server was deleted, and its alerts with it.
    pub fn forget_server(&mut self, server_id: ServerId) {
        self.open.remove(&server_id);
    }

    fn judge(
        &mut self,
        server_id: ServerId,
        finding: &Finding,
        at: Timestamp,
        gap_ms: i64,
        changes: &mut Vec<AlertChange>,
    ) {
        let slot = (finding.rule, finding.label.clone());
        let current = self
            .open
            .get_mut(&server_id)
            .and_then(|alerts| alerts.remove(&slot));
        let before = current.clone();
        let after = match current {
            Some(alert) => step::advance(alert, finding, at, gap_ms),
            None => {
                let count = self.open.get(&server_id).map_or(0, BTreeMap::len);
                let Some(level) = finding.asks.filter(|_| count < MAX_OPEN_PER_SERVER) else {
                    return;
                };
                let alert = self.begin(server_id, finding, level, at);
                step::Next::Keep(step::ripen(alert, finding, at))
            }
        };
        match after {
            step::Next::Keep(alert) => {
                if before.as_ref() != Some(&alert) {
                    changes.push(AlertChange::Put(alert.clone()));
                }
                self.keep(alert);
            }
            step::Next::Forget(id) => changes.push(AlertChange::Forget(id)),
            step::Next::End(alert) => changes.push(AlertChange::Put(alert)),
            step::Next::Reopen { ended, level, since } => {
                changes.push(AlertChange::Put(ended));
                let mut alert = self.begin(server_id, finding, level, since);
                step::fire(&mut alert, finding, at);
                changes.push(AlertChange::Put(alert.clone()));
                self.keep(alert);
            }
        }
        if self.open.get(&server_id).is_some_and(BTreeMap::is_empty) {
            self.open.remove(&server_id);
        }
    }

    /// A new pending alert.
    fn begin(&mut self, server_id: ServerId, finding: &Finding, level: Level, since: Timestamp) -> Alert {
        let id = AlertId(self.next_id);
        self.next_id += 1;
        Alert {
            id,
            key: AlertKey {
                server_id,
                rule: finding.rule,
                label: finding.label.clone(),
            },
            phase: AlertPhase::Pending,
            level,
            pending_since: since,
            created_at: since,
            resolved_at: None,
            resolved_by: None,
            held: false,
            clearing_since: None,
            level_change_since: None,
            evidence_at: since,
            evidence_count: 1,
            params: finding.params(level, since),
        }
    }

    fn keep(&mut self, alert: Alert) {
        self.open
            .entry(alert.key.server_id)
            .or_default()
            .insert((alert.key.rule, alert.key.label.clone()), alert);
    }
}

fn is_open(alert: &Alert) -> bool {
    alert.phase != AlertPhase::Resolved || alert.held
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
