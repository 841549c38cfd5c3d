//! Which agents stream right now: told by whoever holds their streams, read by collection,
//! which polls a server over SSH only while its agent is silent.
//!
//! [`AgentStream::heard`] may be called thousands of times a second in all: it wakes somebody
//! only when the agent was silent before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::watch, time::Instant};

use crate::model::ServerId;

/// Every server with an agent. Clones share it.
#[derive(Clone, Default)]
pub struct AgentPresence {
    servers: Arc<Mutex<HashMap<ServerId, watch::Sender<Presence>>>>,
}

/// What is known of one server's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Presence {
    /// Streams that are open; two for a moment when an agent connects again.
    pub(super) streams: u32,
    /// When the first stream since the agent was last heard was opened: one that brings nothing and is
    /// opened again and again must not put off a look each time.
    pub(super) opened: Option<Instant>,
    /// When its last live batch was committed.
    pub(super) heard: Option<Instant>,
    /// Whether it counts as the one that reads the server; until collection takes over.
    pub(super) leads: bool,
}

impl AgentPresence {
    /// Nobody streams.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The agent of this server (which its certificate named) has opened a stream. It ends when
    /// the answer is dropped.
    pub fn stream(&self, server_id: ServerId) -> AgentStream {
        let sender = self.sender(server_id);
        let now = Instant::now();
        sender.send_modify(|presence| {
            presence.streams += 1;
            if presence.opened <= presence.heard {
                presence.opened = Some(now);
            }
        });
        AgentStream(sender)
    }

    /// When the agent of this server last told values of the very moment.
    pub fn last_heard(&self, server_id: ServerId) -> Option<Instant> {
        self.sender(server_id).borrow().heard
    }

    /// What is known of a server's agent, as it changes.
    pub(super) fn follow(&self, server_id: ServerId) -> Follower {
        let sender = self.sender(server_id);
        Follower {
            changes: sender.subscribe(),
            sender,
        }
    }

    fn sender(&self, server_id: ServerId) -> watch::Sender<Presence> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = servers.get(&server_id) {
            return sender.clone();
        }
        // A new server is rare enough to look for those nobody holds any more.
        servers.retain(|_, sender| sender.sender_count() > 1);
        let sender = watch::Sender::new(Presence::default());
        servers.insert(server_id, sender.clone());
        sender
    }
}

/// An open stream of an agent; dropped when it ends.
#[must_use = "the stream counts as ended when this is dropped"]
pub struct AgentStream(watch::Sender<Presence>);

impl AgentStream {
    /// Values of this very moment (`live`, not replayed from a spool) were committed. Not for a batch
    /// without values: it reads the server for nobody.
    pub fn heard(&self) {
        let now = Instant::now();
        self.0.send_if_modified(|presence| {
            presence.heard = Some(now);
            !std::mem::replace(&mut presence.leads, true)
        });
    }
}

impl Drop for AgentStream {
    fn drop(&mut self) {
        self.0
            .send_modify(|presence| presence.streams = presence.streams.saturating_sub(1));
    }
}

/// Follows one server's agent.
pub(super) struct Follower {
    sender: watch::Sender<Presence>,
    changes: watch::Receiver<Presence>,
}

impl Follower {
    /// What is known now.
    pub(super) fn now(&self) -> Presence {
        *self.sender.borrow()
    }

    /// Waits until a stream begins or ends, or until an agent is heard that was taken over from.
    pub(super) async fn changed(&mut self) {
        // It cannot fail: a sender is held here.
        let _ = self.changes.changed().await;
    }

    /// Waits until an agent is heard that was taken over from.
    pub(super) async fn heard_again(&mut self) {
        while !self.now().leads {
            self.changed().await;
        }
    }

    /// The agent is silent: collection reads the server until it is heard again.
    pub(super) fn take_over(&self) {
        self.sender.send_if_modified(|presence| {
            presence.leads = false;
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerId = ServerId(1);

    #[test]
    fn streams_are_counted_and_outlived_by_what_was_heard() {
        let agents = AgentPresence::new();
        let follower = agents.follow(SERVER);
        let first = agents.stream(SERVER);
        let second = agents.stream(SERVER);
        assert_eq!(follower.now().streams, 2);
        assert_eq!(follower.now().heard, None);
        first.heard();
        drop((first, second));
        assert_eq!(follower.now().streams, 0);
        assert!(follower.now().heard.is_some());
        assert_eq!(agents.follow(ServerId(2)).now(), Presence::default());
    }

    #[test]
    fn a_stream_that_says_nothing_puts_off_a_look_only_once() {
        let agents = AgentPresence::new();
        let follower = agents.follow(SERVER);
        drop(agents.stream(SERVER));
        let first = follower.now().opened;
        assert!(first.is_some());
        for _ in 0..10 {
            drop(agents.stream(SERVER));
            assert_eq!(follower.now().opened, first);
        }
        agents.stream(SERVER).heard();
        let _stream = agents.stream(SERVER);
        let now = follower.now();
        assert!(
            now.opened >= now.heard,
            "opened anew, since it was heard in between"
        );
    }

    #[tokio::test]
    async fn only_the_first_word_after_a_silence_wakes() {
        let agents = AgentPresence::new();
        let stream = agents.stream(SERVER);
        let mut follower = agents.follow(SERVER);
        let woken = |follower: &mut Follower| {
            let woken = follower.changes.has_changed().unwrap();
            follower.changes.mark_unchanged();
            woken
        };
        assert!(!woken(&mut follower));
        stream.heard();
        assert!(woken(&mut follower));
        stream.heard();
        assert!(!woken(&mut follower), "it is known to stream");
        follower.take_over();
        assert!(!woken(&mut follower));
        stream.heard();
        follower.changed().await;
        drop(stream);
        follower.changed().await;
        assert_eq!(follower.now().streams, 0);
    }

    #[test]
    fn servers_nobody_holds_are_forgotten() {
        let agents = AgentPresence::new();
        for id in 0..100 {
            agents.stream(ServerId(id)).heard();
        }
        let held = agents.follow(ServerId(7));
        drop(agents.stream(ServerId(1000)));
        assert_eq!(
            agents.servers.lock().unwrap().len(),
            2,
            "the one held and the new one"
        );
        drop(held);
    }
}
