//! Any sequence of commits, deletions and restarts answers like a plain map in memory.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::Metric;
use crate::model::metric::flatten;
use crate::store::merge::Sizes;
use crate::store::recall::Recall;
use crate::store::{Ages, Cursor, DeleteRange, FleetQuery, GroupBy, MetricsQuery, Retention, SeriesQuery};

#[derive(Debug, Clone)]
enum Step {
    /// Samples: server, seconds, value, with the slow sections, interface.
    Commit(Vec<(usize, i64, u16, bool, u8)>),
    DeleteBefore(Option<usize>, i64),
    DeleteServer(usize),
    Purge(i64),
    /// Retention of the samples alone: the roll-ups stay.
    Thin(i64),
    /// Rows into blocks, blocks into larger ones and roll-ups, by small sizes.
    Fold(i64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = (0..3_usize, 0..20_000_i64, 0..1_000_u16, any::<bool>(), 0..6_u8);
    let step = prop_oneof![
        6 => proptest::collection::vec(one, 0..90).prop_map(Step::Commit),
        2 => (proptest::option::of(0..3_usize), 0..20_000_i64)
            .prop_map(|(server, before)| Step::DeleteBefore(server, before)),
        1 => (0..3_usize).prop_map(Step::DeleteServer),
        1 => (0..20_000_i64).prop_map(Step::Purge),
        2 => (0..20_000_i64).prop_map(Step::Thin),
        5 => (1..40_i64).prop_map(Step::Fold),
        2 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..12)
}

fn snapshot_of(value: u16, slow: bool, interface: u8) -> Snapshot {
    let mut snapshot = snapshot(value, slow);
    snapshot.interfaces.as_mut().unwrap()[0].name = format!("veth{interface}");
    snapshot
}

type Samples = BTreeMap<(i64, ServerId), Snapshot>;

/// Lengths of the roll-ups' buckets.
const STEPS: [i64; 2] = [900 * SECOND, 10_800 * SECOND];

#[derive(Default)]
struct Model {
    samples: Samples,
    /// What is in the roll-ups, or will be.
    rolled: [Samples; 2],
    /// Before this, retention has removed the samples of a server.
    thinned: BTreeMap<ServerId, i64>,
}

impl Model {
    /// What a question about steps of this length sees of a server.
    fn seen(&self, server_id: ServerId, step_ms: i64) -> Vec<(i64, &Snapshot)> {
        let source = match STEPS.iter().rposition(|step| step_ms % step == 0) {
            Some(tier) => &self.rolled[tier],
            None => &self.samples,
        };
        let own = source.iter().filter(|((_, id), _)| *id == server_id);
        own.map(|((at, _), snapshot)| (*at, snapshot)).collect()
    }

    fn insert(&mut self, key: (i64, ServerId), snapshot: &Snapshot) {
        for samples in self.rolled.iter_mut().chain([&mut self.samples]) {
            samples.insert(key, snapshot.clone());
        }
    }

