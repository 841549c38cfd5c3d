//! The streams that are open: one an agent, each with its orders, and a word to end it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gander_proto::v1;
use tokio::sync::watch;
use tonic::Status;

use crate::model::{AgentId, Server, ServerId, Transport};

/// The step of a server somebody looks at.
const FOCUS_STEP: Duration = Duration::from_secs(1);
/// The pace of the slow sections.
const SLOW_PACE: Duration = Duration::from_secs(30);
/// Samples from spools that all agents together may send in a second.
const REPLAY_IN_ALL: usize = 10_000;

/// Why a stream is ended by the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A person revoked the agent, or another enrolment took its place.
    Revoked,
    /// Its server was deleted.
    ServerGone,
    /// The same agent has opened another stream.
    Replaced,
    /// A person set the server to SSH only.
    SshOnly,
}

impl End {
    pub(super) fn status(self) -> Status {
        match self {
            Self::Revoked => Status::permission_denied(
                "this agent was revoked on the hub: enrol it again with a new token, or uninstall it",
            ),
            Self::ServerGone => Status::permission_denied(
                "this agent's server was deleted on the hub: enrol it again with a new token, or uninstall it",
            ),
            Self::Replaced => Status::aborted("another stream of this agent has taken over"),
            Self::SshOnly => Status::unavailable(
                "this server is read over SSH only: set its transport to auto or agent on the hub",
            ),
        }
    }
}

/// What a stream is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) interval: Duration,
    pub(super) focus: bool,
    pub(super) replay_per_second: u32,
    pub(super) end: Option<End>,
}

impl Orders {
    /// The words for the agent.
    pub(super) fn directive(&self, clock_ahead_ms: i64) -> v1::Directive {
        let interval = if self.focus {
            self.interval.min(FOCUS_STEP)
        } else {
            self.interval
        };
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        v1::Directive {
            interval_ms: millis(interval),
            focus: self.focus,
            slow_interval_ms: millis(self.interval.max(SLOW_PACE)),
            clock_ahead_ms,
            replay_samples_per_second: self.replay_per_second,
        }
    }
}

/// The open streams.
pub(super) struct Sessions {
    default_interval: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    streams: HashMap<AgentId, Stream>,
    by_server: HashMap<ServerId, AgentId>,
    last: u64,
}

struct Stream {
    number: u64,
    server_id: ServerId,
    orders: watch::Sender<Orders>,
}

impl Sessions {
    pub(super) fn new(default_interval: Duration) -> Self {
        Self {
            default_interval,
            inner: Mutex::default(),
        }
    }

    /// Opens a stream of an agent and ends the one it had. Answers its number and its orders.
    pub(super) fn open(
        &self,
        agent_id: AgentId,
        server: &Server,
        is_watched: impl FnOnce() -> bool,
    ) -> (u64, watch::Receiver<Orders>) {
        let mut inner = self.lock();
        inner.last += 1;
        let number = inner.last;
        let orders = Orders {
            interval: self.interval(server),
            // Asked under the lock, so that no change falls between.
            focus: is_watched(),
            replay_per_second: replay_share(inner.streams.len() + 1),
            end: None,
        };
        let (sender, receiver) = watch::channel(orders);
        let stream = Stream {
            number,
            server_id: server.id,
            orders: sender,
        };
        inner.by_server.insert(server.id, agent_id);
        if let Some(before) = inner.streams.insert(agent_id, stream) {
            end(&before.orders, End::Replaced);
        }
        (number, receiver)
    }

