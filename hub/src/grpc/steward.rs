//! Keeps open streams in step with the store and with who looks at what, and writes down what
//! agents say of themselves.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Shared, sessions::End};
use crate::{
    model::{
        AgentId, Timestamp,
        agent::{AgentSeen, Machine},
    },
    store::StoreError,
};

/// Revocations by another process (`gander-hub agent revoke`) are looked for this often.
const LOOK: Duration = Duration::from_millis(700);
/// A revocation dated this far back is still looked for: the other process's commit took a while.
const LOOK_BACK_MS: i64 = 30_000;
/// A change is taken over at once; those that follow within this time together.
const PAUSE: Duration = Duration::from_millis(200);
/// What agents say is written down this often.
const WRITE: Duration = Duration::from_secs(30);

/// What agents said that is not written down yet.
#[derive(Default)]
pub(super) struct Notes(Mutex<HashMap<AgentId, AgentSeen>>);

impl Notes {
    /// Notes what a stream knows of its agent.
    pub(super) fn put(&self, seen: AgentSeen) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert(seen.id, seen);
    }

    /// The correction that was noted last of an agent, if it is not written down yet.
    pub(super) fn clock_ahead_ms(&self, id: AgentId) -> Option<i64> {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.get(&id).map(|seen| seen.clock_ahead_ms)
    }

    fn take(&self) -> Vec<AgentSeen> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.drain().map(|(_, seen)| seen).collect()
    }

    fn put_back(&self, seen: Vec<AgentSeen>) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for one in seen {
            notes.entry(one.id).or_insert(one);
        }
    }
}

/// What a stream says of its agent, to be noted.
pub(super) fn seen(id: AgentId, machine: &Machine, clock_ahead_ms: i64, dropped: u64) -> AgentSeen {
    AgentSeen {
        id,
        at: Timestamp::now(),
        clock_ahead_ms,
        dropped,
        machine: machine.clone(),
    }
}

/// Runs until `shutdown`.
pub(super) async fn run(hub: Arc<Shared>, shutdown: CancellationToken) {
    let mut focus = hub.live.focus();
    let mut watched = Arc::clone(&focus.borrow_and_update());
    let mut agents = hub.store.subscribe_agents();
    let mut servers = hub.store.subscribe_servers();
    let mut look = tokio::time::interval(LOOK);
    let mut write = tokio::time::interval_at(Instant::now() + WRITE, WRITE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    write.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settle_at: Option<Instant> = None;
    loop {
        let due = settle_at.unwrap_or_else(Instant::now);
        tokio::select! {
            () = shutdown.cancelled() => break,
            Ok(()) = focus.changed() => {
                let now = Arc::clone(&focus.borrow_and_update());
                hub.sessions.focus(&watched, &now);
                watched = now;
            }
            Ok(()) = agents.changed() => settle_at = Some(settle_at.unwrap_or_else(Instant::now)),
            Ok(()) = servers.changed() => settle_at = Some(settle_at.unwrap_or_else(|| Instant::now() + PAUSE)),
            () = tokio::time::sleep_until(due), if settle_at.is_some() => {
                settle_at = match settle(&hub).await {
                    Ok(()) => None,
                    Err(error) => {
                        tracing::error!(%error, "changed agents are not taken over yet");
                        Some(Instant::now() + LOOK)
                    }
                };
            }
            _ = look.tick(), if hub.sessions.len() > 0 => {
                let since = Timestamp::now().plus_millis(-LOOK_BACK_MS);
                match hub.store.agents_revoked_since(since).await {
                    Ok(revoked) => hub.sessions.end(&revoked, End::Revoked),
                    Err(error) => tracing::warn!(%error, "revoked agents could not be looked up"),
                }
            }
            _ = write.tick() => write_down(&hub).await,
        }
    }
    // The streams end now and note what they know.
    hub.streams.close();
    hub.streams.wait().await;
    write_down(&hub).await;
}

async fn settle(hub: &Shared) -> Result<(), StoreError> {
    let newest = hub.sessions.newest();
    let active: HashSet<AgentId> = hub.store.agents().await?.iter().map(|agent| agent.id).collect();
    let servers = hub.store.servers().await?;
    let servers = servers.into_iter().map(|server| (server.id, server)).collect();
    hub.sessions.settle(newest, &active, &servers);
    Ok(())
}

async fn write_down(hub: &Shared) {
    let seen = hub.notes.take();
    if let Err(error) = hub.store.agents_seen(&seen).await {
        tracing::warn!(%error, "what agents say of themselves is not kept yet");
        hub.notes.put_back(seen);
    }
}