    /// Removes what was taken before a moment. A bucket that it lies in is made again of what there
    /// still is in the next finer tier.
    fn delete(&mut self, before: i64, hit: impl Fn(ServerId) -> bool) -> u64 {
        let count = self.samples.len();
        self.samples.retain(|(at, id), _| *at >= before || !hit(*id));
        let mut finer = &self.samples;
        for (samples, step) in self.rolled.iter_mut().zip(STEPS) {
            let border = (before + step - 1).div_euclid(step) * step;
            samples.retain(|key, _| key.0 >= border || !hit(key.1) || finer.contains_key(key));
            finer = samples;
        }
        (count - self.samples.len()) as u64
    }
}

async fn check(test: &TestStore, servers: &BTreeSet<ServerId>, model: &Model) {
    // Rows, over small pages.
    let mut query = MetricsQuery {
        limit: 37,
        ..MetricsQuery::default()
    };
    let mut rows = Vec::new();
    loop {
        let page = test.store.metric_rows(&query).await.unwrap();
        assert_eq!(page.unreadable_rows, 0);
        rows.extend(page.rows);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.taken_at.0, row.server_id, row.load_1_hundredths))
        .collect();
    let expected: Vec<_> = model
        .samples
        .iter()
        .map(|((at, id), snapshot)| {
            (
                *at,
                *id,
                snapshot.load.as_ref().map(|load| i64::from(load.one_hundredths)),
            )
        })
        .collect();
    assert_eq!(seen, expected);
    // What is remembered of earlier answers changes none.
    for (from, step) in [(0, 60), (12_000, 60), (0, 900), (0, 10_800)] {
        let ask = FleetQuery {
            metric: Metric::NetworkReceiveBytes,
            label: None,
            servers: None,
            tag: None,
            group: None,
            from: Timestamp(NOW.0 + from * SECOND),
            to: Timestamp(NOW.0 + 20_000 * SECOND),
            max_points: 5_000,
            step: crate::store::Step::Fixed(step * SECOND),
            top: None,
            group_by: GroupBy::Nothing,
        };
        let anew = test.store.fleet_by(&ask, &Recall::default()).await.unwrap();
        assert_eq!(test.store.fleet(&ask).await.unwrap(), anew, "steps of {step} s");
    }
    // Every value of every series, in buckets of the finest step.
    for server in servers {
        let ask = SeriesQuery {
            server_id: *server,
            metrics: Metric::ALL.to_vec(),
            from: NOW,
            to: Timestamp(NOW.0 + 20_000 * SECOND),
            max_points: 5_000,
            step: crate::store::Step::Auto,
        };
        let answer = test.store.query(&ask).await.unwrap();
        let own = model.seen(*server, answer.step_ms);
        let mut extremes: BTreeMap<_, (i64, i64)> = BTreeMap::new();
        for (at, snapshot) in &own {
            for (key, value) in flatten(snapshot) {
                let bucket = at.div_euclid(answer.step_ms) * answer.step_ms;
                let both = extremes
                    .entry((key.metric, key.label, bucket))
                    .or_insert((value, value));
                *both = (both.0.min(value), both.1.max(value));
            }
        }
        for ((metric, label, bucket), (min, max)) in &extremes {
            let series = answer
                .series
                .iter()
                .find(|series| series.metric == *metric && series.label == *label)
                .unwrap_or_else(|| panic!("{metric} {label} is missing"));
            let index = answer.times.iter().position(|time| time.0 == *bucket).unwrap();
            assert_eq!((series.min[index], series.max[index]), (Some(*min), Some(*max)));
        }
        let names: BTreeSet<_> = extremes
            .keys()
            .map(|(metric, label, _)| (*metric, label.clone()))
            .collect();
        assert_eq!(answer.series.len(), names.len());
        for step in [900, 1_800, 10_800, 45] {
            if step > 45 || !model.thinned.contains_key(server) {
                coarse(test, *server, &model.seen(*server, step * SECOND), step * SECOND).await;
            }
        }
        let own = model.seen(*server, SECOND);
        let stats = test.store.storage_stats().await.unwrap();
        let stats = stats
            .per_server
            .iter()
            .find(|stats| stats.server_id == *server)
            .unwrap();
        assert_eq!(stats.samples, own.len() as u64);
        assert_eq!(stats.oldest, own.first().map(|(at, _)| Timestamp(*at)));
        let latest = test.store.latest().await.unwrap();
        assert_eq!(
            latest.get(server).map(|latest| latest.taken_at.0),
            own.last().map(|(at, _)| *at)
        );
    }
}

/// Minimum, mean and maximum of steps that roll-ups may answer, and of one they cannot.
async fn coarse(test: &TestStore, server_id: ServerId, own: &[(i64, &Snapshot)], step_ms: i64) {
    let ask = SeriesQuery {
        server_id,
        metrics: vec![
            Metric::Load1,
            Metric::NetworkReceiveBytes,
            Metric::FilesystemUsage,
        ],
        from: NOW,
        to: Timestamp(NOW.0 + 20_000 * SECOND),
        max_points: 1,
        step: crate::store::Step::Fixed(step_ms),
    };
    let answer = test.store.query(&ask).await.unwrap();
    assert_eq!((answer.step_ms, answer.unreadable_blocks), (step_ms, 0));
    let mut all: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for (at, snapshot) in own {
        for (key, value) in flatten(snapshot) {
            if ask.metrics.contains(&key.metric) {
                let bucket = at.div_euclid(step_ms) * step_ms;
                all.entry((key.metric, key.label, bucket))
                    .or_default()
                    .push(value);
            }
        }
    }
    for ((metric, label, bucket), values) in &all {
        let series = answer
            .series
            .iter()
            .find(|series| series.metric == *metric && series.label == *label);
        let series = series.unwrap_or_else(|| panic!("{metric} {label} is missing at {step_ms} ms"));
        let index = answer.times.iter().position(|time| time.0 == *bucket).unwrap();
        let mean = values.iter().sum::<i64>() as f64 / values.len() as f64;
        assert_eq!(series.min[index], values.iter().min().copied());
        assert_eq!(series.max[index], values.iter().max().copied());
        assert!(
            (series.avg[index].unwrap() - mean).abs() <= 0.51,
            "{metric} {label}"
        );
    }
}

