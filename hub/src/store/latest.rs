//! The newest values of every server, for the time between a restart and the first readings.

use std::collections::HashMap;

use gander_probe::Snapshot;
use sqlx::sqlite::SqliteConnection;

use super::buckets::Bucket;
use super::plan::Plan;
use super::source::{self, Sink};
use super::{Latest, Result, Store};
use crate::model::metric::restore;
use crate::model::{Metric, ServerId, Timestamp};

/// How far back slower sections (filesystems, temperatures) are looked for.
const LOOK_BACK_MS: i64 = 15 * 60_000;

/// The newest value of each slot.
#[derive(Default)]
struct Newest(HashMap<usize, (i64, i64)>);

impl Sink for Newest {
    fn samples(&mut self, slot: usize, times: &[i64], values: &[i64]) {
        if let (Some(taken_at), Some(value)) = (times.last(), values.last()) {
            let known = self.0.entry(slot).or_insert((*taken_at, *value));
            if known.0 < *taken_at {
                *known = (*taken_at, *value);
            }
        }
    }

    fn bucket(&mut self, _: usize, _: i64, _: &Bucket) {}
}

impl Store {
    /// The newest values of every server that has samples. Sections the newest sample does not
    /// have come from the ones before it, of the last quarter of an hour before it at most.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn latest(&self) -> Result<HashMap<ServerId, Latest>> {
        let mut connection = self.read().await?;
        let servers: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT id, newest FROM (SELECT server.id AS id, max(
                 coalesce((SELECT max(taken_at) FROM sample WHERE server_id = server.id), -1),
                 coalesce((SELECT max(last_at) FROM block WHERE server_id = server.id AND tier = 0), -1)
             ) AS newest FROM server) WHERE newest >= 0",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut all = HashMap::with_capacity(servers.len());
        for (id, newest) in servers {
            let plan = Plan::load(&mut connection, &[ServerId(id)], Metric::ALL).await?;
            if let Some(snapshot) = latest_values(&mut connection, id, newest, &plan).await? {
                let taken_at = Timestamp(newest);
                all.insert(ServerId(id), Latest { taken_at, snapshot });
            }
        }
        Ok(all)
    }
}

/// The newest reading of every section; `None` when nothing could be read.
async fn latest_values(
    connection: &mut SqliteConnection,
    server_id: i64,
    newest: i64,
    plan: &Plan,
) -> Result<Option<Box<Snapshot>>> {
    let span = (newest - LOOK_BACK_MS + 1, newest + 1);
    let mut found = Newest::default();
    source::read(connection, plan, &[(server_id, span.0)], 0, span.1, &mut found).await?;
    // A section is taken whole from one sample: what was unmounted since must not come back.
    let mut sections: HashMap<&str, i64> = HashMap::new();
    for (slot, (taken_at, _)) in &found.0 {
        let newest = sections
            .entry(plan.slots[*slot].key.metric.section())
            .or_insert(*taken_at);
        *newest = (*newest).max(*taken_at);
    }
    let mut values: Vec<(usize, i64)> = found
        .0
        .iter()
        .filter(|(slot, (taken_at, _))| sections[plan.slots[**slot].key.metric.section()] == *taken_at)
        .map(|(slot, (_, value))| (*slot, *value))
        .collect();
    // Lists in the snapshot come in the order of labels.
    values.sort_unstable();
    let mut snapshot = (!values.is_empty()).then(Box::<Snapshot>::default);
    if let Some(snapshot) = &mut snapshot {
        for (slot, value) in values {
            let key = &plan.slots[slot].key;
            restore(snapshot, key.metric, &key.label, value);
        }
    }
    Ok(snapshot)
}
