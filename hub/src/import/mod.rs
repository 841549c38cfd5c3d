//! Brings in what the original Python system kept: servers with their credentials (sealed anew),
//! every sample, and alerts.
//!
//! Nothing is written over: a server whose name is taken stays as it is, a sample or alert that is
//! there already is counted and left. So the same file may be brought in twice, or after a run that
//! was cut short.

pub mod fleet;
mod read;
mod report;
pub mod ways;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::tz::TimeZone;

use crate::{
    model::{
        Actor, Alert, AlertId, Event, EventKind, Level, SeriesKey, Server, ServerId, Timestamp,
        alert::{AlertKey, AlertPhase, Rule},
        commit::{AlertChange, BareSample, Commit},
    },
    store::{
        AlertQuery, Store, StoreError,
        monitor::{ALERTS, METRICS, OldDatabase, OldRow, SERVERS},
    },
};

pub use report::{Counts, Report};

/// Rows of the old file that are read and written together.
const BATCH: u32 = 2000;
/// A moment so much later than now means that the time zone is wrong.
const FUTURE_MS: i64 = 5 * 60_000;

/// How to read the file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of times that name none.
    pub time_zone: TimeZone,
    /// Nothing is written.
    pub dry_run: bool,
}

/// Takes everything out of `path` into the store.
///
/// # Errors
/// The file is not one of the original system, or a database failed. What was written until then
/// stays; the same call goes on from there.
pub async fn import(
    store: &Store,
    path: &Path,
    settings: &Settings,
    actor: &Actor,
    now: Timestamp,
    mut progress: impl FnMut(&Report),
) -> Result<Report, StoreError> {
    let mut old = OldDatabase::open(path).await?;
    let mut run = Run {
        store,
        settings,
        actor,
        now,
        report: Report {
            dry_run: settings.dry_run,
            ignored: old.ignored.clone(),
            ..Report::default()
        },
        servers: HashMap::new(),
    };
    run.servers(&mut old).await?;
    run.metrics(&mut old, &mut progress).await?;
    run.alerts(&mut old).await?;
    if !settings.dry_run {
        let event = Event {
            at: now,
            kind: EventKind::DataImported,
            server_id: None,
            actor: actor.0.clone(),
            details: serde_json::json!({
                "file": path.file_name().map(|name| name.to_string_lossy()),
                "servers": run.report.servers.added,
                "samples": run.report.samples.added,
                "alerts": run.report.alerts.added,
            }),
        };
        store.record_event(&event).await?;
    }
    Ok(run.report)
}

/// Where the history of an old server goes.
#[derive(Debug, Clone)]
struct Target {
    /// `None` in a dry run, for a server that is not there yet.
    id: Option<ServerId>,
    /// Its threshold by rule, in tenths of a percent.
    thresholds: HashMap<Rule, u64>,
}

struct Run<'a> {
    store: &'a Store,
    settings: &'a Settings,
    actor: &'a Actor,
    now: Timestamp,
    report: Report,
    /// By the id of the old file.
    servers: HashMap<String, Target>,
}

