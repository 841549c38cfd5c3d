//! Samples that come late: whether one is in a block already.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::Result;
use super::chunks::{self, Want};
use crate::model::{ServerId, Timestamp};

/// Blocks whose times are remembered.
const REMEMBERED: usize = 64;

/// What the writer remembers of blocks.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The newest folded sample of each server; `None`: it has no block.
    until: HashMap<ServerId, Option<i64>>,
    /// The moments in a block.
    times: HashMap<i64, Vec<i64>>,
}

impl Folded {
    pub(super) fn forget(&mut self, id: ServerId) {
        self.until.remove(&id);
        // Ids of blocks are never given again, so what is remembered of others stays true; but one
        // that a deletion cut into has fewer samples than before.
        self.times.clear();
    }
}

/// Whether a block has a sample of this server and moment. One that is damaged has none.
pub(super) async fn is_folded(
    folded: &mut Folded,
    connection: &mut SqliteConnection,
    server_id: ServerId,
    taken_at: Timestamp,
) -> Result<bool> {
    let until = match folded.until.get(&server_id) {
        Some(until) => *until,
        None => {
            let until: Option<i64> =
                sqlx::query_scalar("SELECT max(last_at) FROM block WHERE server_id = ? AND tier = 0")
                    .bind(server_id.0)
                    .fetch_one(&mut *connection)
                    .await?;
            folded.until.insert(server_id, until);
            until
        }
    };
    if until.is_none_or(|until| taken_at.0 > until) {
        return Ok(false);
    }
    let span = (taken_at.0, taken_at.0.saturating_add(1));
    for block in chunks::find(connection, &[server_id.0], 0, span, false).await? {
        let (id, first_at) = (block.id, block.first_at);
        if !folded.times.contains_key(&id) {
            let mut times = Vec::new();
            let mut lost = Vec::new();
            chunks::load(connection, vec![block], Want::Times, &mut lost, |loaded, _| {
                times = loaded.directory.times(&loaded.bytes)?;
                Ok(())
            })
            .await?;
            times.retain(|time| *time >= first_at);
            if folded.times.len() >= REMEMBERED {
                folded.times.clear();
            }
            folded.times.insert(id, times);
        }
        if folded
            .times
            .get(&id)
            .is_some_and(|times| times.binary_search(&taken_at.0).is_ok())
        {
            return Ok(true);
        }
    }
    Ok(false)
}
