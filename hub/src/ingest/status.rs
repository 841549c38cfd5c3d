//! What one reading makes of a server's state: status, failures, reboots, host keys. Pure.

use serde_json::json;

use super::handover::path_after;
use crate::model::{
    CollectError, CollectErrorCode, Event, EventKind, Reading, Server, ServerId, ServerState, Status,
    Timestamp, Transport, commit::Pin,
};
use gander_probe::{Snapshot, snapshot::System};

/// A boot this long after the last reading, by the uptime, is a reboot: less may be rounding.
const BOOT_MARGIN_MS: i64 = 5_000;

/// What a reading changes.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) state: ServerState,
    pub(super) events: Vec<Event>,
    /// The host key to pin: proved for the first time.
    pub(super) pin: Option<Pin>,
}

/// The state of a server after a reading that is newer than all before.
pub(super) fn advance(server: &Server, before: &ServerState, reading: &Reading) -> Outcome {
    let mut outcome = Outcome {
        state: before.clone(),
        events: Vec::new(),
        pin: None,
    };
    let shown_key = reading
        .contact
        .as_ref()
        .and_then(|contact| contact.host_key.as_ref());
    // A key proved where the server no longer is belongs to another machine. The store looks
    // again, for it may know of a change that has not come here yet; it also records the event.
    if let (Some((key, endpoint)), None) = (shown_key, &server.host_key)
        && *endpoint == server.spec.endpoint()
    {
        outcome.pin = Some(Pin {
            server_id: server.id,
            host_key: key.clone(),
            endpoint: endpoint.clone(),
            at: reading.taken_at,
        });
    }
    if let Some(session) = reading
        .contact
        .as_ref()
        .and_then(|contact| contact.session.as_ref())
    {
        outcome.state.ssh = Some(session.clone());
    }
    outcome.state.origin = Some(reading.origin);
    let path = path_after(server.spec.transport, before.path.as_ref(), reading);
    if let Some(from) = before.path.as_ref().map(|before| before.live)
        && from != path.live
        && server.spec.transport == Transport::Auto
    {
        let details = json!({"from": from, "to": path.live, "why": path.why});
        outcome.event(server.id, reading.taken_at, EventKind::TransportChanged, details);
    }
    outcome.state.path = Some(path);
    match &reading.outcome {
        Ok(snapshot) => answered(server, before, reading, snapshot, &mut outcome),
        Err(error) => failed(server, before, reading, error, &mut outcome),
    }
    outcome
}

/// Whether a state says no more than the one before it and a newer sample together.
pub(super) fn is_only_newer(before: &ServerState, after: &ServerState) -> bool {
    fn texts(state: &ServerState) -> Option<(Option<&str>, Option<&System>)> {
        let snapshot = state.snapshot.as_deref()?;
        Some((snapshot.boot_id.as_deref(), snapshot.system.as_ref()))
    }
    let path = |state: &ServerState| {
        let path = state.path.as_ref()?;
        Some((path.live, path.since, path.why, path.agent_seen.is_some()))
    };
    // Every field, so that a new one is thought of here. Of a session nothing is kept.
    let ServerState {
        status,
        status_since,
        last_success,
        failure_count,
        error,
        origin,
        path: _,
        ssh: _,
        snapshot: _,
    } = before;
    *status == after.status
        && *status_since == after.status_since
        && last_success.is_some() == after.last_success.is_some()
        && *failure_count == after.failure_count
        && *error == after.error
        && *origin == after.origin
        && path(before) == path(after)
        && texts(before) == texts(after)
}

/// The state of a server that a person switched off or on again.
pub(super) fn switched(before: &ServerState, enabled: bool, now: Timestamp) -> ServerState {
    ServerState {
        status: if enabled { Status::Unknown } else { Status::Paused },
        status_since: Some(now),
        failure_count: 0,
        error: None,
        ..before.clone()
    }
}

fn answered(
    server: &Server,
    before: &ServerState,
    reading: &Reading,
    snapshot: &Snapshot,
    outcome: &mut Outcome,
) {
    let at = reading.taken_at;
    if is_reboot(before, snapshot, at) {
        let details = json!({"uptime_seconds": snapshot.uptime_seconds});
        outcome.event(server.id, at, EventKind::ServerRebooted, details);
    }
    if before.status != Status::Online {
        let offline_ms = (before.status == Status::Offline)
            .then_some(before.status_since)
            .flatten()
            .map(|since| at.millis_since(since));
        outcome.event(
            server.id,
            at,
            EventKind::ServerOnline,
            json!({"offline_ms": offline_ms}),
        );
        outcome.state.status = Status::Online;
        outcome.state.status_since = Some(at);
    }
    outcome.state.last_success = Some(at);
    outcome.state.failure_count = 0;
    outcome.state.error = None;
    match &mut outcome.state.snapshot {
        Some(merged) => merged.merge(snapshot.clone()),
        none => *none = Some(Box::new(snapshot.clone())),
    }
}

