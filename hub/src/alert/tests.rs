use gander_probe::snapshot::{Cpu, Filesystem, Memory, Snapshot};
use serde_json::json;

use super::*;
use crate::model::{CollectError, CollectErrorCode, Origin};

pub(super) const SERVER: ServerId = ServerId(1);
/// Some moment; the tests speak of seconds after it.
pub(super) const START: i64 = 1_800_000_000_000;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp(START + seconds * 1000)
}

pub(super) fn info(last_seen: Option<Timestamp>) -> ServerInfo {
    ServerInfo {
        id: SERVER,
        thresholds: Thresholds::default(),
        interval_ms: 10_000,
        last_seen,
    }
}

pub(super) fn filesystem(mount_point: &str, usage_permille: u16) -> Filesystem {
    Filesystem {
        mount_point: mount_point.into(),
        device: "/dev/sda1".into(),
        kind: Some("ext4".into()),
        total_bytes: 1000,
        used_bytes: u64::from(usage_permille),
        available_bytes: 1000 - u64::from(usage_permille),
        usage_permille,
        ..Filesystem::default()
    }
}

pub(super) fn cpu(usage_permille: u16) -> Snapshot {
    Snapshot {
        cpu: Some(Cpu {
            usage_permille,
            ..Cpu::default()
        }),
        ..Snapshot::default()
    }
}

fn memory(used: u64) -> Snapshot {
    Snapshot {
        memory: Some(Memory {
            total_bytes: 1000,
            used_bytes: used,
            ..Memory::default()
        }),
        ..Snapshot::default()
    }
}

pub(super) fn disks(list: &[(&str, u16)]) -> Snapshot {
    Snapshot {
        filesystems: Some(
            list.iter()
                .map(|(mount, usage)| filesystem(mount, *usage))
                .collect(),
        ),
        ..Snapshot::default()
    }
}

pub(super) fn failure(code: CollectErrorCode) -> CollectError {
    CollectError {
        code,
        message: format!("it failed: {code:?}"),
        params: BTreeMap::new(),
    }
}

pub(super) fn reading(seconds: i64, outcome: Result<Snapshot, CollectError>) -> Reading {
    Reading {
        server_id: SERVER,
        origin: Origin::Ssh,
        taken_at: at(seconds),
        outcome: outcome.map(Box::new),
        contact: None,
        receipt: None,
    }
}

/// An alert as the engine would make it for this value.
pub(super) fn alert_with(rule: Rule, label: &str, value: u16, threshold: u16) -> Alert {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910)]));
    let mut alert = bench.only();
    alert.key.rule = rule;
    alert.key.label = label.into();
    alert.params.insert("value_permille".into(), json!(value));
    alert.params.insert("threshold_permille".into(), json!(threshold));
    alert
}

pub(super) fn failing_with(code: CollectErrorCode) -> Alert {
    let mut bench = Bench::new();
    bench.fails(0, code);
    bench.fails(60, code);
    bench.only()
}

/// An engine with one server, and a memory of the stored rows.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) rows: BTreeMap<AlertId, Alert>,
    pub(super) last_seen: Option<Timestamp>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            engine: Engine::restore(Vec::new(), 1, Policy::default()),
            rows: BTreeMap::new(),
            last_seen: None,
        }
    }

    pub(super) fn observe(&mut self, reading: &Reading, now: Timestamp) -> usize {
        let changes = self.engine.observe(&info(self.last_seen), reading, now);
        self.last_seen = self.last_seen.max(Some(reading.taken_at));
        self.apply(changes)
    }

    pub(super) fn apply(&mut self, changes: Vec<AlertChange>) -> usize {
        let count = changes.len();
        for change in changes {
            match change {
                AlertChange::Put(alert) => {
                    self.rows.insert(alert.id, alert);
                }
                AlertChange::Forget(id) => {
                    self.rows.remove(&id).expect("only a stored alert is forgotten");
                }
            }
        }
        count
    }

    /// A reading that is judged the moment it was taken. Returns the number of changes.
    fn sees(&mut self, seconds: i64, snapshot: Snapshot) -> usize {
        self.observe(&reading(seconds, Ok(snapshot)), at(seconds))
    }

    fn fails(&mut self, seconds: i64, code: CollectErrorCode) -> usize {
        self.observe(&reading(seconds, Err(failure(code))), at(seconds))
    }

    /// The hub stops and starts again with what is stored.
    pub(super) fn restart(&mut self) {
        let next = self.rows.keys().last().map_or(1, |id| id.0 + 1);
        self.engine = Engine::restore(self.rows.values().cloned().collect(), next, Policy::default());
    }

    fn firing(&self) -> Vec<(Rule, &str, Level)> {
        self.rows
            .values()
            .filter(|alert| alert.phase == AlertPhase::Firing)
            .map(|alert| (alert.key.rule, alert.key.label.as_str(), alert.level))
            .collect()
    }

    fn only(&self) -> Alert {
        assert_eq!(self.rows.len(), 1, "{:?}", self.rows);
        self.rows.values().next().unwrap().clone()
    }
}

