//! The state of every server across a restart.

use std::collections::HashMap;
use std::sync::LazyLock;

use gander_probe::Snapshot;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::words::{from_json, from_word, to_json, to_word};
use super::{Result, Store};
use crate::model::{Origin, ServerId, ServerState, Timestamp};

/// Statements that keep so many states at once; few sizes, so that each stays prepared. One statement a
/// state would cost more than all else of a commit where thousands of servers are read each second.
static UPSERTS: LazyLock<[(usize, String); 3]> = LazyLock::new(|| {
    [32, 8, 1].map(|rows| {
        let tuples = vec!["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ");
        let sql = format!(
            "INSERT INTO status (server_id, status, status_since, last_success, failure_count, error, origin,
                 path, boot_id, system)
             VALUES {tuples}
             ON CONFLICT (server_id) DO UPDATE SET status = excluded.status, status_since = excluded.status_since,
                 last_success = excluded.last_success, failure_count = excluded.failure_count,
                 error = excluded.error, origin = excluded.origin, path = excluded.path,
                 boot_id = coalesce(excluded.boot_id, boot_id), system = coalesce(excluded.system, system)"
        );
        (rows, sql)
    })
});

/// Keeps states inside a transaction. Of a snapshot only the texts: its numbers are samples.
pub(super) async fn put_states(
    connection: &mut SqliteConnection,
    states: &[(ServerId, &ServerState)],
) -> Result<()> {
    let mut rest = states;
    for (size, sql) in UPSERTS.iter() {
        while let Some((chunk, after)) = rest.split_at_checked(*size) {
            rest = after;
            let mut query = sqlx::query(sql.as_str());
            for (id, state) in chunk {
                let snapshot = state.snapshot.as_deref();
                let boot_id = snapshot.and_then(|snapshot| snapshot.boot_id.as_deref());
                let system = snapshot.and_then(|snapshot| snapshot.system.as_ref());
                query = query
                    .bind(id.0)
                    .bind(state.status.as_str())
                    .bind(state.status_since.map(Timestamp::as_millis))
                    .bind(state.last_success.map(Timestamp::as_millis))
                    .bind(state.failure_count)
                    .bind(state.error.as_ref().map(to_json).transpose()?)
                    .bind(state.origin.as_ref().map(to_word).transpose()?)
                    .bind(state.path.as_ref().map(to_json).transpose()?)
                    .bind(boot_id)
                    .bind(system.map(to_json).transpose()?);
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn state_of(row: &SqliteRow) -> Result<(ServerId, ServerState)> {
    let moment = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    let text = |column| row.try_get::<Option<&str>, _>(column);
    let boot_id = text("boot_id")?.map(str::to_owned);
    let system = text("system")?.map(from_json).transpose()?;
    let known = boot_id.is_some() || system.is_some();
    let state = ServerState {
        status: from_word(row.try_get("status")?)?,
        status_since: moment("status_since")?,
        last_success: moment("last_success")?,
        failure_count: row.try_get("failure_count")?,
        error: text("error")?.map(from_json).transpose()?,
        origin: text("origin")?.map(from_word).transpose()?,
        path: text("path")?.map(from_json).transpose()?,
        ssh: None,
        snapshot: known.then(|| {
            Box::new(Snapshot {
                boot_id,
                system,
                ..Snapshot::default()
            })
        }),
    };
    Ok((ServerId(row.try_get("server_id")?), state))
}

impl Store {
    /// The state of every server that was ever tried. Its snapshot holds what the machine is,
    /// its boot id, and the values of [`Store::latest`]; its last success is as new as those, for a
    /// state is not kept with each of them.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn load_states(&self) -> Result<HashMap<ServerId, ServerState>> {
        let mut states = sqlx::query(
            "SELECT server_id, status, status_since, last_success, failure_count, error, origin, path,
                 boot_id, system FROM status",
        )
        .fetch_all(&self.inner.readers)
        .await?
        .iter()
        .map(state_of)
        .collect::<Result<HashMap<_, _>>>()?;
        for (id, latest) in self.latest().await? {
            if let Some(state) = states.get_mut(&id) {
                let at = latest.taken_at;
                if let Some(last_success) = &mut state.last_success {
                    *last_success = at.max(*last_success);
                }
                if let Some(path) = &mut state.path
                    && path.live == Origin::Agent
                    && let Some(agent_seen) = &mut path.agent_seen
                {
                    *agent_seen = at.max(*agent_seen);
                }
                state.snapshot.get_or_insert_default().merge(*latest.snapshot);
            }
        }
        Ok(states)
    }
}
