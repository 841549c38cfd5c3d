use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::sync::broadcast::error::TryRecvError;

use super::*;
use crate::model::{
    AlertId, Level, Status,
    alert::{AlertKey, AlertPhase, Rule},
};

fn state(failure_count: u32) -> Arc<ServerState> {
    Arc::new(ServerState {
        status: Status::Online,
        failure_count,
        ..ServerState::default()
    })
}

fn alert(id: i64, server: i64, level: Level, phase: AlertPhase) -> Alert {
    Alert {
        id: AlertId(id),
        key: AlertKey {
            server_id: ServerId(server),
            rule: Rule::Disk,
            label: format!("/{id}"),
        },
        phase,
        level,
        pending_since: Timestamp(0),
        created_at: Timestamp(0),
        resolved_at: None,
        resolved_by: None,
        held: false,
        clearing_since: None,
        level_change_since: None,
        evidence_at: Timestamp(0),
        evidence_count: 0,
        params: BTreeMap::new(),
    }
}

#[test]
fn a_snapshot_that_was_taken_does_not_change() {
    let live = Live::new([(ServerId(1), state(0))], []);
    let before = live.snapshot();
    live.publish(Delta {
        servers: vec![(ServerId(1), state(7)), (ServerId(2), state(1))],
        ..Delta::default()
    });
    assert_eq!(before.len(), 1);
    assert_eq!(before.server(ServerId(1)).unwrap().failure_count, 0);
    assert_eq!(live.snapshot().len(), 2);
    assert_eq!(live.server(ServerId(1)).unwrap().failure_count, 7);
}

#[test]
fn a_subscriber_gets_changes_in_order_and_learns_that_it_lagged() {
    let live = Live::new([], []);
    let mut receiver = live.subscribe();
    for n in 0..3 {
        live.publish(Delta {
            at: Timestamp(n),
            ..Delta::default()
        });
    }
    for n in 1..=3 {
        assert_eq!(receiver.try_recv().unwrap().version, n);
    }
    for _ in 0..=SUBSCRIBER_BACKLOG {
        live.publish(Delta::default());
    }
    assert!(matches!(receiver.try_recv(), Err(TryRecvError::Lagged(_))));
    // What is left after the loss is not newer than what a snapshot holds.
    let fleet = live.snapshot();
    while let Ok(delta) = receiver.try_recv() {
        assert!(delta.version <= fleet.version());
    }
}

#[test]
fn a_removed_server_takes_its_alerts_along() {
    let live = Live::new(
        [(ServerId(1), state(0)), (ServerId(2), state(0))],
        [
            alert(1, 1, Level::Warning, AlertPhase::Firing),
            alert(2, 2, Level::Critical, AlertPhase::Firing),
            alert(3, 1, Level::Critical, AlertPhase::Pending),
        ],
    );
    assert_eq!(
        live.snapshot().total_alert_counts(),
        AlertCounts {
            warning: 1,
            critical: 1
        }
    );
    live.publish(Delta {
        removed: vec![ServerId(1)],
        ..Delta::default()
    });
    let fleet = live.snapshot();
    assert_eq!(fleet.len(), 1);
    assert_eq!(fleet.alert_counts(ServerId(1)), AlertCounts::default());
    assert_eq!(
        fleet.total_alert_counts(),
        AlertCounts {
            warning: 0,
            critical: 1
        }
    );
    assert_eq!(fleet.alerts().count(), 1);
}

#[test]
fn focus_lasts_as_long_as_its_last_guard() {
    let live = Live::new([], []);
    let mut focus = live.focus();
    let first = live.watch_server(ServerId(1));
    assert!(focus.has_changed().unwrap());
    assert!(focus.borrow_and_update().contains(&ServerId(1)));
    let second = live.watch_server(ServerId(1));
    assert!(!focus.has_changed().unwrap(), "a second look changes nothing");
    drop(first);
    assert!(!focus.has_changed().unwrap(), "somebody still looks");
    drop(second);
    assert!(focus.borrow_and_update().is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Alert {
        id: i64,
        server: i64,
        critical: bool,
        phase: AlertPhase,
    },
    Remove(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let phase = prop_oneof![
        Just(AlertPhase::Pending),
        Just(AlertPhase::Firing),
        Just(AlertPhase::Resolved)
    ];
    let step = prop_oneof![
        8 => (0i64..12, any::<bool>(), phase).prop_map(|(id, critical, phase)| Step::Alert {
            id,
            server: id % 4,
            critical,
            phase
        }),
        1 => (0i64..4).prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// The counts kept along the way are those of a count from scratch.
    #[test]
    fn counts_are_those_of_the_firing_alerts(steps in steps()) {
        let live = Live::new([], []);
        let mut firing: BTreeMap<i64, (i64, bool)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Alert { id, server, critical, phase } => {
                    let level = if critical { Level::Critical } else { Level::Warning };
                    live.publish(Delta { alerts: vec![alert(id, server, level, phase)], ..Delta::default() });
                    firing.remove(&id);
                    if phase == AlertPhase::Firing {
                        firing.insert(id, (server, critical));
                    }
                }
                Step::Remove(server) => {
                    live.publish(Delta { removed: vec![ServerId(server)], ..Delta::default() });
                    firing.retain(|_, (of, _)| *of != server);
                }
            }
            let fleet = live.snapshot();
            prop_assert_eq!(fleet.alerts().count(), firing.len());
            let critical = firing.values().filter(|(_, critical)| *critical).count();
            prop_assert_eq!(fleet.total_alert_counts().critical as usize, critical);
            prop_assert_eq!(fleet.total_alert_counts().total() as usize, firing.len());
            for server in 0..4 {
                let of_server = firing.values().filter(|(of, _)| *of == server).count();
                prop_assert_eq!(fleet.alert_counts(ServerId(server)).total() as usize, of_server);
            }
        }
    }

    /// Whatever the order of guards, the set is that of the guards alive.
    #[test]
    fn focus_is_the_set_of_guards_alive(looks in prop::collection::vec((0i64..5, any::<bool>()), 0..40)) {
        let live = Live::new([], []);
        let focus = live.focus();
        let mut guards = Vec::new();
        for (server, look) in looks {
            if look || guards.is_empty() {
                guards.push(live.watch_server(ServerId(server)));
            } else {
                let index = usize::try_from(server).unwrap() % guards.len();
                drop(guards.swap_remove(index));
            }
            let expected: HashSet<ServerId> = guards.iter().map(FocusGuard::server_id).collect();
            let watched = Arc::clone(&focus.borrow());
            prop_assert_eq!(watched.as_ref(), &expected);
        }
    }
}
