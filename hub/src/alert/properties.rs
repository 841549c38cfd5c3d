//! What holds for every history of readings.

use std::collections::HashSet;

use gander_probe::snapshot::Snapshot;
use proptest::prelude::*;

use super::{
    tests::{Bench, SERVER, at, cpu, disks, failure, reading},
    *,
};
use crate::model::CollectErrorCode;

/// Something that happens, some seconds after what happened before.
#[derive(Debug, Clone)]
enum Step {
    /// CPU use, and the use of two filesystems that may be missing; a section may be absent.
    Sees {
        cpu: Option<u16>,
        disks: Option<(Option<u16>, Option<u16>)>,
    },
    Fails(CollectErrorCode),
    /// A reading that comes late: this many seconds old.
    Late(i64),
    ResolveAll,
    Pause,
}

fn usage() -> impl Strategy<Value = u16> {
    // Dense around the thresholds, where things happen.
    prop_oneof![Just(0), Just(1000), 740u16..=960]
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let step = prop_oneof![
        12 => (
            prop::option::of(usage()),
            prop::option::of((prop::option::of(usage()), prop::option::of(usage())))
        )
            .prop_map(|(cpu, disks)| Step::Sees { cpu, disks }),
        4 => prop_oneof![
            Just(CollectErrorCode::Timeout),
            Just(CollectErrorCode::NoRoute),
            Just(CollectErrorCode::KeyRefused)
        ]
        .prop_map(Step::Fails),
        1 => (1i64..2000).prop_map(Step::Late),
        1 => Just(Step::ResolveAll),
        1 => Just(Step::Pause),
    ];
    let pause = prop_oneof![6 => 1i64..40, 1 => 40i64..900];
    prop::collection::vec((pause, step), 1..80)
}

fn snapshot(cpu_usage: Option<u16>, list: Option<(Option<u16>, Option<u16>)>) -> Snapshot {
    let mut snapshot = cpu_usage.map(cpu).unwrap_or_default();
    if let Some((root, var)) = list {
        let present: Vec<(&str, u16)> = [("/", root), ("/var", var)]
            .into_iter()
            .filter_map(|(mount, usage)| Some((mount, usage?)))
            .collect();
        snapshot.filesystems = disks(&present).filesystems;
    }
    snapshot
}

impl Bench {
    fn step(&mut self, seconds: i64, step: &Step) {
        match step {
            Step::Sees { cpu, disks } => {
                let reading = reading(seconds, Ok(snapshot(*cpu, *disks)));
                self.observe(&reading, at(seconds));
            }
            Step::Fails(code) => {
                let reading = reading(seconds, Err(failure(*code)));
                self.observe(&reading, at(seconds));
            }
            Step::Late(age) => {
                let reading = reading(seconds - age, Ok(disks(&[("/", 1000), ("/late", 1000)])));
                if self.last_seen >= Some(reading.taken_at) {
                    let changes = self.observe(&reading, at(seconds));
                    assert_eq!(changes, 0, "late data changes nothing");
                }
            }
            Step::ResolveAll => {
                let ids = self.engine.firing(None);
                let changes = self.engine.resolve(&ids, Some("ada"), at(seconds));
                self.apply(changes);
            }
            Step::Pause => {
                let changes = self.engine.pause_server(SERVER, at(seconds));
                self.apply(changes);
            }
        }
    }

    fn assert_consistent(&self) {
        let stored_open: BTreeMap<AlertId, &Alert> = self
            .rows
            .values()
            .filter(|alert| is_open(alert))
            .map(|alert| (alert.id, alert))
            .collect();
        let known: BTreeMap<AlertId, &Alert> = self.engine.open().map(|alert| (alert.id, alert)).collect();
        assert_eq!(known, stored_open, "the rows hold all the engine knows");
        let identities: HashSet<&AlertKey> = stored_open.values().map(|alert| &alert.key).collect();
        assert_eq!(
            identities.len(),
            stored_open.len(),
            "one open alert for each identity"
        );
        for alert in self.rows.values() {
            assert_eq!(
                alert.resolved_at.is_some(),
                alert.phase == AlertPhase::Resolved,
                "{alert:?}"
            );
            assert!(alert.pending_since <= alert.created_at, "{alert:?}");
        }
    }
}