impl Run<'_> {
    async fn servers(&mut self, old: &mut OldDatabase) -> Result<(), StoreError> {
        let mut known: HashMap<String, Server> = HashMap::new();
        for server in self.store.servers().await? {
            known.insert(server.spec.name.clone(), server);
        }
        let mut seen = HashSet::new();
        let mut after = i64::MIN;
        loop {
            let rows = old.rows(&SERVERS, after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.number;
            for row in &rows {
                self.server(row, &known, &mut seen).await?;
            }
        }
    }

    async fn server(
        &mut self,
        row: &OldRow,
        known: &HashMap<String, Server>,
        seen: &mut HashSet<String>,
    ) -> Result<(), StoreError> {
        self.report.servers.found += 1;
        let draft = match read::server(row, &mut self.report.remarks) {
            Ok(draft) => draft,
            Err(reason) => {
                self.report.servers.skip(&reason);
                let name = row.get("name").unwrap_or("without a name");
                self.report
                    .remark(format!("server {name} was left out: {reason}"));
                return Ok(());
            }
        };
        let name = draft.spec.name.clone();
        if !seen.insert(name.clone()) {
            self.report.servers.skip("its name stands twice in the file");
            self.report.remark(format!(
                "server {name} stands twice in the file: the first one was taken"
            ));
            return Ok(());
        }
        let thresholds = &draft.spec.thresholds;
        let thresholds = HashMap::from([
            (Rule::Cpu, u64::from(thresholds.cpu.warning_percent) * 10),
            (Rule::Memory, u64::from(thresholds.memory.warning_percent) * 10),
            (Rule::Disk, u64::from(thresholds.disk.warning_percent) * 10),
        ]);
        let id = match known.get(&name) {
            Some(server) if server.spec.ip == draft.spec.ip => {
                self.report.servers.present += 1;
                Some(server.id)
            }
            Some(server) => {
                self.report
                    .servers
                    .skip("its name is taken by a server of another address");
                self.report.remark(format!(
                    "server {name} ({}) was left out, and its history: there is one of that name with the address {}",
                    draft.spec.ip, server.spec.ip
                ));
                return Ok(());
            }
            None if self.settings.dry_run => {
                self.report.servers.added += 1;
                None
            }
            None => {
                let created = self
                    .store
                    .create_server(&draft.spec, &draft.credential, None, self.actor, self.now)
                    .await?;
                self.report.servers.added += 1;
                Some(created.id)
            }
        };
        let old_id = row
            .get("id")
            .map_or_else(|| row.number.to_string(), str::to_owned);
        self.servers.insert(old_id, Target { id, thresholds });
        Ok(())
    }

    async fn metrics(
        &mut self,
        old: &mut OldDatabase,
        progress: &mut impl FnMut(&Report),
    ) -> Result<(), StoreError> {
        if !old.has(&METRICS) {
            self.report.remark("there is no table metrics: no samples");
        }
        let mut after = i64::MIN;
        loop {
            let rows = old.rows(&METRICS, after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.number;
            let mut commit = Commit::default();
            let mut readable = 0;
            for row in &rows {
                self.report.samples.found += 1;
                match self.sample(row) {
                    Ok(Some(sample)) => commit.bare_samples.push(sample),
                    Ok(None) => {}
                    Err(reason) => {
                        self.report.samples.skip(reason);
                        continue;
                    }
                }
                readable += 1;
            }
            if self.settings.dry_run {
                self.report.samples.added += readable;
            } else {
                let receipt = self.store.commit(&commit).await?;
                self.report.samples.added += receipt.samples;
                self.report.samples.present += receipt.duplicates;
            }
            progress(&self.report);
        }
    }

    /// The sample of a row; `None` where it would have a server that a dry run did not make.
    fn sample(&mut self, row: &OldRow) -> Result<Option<BareSample>, &'static str> {
        let target = self.target(row)?;
        let id = target.id;
        let taken_at = self.moment(row, "timestamp")?;
        if taken_at.millis_since(self.now) > FUTURE_MS {
            return Err("their time is in the future: another --timezone?");
        }
        let values: Vec<(SeriesKey, i64)> = read::values(row);
        if values.is_empty() {
            return Err("they hold no value that can be read");
        }
        self.report.covers(taken_at);
        Ok(id.map(|server_id| BareSample {
            server_id,
            taken_at,
            values,
        }))
    }

    async fn alerts(&mut self, old: &mut OldDatabase) -> Result<(), StoreError> {
        if !old.has(&ALERTS) {
            self.report.remark("there is no table alerts: no alerts");
        }
        let mut next_id = self.store.next_alert_id().await?;
        // What is there already, of each server that was met.
        let mut present: HashMap<ServerId, HashSet<(Rule, Timestamp)>> = HashMap::new();
        let mut after = i64::MIN;
        loop {
            let rows = old.rows(&ALERTS, after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.number;
            let mut commit = Commit::default();
            for row in &rows {
                self.report.alerts.found += 1;
                let (id, mut alert) = match self.alert(row) {
                    Ok(alert) => alert,
                    Err(reason) => {
                        self.report.alerts.skip(reason);
                        continue;
                    }
                };
                if let Some(id) = id {
                    let there = match present.entry(id) {
                        std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                        std::collections::hash_map::Entry::Vacant(entry) => {
                            entry.insert(there(self.store, id).await?)
                        }
                    };
                    if !there.insert((alert.key.rule, alert.created_at)) {
                        self.report.alerts.present += 1;
                        continue;
                    }
                    alert.id = AlertId(next_id);
                    next_id += 1;
                    commit.alerts.push(AlertChange::Put(alert));
                }
                self.report.alerts.added += 1;
            }
            if !self.settings.dry_run {
                self.store.commit(&commit).await?;
            }
        }
    }

    /// An alert of the file, closed: the hub opens its own where the condition still holds.
    fn alert(&mut self, row: &OldRow) -> Result<(Option<ServerId>, Alert), &'static str> {
        let target = self.target(row)?.clone();
        let rule = read::rule(row).ok_or("their type is not cpu, memory, disk or offline")?;
        let created_at = self.moment(row, "created_at")?;
        let was_resolved = read::truth(row.get("resolved"));
        let resolved_at = match self.moment(row, "resolved_at") {
            Ok(moment) if was_resolved => moment.max(created_at),
            _ if was_resolved => created_at,
            _ => {
                self.report.closed_alerts += 1;
                self.now.max(created_at)
            }
        };
        let alert = Alert {
            id: AlertId(0),
            key: AlertKey {
                server_id: target.id.unwrap_or(ServerId(0)),
                rule,
                label: if rule == Rule::Disk {
                    "/".into()
                } else {
                    String::new()
                },
            },
            phase: AlertPhase::Resolved,
            level: match row.get("level").map(str::to_ascii_lowercase).as_deref() {
                Some("critical" | "error" | "danger") => Level::Critical,
                _ => Level::Warning,
            },
            pending_since: created_at,
            created_at,
            resolved_at: Some(resolved_at),
            resolved_by: (!was_resolved).then(|| "import".to_owned()),
            held: false,
            clearing_since: None,
            level_change_since: None,
            evidence_at: created_at,
            evidence_count: 1,
            params: read::params(row, target.thresholds.get(&rule).copied()),
        };
        Ok((target.id, alert))
    }

    fn target(&self, row: &OldRow) -> Result<&Target, &'static str> {
        row.get("server_id")
            .and_then(|id| self.servers.get(id))
            .ok_or("their server is not in the file, or was left out")
    }

    fn moment(&self, row: &OldRow, column: &str) -> Result<Timestamp, &'static str> {
        row.get(column)
            .and_then(|text| read::moment(text, &self.settings.time_zone))
            .ok_or("their time cannot be read")
    }
}

async fn there(store: &Store, id: ServerId) -> Result<HashSet<(Rule, Timestamp)>, StoreError> {
    let mut found = HashSet::new();
    let mut before = None;
    loop {
        let query = AlertQuery {
            server_id: Some(id),
            limit: BATCH,
            before,
            ..AlertQuery::default()
        };
        let alerts = store.alerts(&query).await?;
        before = alerts.last().map(|alert| alert.id);
        found.extend(alerts.iter().map(|alert| (alert.key.rule, alert.created_at)));
        if before.is_none() {
            return Ok(found);
        }
    }
}