async fn retain(test: &TestStore, global: Ages) -> u64 {
    let rules = Retention {
        global,
        from_config: false,
        tags: BTreeMap::new(),
    };
    test.store
        .retain_by(&rules, NOW.plus_millis(20_000 * SECOND), 0)
        .await
        .unwrap()
}

async fn run(steps: Vec<Step>) {
    let mut test = TestStore::new().await;
    let ids = [
        test.server("a").await.id,
        test.server("b").await.id,
        test.server("c").await.id,
    ];
    let mut servers: BTreeSet<ServerId> = ids.into();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Commit(wanted) => {
                let mut samples = Vec::new();
                let mut fresh = 0;
                for (server, second, value, slow, interface) in wanted {
                    let (at, id) = (NOW.0 + second * SECOND, ids[server]);
                    // Whether a sample that retention has removed comes again, nobody can tell.
                    if model.thinned.get(&id).is_some_and(|thinned| at < *thinned) {
                        continue;
                    }
                    let snapshot = snapshot_of(value, slow, interface);
                    if servers.contains(&id) && !model.samples.contains_key(&(at, id)) {
                        model.insert((at, id), &snapshot);
                        fresh += 1;
                    }
                    samples.push(sample(id, at, snapshot));
                }
                assert_eq!(test.commit_samples(samples).await.samples, fresh);
            }
            Step::DeleteBefore(server, second) => {
                let before = NOW.0 + second * SECOND;
                let server_id = server.map(|index| ids[index]);
                let expected = model.delete(before, |id| server_id.is_none_or(|wanted| wanted == id));
                let range = DeleteRange {
                    server_id,
                    before: Some(Timestamp(before)),
                };
                assert_eq!(test.store.count_samples(&range).await.unwrap(), expected);
                assert_eq!(
                    test.store.delete_samples(&range, &admin(), NOW).await.unwrap(),
                    expected
                );
            }
            Step::DeleteServer(index) => {
                let deleted = test.store.delete_server(ids[index], &admin(), NOW).await.unwrap();
                assert_eq!(deleted, servers.remove(&ids[index]));
                model.delete(i64::MAX / 2, |id| id == ids[index]);
            }
            Step::Purge(second) => {
                let age = Some((20_000 - second).unsigned_abs());
                let ages = Ages {
                    samples: age,
                    quarter_hours: age,
                    three_hours: age,
                };
                let expected = model.delete(NOW.0 + second * SECOND, |_| true);
                assert_eq!(retain(&test, ages).await, expected);
            }
            Step::Thin(second) => {
                let age = Some((20_000 - second).unsigned_abs());
                let ages = Ages {
                    samples: age,
                    quarter_hours: None,
                    three_hours: None,
                };
                let before = NOW.0 + second * SECOND;
                let gone: Vec<(i64, ServerId)> = model
                    .samples
                    .keys()
                    .filter(|(at, _)| *at < before)
                    .copied()
                    .collect();
                for key in &gone {
                    model.samples.remove(key);
                    let thinned = model.thinned.entry(key.1).or_insert(before);
                    *thinned = before.max(*thinned);
                }
                assert_eq!(retain(&test, ages).await, gone.len() as u64);
            }
            Step::Fold(fold) => {
                let sizes = Sizes {
                    fold,
                    roll: fold * 2,
                    full: fold * 8,
                };
                let much = std::time::Duration::from_secs(3_600);
                let report = test.store.fold_by(&sizes, NOW, much).await.unwrap();
                assert!(!report.more, "{report:?}");
            }
            Step::Reopen => test.reopen().await,
        }
        check(&test, &servers, &model).await;
    }
    let after = Some(Cursor {
        taken_at: Timestamp(i64::MAX),
        server_id: ServerId(0),
    });
    let rest = MetricsQuery {
        after,
        limit: 1,
        ..MetricsQuery::default()
    };
    assert!(test.store.metric_rows(&rest).await.unwrap().rows.is_empty());
    assert_eq!(test.store.verify_blocks(|_, _| ()).await.unwrap().faults, []);
    test.assert_whole().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_store_answers_like_a_map(steps in steps()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(run(steps));
    }
}