/// Rows without their ids: an id of a pending alert that left no trace is given again.
fn without_ids(bench: &Bench) -> Vec<Alert> {
    bench
        .rows
        .values()
        .cloned()
        .map(|mut alert| {
            alert.id = AlertId(0);
            alert
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: one open alert for each identity, and the rows hold everything.
    #[test]
    fn rows_and_engine_agree(steps in steps()) {
        let mut bench = Bench::new();
        let mut seconds = 0;
        for (pause, step) in &steps {
            seconds += pause;
            bench.step(seconds, step);
            bench.assert_consistent();
        }
    }

    /// A hub that restarts after every reading decides as one that never did.
    #[test]
    fn restarts_change_nothing(steps in steps(), restarts in prop::collection::vec(any::<bool>(), 80)) {
        let mut steady = Bench::new();
        let mut restarting = Bench::new();
        let mut seconds = 0;
        for ((pause, step), restart) in steps.iter().zip(&restarts) {
            seconds += pause;
            if *restart {
                restarting.restart();
            }
            steady.step(seconds, step);
            restarting.step(seconds, step);
            prop_assert_eq!(without_ids(&steady), without_ids(&restarting));
        }
    }

    /// No change without evidence: an alert moves only if the reading spoke of its subject.
    #[test]
    fn nothing_moves_without_evidence(steps in steps()) {
        let mut bench = Bench::new();
        let mut seconds = 0;
        for (pause, step) in &steps {
            seconds += pause;
            let before = bench.rows.clone();
            bench.step(seconds, step);
            let touched = |rule: Rule| match step {
                Step::Sees { cpu, disks } => match rule {
                    Rule::Cpu => cpu.is_some(),
                    Rule::Disk => disks.is_some(),
                    Rule::Unreachable => true,
                    Rule::Memory => false,
                },
                Step::Fails(_) => rule == Rule::Unreachable,
                Step::Late(_) => false,
                Step::ResolveAll | Step::Pause => true,
            };
            for (id, alert) in &bench.rows {
                if before.get(id) != Some(alert) {
                    prop_assert!(touched(alert.key.rule), "{:?} by {:?}", alert, step);
                }
            }
            for (id, alert) in &before {
                if !bench.rows.contains_key(id) {
                    prop_assert!(touched(alert.key.rule) && alert.phase == AlertPhase::Pending);
                }
            }
        }
    }

    /// A value that wanders between the clear threshold and the top is one alert, told once.
    #[test]
    fn wandering_above_the_clear_threshold_is_one_alert(values in prop::collection::vec(850u16..950, 1..100)) {
        let mut bench = Bench::new();
        bench.step(0, &Step::Sees { cpu: None, disks: Some((Some(900), None)) });
        let mut seconds = 0;
        for value in values {
            seconds += 10;
            bench.step(seconds, &Step::Sees { cpu: None, disks: Some((Some(value), None)) });
        }
        prop_assert_eq!(bench.rows.len(), 1);
        let alert = bench.rows.values().next().unwrap();
        prop_assert_eq!((alert.phase, alert.level, alert.created_at), (AlertPhase::Firing, Level::Warning, at(0)));
    }

    /// What fires was over its threshold in every reading of the time it had to wait.
    #[test]
    fn what_fires_was_over_for_as_long_as_it_must(values in prop::collection::vec((1i64..60, 700u16..=1000), 1..80)) {
        let mut bench = Bench::new();
        let mut history: Vec<(i64, u16)> = Vec::new();
        let mut seconds = 0;
        for (pause, value) in values {
            seconds += pause;
            history.push((seconds, value));
            let fired_before = bench.rows.values().filter(|alert| alert.phase != AlertPhase::Pending).count();
            bench.step(seconds, &Step::Sees { cpu: Some(value), disks: None });
            let fired = bench.rows.values().filter(|alert| alert.phase != AlertPhase::Pending).count();
            if fired > fired_before {
                let since = history.iter().rev().take_while(|(_, value)| *value >= 800).last().unwrap().0;
                prop_assert!(seconds - since >= 60, "over since {since}, fired at {seconds}");
            }
        }
    }
}
