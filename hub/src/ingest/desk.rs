//! The desk readings are judged at: knows every server, its state and its alerts, and turns
//! readings and people's wishes into one [`Commit`] and what to tell the world afterwards.
//! Pure: takes `now`, does no I/O.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use gander_probe::Snapshot;
use serde_json::json;

use super::{handle::Resolve, handover, status};
use crate::{
    alert::{Engine, Policy, ServerInfo},
    live::Delta,
    model::{
        Actor, Alert, AlertId, CollectError, Event, EventKind, HostKey, Origin, Reading, Server, ServerId,
        ServerState, Status, Timestamp,
        alert::AlertPhase,
        commit::{AlertChange, Commit, Sample},
        reading::{Contact, Receipt},
    },
};

/// A server as ingest knows it.
struct Known {
    server: Server,
    state: Arc<ServerState>,
    /// Event time of the newest reading judged.
    last_seen: Option<Timestamp>,
    /// The state says something that the store was not told yet and cannot know from samples.
    is_unkept: bool,
    /// The last success that was kept with the state.
    kept: Option<Timestamp>,
}

/// A state that only grew newer is kept this often: the rest is in the newest sample, and writing each
/// server's row with each reading would cost as much as the readings.
const KEEP_MS: i64 = 60_000;

/// What to make durable, and what to tell once it is.
#[derive(Default)]
pub(super) struct Work {
    pub(super) commit: Commit,
    pub(super) delta: Delta,
    /// Readings it came from, those of unknown servers included.
    pub(super) judged: Vec<Judged>,
    /// The servers it changed, as they were before.
    before: Vec<(ServerId, Before)>,
}

/// A reading that was judged, with all it takes to judge it again.
pub(super) struct Judged {
    pub(super) server_id: ServerId,
    origin: Origin,
    taken_at: Timestamp,
    outcome: Result<Arc<Snapshot>, CollectError>,
    contact: Option<Contact>,
    receipt: Option<Receipt>,
    /// Left out for good, which its sender is to know.
    is_refused: bool,
}

impl From<Reading> for Judged {
    fn from(reading: Reading) -> Self {
        Self {
            server_id: reading.server_id,
            origin: reading.origin,
            taken_at: reading.taken_at,
            outcome: reading.outcome.map(Arc::from),
            contact: reading.contact,
            receipt: reading.receipt,
            is_refused: false,
        }
    }
}

impl Judged {
    /// Tells the sender, now that everything else is durable.
    pub(super) fn settle(&mut self) {
        match self.receipt.take() {
            Some(receipt) if self.is_refused => receipt.refused(),
            Some(receipt) => receipt.committed(),
            None => {}
        }
    }

    fn sample(&self) -> Option<Sample> {
        let snapshot = Arc::clone(self.outcome.as_ref().ok()?);
        Some(Sample {
            server_id: self.server_id,
            taken_at: self.taken_at,
            snapshot,
        })
    }

    fn into_reading(self) -> Reading {
        Reading {
            server_id: self.server_id,
            origin: self.origin,
            taken_at: self.taken_at,
            outcome: self
                .outcome
                .map(|snapshot| Box::new(Arc::unwrap_or_clone(snapshot))),
            contact: self.contact,
            receipt: self.receipt,
        }
    }
}

/// What becomes of one reading.
enum Verdict {
    /// Nothing: the server is unknown or switched off, or the reading tells nothing (`handover`).
    Dropped,
    /// Nothing, and its sender is told so: it is of a time that has not come.
    Refused,
    /// It came late: its values are history all the same.
    History,
    /// It moved the server on from this.
    News(Before),
}

/// What a server's [`Known`] was before a work changed it.
struct Before {
    state: Arc<ServerState>,
    last_seen: Option<Timestamp>,
    host_key: Option<HostKey>,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        let commit = &self.commit;
        commit.samples.is_empty()
            && commit.states.is_empty()
            && commit.pins.is_empty()
            && commit.alerts.is_empty()
            && commit.events.is_empty()
    }

    /// The readings it came from, to be judged anew. Their snapshots are not copied.
    pub(super) fn into_readings(self) -> Vec<Reading> {
        let Self { commit, judged, .. } = self;
        drop(commit);
        judged.into_iter().map(Judged::into_reading).collect()
    }
}

