//! Tests of the HTTP interface: the real router over a real store, ingest and feed in a directory
//! of its own. Requests go through every layer; nothing is replaced but the network.

mod access;
mod agents;
mod backups;
mod credentials;
mod data;
mod enrolment;
mod envelope;
mod export;
mod files;
mod imports;
mod live;
mod people;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use gander_probe::snapshot::{Cpu, Filesystem, Load, Memory, Processes, Snapshot};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{ApiParts, ApiSettings, ApiState, CollectHandle, password};
use crate::{
    backup::{BackupConfig, Backups},
    collect::{CollectConfig, HubKey, Refresh},
    ingest::{Ingest, IngestConfig},
    live::AgentBoard,
    model::{CollectError, CollectErrorCode, Origin, Reading, Role, ServerId, Timestamp, event::Actor},
    store::{MasterKey, Store, TokenHash},
};

/// How long a condition may take to come true before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A hub's HTTP interface, running.
struct TestApp {
    router: Router,
    state: ApiState,
    store: Store,
    readings: mpsc::Sender<Reading>,
    refreshes: mpsc::Receiver<Refresh>,
    shutdown: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl TestApp {
    async fn start() -> Self {
        Self::with(ApiSettings::default()).await
    }

    async fn with(settings: ApiSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = MasterKey::load_or_create(&directory.path().join("master.key")).unwrap();
        let store = Store::open(&directory.path().join("gander.db"), key)
            .await
            .unwrap();
        let (ingest, handle, live) = Ingest::load(store.clone(), IngestConfig::default())
            .await
            .unwrap();
        let (readings, receiver) = mpsc::channel(256);
        let (refresh, refreshes) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let (backups, backup_handle) = Backups::new(
            store.clone(),
            BackupConfig {
                directory: directory.path().join("backups"),
                interval: None,
                keep: 2,
                keep_weekly: 0,
                bucket: None,
            },
        );
        let (state, feed) = ApiState::new(ApiParts {
            store: store.clone(),
            live,
            ingest: handle,
            collect: CollectHandle {
                config: Arc::new(CollectConfig {
                    hub_key: HubKey::generate().ok().map(|(key, _)| key),
                    ..CollectConfig::default()
                }),
                refresh,
            },
            backups: backup_handle,
            agent_board: AgentBoard::default(),
            settings,
            shutdown: shutdown.clone(),
        });
        tokio::spawn(backups.run(shutdown.clone()));
        tokio::spawn(ingest.run(receiver, shutdown.clone()));
        tokio::spawn(feed.run(shutdown.clone()));
        Self {
            router: super::router(state.clone()),
            state,
            store,
            readings,
            refreshes,
            shutdown,
            _directory: directory,
        }
    }

    fn anonymous(&self) -> Visitor<'_> {
        Visitor {
            app: self,
            headers: HeaderMap::new(),
            peer: "192.0.2.7:50000".parse().unwrap(),
        }
    }

    async fn admin(&self) -> Visitor<'_> {
        self.with_token(Role::Admin).await
    }

    async fn viewer(&self) -> Visitor<'_> {
        self.with_token(Role::Viewer).await
    }

    async fn with_token(&self, role: Role) -> Visitor<'_> {
        let text = self.token(role).await;
        self.anonymous()
            .with(header::AUTHORIZATION.as_str(), &format!("Bearer {text}"))
    }

    /// The text of the API token of this role, made when it is first asked for.
    async fn token(&self, role: Role) -> String {
        let text = format!("gdr_test_{}", role.as_str());
        let hash = TokenHash::of(&text);
        if self.store.token(hash, Timestamp::now()).await.unwrap().is_none() {
            self.store
                .create_token(role.as_str(), role, hash, None, &Actor::hub(), Timestamp::now())
                .await
                .unwrap();
        }
        text
    }

    /// Makes a user with the password "correct horse".
    async fn user(&self, name: &str, role: Role) {
        let hash = password::hash("correct horse").unwrap();
        self.store
            .create_user(name, &hash, role, &Actor::hub(), Timestamp::now())
            .await
            .unwrap();
    }

    /// Logs a user in with "correct horse" and keeps the cookie.
    async fn logged_in(&self, name: &str) -> Visitor<'_> {
        let answer = self
            .anonymous()
            .post(
                "/api/login",
                json!({"username": name, "password": "correct horse"}),
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        self.anonymous().with("cookie", &answer.cookie())
    }

    /// Enrols a server that is never reached.
    async fn enrol(&self, name: &str) -> ServerId {
        let answer = self
            .admin()
            .await
            .post(
                "/api/servers",
                json!({"name": name, "ip": "192.0.2.1", "ssh_user": "root", "ssh_password": "secret"}),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        ServerId(answer.json()["id"].as_i64().unwrap())
    }

    /// Hands ingest a reading of a server and waits until it is committed.
    async fn read(&self, reading: Reading) {
        let before = self.state.ingest.progress().committed_readings;
        self.readings.send(reading).await.unwrap();
        eventually("the reading is committed", || {
            self.state.ingest.progress().committed_readings > before
        })
        .await;
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < give_up, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The same JSON with every moment replaced, for snapshots.
fn steady(value: Value) -> Value {
    match value {
        Value::String(text) if Timestamp::parse(&text).is_ok() => "[moment]".into(),
        Value::Array(items) => items.into_iter().map(steady).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, steady(value)))
            .collect(),
        other => other,
    }
}

