//! Writes every change of the live state as JSON, once for all clients.
//!
//! Takes the deltas of `live`, joins them with the servers' configuration (of which it keeps a
//! copy, read again when a delta says that it changed), and broadcasts ready frames. A client
//! that joins, or was too slow, takes the whole state from [`FeedHandle::initial`] and skips the
//! frames that are not newer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{Mutex, broadcast, broadcast::error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        dto::{
            alert::AlertView,
            server::ServerView,
            ws::{Delta as DeltaMessage, Initial, Message, WatchedSnapshot},
        },
        error::{ApiError, ApiResult},
        stats,
        words::Language,
    },
    live::{Delta, Fleet, Live},
    model::{Server, ServerId, ServerState, Timestamp},
    store::Store,
};

/// Frames a slow client may fall behind by. Then it loses them and gets the whole state again.
const CLIENT_BACKLOG: usize = 32;

/// What goes to every client.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    /// A change.
    Delta(Arc<EncodedDelta>),
    /// Changes were lost: take the whole state again.
    Reset,
}

/// A change, ready to be sent.
#[derive(Debug)]
pub(super) struct EncodedDelta {
    /// Of the live state after this change.
    pub(super) version: u64,
    /// The `delta` message.
    pub(super) text: Utf8Bytes,
    /// A `snapshot` message of each server in focus that the change touched.
    pub(super) snapshots: Vec<(ServerId, Utf8Bytes)>,
}

/// The task that writes the frames. Run by `app`.
pub struct Feed {
    store: Store,
    live: Live,
    default_interval_seconds: u32,
    frames: broadcast::Sender<Frame>,
}

/// What clients hold of the feed.
pub(in crate::api) struct FeedHandle {
    store: Store,
    live: Live,
    default_interval_seconds: u32,
    frames: broadcast::Sender<Frame>,
    // Written once for all who join at the same version: after a restart everybody comes at once.
    initial: Mutex<Option<(u64, Utf8Bytes)>>,
}

/// The configuration of every server.
pub type Directory = BTreeMap<ServerId, Server>;

impl Feed {
    pub(in crate::api) fn new(store: Store, live: Live, default_interval_seconds: u32) -> (Self, FeedHandle) {
        let frames = broadcast::Sender::new(CLIENT_BACKLOG);
        let handle = FeedHandle {
            store: store.clone(),
            live: live.clone(),
            default_interval_seconds,
            frames: frames.clone(),
            initial: Mutex::default(),
        };
        let feed = Self {
            store,
            live,
            default_interval_seconds,
            frames,
        };
        (feed, handle)
    }

    /// Writes frames until `shutdown`.
    ///
    /// # Errors
    /// The live state is gone before `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut deltas = self.live.subscribe();
        // Read with the first delta that somebody looks at.
        let mut directory = None;
        loop {
            let delta = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                delta = deltas.recv() => delta,
            };
            match delta {
                Ok(delta) => self.forward(&mut directory, &delta).await,
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(
                        lost,
                        "the WebSocket feed could not follow: clients get the whole state"
                    );
                    directory = None;
                    let _ = self.frames.send(Frame::Reset);
                }
                Err(RecvError::Closed) => anyhow::bail!("the live state ended before the WebSocket feed"),
            }
        }
    }

    async fn forward(&self, directory: &mut Option<Directory>, delta: &Delta) {
        if self.frames.receiver_count() == 0 {
            // Nobody looks. Whoever comes takes the whole state, which is newer than this delta.
            *directory = None;
            return;
        }
        let (current, changed) = match directory.take() {
            Some(copy)
                if !delta.servers_changed && delta.servers.iter().all(|(id, _)| copy.contains_key(id)) =>
            {
                (copy, BTreeSet::new())
            }
            before => match self.store.servers().await {
                Ok(servers) => {
                    let fresh: Directory = servers.into_iter().map(|server| (server.id, server)).collect();
                    let is_changed = |(id, server): &(&ServerId, &Server)| match &before {
                        Some(before) => before.get(id) != Some(server),
                        // Which one it was is not known.
                        None => delta.servers_changed,
                    };
                    let changed = fresh.iter().filter(is_changed).map(|(id, _)| *id).collect();
                    (fresh, changed)
                }
                Err(error) => {
                    tracing::warn!(%error, "the servers cannot be read: clients get the whole state later");
                    let _ = self.frames.send(Frame::Reset);
                    return;
                }
            },
        };
        let fleet = self.live.snapshot();
        let focus = Arc::clone(&self.live.focus().borrow());
        let touched: BTreeMap<ServerId, &ServerState> = delta
            .servers
            .iter()
            .map(|(id, state)| (*id, state.as_ref()))
            .collect();
        match encode_delta(&current, &changed, &fleet, delta, self.default_interval_seconds) {
            Ok(text) => {
                let snapshots = touched
                    .iter()
                    .filter(|(id, _)| focus.contains(id))
                    .filter_map(|(id, state)| Some((*id, encode_snapshot(*id, state)?)))
                    .collect();
                // Nobody listening is no error: the last client has just left.
                let _ = self.frames.send(Frame::Delta(Arc::new(EncodedDelta {
                    version: delta.version,
                    text,
                    snapshots,
                })));
            }
            Err(error) => {
                tracing::error!(%error, "a delta could not be written as JSON");
                let _ = self.frames.send(Frame::Reset);
            }
        }
        *directory = Some(current);
    }
}

