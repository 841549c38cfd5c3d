//! A client of `/ws` that keeps the fleet as the hub tells it, as the dashboard does.

use std::collections::BTreeMap;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use crate::{Api, eventually::PATIENCE};

/// One WebSocket and what it told so far.
#[derive(Debug)]
pub struct LiveClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The newest state of every server, by id.
    pub servers: BTreeMap<i64, Value>,
    /// The newest state of every alert seen, by id.
    pub alerts: BTreeMap<i64, Value>,
    /// The newest fleet figures.
    pub stats: Value,
    /// The newest full snapshot of every watched server, by id.
    pub snapshots: BTreeMap<i64, Value>,
    /// How many messages of each type came.
    pub counts: BTreeMap<String, usize>,
}

impl LiveClient {
    /// Connects with the token of `api` and waits for the initial state.
    pub async fn connect(api: &Api) -> Self {
        let mut client = Self::try_connect(api).await.expect("the WebSocket is accepted");
        client
            .until("the initial state", |live| live.counts.contains_key("initial"))
            .await;
        client
    }

    /// Connects, or tells how that was refused.
    pub async fn try_connect(api: &Api) -> Result<Self, tungstenite::Error> {
        let url = format!("{}/ws", api.base().replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        if let Some(token) = api.token() {
            let value = format!("Bearer {token}")
                .parse()
                .expect("a token is a header value");
            request.headers_mut().insert("authorization", value);
        }
        let (socket, _) = connect_async(request).await?;
        Ok(Self {
            socket,
            servers: BTreeMap::new(),
            alerts: BTreeMap::new(),
            stats: Value::Null,
            snapshots: BTreeMap::new(),
            counts: BTreeMap::new(),
        })
    }

    /// Sends a text as it is.
    pub async fn say(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .await
            .expect("the WebSocket is open");
    }

    /// Names the servers wanted every second and in full.
    pub async fn watch(&mut self, servers: &[i64]) {
        self.say(&json!({"type": "watch", "servers": servers}).to_string())
            .await;
    }

    /// Takes in one message and returns it; plain text (`pong`) as a JSON string. `None`: closed.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => {
                    let message = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_str()));
                    self.take_in(&message);
                    return Some(message);
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Takes messages in until what came so far is as `wanted` says.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !wanted(self) {
                assert!(
                    self.next().await.is_some(),
                    "the hub closed the WebSocket before: {what}"
                );
            }
        })
        .await;
        assert!(
            waited.is_ok(),
            "waited {PATIENCE:?} on the WebSocket in vain: {what}\nmessages: {:?}\nservers: {:#?}\nalerts: {:#?}",
            self.counts,
            self.servers,
            self.alerts
        );
    }

    /// Waits until the hub closes the WebSocket.
    pub async fn until_closed(&mut self) {
        let waited = tokio::time::timeout(PATIENCE, async { while self.next().await.is_some() {} }).await;
        assert!(waited.is_ok(), "the hub never closed the WebSocket");
    }

    /// The open alert of a server by type, if there is one.
    #[must_use]
    pub fn open_alert(&self, server_id: i64, kind: &str) -> Option<&Value> {
        self.alerts.values().find(|alert| {
            alert["server_id"] == server_id && alert["type"] == kind && alert["resolved"] == false
        })
    }

    fn take_in(&mut self, message: &Value) {
        let kind = message["type"].as_str().unwrap_or("text").to_owned();
        if kind == "initial" {
            self.servers.clear();
            self.alerts.clear();
        }
        if let Some(stats) = message.get("stats") {
            self.stats = stats.clone();
        }
        for (into, name) in [(&mut self.servers, "servers"), (&mut self.alerts, "alerts")] {
            for item in message[name].as_array().into_iter().flatten() {
                into.insert(item["id"].as_i64().expect("everything has an id"), item.clone());
            }
        }
        for id in message["removed"].as_array().into_iter().flatten() {
            self.servers.remove(&id.as_i64().expect("removed are ids"));
        }
        if kind == "snapshot" {
            let id = message["server_id"]
                .as_i64()
                .expect("a snapshot names its server");
            self.snapshots.insert(id, message.clone());
        }
        *self.counts.entry(kind).or_default() += 1;
    }
}
