//! The newest values of every server, for the time between a restart and the first readings.

use std::collections::{BTreeSet, HashMap};

use futures_util::TryStreamExt;
use gander_probe::Snapshot;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::plan::Plan;
use super::{Latest, Result, Store};
use crate::model::metric::restore;
use crate::model::{Metric, ServerId, Timestamp};

/// How far back slower sections (filesystems, temperatures) are looked for.
const LOOK_BACK_MS: i64 = 15 * 60_000;

impl Store {
    /// The newest values of every server that has samples. Sections the newest sample does not
    /// have come from the ones before it, of the last quarter of an hour before it at most.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn latest(&self) -> Result<HashMap<ServerId, Latest>> {
        let mut connection = self.read().await?;
        let servers: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT id, newest FROM (SELECT server.id AS id,
                 (SELECT max(taken_at) FROM sample WHERE server_id = server.id) AS newest FROM server)
             WHERE newest IS NOT NULL",
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

/// The newest reading of every section; `None` when no row could be read.
async fn latest_values(
    connection: &mut SqliteConnection,
    server_id: i64,
    newest: i64,
    plan: &Plan,
) -> Result<Option<Box<Snapshot>>> {
    let sections: BTreeSet<&str> = plan.slots.iter().map(|slot| slot.key.metric.section()).collect();
    let mut filled: BTreeSet<&str> = BTreeSet::new();
    let mut snapshot: Option<Box<Snapshot>> = None;
    let mut rows = sqlx::query(
        "SELECT layout_id, cells FROM sample WHERE server_id = ? AND taken_at > ? ORDER BY taken_at DESC",
    )
    .bind(server_id)
    .bind(newest - LOOK_BACK_MS)
    .fetch(connection);
    while filled.len() < sections.len()
        && let Some(row) = rows.try_next().await?
    {
        let mut found = Vec::new();
        let read = plan.read(row.try_get("layout_id")?, row.try_get("cells")?, |slot, value| {
            found.push((&plan.slots[slot].key, value));
        });
        if read.is_err() {
            continue;
        }
        // A section is taken whole from one sample: what was unmounted since must not come back.
        found.retain(|(key, _)| !filled.contains(key.metric.section()));
        let snapshot = snapshot.get_or_insert_default();
        for (key, value) in found {
            restore(snapshot, key.metric, &key.label, value);
            filled.insert(key.metric.section());
        }
    }
    Ok(snapshot)
}
