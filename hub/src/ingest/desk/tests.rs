//! What becomes of readings at the desk, by either way and however late.

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
        credential: None,
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
fn a_state_that_only_grows_newer_is_kept_once_a_minute() {
    let mut desk = desk(vec![server(1, true)]);
    let at = |seconds: i64| NOW.plus_millis(seconds * 1000);
    let mut kept = |reading: Reading| {
        let now = reading.taken_at;
        let work = desk.judge(vec![reading], now);
        assert_eq!(work.delta.servers.len(), 1, "it is told each time");
        work.commit.states.len()
    };
    assert_eq!(kept(reading(1, at(0), 100)), 1, "the first");
    for second in 1..60 {
        assert_eq!(kept(reading(1, at(second), 100)), 0, "{second}");
    }
    assert_eq!(kept(reading(1, at(60), 100)), 1, "a minute has passed");
    assert_eq!(kept(failure(1, at(61))), 1, "it failed");
    assert_eq!(kept(failure(1, at(62))), 1, "it failed once more");
    assert_eq!(kept(reading(1, at(63), 100)), 1, "it is back");
    assert_eq!(kept(reading(1, at(64), 100)), 0);
    let mut rebooted = reading(1, at(65), 100);
    if let Ok(snapshot) = &mut rebooted.outcome {
        snapshot.boot_id = Some("another".into());
    }
    assert_eq!(kept(rebooted), 1, "a text of it changed");
    assert_eq!(kept(reading(1, at(66), 100)), 0, "and is the same now");

    let mut work = desk.judge(vec![failure(1, at(67))], at(67));
    desk.take_back(&mut work, Vec::new(), 1);
    let work = desk.judge(vec![reading(1, at(67), 100)], at(67));
    assert_eq!(
        work.commit.states.len(),
        1,
        "what was taken back is not taken for kept"
    );
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
        (work.commit.samples.len(), work.delta.servers.len())
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
            let is_news = !work.delta.servers.is_empty();
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
