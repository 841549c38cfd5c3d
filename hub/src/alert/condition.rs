//! What one reading says of each thing an alert can be about.

use std::collections::{BTreeMap, BTreeSet};

use gander_probe::snapshot::{Filesystem, Snapshot};
use serde_json::{Value, json};

use super::{Policy, ServerInfo};
use crate::model::{Alert, CollectError, Level, Reading, Timestamp, alert::Rule, server::Threshold};

/// The longest label kept, in bytes, as for series.
const MAX_LABEL_BYTES: usize = 255;

/// Filesystems that are full by nature: images that nobody can write to.
const READ_ONLY_KINDS: [&str; 6] = ["squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"];

/// What one reading says of one (rule, label).
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) label: String,
    /// The worst threshold crossed.
    pub(super) asks: Option<Level>,
    /// Whether the value is low enough to end an alert.
    pub(super) clears: bool,
    /// Whether the value is low enough to take a critical alert down to warning.
    pub(super) lowers: bool,
    /// The thing is not there any more.
    pub(super) vanished: bool,
    /// How long `asks` must hold.
    pub(super) for_ms: i64,
    /// How many readings must have shown it.
    pub(super) min_count: u32,
    /// How long `clears` and `lowers` must hold.
    pub(super) keep_ms: i64,
    subject: Subject,
}

#[derive(Debug, Clone)]
enum Subject {
    Value { permille: u16, threshold: Threshold },
    Failure(CollectError),
    Nothing,
}

impl Finding {
    /// The values for the message of an alert of this level that has lasted since `since`.
    pub(super) fn params(&self, level: Level, since: Timestamp) -> BTreeMap<String, Value> {
        let mut params = BTreeMap::from([("since".to_owned(), json!(since))]);
        match &self.subject {
            Subject::Value { permille, threshold } => {
                let (warning, critical) = bounds(*threshold);
                let crossed = match level {
                    Level::Warning => warning,
                    Level::Critical => critical,
                };
                params.insert("value_permille".into(), json!(permille));
                params.insert("threshold_permille".into(), json!(crossed));
                if self.rule == Rule::Disk {
                    params.insert("mount_point".into(), json!(self.label));
                }
            }
            Subject::Failure(error) => {
                params.insert("cause_code".into(), json!(error.code));
                params.insert("cause_message".into(), json!(error.message));
                params.insert("cause_params".into(), json!(error.params));
            }
            Subject::Nothing => {}
        }
        params
    }

    /// Whether the cause of an unreachable server is another one than the alert says.
    pub(super) fn names_another_cause(&self, alert: &Alert) -> bool {
        match &self.subject {
            Subject::Failure(error) => alert.params.get("cause_code") != Some(&json!(error.code)),
            Subject::Value { .. } | Subject::Nothing => false,
        }
    }

    fn value(
        rule: Rule,
        label: String,
        permille: u16,
        threshold: Threshold,
        for_ms: i64,
        policy: &Policy,
    ) -> Self {
        let (warning, critical) = bounds(threshold);
        Self {
            rule,
            label,
            asks: if permille >= critical {
                Some(Level::Critical)
            } else if permille >= warning {
                Some(Level::Warning)
            } else {
                None
            },
            clears: permille < clear_bound(warning.min(critical), policy),
            lowers: permille < clear_bound(critical, policy),
            vanished: false,
            for_ms,
            min_count: 1,
            keep_ms: policy.keep_firing_for_ms,
            subject: Subject::Value { permille, threshold },
        }
    }
}

/// Warning and critical bound in tenths of a percent.
fn bounds(threshold: Threshold) -> (u16, u16) {
    (
        u16::from(threshold.warning_percent) * 10,
        u16::from(threshold.critical_percent) * 10,
    )
}

/// The bound a value must fall under to clear. Stays above zero, so that every alert can clear.
fn clear_bound(bound: u16, policy: &Policy) -> u16 {
    bound - policy.clear_margin_permille.min(bound / 4)
}