#[test]
fn cpu_fires_after_a_minute_over_the_threshold_by_event_time() {
    let mut bench = Bench::new();
    for seconds in (0..60).step_by(10) {
        bench.sees(seconds, cpu(850));
        assert_eq!(bench.only().phase, AlertPhase::Pending, "at {seconds}");
    }
    bench.sees(60, cpu(851));
    let alert = bench.only();
    assert_eq!(alert.phase, AlertPhase::Firing);
    assert_eq!(alert.level, Level::Warning);
    assert_eq!(alert.pending_since, at(0));
    assert_eq!(alert.created_at, at(60));
    assert_eq!(alert.params["value_permille"], 851);
    assert_eq!(alert.params["threshold_permille"], 800);
}

#[test]
fn one_dip_under_the_threshold_ends_the_wait_without_a_trace() {
    let mut bench = Bench::new();
    for seconds in (0..60).step_by(10) {
        bench.sees(seconds, cpu(900));
    }
    bench.sees(60, cpu(799));
    assert!(bench.rows.is_empty());
    bench.sees(70, cpu(900));
    assert_eq!(bench.only().pending_since, at(70));
}

#[test]
fn a_full_disk_fires_at_once_each_filesystem_for_itself() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 899), ("/data", 900), ("/var", 950)]));
    assert_eq!(
        bench.firing(),
        [
            (Rule::Disk, "/data", Level::Warning),
            (Rule::Disk, "/var", Level::Critical)
        ]
    );
    assert_eq!(bench.rows.values().next().unwrap().params["mount_point"], "/data");
    // Seen again: nothing to say.
    assert_eq!(
        bench.sees(10, disks(&[("/", 899), ("/data", 905), ("/var", 960)])),
        0
    );
}

#[test]
fn images_that_are_always_full_are_no_alert() {
    let mut image = filesystem("/snap/core", 1000);
    image.kind = Some("squashfs".into());
    let mut bench = Bench::new();
    bench.sees(
        0,
        Snapshot {
            filesystems: Some(vec![image]),
            ..Snapshot::default()
        },
    );
    assert!(bench.rows.is_empty());
}

#[test]
fn it_clears_below_its_own_threshold_held_for_a_minute() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910)]));
    bench.sees(10, disks(&[("/", 860)]));
    assert_eq!(bench.only().clearing_since, None, "860 is not under 850");
    bench.sees(20, disks(&[("/", 840)]));
    assert_eq!(bench.only().clearing_since, Some(at(20)));
    bench.sees(50, disks(&[("/", 855)]));
    assert_eq!(
        bench.only().clearing_since,
        None,
        "back up: the clock starts anew"
    );
    for seconds in (60..120).step_by(10) {
        bench.sees(seconds, disks(&[("/", 840)]));
        assert_eq!(bench.only().phase, AlertPhase::Firing);
    }
    bench.sees(120, disks(&[("/", 840)]));
    let alert = bench.only();
    assert_eq!(alert.phase, AlertPhase::Resolved);
    assert_eq!(
        (alert.resolved_at, alert.resolved_by, alert.held),
        (Some(at(120)), None, false)
    );
}

#[test]
fn the_level_goes_up_and_down_in_place() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910)]));
    bench.sees(10, disks(&[("/", 955)]));
    assert_eq!(bench.only().level, Level::Critical);
    assert_eq!(bench.only().params["threshold_permille"], 950);
    for seconds in (20..=80).step_by(10) {
        bench.sees(seconds, disks(&[("/", 890)]));
    }
    let alert = bench.only();
    assert_eq!((alert.level, alert.phase), (Level::Warning, AlertPhase::Firing));
}

