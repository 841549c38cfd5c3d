//! The agents that stream right now, and what they say of themselves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::{AgentId, Timestamp};

/// One agent that streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLive {
    /// Tells this stream from an earlier one of the same agent.
    pub stream: u64,
    /// Since when.
    pub connected_at: Timestamp,
    /// From where.
    pub address: String,
    /// When its last batch was committed.
    pub last_batch_at: Option<Timestamp>,
    /// What its clock is ahead of the hub's by the last measurement, in milliseconds.
    pub clock_measured_ms: Option<i64>,
    /// What of that is corrected for.
    pub clock_ahead_ms: i64,
    /// Samples it dropped since it was enrolled.
    pub dropped: u64,
    /// Samples that lay on its disk when it connected.
    pub spooled_samples: u64,
    /// The interval it was told.
    pub interval_ms: u32,
}

/// The agents that stream. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct AgentBoard(Arc<Mutex<HashMap<AgentId, AgentLive>>>);

impl AgentBoard {
    /// An agent streams; takes the place of an earlier stream of the same agent.
    pub fn put(&self, id: AgentId, agent: AgentLive) {
        self.lock().insert(id, agent);
    }

    /// Changes what is known of a stream, unless a later one has taken its place.
    pub fn change(&self, id: AgentId, stream: u64, change: impl FnOnce(&mut AgentLive)) {
        if let Some(agent) = self.lock().get_mut(&id).filter(|agent| agent.stream == stream) {
            change(agent);
        }
    }

    /// A stream has ended: what was known of it, unless a later one has taken its place.
    pub fn remove(&self, id: AgentId, stream: u64) -> Option<AgentLive> {
        let mut agents = self.lock();
        if agents.get(&id)?.stream == stream {
            agents.remove(&id)
        } else {
            None
        }
    }

    /// One agent, if it streams.
    #[must_use]
    pub fn get(&self, id: AgentId) -> Option<AgentLive> {
        self.lock().get(&id).cloned()
    }

    /// Every agent that streams.
    #[must_use]
    pub fn all(&self) -> Vec<(AgentId, AgentLive)> {
        self.lock()
            .iter()
            .map(|(id, agent)| (*id, agent.clone()))
            .collect()
    }

    // Every change is whole before the lock is let go, so a poisoned one is safe to go on with.
    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, AgentLive>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_stream_is_not_ended_by_an_earlier_one() {
        let board = AgentBoard::default();
        let id = AgentId(1);
        let live = |stream| AgentLive {
            stream,
            connected_at: Timestamp(0),
            address: "192.0.2.1".to_owned(),
            last_batch_at: None,
            clock_measured_ms: None,
            clock_ahead_ms: 0,
            dropped: 0,
            spooled_samples: 0,
            interval_ms: 1000,
        };
        board.put(id, live(1));
        board.put(id, live(2));
        board.change(id, 1, |agent| agent.dropped = 7);
        assert_eq!(board.get(id).unwrap().dropped, 0);
        assert_eq!(board.remove(id, 1), None);
        board.change(id, 2, |agent| agent.dropped = 8);
        assert_eq!(board.remove(id, 2).unwrap().dropped, 8);
        assert!(board.all().is_empty());
    }
}