fn failed(
    server: &Server,
    before: &ServerState,
    reading: &Reading,
    error: &CollectError,
    outcome: &mut Outcome,
) {
    let at = reading.taken_at;
    let details = json!({"code": error.code, "message": error.message, "params": error.params});
    let known = before.error.as_ref().map(|error| error.code);
    if error.code == CollectErrorCode::HostKeyChanged && known != Some(CollectErrorCode::HostKeyChanged) {
        outcome.event(server.id, at, EventKind::HostKeyChanged, details.clone());
    }
    if before.status != Status::Offline {
        outcome.event(server.id, at, EventKind::ServerOffline, details);
        outcome.state.status = Status::Offline;
        outcome.state.status_since = Some(at);
    }
    outcome.state.failure_count = before.failure_count.saturating_add(1);
    outcome.state.error = Some(error.clone());
}

/// Whether the machine was booted since the last reading: its boot id is another one, or, where
/// one of the two is not known (the hub was restarted), it booted after we last saw it.
fn is_reboot(before: &ServerState, snapshot: &Snapshot, at: Timestamp) -> bool {
    let known = before
        .snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.boot_id.as_ref());
    if let (Some(known), Some(seen)) = (known, &snapshot.boot_id) {
        return known != seen;
    }
    let (Some(last), Some(uptime)) = (before.last_success, snapshot.uptime_seconds) else {
        return false;
    };
    let uptime_ms = i64::try_from(uptime).unwrap_or(i64::MAX).saturating_mul(1000);
    at.plus_millis(uptime_ms.saturating_neg()).millis_since(last) > BOOT_MARGIN_MS
}