#[test]
fn a_short_peak_does_not_raise_the_level_of_cpu() {
    let mut bench = Bench::new();
    for seconds in (0..=60).step_by(10) {
        bench.sees(seconds, cpu(850));
    }
    bench.sees(70, cpu(990));
    bench.sees(80, cpu(850));
    assert_eq!(bench.only().level, Level::Warning);
    for seconds in (90..=150).step_by(10) {
        bench.sees(seconds, cpu(990));
    }
    assert_eq!(bench.only().level, Level::Critical);
}

#[test]
fn it_fires_at_the_level_that_held_all_the_time() {
    let mut bench = Bench::new();
    for seconds in (0..60).step_by(10) {
        bench.sees(seconds, cpu(850));
    }
    bench.sees(60, cpu(950));
    assert_eq!(bench.firing(), [(Rule::Cpu, "", Level::Warning)]);
    for seconds in (70..=120).step_by(10) {
        bench.sees(seconds, cpu(950));
    }
    assert_eq!(bench.firing(), [(Rule::Cpu, "", Level::Critical)]);
}

#[test]
fn a_drop_to_nothing_resolves_without_a_lower_level_between() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 990)]));
    let mut changes_of_level = 0;
    for seconds in (10..=70).step_by(10) {
        bench.sees(seconds, disks(&[("/", 100)]));
        changes_of_level += usize::from(bench.only().level != Level::Critical);
    }
    assert_eq!(bench.only().phase, AlertPhase::Resolved);
    assert_eq!(changes_of_level, 0);
}

#[test]
fn memory_is_judged_by_used_of_total() {
    let mut bench = Bench::new();
    for seconds in (0..=60).step_by(10) {
        bench.sees(seconds, memory(850));
    }
    assert_eq!(bench.firing(), [(Rule::Memory, "", Level::Warning)]);
}

#[test]
fn a_section_that_was_not_read_says_nothing() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910)]));
    for seconds in (10..10_000).step_by(10) {
        assert_eq!(bench.sees(seconds, cpu(10)), 0);
    }
    assert_eq!(bench.only().phase, AlertPhase::Firing);
}

#[test]
fn a_filesystem_that_is_gone_resolves_after_ten_minutes() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 100), ("/mnt", 990)]));
    for seconds in (60..660).step_by(60) {
        bench.sees(seconds, disks(&[("/", 100)]));
        assert_eq!(bench.only().phase, AlertPhase::Firing, "at {seconds}");
    }
    bench.sees(660, disks(&[("/", 100)]));
    assert_eq!(bench.only().phase, AlertPhase::Resolved);
}

#[test]
fn a_filesystem_that_comes_back_full_is_the_same_alert() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/mnt", 990)]));
    for seconds in (60..600).step_by(60) {
        bench.sees(seconds, disks(&[]));
    }
    bench.sees(600, disks(&[("/mnt", 990)]));
    assert_eq!(bench.only().phase, AlertPhase::Firing);
    bench.sees(660, disks(&[]));
    bench.sees(720, disks(&[]));
    assert_eq!(bench.only().phase, AlertPhase::Firing, "the clock started anew");
}

#[test]
fn time_as_a_gone_filesystem_is_no_time_under_the_clear_threshold() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/mnt", 990)]));
    bench.sees(60, disks(&[]));
    bench.sees(120, disks(&[]));
    bench.sees(180, disks(&[("/mnt", 100)]));
    assert_eq!(bench.only().phase, AlertPhase::Firing);
    bench.sees(240, disks(&[("/mnt", 100)]));
    assert_eq!(bench.only().phase, AlertPhase::Resolved);
}

#[test]
fn unreachable_fires_after_a_minute_and_two_failures_and_names_the_cause() {
    let mut bench = Bench::new();
    bench.fails(0, CollectErrorCode::Timeout);
    bench.fails(59, CollectErrorCode::Timeout);
    assert_eq!(bench.only().phase, AlertPhase::Pending);
    bench.fails(61, CollectErrorCode::ConnectionRefused);
    let alert = bench.only();
    assert_eq!((alert.phase, alert.level), (AlertPhase::Firing, Level::Critical));
    assert_eq!(alert.params["cause_code"], "connection_refused");
    // Another cause is told in place; the same one again is no news.
    assert_eq!(bench.fails(90, CollectErrorCode::NoRoute), 1);
    assert_eq!(bench.only().params["cause_code"], "no_route");
    assert_eq!(bench.fails(120, CollectErrorCode::NoRoute), 0);
    bench.sees(130, cpu(10));
    assert_eq!(
        bench.only().phase,
        AlertPhase::Resolved,
        "it answers: over at once"
    );
}