/// A successful reading: CPU 42.5 %, memory 50 %, root filesystem at `disk_permille`.
fn healthy(server_id: ServerId, taken_at: Timestamp, disk_permille: u16) -> Reading {
    let snapshot = Snapshot {
        cpu: Some(Cpu {
            usage_permille: 425,
            user_permille: 300,
            system_permille: 125,
            cores_permille: vec![425],
            ..Cpu::default()
        }),
        memory: Some(Memory {
            total_bytes: 8_000_000_000,
            used_bytes: 4_000_000_000,
            available_bytes: 4_000_000_000,
            ..Memory::default()
        }),
        load: Some(Load {
            one_hundredths: 142,
            five_hundredths: 100,
            fifteen_hundredths: 50,
        }),
        uptime_seconds: Some(86_400),
        processes: Some(Processes {
            total: Some(120),
            ..Processes::default()
        }),
        filesystems: Some(vec![Filesystem {
            mount_point: "/".into(),
            device: "/dev/sda1".into(),
            kind: Some("ext4".into()),
            total_bytes: 100_000_000_000,
            used_bytes: 50_000_000_000,
            available_bytes: 50_000_000_000,
            usage_permille: disk_permille,
            ..Filesystem::default()
        }]),
        ..Snapshot::default()
    };
    Reading {
        server_id,
        origin: Origin::Ssh,
        taken_at,
        outcome: Ok(Box::new(snapshot)),
        contact: None,
        receipt: None,
    }
}

/// A failed reading.
fn refused(server_id: ServerId, taken_at: Timestamp) -> Reading {
    Reading {
        server_id,
        origin: Origin::Ssh,
        taken_at,
        outcome: Err(CollectError {
            code: CollectErrorCode::ConnectionRefused,
            message: "nothing listens on 192.0.2.1 port 22".into(),
            params: BTreeMap::new(),
        }),
        contact: None,
        receipt: None,
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
struct Visitor<'a> {
    app: &'a TestApp,
    headers: HeaderMap,
    peer: SocketAddr,
}

impl Visitor<'_> {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(
            header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
        self
    }

    fn from(mut self, peer: &str) -> Self {
        self.peer = format!("{peer}:50000").parse().unwrap();
        self
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, Body::empty()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, Body::empty()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PUT, path, body).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.json(Method::PATCH, path, body).await
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> Answer {
        self.send(
            method,
            path,
            Some("application/json"),
            Body::from(body.to_string()),
        )
        .await
    }

    async fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .entry("host")
            .or_insert("hub.test:8000".parse().unwrap());
        if let Some(content_type) = content_type {
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = self.app.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, 64 * 1024 * 1024).await.unwrap(),
        }
    }
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The code of the error envelope.
    fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no code: {}", self.text()))
            .to_owned()
    }

    /// What the error says of a field.
    fn field(&self, name: &str) -> Value {
        let envelope = self.json();
        let fields = envelope["error"]["details"]["fields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        fields
            .into_iter()
            .find(|field| field["field"] == name)
            .unwrap_or_else(|| panic!("{name} is not refused: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `name=value` of the cookie that was set.
    fn cookie(&self) -> String {
        self.header("set-cookie")
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}
