//! The newest values of every server, for the time between a restart and the first readings.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt};
use gander_probe::Snapshot;
use sqlx::sqlite::SqliteConnection;

use super::buckets::Bucket;
use super::plan::Plan;
use super::source::{self, Sink};
use super::{Latest, Result, Store};
use crate::model::metric::restore;
use crate::model::{Metric, ServerId, Timestamp};

/// How far back sections that the newest sample does not have are looked for: first where nearly all
/// of them are, then as far as they may be.
const LOOK_BACK_MS: [i64; 2] = [65_000, 15 * 60_000];
/// Servers read at a time …
const TOGETHER: usize = 64;
/// … and how many times that at once: a hub with thousands is to answer seconds after its start.
const AT_ONCE: usize = 3;

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
        let servers: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT id, newest FROM (SELECT server.id AS id, max(
                 coalesce((SELECT max(taken_at) FROM sample WHERE server_id = server.id), -1),
                 coalesce((SELECT max(last_at) FROM block WHERE server_id = server.id AND tier = 0), -1)
             ) AS newest FROM server) WHERE newest >= 0",
        )
        .fetch_all(&self.inner.readers)
        .await?;
        let parts: Vec<Vec<(i64, i64)>> = servers.chunks(TOGETHER).map(<[_]>::to_vec).collect();
        let mut read = futures_util::stream::iter(parts)
            .map(|some| {
                let store = self.clone();
                async move { latest_of(&mut *store.read().await?, &some).await }
            })
            .buffer_unordered(AT_ONCE);
        let mut all = HashMap::with_capacity(servers.len());
        while let Some(some) = read.try_next().await? {
            all.extend(some);
        }
        Ok(all)
    }
}

/// The newest values of some servers, whose newest sample is named with them.
async fn latest_of(
    connection: &mut SqliteConnection,
    servers: &[(i64, i64)],
) -> Result<Vec<(ServerId, Latest)>> {
    let ids: Vec<ServerId> = servers.iter().map(|(id, _)| ServerId(*id)).collect();
    let plan = Plan::load(connection, &ids, Metric::ALL).await?;
    let to = 1 + servers.iter().map(|(_, newest)| *newest).max().unwrap_or(0);
    let mut found = Newest::default();
    let mut rest = servers.to_vec();
    for back in LOOK_BACK_MS {
        let from: Vec<(i64, i64)> = rest.iter().map(|(id, newest)| (*id, newest - back + 1)).collect();
        source::read(connection, &plan, &from, 0, to, &mut found).await?;
        rest.retain(|(id, _)| !found.has_every_section(&plan, ServerId(*id)));
    }
    let of_server = |(id, newest): &(i64, i64)| {
        let snapshot = found.snapshot(&plan, ServerId(*id))?;
        let taken_at = Timestamp(*newest);
        Some((ServerId(*id), Latest { taken_at, snapshot }))
    };
    Ok(servers.iter().filter_map(of_server).collect())
}

impl Newest {
    /// Whether something was found of every section the server ever had.
    fn has_every_section(&self, plan: &Plan, server_id: ServerId) -> bool {
        let (mut all, mut found) = (HashSet::new(), HashSet::new());
        for slot in plan.slots_of(server_id) {
            let section = plan.slots[slot].key.metric.section();
            all.insert(section);
            if self.0.contains_key(&slot) {
                found.insert(section);
            }
        }
        all == found
    }

    /// The newest reading of every section of a server; `None` when nothing could be read.
    fn snapshot(&self, plan: &Plan, server_id: ServerId) -> Option<Box<Snapshot>> {
        let found = || {
            // Lists in the snapshot come in the order of labels, as the slots do.
            plan.slots_of(server_id).filter_map(|slot| {
                let (taken_at, value) = self.0.get(&slot)?;
                Some((&plan.slots[slot].key, *taken_at, *value))
            })
        };
        // A section is taken whole from one sample: what was unmounted since must not come back.
        let mut sections: HashMap<&str, i64> = HashMap::new();
        for (key, taken_at, _) in found() {
            let newest = sections.entry(key.metric.section()).or_insert(taken_at);
            *newest = (*newest).max(taken_at);
        }
        let mut snapshot = (!sections.is_empty()).then(Box::<Snapshot>::default);
        if let Some(snapshot) = &mut snapshot {
            for (key, _, value) in found().filter(|(key, at, _)| sections[key.metric.section()] == *at) {
                restore(snapshot, key.metric, &key.label, value);
            }
        }
        snapshot
    }
}