#[test]
fn one_failure_is_not_an_outage() {
    let mut bench = Bench::new();
    for seconds in (0..600).step_by(20) {
        bench.fails(seconds, CollectErrorCode::Timeout);
        bench.sees(seconds + 10, cpu(10));
        assert!(bench.rows.is_empty());
    }
}

#[test]
fn what_only_a_person_can_mend_fires_at_once() {
    for code in [
        CollectErrorCode::HostKeyChanged,
        CollectErrorCode::PasswordRefused,
    ] {
        let mut bench = Bench::new();
        bench.fails(0, code);
        assert_eq!(bench.firing(), [(Rule::Unreachable, "", Level::Critical)]);
    }
}

#[test]
fn an_outage_freezes_the_other_alerts_of_the_node() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910)]));
    bench.sees(10, disks(&[("/", 100)]));
    for seconds in (20..7200).step_by(30) {
        bench.fails(seconds, CollectErrorCode::Timeout);
    }
    assert_eq!(bench.firing().len(), 2);
    bench.sees(7200, disks(&[("/", 100)]));
    assert_eq!(
        bench.firing(),
        [(Rule::Disk, "/", Level::Warning)],
        "the outage is no time spent under the clear threshold"
    );
    bench.sees(7230, disks(&[("/", 100)]));
    bench.sees(7260, disks(&[("/", 100)]));
    assert!(bench.firing().is_empty());
}

#[test]
fn old_late_and_future_readings_page_nobody() {
    let full = || Ok(disks(&[("/", 990)]));
    let mut bench = Bench::new();
    assert_eq!(bench.observe(&reading(0, full()), at(601)), 0, "ten minutes old");
    assert_eq!(
        bench.observe(&reading(700, full()), at(600)),
        0,
        "from the future"
    );

    let mut bench = Bench::new();
    bench.sees(100, disks(&[("/", 100)]));
    assert_eq!(bench.observe(&reading(90, full()), at(101)), 0, "late");
    assert_eq!(bench.observe(&reading(100, full()), at(101)), 0, "the same again");
    assert_eq!(bench.observe(&reading(110, full()), at(111)), 1);
}

#[test]
fn a_wait_survives_a_quick_restart_exactly() {
    let mut bench = Bench::new();
    for seconds in (0..=30).step_by(10) {
        bench.sees(seconds, cpu(850));
    }
    bench.restart();
    bench.sees(50, cpu(850));
    assert_eq!(bench.only().phase, AlertPhase::Pending);
    bench.sees(60, cpu(850));
    assert_eq!(bench.only().phase, AlertPhase::Firing);
}

#[test]
fn the_time_the_hub_was_down_is_no_evidence() {
    let mut bench = Bench::new();
    bench.sees(0, cpu(850));
    bench.restart();
    bench.sees(3600, cpu(850));
    let alert = bench.only();
    assert_eq!(
        (alert.phase, alert.pending_since),
        (AlertPhase::Pending, at(3600))
    );

    // The network is not up yet when the hub is: the first failure is only the first.
    let mut bench = Bench::new();
    bench.fails(0, CollectErrorCode::NoRoute);
    bench.restart();
    bench.fails(300, CollectErrorCode::NoRoute);
    assert_eq!(bench.only().phase, AlertPhase::Pending);
    bench.sees(310, cpu(10));
    assert!(bench.rows.is_empty());
}

#[test]
fn a_firing_alert_does_not_fire_again_after_a_restart() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 990)]));
    bench.restart();
    assert_eq!(bench.sees(3600, disks(&[("/", 990)])), 0);
}

fn resolve_all(bench: &mut Bench, seconds: i64) -> usize {
    let ids = bench.engine.firing(None);
    let changes = bench.engine.resolve(&ids, Some("ada"), at(seconds));
    bench.apply(changes)
}