    /// A stream has ended.
    pub(super) fn close(&self, agent_id: AgentId, number: u64) {
        let mut inner = self.lock();
        if inner
            .streams
            .get(&agent_id)
            .is_some_and(|stream| stream.number == number)
            && let Some(stream) = inner.streams.remove(&agent_id)
            && inner.by_server.get(&stream.server_id) == Some(&agent_id)
        {
            inner.by_server.remove(&stream.server_id);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().streams.len()
    }

    /// Ends the streams of these agents.
    pub(super) fn end(&self, agents: &[AgentId], why: End) {
        let inner = self.lock();
        for stream in agents.iter().filter_map(|id| inner.streams.get(id)) {
            end(&stream.orders, why);
        }
    }

    /// Somebody began or ceased to look at servers.
    pub(super) fn focus(&self, before: &HashSet<ServerId>, now: &HashSet<ServerId>) {
        let inner = self.lock();
        for server_id in before.symmetric_difference(now) {
            let agent = inner.by_server.get(server_id);
            if let Some(stream) = agent.and_then(|id| inner.streams.get(id)) {
                let is_watched = now.contains(server_id);
                change(&stream.orders, |orders| orders.focus = is_watched);
            }
        }
    }

    /// The number of the stream that was opened last.
    pub(super) fn newest(&self) -> u64 {
        self.lock().last
    }

    /// Takes over which agents may stream, and how their servers are set. Judges the streams up to number
    /// `newest`: what was read before a stream was opened may know nothing of its agent.
    pub(super) fn settle(&self, newest: u64, active: &HashSet<AgentId>, servers: &HashMap<ServerId, Server>) {
        let inner = self.lock();
        let replay = replay_share(inner.streams.len());
        for (agent_id, stream) in &inner.streams {
            if stream.number > newest {
                continue;
            }
            let Some(server) = servers.get(&stream.server_id) else {
                end(&stream.orders, End::ServerGone);
                continue;
            };
            if !active.contains(agent_id) {
                end(&stream.orders, End::Revoked);
            } else if server.spec.transport == Transport::Ssh {
                end(&stream.orders, End::SshOnly);
            } else {
                let interval = self.interval(server);
                change(&stream.orders, |orders| {
                    orders.interval = interval;
                    orders.replay_per_second = replay;
                });
            }
        }
    }

    /// Takes over how the server of a stream just opened is set now.
    pub(super) fn refresh(&self, agent_id: AgentId, server: &Server) {
        let inner = self.lock();
        let interval = self.interval(server);
        if let Some(stream) = inner.streams.get(&agent_id) {
            change(&stream.orders, |orders| orders.interval = interval);
        }
    }

    fn interval(&self, server: &Server) -> Duration {
        server
            .spec
            .interval_seconds
            .map_or(self.default_interval, |seconds| {
                Duration::from_secs(seconds.into())
            })
    }

    // Every change is whole before the lock is let go, so a poisoned one is safe to go on with.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(orders: &watch::Sender<Orders>, why: End) {
    change(orders, |orders| {
        orders.end.get_or_insert(why);
    });
}

/// Changes orders, and wakes the stream only if that made a difference.
fn change(orders: &watch::Sender<Orders>, change: impl FnOnce(&mut Orders)) {
    orders.send_if_modified(|current| {
        let before = current.clone();
        change(current);
        *current != before
    });
}

/// What one of so many agents may send from its spool in a second.
fn replay_share(streams: usize) -> u32 {
    u32::try_from((REPLAY_IN_ALL / streams.max(1)).clamp(2, 250)).unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Timestamp, server::ServerSpec};

    fn server(id: i64, interval_seconds: Option<u32>) -> Server {
        let mut spec = ServerSpec::new(format!("server-{id}"), "192.0.2.1", "", Transport::Agent);
        spec.interval_seconds = interval_seconds;
        Server {
            id: ServerId(id),
            spec,
            has_password: false,
            has_key: false,
            credential: None,
            host_key: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    #[test]
    fn a_stream_is_judged_only_by_what_was_read_after_it_was_opened() {
        let sessions = Sessions::new(Duration::from_secs(30));
        let (_, first) = sessions.open(AgentId(1), &server(1, None), || false);
        let newest = sessions.newest();
        let read = HashMap::from([(ServerId(1), server(1, Some(5)))]);
        let active = HashSet::from([AgentId(1)]);
        // Enrolled after the database was read, and at once here.
        let (_, second) = sessions.open(AgentId(2), &server(2, None), || false);

        sessions.settle(newest, &active, &read);
        assert_eq!(first.borrow().interval, Duration::from_secs(5));
        assert_eq!((first.borrow().end, second.borrow().end), (None, None));

        sessions.refresh(AgentId(2), &server(2, Some(7)));
        assert_eq!(second.borrow().interval, Duration::from_secs(7));

        sessions.settle(sessions.newest(), &active, &read);
        assert_eq!(second.borrow().end, Some(End::ServerGone));
        sessions.settle(sessions.newest(), &HashSet::new(), &read);
        assert_eq!(first.borrow().end, Some(End::Revoked));
    }
}