impl Outcome {
    fn event(&mut self, server_id: ServerId, at: Timestamp, kind: EventKind, details: serde_json::Value) {
        self.events.push(Event {
            at,
            kind,
            server_id: Some(server_id),
            actor: None,
            details,
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{HostKey, Origin, reading::Contact, server::ServerSpec};

    pub(in crate::ingest) fn spec(name: &str) -> ServerSpec {
        ServerSpec::new(name, "192.0.2.1", "root", Transport::Ssh)
    }

    fn server() -> Server {
        Server {
            id: ServerId(1),
            spec: spec("web-1"),
            has_password: true,
            has_key: false,
            credential: None,
            host_key: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    fn reading(at: i64, outcome: Result<Snapshot, CollectErrorCode>) -> Reading {
        Reading {
            server_id: ServerId(1),
            origin: Origin::Ssh,
            taken_at: Timestamp(at),
            outcome: outcome.map(Box::new).map_err(|code| CollectError {
                code,
                message: "it failed".into(),
                params: BTreeMap::new(),
            }),
            contact: None,
            receipt: None,
        }
    }

    /// A reading by some way: a value, or a failure.
    pub(in crate::ingest) fn reading_by(
        origin: Origin,
        at: i64,
        failure: Option<CollectErrorCode>,
    ) -> Reading {
        let outcome = failure.map_or_else(|| Ok(Snapshot::default()), Err);
        Reading {
            origin,
            ..reading(at, outcome)
        }
    }

    fn booted(boot_id: Option<&str>, uptime_seconds: u64) -> Snapshot {
        Snapshot {
            boot_id: boot_id.map(str::to_owned),
            uptime_seconds: Some(uptime_seconds),
            ..Snapshot::default()
        }
    }

    fn kinds(outcome: &Outcome) -> Vec<EventKind> {
        outcome.events.iter().map(|event| event.kind).collect()
    }

    #[test]
    fn the_first_answer_brings_a_server_online() {
        let outcome = advance(
            &server(),
            &ServerState::default(),
            &reading(10, Ok(booted(None, 100))),
        );
        assert_eq!(kinds(&outcome), [EventKind::ServerOnline]);
        assert_eq!(outcome.state.status, Status::Online);
        assert_eq!(outcome.state.status_since, Some(Timestamp(10)));
        assert_eq!(outcome.state.last_success, Some(Timestamp(10)));
    }

    #[test]
    fn failures_count_and_tell_once() {
        let online = advance(
            &server(),
            &ServerState::default(),
            &reading(10, Ok(booted(None, 100))),
        )
        .state;
        let first = advance(&server(), &online, &reading(20, Err(CollectErrorCode::Timeout)));
        assert_eq!(kinds(&first), [EventKind::ServerOffline]);
        assert_eq!(first.events[0].details["code"], "timeout");
        let second = advance(
            &server(),
            &first.state,
            &reading(30, Err(CollectErrorCode::NoRoute)),
        );
        assert_eq!(kinds(&second), []);
        assert_eq!(second.state.failure_count, 2);
        assert_eq!(second.state.status_since, Some(Timestamp(20)));
        assert_eq!(second.state.last_success, Some(Timestamp(10)));
        assert_eq!(
            second.state.error.as_ref().unwrap().code,
            CollectErrorCode::NoRoute
        );
        let back = advance(&server(), &second.state, &reading(50, Ok(booted(None, 100))));
        assert_eq!(kinds(&back), [EventKind::ServerOnline]);
        assert_eq!(back.events[0].details["offline_ms"], 30);
        assert_eq!((back.state.failure_count, back.state.error), (0, None));
    }

    #[test]
    fn a_switch_between_agent_and_ssh_is_recorded_where_both_may_read() {
        let switches = |transport: Transport| {
            let mut server = server();
            server.spec.transport = transport;
            let mut state = ServerState::default();
            let mut seen = Vec::new();
            for (at, origin) in [
                (10, Origin::Ssh),
                (20, Origin::Agent),
                (30, Origin::Agent),
                (40, Origin::Ssh),
            ] {
                let outcome = advance(&server, &state, &reading_by(origin, at, None));
                seen.extend(
                    outcome
                        .events
                        .into_iter()
                        .filter(|event| event.kind == EventKind::TransportChanged),
                );
                state = outcome.state;
            }
            seen
        };
        let seen = switches(Transport::Auto);
        assert_eq!(seen.len(), 2);
        assert_eq!(
            seen[0].details,
            json!({"from": "ssh", "to": "agent", "why": "agent_streams"})
        );
        assert_eq!(
            seen[1].details,
            json!({"from": "agent", "to": "ssh", "why": "agent_silent"})
        );
        assert_eq!(seen[1].at, Timestamp(40));
        assert_eq!(switches(Transport::Ssh), []);
    }

    #[test]
    fn slow_sections_are_carried_forward() {
        let slow = Snapshot {
            filesystems: Some(Vec::new()),
            ..booted(Some("a"), 1)
        };
        let first = advance(&server(), &ServerState::default(), &reading(10, Ok(slow))).state;
        let second = advance(&server(), &first, &reading(20, Ok(booted(Some("a"), 2)))).state;
        let snapshot = second.snapshot.unwrap();
        assert!(snapshot.filesystems.is_some());
        assert_eq!(snapshot.uptime_seconds, Some(2));
    }

    #[test]
    fn a_reboot_shows_in_the_boot_id_or_in_the_uptime() {
        let seen = |boot_id: Option<&str>| {
            advance(
                &server(),
                &ServerState::default(),
                &reading(1_000_000, Ok(booted(boot_id, 500))),
            )
            .state
        };
        let rebooted = |before: &ServerState, at: i64, snapshot: Snapshot| {
            kinds(&advance(&server(), before, &reading(at, Ok(snapshot))))
                .contains(&EventKind::ServerRebooted)
        };
        assert!(rebooted(&seen(Some("a")), 1_060_000, booted(Some("b"), 20)));
        assert!(!rebooted(&seen(Some("a")), 1_060_000, booted(Some("a"), 560)));
        // Without a boot id from before, the uptime tells: 20 s up, last seen 60 s ago.
        assert!(rebooted(&seen(None), 1_060_000, booted(Some("b"), 20)));
        assert!(!rebooted(&seen(None), 1_060_000, booted(Some("b"), 560)));
        assert!(
            !rebooted(&seen(None), 1_060_000, booted(None, 60)),
            "rounding is no reboot"
        );
        assert!(
            !rebooted(&ServerState::default(), 1_060_000, booted(Some("b"), 20)),
            "never seen before"
        );
    }

    #[test]
    fn the_first_host_key_is_pinned_and_a_changed_one_told_once() {
        let key = HostKey {
            algorithm: "ssh-ed25519".into(),
            fingerprint: "SHA256:abc".into(),
            public_key: "ssh-ed25519 AAAA".into(),
        };
        let mut first = reading(10, Ok(Snapshot::default()));
        first.contact = Some(Contact {
            host_key: Some((key.clone(), server().spec.endpoint())),
            session: None,
        });
        let outcome = advance(&server(), &ServerState::default(), &first);
        assert_eq!(outcome.pin.as_ref().map(|pin| &pin.host_key), Some(&key));
        let mut moved = server();
        moved.spec.ssh_port = 2222;
        assert_eq!(advance(&moved, &ServerState::default(), &first).pin, None);

        let pinned = Server {
            host_key: Some(key),
            ..server()
        };
        assert_eq!(advance(&pinned, &ServerState::default(), &first).pin, None);
        let changed = reading(20, Err(CollectErrorCode::HostKeyChanged));
        let outcome = advance(&pinned, &outcome.state, &changed);
        assert_eq!(
            kinds(&outcome),
            [EventKind::HostKeyChanged, EventKind::ServerOffline]
        );
        assert_eq!(kinds(&advance(&pinned, &outcome.state, &changed)), []);
    }

    #[test]
    fn switching_off_and_on_forgets_failures_but_not_values() {
        let failed = advance(
            &server(),
            &ServerState::default(),
            &reading(10, Err(CollectErrorCode::Timeout)),
        )
        .state;
        let paused = switched(&failed, false, Timestamp(20));
        assert_eq!(
            (paused.status, paused.failure_count, &paused.error),
            (Status::Paused, 0, &None)
        );
        let resumed = switched(&paused, true, Timestamp(30));
        assert_eq!(
            (resumed.status, resumed.status_since),
            (Status::Unknown, Some(Timestamp(30)))
        );
    }
}
