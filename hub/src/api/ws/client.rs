//! One WebSocket client: what it gets, what it may ask, and when it is let go.
//!
//! Everything it can grow is bounded: its messages, what it watches, how often it refreshes, how
//! far it may fall behind, and how long one send may take.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::extract::ws::{CloseFrame, Message as Packet, Utf8Bytes, WebSocket, close_code};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::{sync::broadcast::error::RecvError, time::MissedTickBehavior};

use crate::{
    api::{
        access::Caller,
        dto::ws::{Message, Refusal},
        error::ApiError,
        form::Form,
        limits::Pace,
        state::ApiState,
    },
    collect::Refresh,
    live::FocusGuard,
    model::ServerId,
};

use super::feed::{Frame, encode};

/// How often the hub pings, and asks whether the client may still be here.
const PING_EVERY: Duration = Duration::from_secs(25);
/// A client that says nothing for so long, not even a pong, is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// A client that does not take a message within this time is let go.
const SEND_WITHIN: Duration = if cfg!(test) {
    Duration::from_millis(300)
} else {
    Duration::from_secs(10)
};
/// Servers one client may watch.
const MOST_WATCHED: usize = 50;

/// Why a client is let go.
enum End {
    /// It closed, or its connection broke: there is nobody to say anything to.
    Gone,
    /// The hub ends it, and says why.
    Close(u16, &'static str),
}

type Step = Result<(), End>;

struct Session {
    state: ApiState,
    caller: Caller,
    sink: SplitSink<WebSocket, Packet>,
    // Of the state the client has. Frames up to it are old news.
    version: u64,
    watched: HashMap<ServerId, FocusGuard>,
    refreshes: Pace,
    heard_at: Instant,
}

/// Serves one client until it goes or is let go.
pub(super) async fn serve(socket: WebSocket, state: ApiState, caller: Caller) {
    let (sink, mut stream) = socket.split();
    let mut session = Session {
        caller,
        sink,
        version: 0,
        watched: HashMap::new(),
        refreshes: Pace::new(Duration::from_secs(2)),
        heard_at: Instant::now(),
        state,
    };
    let mut frames = session.state.feed.subscribe();
    let mut access = session.state.access_changed.subscribe();
    let shutdown = session.state.shutdown.clone();
    let mut ping = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let mut step = session.send_initial().await;
    let end = loop {
        if let Err(end) = step {
            break end;
        }
        step = tokio::select! {
            () = shutdown.cancelled() => Err(End::Close(close_code::AWAY, "the hub is shutting down")),
            frame = frames.recv() => session.forward(frame).await,
            packet = stream.next() => match packet {
                Some(Ok(packet)) => session.receive(packet).await,
                // Too large a message is an error of the stream, too.
                Some(Err(_)) | None => Err(End::Gone),
            },
            _ = ping.tick() => session.ping().await,
            changed = access.changed() => match changed {
                Ok(()) => session.ask_access().await,
                Err(_) => Err(End::Close(close_code::AWAY, "the hub is shutting down")),
            },
        };
    };
    if let End::Close(code, reason) = end {
        let close = Packet::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        }));
        // Said as well as can be: the connection ends either way.
        let _ = session.send(close).await;
    }
}

