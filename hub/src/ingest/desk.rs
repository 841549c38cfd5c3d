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
}

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
                    state,
                    server,
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
                }
            });
            known.server = server;
            if enabled == (known.state.status == Status::Paused) {
                work.before.push((server_id, known.before()));
                known.state = Arc::new(status::switched(&known.state, enabled, now));
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
        known.state = Arc::new(outcome.state);
        known.last_seen = Some(reading.taken_at);
        Verdict::News(before)
    }

    fn put_states(&self, touched: &BTreeSet<ServerId>, work: &mut Work) {
        for server_id in touched {
            if let Some(known) = self.servers.get(server_id) {
                work.commit.states.push((*server_id, Arc::clone(&known.state)));
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
mod tests {
    use gander_probe::snapshot::{Filesystem, Snapshot};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ingest::status::tests::spec,
        model::{CollectError, CollectErrorCode, Origin, Transport},
    };

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn server(id: i64, enabled: bool) -> Server {
        let mut spec = spec(&format!("server-{id}"));
        spec.enabled = enabled;
        Server {
            id: ServerId(id),
            spec,
            has_password: true,
            has_key: false,
            host_key: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    fn desk(servers: Vec<Server>) -> Desk {
        let mut desk = Desk::new(
            HashMap::new(),
            servers.clone(),
            Vec::new(),
            1,
            Policy::default(),
            Duration::from_secs(30),
        );
        desk.set_servers(servers, NOW);
        desk
    }

    /// A reading of a machine whose root filesystem is this full.
    fn reading(server: i64, at: Timestamp, usage_permille: u16) -> Reading {
        Reading {
            server_id: ServerId(server),
            origin: Origin::Ssh,
            taken_at: at,
            outcome: Ok(Box::new(Snapshot {
                filesystems: Some(vec![Filesystem {
                    mount_point: "/".into(),
                    total_bytes: 1000,
                    usage_permille,
                    ..Filesystem::default()
                }]),
                ..Snapshot::default()
            })),
            contact: None,
            receipt: None,
        }
    }

    fn failure(server: i64, at: Timestamp) -> Reading {
        Reading {
            outcome: Err(CollectError {
                code: CollectErrorCode::Timeout,
                message: "no answer".into(),
                params: BTreeMap::new(),
            }),
            ..reading(server, at, 0)
        }
    }

    #[test]
    fn readings_of_unknown_and_paused_servers_are_dropped() {
        let mut desk = desk(vec![server(1, true), server(2, false)]);
        let work = desk.judge(vec![reading(2, NOW, 990), reading(3, NOW, 990)], NOW);
        assert!(work.is_empty());
        assert_eq!(work.judged.len(), 2);
        let work = desk.judge(vec![reading(1, NOW, 100)], NOW);
        assert_eq!(work.commit.samples.len(), 1);
    }

    #[test]
    fn a_batch_tells_the_last_state_of_each_server_once() {
        let mut desk = desk(vec![server(1, true), server(2, true)]);
        let readings = (0..5)
            .flat_map(|n| {
                [
                    reading(1, NOW.plus_millis(n), 100),
                    failure(2, NOW.plus_millis(n)),
                ]
            })
            .collect();
        let work = desk.judge(readings, NOW.plus_millis(5));
        assert_eq!(work.commit.samples.len(), 5);
        assert_eq!(work.delta.servers.len(), 2);
        assert_eq!(work.commit.states.len(), 2);
        assert_eq!(work.commit.states[1].1.failure_count, 5);
    }

    #[test]
    fn a_late_reading_is_history_but_not_news() {
        let mut desk = desk(vec![server(1, true)]);
        desk.judge(vec![reading(1, NOW, 100)], NOW);
        let work = desk.judge(vec![reading(1, NOW.plus_millis(-5000), 990)], NOW);
        assert_eq!(work.commit.samples.len(), 1);
        assert!(work.commit.states.is_empty() && work.commit.alerts.is_empty() && work.delta.is_empty());
        let work = desk.judge(vec![failure(1, NOW.plus_millis(-5000))], NOW);
        assert!(work.is_empty());
    }

    /// An auto server, whose readings come by either way.
    fn auto_desk() -> Desk {
        let mut server = server(1, true);
        server.spec.transport = Transport::Auto;
        desk(vec![server])
    }

    fn by_agent(at: Timestamp, usage_permille: u16) -> Reading {
        Reading {
            origin: Origin::Agent,
            ..reading(1, at, usage_permille)
        }
    }

    #[test]
    fn what_both_ways_tell_of_one_moment_counts_once() {
        let mut desk = auto_desk();
        let at = |ms: i64| NOW.plus_millis(ms);
        let kept = |desk: &mut Desk, reading: Reading, now: Timestamp| {
            let work = desk.judge(vec![reading], now);
            (work.commit.samples.len(), work.commit.states.len())
        };
        assert_eq!(
            kept(&mut desk, reading(1, at(0), 100), at(0)),
            (1, 1),
            "SSH alone"
        );
        assert_eq!(
            kept(&mut desk, by_agent(at(700), 100), at(800)),
            (1, 1),
            "the agent comes"
        );
        // A look over SSH that was under way.
        assert_eq!(kept(&mut desk, reading(1, at(900), 990), at(900)), (0, 0));
        assert_eq!(
            kept(&mut desk, failure(1, at(950)), at(950)),
            (0, 0),
            "nor its failure"
        );
        let state = &desk.servers[&ServerId(1)].state;
        assert_eq!(state.status, Status::Online);
        assert_eq!(state.path.as_ref().unwrap().live, Origin::Agent);
        // The agent is silent; SSH stands in, the agent replays and comes back.
        assert_eq!(kept(&mut desk, reading(1, at(45_700), 100), at(45_700)), (1, 1));
        assert_eq!(
            kept(&mut desk, by_agent(at(30_700), 100), at(50_000)),
            (1, 0),
            "replayed"
        );
        assert_eq!(desk.servers[&ServerId(1)].state.last_success, Some(at(45_700)));
        assert_eq!(kept(&mut desk, by_agent(at(60_700), 100), at(60_800)), (1, 1));
    }

    #[test]
    fn a_value_from_the_future_and_an_agent_still_to_be_installed_are_left_out() {
        let mut desk = auto_desk();
        let future = by_agent(NOW.plus_millis(120_000), 100);
        assert!(desk.judge(vec![future], NOW).is_empty());
        let silent = || Reading {
            outcome: Err(CollectError {
                code: CollectErrorCode::AgentSilent,
                message: "nothing came".into(),
                params: BTreeMap::new(),
            }),
            ..by_agent(NOW, 0)
        };
        assert!(desk.judge(vec![silent()], NOW).is_empty());
        desk.judge(vec![by_agent(NOW.plus_millis(-90_000), 100)], NOW);
        let work = desk.judge(vec![silent()], NOW);
        assert_eq!(work.commit.states[0].1.status, Status::Offline);
    }

    #[test]
    fn what_is_replayed_of_a_time_long_past_is_history_only() {
        let mut desk = desk(vec![server(1, true)]);
        let old = NOW.plus_millis(-3_600_000);
        let work = desk.judge(vec![reading(1, old, 990)], NOW);
        assert_eq!(work.commit.samples.len(), 1);
        assert!(work.commit.states.is_empty() && work.commit.alerts.is_empty() && work.delta.is_empty());
    }

    /// A reading: after how many milliseconds it comes, how old it then is, by whom, what it says.
    type Arrival = (i64, i64, bool, Option<u16>);

    fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
        let age = prop_oneof![6 => 0i64..500, 3 => 500i64..120_000, 1 => 120_000i64..2_000_000];
        let usage = prop::option::weighted(0.8, prop_oneof![Just(100u16), Just(910), Just(990)]);
        prop::collection::vec((1i64..60_000, age, any::<bool>(), usage), 1..60)
    }

    fn arriving((_, age, is_agent, usage): Arrival, now: Timestamp) -> Reading {
        let at = now.plus_millis(-age);
        let origin = if is_agent { Origin::Agent } else { Origin::Ssh };
        let reading = match usage {
            Some(usage) => reading(1, at, usage),
            None => failure(1, at),
        };
        Reading { origin, ..reading }
    }

    proptest! {
        /// Whatever comes late, and by whichever way: the present only moves forward, old values
        /// fire nothing, and what is judged is what it would be had the late ones never come.
        #[test]
        fn late_readings_are_history_and_nothing_else(arrivals in arrivals()) {
            let mut desk = auto_desk();
            let mut without_late = auto_desk();
            let mut now = NOW;
            let mut newest: Option<Timestamp> = None;
            for arrival in arrivals {
                now = now.plus_millis(arrival.0);
                let reading = arriving(arrival, now);
                let (at, is_value) = (reading.taken_at, reading.outcome.is_ok());
                let work = desk.judge(vec![reading], now);
                let is_news = !work.commit.states.is_empty();
                if is_news {
                    prop_assert!(newest.is_none_or(|newest| at > newest));
                    newest = Some(at);
                    without_late.judge(vec![arriving(arrival, now)], now);
                } else {
                    prop_assert!(work.commit.alerts.is_empty() && work.delta.is_empty());
                    prop_assert!(work.commit.events.is_empty());
                }
                prop_assert!(is_value || work.commit.samples.is_empty());
                prop_assert!(!is_value || !arrival.2 || work.commit.samples.len() == 1, "an agent's value is kept");
                for alert in &work.delta.alerts {
                    prop_assert!(now.millis_since(at) <= Policy::default().stale_after_ms, "{alert:?}");
                }
                let open = |desk: &Desk| {
                    let mut open: Vec<Alert> = desk.engine.open().cloned().collect();
                    open.sort_by_key(|alert| alert.id);
                    open
                };
                prop_assert_eq!(open(&desk), open(&without_late));
                prop_assert_eq!(&desk.servers[&ServerId(1)].state, &without_late.servers[&ServerId(1)].state);
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_blind_the_hub() {
        let mut desk = desk(vec![server(1, true)]);
        desk.judge(vec![reading(1, NOW, 100)], NOW);
        let earlier = NOW.plus_millis(-3_600_000);
        let work = desk.judge(vec![reading(1, earlier, 990)], earlier);
        assert_eq!(work.commit.states.len(), 1);
        assert_eq!(work.delta.alerts.len(), 1);
    }

    #[test]
    fn only_what_a_person_would_notice_is_told() {
        let mut desk = desk(vec![server(1, true)]);
        let at = |seconds: i64| NOW.plus_millis(seconds * 1000);
        let told = |desk: &mut Desk, seconds: i64, usage: u16| {
            let work = desk.judge(vec![reading(1, at(seconds), usage)], at(seconds));
            (work.commit.alerts.len(), work.delta.alerts.len())
        };
        assert_eq!(told(&mut desk, 0, 910), (1, 1), "fires");
        assert_eq!(told(&mut desk, 10, 500), (1, 0), "a clock starts");
        assert_eq!(told(&mut desk, 20, 960), (1, 1), "critical");
        assert_eq!(told(&mut desk, 30, 500), (1, 0));
        assert_eq!(told(&mut desk, 90, 500), (1, 1), "resolves");
        assert_eq!(desk.firing().count(), 0);
    }

    #[test]
    fn switching_off_ends_alerts_and_switching_on_starts_afresh() {
        let mut desk = desk(vec![server(1, true)]);
        desk.judge(vec![reading(1, NOW, 990)], NOW);
        let work = desk.set_servers(vec![server(1, false)], NOW);
        assert_eq!(work.delta.alerts[0].phase, AlertPhase::Resolved);
        assert_eq!(work.commit.states[0].1.status, Status::Paused);
        let work = desk.set_servers(vec![server(1, true)], NOW);
        assert_eq!(work.commit.states[0].1.status, Status::Unknown);
    }

    #[test]
    fn servers_come_and_go() {
        let mut desk = desk(vec![server(1, true)]);
        desk.judge(vec![reading(1, NOW, 990)], NOW);
        let work = desk.set_servers(vec![server(2, true)], NOW);
        assert!(work.is_empty(), "the store removed what there was");
        assert_eq!(work.delta.removed, [ServerId(1)]);
        assert_eq!(work.delta.servers.len(), 1);
        assert!(work.delta.servers_changed);
        assert_eq!(desk.firing().count(), 0);
        assert!(
            desk.judge(vec![reading(1, NOW.plus_millis(1), 990)], NOW)
                .is_empty()
        );
    }

    #[test]
    fn resolving_by_hand_is_recorded_and_can_be_taken_back() {
        let mut desk = desk(vec![server(1, true), server(2, true)]);
        desk.judge(vec![reading(1, NOW, 990), reading(2, NOW, 990)], NOW);
        let memory = desk.memory_of_alerts();
        let work = desk.resolve(&Resolve::Server(ServerId(1)), &Actor::user("ada"), NOW);
        assert_eq!(work.delta.alerts.len(), 1);
        assert_eq!(work.commit.events[0].kind, EventKind::AlertResolved);
        assert_eq!(work.commit.events[0].actor.as_deref(), Some("ada"));
        desk.recall_alerts(memory);
        let work = desk.resolve(&Resolve::All, &Actor::user("ada"), NOW);
        assert_eq!(work.delta.alerts.len(), 2);
        assert!(desk.resolve(&Resolve::All, &Actor::user("ada"), NOW).is_empty());
    }
}