impl Known {
    /// Whether the state is to be kept though it only grew newer.
    fn is_due(&self) -> bool {
        match (self.kept, self.state.last_success) {
            (Some(kept), Some(last)) => last.millis_since(kept).abs() >= KEEP_MS,
            (kept, last) => kept != last,
        }
    }

    fn before(&self) -> Before {
        Before {
            state: Arc::clone(&self.state),
            last_seen: self.last_seen,
            host_key: self.server.host_key.clone(),
        }
    }
}

/// The firing ones of the open alerts.
fn firing(open: &[Alert]) -> HashMap<AlertId, Alert> {
    open.iter()
        .filter(|alert| alert.phase == AlertPhase::Firing)
        .map(|alert| (alert.id, alert.clone()))
        .collect()
}

/// See the module.
pub(super) struct Desk {
    servers: HashMap<ServerId, Known>,
    engine: Engine,
    policy: Policy,
    default_interval_ms: i64,
    /// The firing alerts as last told, to tell only what a person would notice.
    told: HashMap<AlertId, Alert>,
}

impl Desk {
    /// Goes on from what the store remembers. Follow with [`Desk::set_servers`].
    pub(super) fn new(
        states: HashMap<ServerId, ServerState>,
        servers: Vec<Server>,
        open: Vec<Alert>,
        next_alert_id: i64,
        policy: Policy,
        default_interval: Duration,
    ) -> Self {
        let mut states = states;
        let servers = servers
            .into_iter()
            .map(|server| {
                let state = Arc::new(states.remove(&server.id).unwrap_or_default());
                let known = Known {
                    last_seen: state.last_success,
                    kept: state.last_success,
                    state,
                    server,
                    is_unkept: false,
                };
                (known.server.id, known)
            })
            .collect();
        Self {
            servers,
            told: firing(&open),
            engine: Engine::restore(open, next_alert_id, policy),
            policy,
            default_interval_ms: i64::try_from(default_interval.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Every server with its state.
    pub(super) fn states(&self) -> impl Iterator<Item = (ServerId, Arc<ServerState>)> {
        self.servers
            .iter()
            .map(|(id, known)| (*id, Arc::clone(&known.state)))
    }

    /// The firing alerts.
    pub(super) fn firing(&self) -> impl Iterator<Item = Alert> {
        self.told.values().cloned()
    }

    /// Judges readings, in order. Readings of servers that do not exist or are switched off
    /// are dropped.
    pub(super) fn judge(&mut self, readings: Vec<Reading>, now: Timestamp) -> Work {
        let mut work = Work::default();
        let mut touched = BTreeSet::new();
        for reading in readings {
            let verdict = self.judge_one(&reading, now, &mut work.commit);
            let is_kept = matches!(verdict, Verdict::History | Verdict::News(_));
            let is_refused = matches!(verdict, Verdict::Refused);
            if let Verdict::News(before) = verdict
                && touched.insert(reading.server_id)
            {
                work.before.push((reading.server_id, before));
            }
            let mut judged = Judged::from(reading);
            judged.is_refused = is_refused;
            if is_kept {
                work.commit.samples.extend(judged.sample());
            }
            work.judged.push(judged);
        }
        self.put_states(&touched, &mut work);
        self.tell(work, now)
    }

    /// Takes over the servers as they are now stored: new, changed, switched on or off, deleted.
    pub(super) fn set_servers(&mut self, servers: Vec<Server>, now: Timestamp) -> Work {
        let mut work = Work::default();
        work.delta.servers_changed = true;
        let mut gone: BTreeSet<ServerId> = self.servers.keys().copied().collect();
        let mut touched = BTreeSet::new();
        for server in servers {
            let server_id = server.id;
            let enabled = server.spec.enabled;
            gone.remove(&server_id);
            let known = self.servers.entry(server_id).or_insert_with(|| {
                // A server just enrolled: shown at once, stored with its first reading.
                work.delta.servers.push((server_id, Arc::default()));
                Known {
                    server: server.clone(),
                    state: Arc::default(),
                    last_seen: None,
                    is_unkept: true,
                    kept: None,
                }
            });
            known.server = server;
            if enabled == (known.state.status == Status::Paused) {
                work.before.push((server_id, known.before()));
                known.state = Arc::new(status::switched(&known.state, enabled, now));
                known.is_unkept = true;
                touched.insert(server_id);
                if !enabled {
                    work.commit
                        .alerts
                        .extend(self.engine.pause_server(server_id, now));
                }
            }
        }
        for server_id in gone {
            self.servers.remove(&server_id);
            self.engine.forget_server(server_id);
            self.told.retain(|_, alert| alert.key.server_id != server_id);
            work.delta.removed.push(server_id);
        }
        self.put_states(&touched, &mut work);
        self.tell(work, now)
    }

    /// Closes alerts by hand.
    pub(super) fn resolve(&mut self, which: &Resolve, by: &Actor, now: Timestamp) -> Work {
        let mut work = Work::default();
        let ids = match which {
            Resolve::Ids(ids) => ids.clone(),
            Resolve::All => self.engine.firing(None),
            Resolve::Server(server_id) => self.engine.firing(Some(*server_id)),
        };
        work.commit.alerts = self.engine.resolve(&ids, by.0.as_deref(), now);
        for change in &work.commit.alerts {
            if let AlertChange::Put(alert) = change {
                work.commit.events.push(Event {
                    at: now,
                    kind: EventKind::AlertResolved,
                    server_id: Some(alert.key.server_id),
                    actor: by.0.clone(),
                    details: json!({
                        "alert_id": alert.id,
                        "type": alert.key.rule,
                        "label": alert.key.label,
                        "level": alert.level,
                    }),
                });
            }
        }
        self.tell(work, now)
    }

    /// Forgets that a work was ever judged, since the database will never hold it: its servers are
    /// again what they were, and the alerts those that the database holds. Works are taken back
    /// before anything else is judged. Servers that came or went stay so.
    pub(super) fn take_back(&mut self, work: &mut Work, open: Vec<Alert>, next_alert_id: i64) {
        for (server_id, before) in work.before.drain(..) {
            if let Some(known) = self.servers.get_mut(&server_id) {
                known.state = before.state;
                known.last_seen = before.last_seen;
                known.is_unkept = true;
                known.server.host_key = before.host_key;
            }
        }
        self.told = firing(&open);
        self.engine = Engine::restore(open, next_alert_id, self.policy);
        for (server_id, state) in &mut work.delta.servers {
            if let Some(known) = self.servers.get(server_id) {
                *state = Arc::clone(&known.state);
            }
        }
        work.delta.alerts.clear();
    }

    /// The name of a server, for a log.
    pub(super) fn name_of(&self, server_id: ServerId) -> &str {
        self.servers
            .get(&server_id)
            .map_or("", |known| &known.server.spec.name)
    }

    /// What must be kept to take back a [`Desk::resolve`] that could not be committed.
    pub(super) fn memory_of_alerts(&self) -> (Engine, HashMap<AlertId, Alert>) {
        (self.engine.clone(), self.told.clone())
    }

    /// Takes back what happened to alerts since [`Desk::memory_of_alerts`].
    pub(super) fn recall_alerts(&mut self, memory: (Engine, HashMap<AlertId, Alert>)) {
        (self.engine, self.told) = memory;
    }

    /// Judges one reading, all but its sample.
    fn judge_one(&mut self, reading: &Reading, now: Timestamp, commit: &mut Commit) -> Verdict {
        let Some(known) = self
            .servers
            .get_mut(&reading.server_id)
            .filter(|known| known.server.spec.enabled)
        else {
            return Verdict::Dropped;
        };
        let spec = &known.server.spec;
        let interval_ms = spec
            .interval_seconds
            .map_or(self.default_interval_ms, |seconds| i64::from(seconds) * 1000);
        let agent_seen = known.state.path.as_ref().and_then(|path| path.agent_seen);
        if !handover::is_wanted(spec.transport, reading.origin)
            || handover::is_told_already(agent_seen, reading, interval_ms)
            || handover::is_not_installed_yet(&known.state, reading)
        {
            return Verdict::Dropped;
        }
        let newest_believable = now.plus_millis(self.policy.future_tolerance_ms);
        if reading.origin == Origin::Agent && reading.taken_at > newest_believable {
            // Its clock is corrected by what the hub measured: this is a mistake or a lie, and in
            // the history it would be the newest value until that time comes.
            tracing::debug!(server = %spec.name, at = %reading.taken_at, "a value from the future is left out");
            return Verdict::Refused;
        }
        // The clock was set back: what was "seen" lies ahead and must not blind us until then.
        known.last_seen = known.last_seen.filter(|seen| *seen <= newest_believable);
        // What is replayed after an outage, or waited for a full disk, tells the past: it moves the
        // present neither back nor, when it is old, forward.
        let oldest_news = now.plus_millis(-self.policy.stale_after_ms);
        let is_news = known.last_seen.is_none_or(|seen| reading.taken_at > seen)
            && (oldest_news..=newest_believable).contains(&reading.taken_at);
        if !is_news {
            return Verdict::History;
        }
        let before = known.before();
        let info = ServerInfo {
            id: reading.server_id,
            thresholds: known.server.spec.thresholds,
            interval_ms,
            last_seen: known.last_seen,
        };
        commit.alerts.extend(self.engine.observe(&info, reading, now));
        let outcome = status::advance(&known.server, &known.state, reading);
        commit.events.extend(outcome.events);
        if let Some(pin) = outcome.pin {
            known.server.host_key = Some(pin.host_key.clone());
            commit.pins.push(pin);
        }
        known.is_unkept |= !status::is_only_newer(&known.state, &outcome.state);
        known.state = Arc::new(outcome.state);
        known.last_seen = Some(reading.taken_at);
        Verdict::News(before)
    }

    fn put_states(&mut self, touched: &BTreeSet<ServerId>, work: &mut Work) {
        for server_id in touched {
            if let Some(known) = self.servers.get_mut(server_id) {
                if known.is_unkept || known.is_due() {
                    known.is_unkept = false;
                    known.kept = known.state.last_success;
                    work.commit.states.push((*server_id, Arc::clone(&known.state)));
                }
                work.delta.servers.push((*server_id, Arc::clone(&known.state)));
            }
        }
    }

    /// Fills in what is told of the alerts: each as it is at the end, and only if a person
    /// would notice (not the engine's clocks, not pending ones).
    fn tell(&mut self, mut work: Work, now: Timestamp) -> Work {
        work.delta.at = now;
        let mut last: BTreeMap<AlertId, &Alert> = BTreeMap::new();
        for change in &work.commit.alerts {
            if let AlertChange::Put(alert) = change {
                last.insert(alert.id, alert);
            }
        }
        for (id, alert) in last {
            let told = self.told.get(&id);
            let is_news = match alert.phase {
                AlertPhase::Pending => false,
                AlertPhase::Firing => {
                    told.is_none_or(|told| told.level != alert.level || told.params != alert.params)
                }
                AlertPhase::Resolved => told.is_some(),
            };
            if is_news {
                work.delta.alerts.push(alert.clone());
            }
            if alert.phase == AlertPhase::Firing {
                self.told.insert(id, alert.clone());
            } else {
                self.told.remove(&id);
            }
        }
        work
    }
}

#[cfg(test)]
mod tests;