impl Session {
    async fn send(&mut self, packet: Packet) -> Step {
        match tokio::time::timeout(SEND_WITHIN, self.sink.send(packet)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                tracing::info!("a WebSocket client does not take its messages: it is let go");
                Err(End::Gone)
            }
        }
    }

    async fn send_initial(&mut self) -> Step {
        match self.state.feed.initial().await {
            Ok((version, text)) => {
                self.version = version;
                self.send(Packet::Text(text)).await
            }
            Err(_) => Err(End::Close(
                close_code::ERROR,
                "the state cannot be read: connect again",
            )),
        }
    }

    async fn forward(&mut self, frame: Result<Frame, RecvError>) -> Step {
        match frame {
            Ok(Frame::Delta(delta)) if delta.version > self.version => {
                self.version = delta.version;
                self.send(Packet::Text(delta.text.clone())).await?;
                for (id, text) in &delta.snapshots {
                    if self.watched.contains_key(id) {
                        self.send(Packet::Text(text.clone())).await?;
                    }
                }
                Ok(())
            }
            Ok(Frame::Delta(_)) => Ok(()),
            Ok(Frame::Reset) | Err(RecvError::Lagged(_)) => self.send_initial().await,
            Err(RecvError::Closed) => Err(End::Close(close_code::AWAY, "the hub is shutting down")),
        }
    }

    async fn receive(&mut self, packet: Packet) -> Step {
        self.heard_at = Instant::now();
        match packet {
            Packet::Text(text) => match text.trim() {
                "ping" => self.send(Packet::Text(Utf8Bytes::from_static("pong"))).await,
                "refresh" => self.refresh().await,
                other => match watch_request(other) {
                    Ok(ids) => self.watch(ids).await,
                    Err(error) => self.refuse(&error).await,
                },
            },
            Packet::Binary(_) => {
                self.refuse(&ApiError::bad_request(
                    "messages are text: ping, refresh or a watch request",
                ))
                .await
            }
            // The library answers pings; a pong has been noted above.
            Packet::Ping(_) | Packet::Pong(_) => Ok(()),
            Packet::Close(_) => Err(End::Gone),
        }
    }

    /// Collects at once, if it is time again: for this client, and for all together.
    async fn refresh(&mut self) -> Step {
        let now = Instant::now();
        if !self.refreshes.is_due(now) {
            let error = ApiError::too_many("too_many_attempts", "a refresh every 2 seconds is enough", 2);
            return self.refuse(&error).await;
        }
        if self.state.refresh_pace.is_due(now) && !self.state.collect.refresh(Refresh::All) {
            return Err(End::Close(close_code::AWAY, "the hub is shutting down"));
        }
        Ok(())
    }

    /// Takes these servers into focus instead of those before, and sends their newest snapshot.
    async fn watch(&mut self, ids: Vec<ServerId>) -> Step {
        // Every server may be seen by everybody who is logged in: that it exists is all there is to check.
        let fleet = self.state.live.snapshot();
        if let Some(unknown) = ids.iter().find(|id| fleet.server(**id).is_none()) {
            return self.refuse(&ApiError::not_found("server", unknown)).await;
        }
        drop(fleet);
        let mut before = std::mem::take(&mut self.watched);
        let mut fresh = Vec::new();
        for id in ids {
            let guard = before.remove(&id).unwrap_or_else(|| {
                fresh.push(id);
                self.state.live.watch_server(id)
            });
            self.watched.insert(id, guard);
        }
        // Guards of servers that stay were moved, so their focus has not flickered.
        drop(before);
        for id in fresh {
            if let Some(text) = self.state.feed.snapshot(id) {
                self.send(Packet::Text(text)).await?;
            }
        }
        Ok(())
    }

    async fn refuse(&mut self, error: &ApiError) -> Step {
        let message = Message::Error(Refusal {
            code: error.code(),
            message: error.message().to_owned(),
        });
        match encode(&message) {
            Ok(text) => self.send(Packet::Text(text)).await,
            Err(_) => Err(End::Close(close_code::ERROR, "the answer cannot be written")),
        }
    }

    async fn ping(&mut self) -> Step {
        if self.heard_at.elapsed() > SILENCE {
            return Err(End::Gone);
        }
        self.ask_access().await?;
        self.send(Packet::Ping(axum::body::Bytes::new())).await
    }

    /// Whether the session or token still holds, with the same role.
    async fn ask_access(&mut self) -> Step {
        match self.caller.still_holds(&self.state).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(End::Close(close_code::POLICY, "log in again")),
            // The store is in trouble: not the client's fault. It is asked again with the next ping.
            Err(_) => Ok(()),
        }
    }
}

/// Reads `{"type":"watch","servers":[1,2]}`.
fn watch_request(text: &str) -> Result<Vec<ServerId>, ApiError> {
    let mut form = Form::from_json(text.as_bytes())?;
    let kind = form.choice("type", &[("watch", ())]);
    form.require("type", kind);
    let ids = form.ids("servers", MOST_WATCHED);
    let ids = form.require("servers", ids);
    form.finish()?;
    let mut ids: Vec<ServerId> = ids.unwrap_or_default().into_iter().map(ServerId).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