/// All that a reading says. What it does not speak of (a section that was not read, anything
/// at all when the node did not answer) is not in the answer. `open` are the server's open alerts.
pub(super) fn findings(
    server: &ServerInfo,
    reading: &Reading,
    policy: &Policy,
    open: Option<&BTreeMap<(Rule, String), Alert>>,
) -> Vec<Finding> {
    let snapshot = match &reading.outcome {
        Ok(snapshot) => snapshot,
        Err(error) => return vec![failure(error, policy)],
    };
    let thresholds = server.thresholds;
    let mut findings = Vec::new();
    let has_alert = |rule: Rule| open.is_some_and(|alerts| alerts.contains_key(&(rule, String::new())));
    if has_alert(Rule::Unreachable) {
        findings.push(answered());
    }
    if let Some(cpu) = &snapshot.cpu {
        let permille = cpu.usage_permille;
        findings.push(Finding::value(
            Rule::Cpu,
            String::new(),
            permille,
            thresholds.cpu,
            policy.cpu_for_ms,
            policy,
        ));
    }
    if let Some(permille) = snapshot
        .memory
        .as_ref()
        .and_then(|memory| memory.usage_permille())
    {
        findings.push(Finding::value(
            Rule::Memory,
            String::new(),
            permille,
            thresholds.memory,
            policy.memory_for_ms,
            policy,
        ));
    }
    filesystems(snapshot, thresholds.disk, policy, open, &mut findings);
    findings
}

fn filesystems(
    snapshot: &Snapshot,
    threshold: Threshold,
    policy: &Policy,
    open: Option<&BTreeMap<(Rule, String), Alert>>,
    findings: &mut Vec<Finding>,
) {
    let Some(list) = &snapshot.filesystems else {
        return;
    };
    // Of two filesystems mounted at one place the later one is what programs see.
    let by_label: BTreeMap<&str, &Filesystem> = list
        .iter()
        .filter(|filesystem| filesystem.total_bytes > 0 && !is_read_only_kind(filesystem))
        .map(|filesystem| (label_of(&filesystem.mount_point), filesystem))
        .collect();
    for (label, filesystem) in &by_label {
        findings.push(Finding::value(
            Rule::Disk,
            (*label).to_owned(),
            filesystem.usage_permille,
            threshold,
            policy.disk_for_ms,
            policy,
        ));
    }
    let listed: BTreeSet<&str> = by_label.keys().copied().collect();
    for (rule, label) in open.into_iter().flat_map(BTreeMap::keys) {
        if *rule == Rule::Disk && !listed.contains(label.as_str()) {
            findings.push(Finding {
                rule: Rule::Disk,
                label: label.clone(),
                asks: None,
                clears: true,
                lowers: false,
                vanished: true,
                for_ms: 0,
                min_count: 1,
                keep_ms: policy.vanished_after_ms,
                subject: Subject::Nothing,
            });
        }
    }
}

fn is_read_only_kind(filesystem: &Filesystem) -> bool {
    filesystem
        .kind
        .as_deref()
        .is_some_and(|kind| READ_ONLY_KINDS.contains(&kind))
}

fn label_of(mount_point: &str) -> &str {
    let mut end = mount_point.len().min(MAX_LABEL_BYTES);
    while !mount_point.is_char_boundary(end) {
        end -= 1;
    }
    &mount_point[..end]
}

fn failure(error: &CollectError, policy: &Policy) -> Finding {
    // Collection does not hammer a door that only a person can open, so there may be no
    // second reading soon; and one is proof enough.
    let certain = error.code.needs_a_person();
    Finding {
        rule: Rule::Unreachable,
        label: String::new(),
        asks: Some(Level::Critical),
        clears: false,
        lowers: false,
        vanished: false,
        for_ms: if certain { 0 } else { policy.unreachable_for_ms },
        min_count: if certain {
            1
        } else {
            policy.unreachable_min_failures
        },
        keep_ms: 0,
        subject: Subject::Failure(error.clone()),
    }
}

fn answered() -> Finding {
    Finding {
        rule: Rule::Unreachable,
        label: String::new(),
        asks: None,
        clears: true,
        lowers: true,
        vanished: false,
        for_ms: 0,
        min_count: 1,
        keep_ms: 0,
        subject: Subject::Nothing,
    }
}