#[test]
fn resolved_by_hand_it_stays_quiet_until_it_clears() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910)]));
    assert_eq!(resolve_all(&mut bench, 5), 1);
    let alert = bench.only();
    assert_eq!((alert.phase, alert.held), (AlertPhase::Resolved, true));
    assert_eq!(
        (alert.resolved_at, alert.resolved_by.as_deref()),
        (Some(at(5)), Some("ada"))
    );
    assert_eq!(resolve_all(&mut bench, 6), 0, "not firing any more");
    bench.restart();
    bench.sees(10, disks(&[("/", 940)]));
    assert_eq!(bench.rows.len(), 1, "still quiet");
    for seconds in (20..=80).step_by(10) {
        bench.sees(seconds, disks(&[("/", 500)]));
    }
    let alert = bench.only();
    assert!(!alert.held, "cleared");
    assert_eq!(alert.resolved_at, Some(at(5)), "when the person did it");
    bench.sees(90, disks(&[("/", 910)]));
    assert_eq!(bench.rows.len(), 2, "a new one");
    assert_eq!(bench.firing().len(), 1);
}

#[test]
fn resolved_by_hand_it_comes_back_when_it_worsens() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910)]));
    resolve_all(&mut bench, 5);
    bench.sees(10, disks(&[("/", 960)]));
    assert_eq!(bench.rows.len(), 2);
    assert_eq!(bench.firing(), [(Rule::Disk, "/", Level::Critical)]);
    assert_eq!(bench.rows.values().filter(|alert| alert.held).count(), 0);
}

#[test]
fn resolving_an_outage_by_hand_holds_until_it_answers() {
    let mut bench = Bench::new();
    bench.fails(0, CollectErrorCode::KeyRefused);
    resolve_all(&mut bench, 5);
    bench.fails(300, CollectErrorCode::Timeout);
    bench.fails(400, CollectErrorCode::Timeout);
    assert!(bench.firing().is_empty());
    bench.sees(500, cpu(10));
    bench.fails(510, CollectErrorCode::KeyRefused);
    assert_eq!(bench.firing().len(), 1);
}

#[test]
fn a_paused_server_has_no_open_alerts() {
    let mut bench = Bench::new();
    bench.sees(0, disks(&[("/", 910), ("/var", 910)]));
    let held = bench.engine.firing(Some(SERVER))[0];
    let changes = bench.engine.resolve(&[held], Some("ada"), at(1));
    bench.apply(changes);
    bench.sees(10, cpu(900));
    let changes = bench.engine.pause_server(SERVER, at(20));
    bench.apply(changes);
    assert_eq!(bench.engine.open().count(), 0);
    assert_eq!(bench.rows.len(), 2, "the pending one left no trace");
    assert!(
        bench
            .rows
            .values()
            .all(|alert| alert.phase == AlertPhase::Resolved && !alert.held)
    );
}

#[test]
fn a_node_that_invents_filesystems_is_not_followed_for_ever() {
    let names: Vec<String> = (0..1000).map(|n| format!("/mnt/{n}")).collect();
    let list: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), 990)).collect();
    let mut bench = Bench::new();
    bench.sees(0, disks(&list));
    assert_eq!(bench.rows.len(), MAX_OPEN_PER_SERVER);
}

#[test]
fn new_thresholds_hold_from_the_next_reading() {
    let mut engine = Engine::restore(Vec::new(), 1, Policy::default());
    let mut server = info(None);
    assert!(
        engine
            .observe(&server, &reading(0, Ok(disks(&[("/", 700)]))), at(0))
            .is_empty()
    );
    server.thresholds.disk.warning_percent = 60;
    assert_eq!(
        engine
            .observe(&server, &reading(10, Ok(disks(&[("/", 700)]))), at(10))
            .len(),
        1
    );
}

#[test]
fn even_the_lowest_threshold_can_clear() {
    let mut bench = Bench::new();
    let mut server = info(None);
    server.thresholds.cpu.warning_percent = 1;
    let mut observe = |seconds: i64, usage| {
        let changes = bench
            .engine
            .observe(&server, &reading(seconds, Ok(cpu(usage))), at(seconds));
        bench.apply(changes);
    };
    for seconds in (0..=60).step_by(10) {
        observe(seconds, 50);
    }
    for seconds in (70..=130).step_by(10) {
        observe(seconds, 0);
    }
    assert_eq!(bench.only().phase, AlertPhase::Resolved);
}