impl FeedHandle {
    /// The frames from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Frame> {
        self.frames.subscribe()
    }

    /// The `initial` message, and the version of the live state that it shows. A client
    /// subscribes before it asks, so that nothing falls between.
    pub(super) async fn initial(&self) -> ApiResult<(u64, Utf8Bytes)> {
        let mut cached = self.initial.lock().await;
        let fleet = self.live.snapshot();
        if let Some((version, text)) = cached.as_ref()
            && *version == fleet.version()
        {
            return Ok((*version, text.clone()));
        }
        // Read after the fleet was taken: it knows every server of it, and what changes later
        // comes as a delta.
        let servers = self.store.servers().await?;
        let text = encode_initial(&servers, &fleet, self.default_interval_seconds)
            .map_err(|error| ApiError::internal(&error))?;
        *cached = Some((fleet.version(), text.clone()));
        Ok((fleet.version(), text))
    }

    /// The `snapshot` message of one server, if there is a snapshot.
    pub(super) fn snapshot(&self, id: ServerId) -> Option<Utf8Bytes> {
        encode_snapshot(id, self.live.server(id)?.as_ref())
    }
}

fn server_view(server: &Server, state: Option<&ServerState>, fleet: &Fleet, interval: u32) -> ServerView {
    let unseen = ServerState::default();
    let counts = fleet.alert_counts(server.id).into();
    ServerView::new(server, state.unwrap_or(&unseen), counts, interval)
}

/// Writes the `initial` message: every server and every open alert. `interval` is the hub's, in seconds.
///
/// # Errors
/// Never in practice: the message is plain data.
pub fn encode_initial(servers: &[Server], fleet: &Fleet, interval: u32) -> serde_json::Result<Utf8Bytes> {
    let names: HashMap<ServerId, &str> = servers
        .iter()
        .map(|server| (server.id, server.spec.name.as_str()))
        .collect();
    let views: Vec<ServerView> = servers
        .iter()
        .map(|server| server_view(server, fleet.server(server.id).map(Arc::as_ref), fleet, interval))
        .collect();
    let alerts: Vec<AlertView> = fleet
        .alerts()
        .filter_map(|alert| {
            let name = names.get(&alert.key.server_id)?;
            Some(AlertView::new(alert, name, Language::English))
        })
        .collect();
    encode(&Message::Initial(Initial {
        stats: &stats::of(servers, fleet),
        servers: views.iter().collect(),
        alerts: alerts.iter().collect(),
        timestamp: Timestamp::now(),
    }))
}

/// Writes the `delta` message: the servers a reading touched, those whose configuration `changed`,
/// and those whose alerts changed. `interval` is the hub's, in seconds.
///
/// # Errors
/// Never in practice: the message is plain data.
pub fn encode_delta(
    directory: &Directory,
    changed: &BTreeSet<ServerId>,
    fleet: &Fleet,
    delta: &Delta,
    interval: u32,
) -> serde_json::Result<Utf8Bytes> {
    let touched: HashMap<ServerId, &ServerState> = delta
        .servers
        .iter()
        .map(|(id, state)| (*id, state.as_ref()))
        .collect();
    let mut ids: BTreeSet<ServerId> = changed.clone();
    ids.extend(touched.keys());
    ids.extend(delta.alerts.iter().map(|alert| alert.key.server_id));
    let views: Vec<ServerView> = ids
        .iter()
        .filter_map(|id| directory.get(id))
        .map(|server| {
            let state = touched.get(&server.id).copied();
            let state = state.or_else(|| fleet.server(server.id).map(Arc::as_ref));
            server_view(server, state, fleet, interval)
        })
        .collect();
    let alerts = delta
        .alerts
        .iter()
        .filter_map(|alert| {
            let server = directory.get(&alert.key.server_id)?;
            Some(AlertView::new(alert, &server.spec.name, Language::English))
        })
        .collect();
    encode(&Message::Delta(DeltaMessage {
        stats: &stats::of(directory.values(), fleet),
        servers: views.iter().collect(),
        removed: delta.removed.clone(),
        alerts,
        timestamp: delta.at,
    }))
}

fn encode_snapshot(id: ServerId, state: &ServerState) -> Option<Utf8Bytes> {
    let message = Message::Snapshot(WatchedSnapshot {
        server_id: id,
        taken_at: state.last_success,
        snapshot: state.snapshot.as_deref()?,
    });
    match encode(&message) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::error!(server.id = id.0, %error, "a snapshot could not be written as JSON");
            None
        }
    }
}

/// A message as JSON text.
pub(super) fn encode(message: &Message<'_>) -> serde_json::Result<Utf8Bytes> {
    serde_json::to_string(message).map(Utf8Bytes::from)
}
