//! A pipeline to test with: real store, ingest and live in a directory of its own.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use gander_hub::{
    ingest::{Ingest, IngestConfig, IngestHandle},
    live::Live,
    model::{
        Actor, CollectError, CollectErrorCode, HostKey, Origin, Reading, Secret, ServerId, Timestamp,
        Transport,
        server::{ServerSpec, SshCredential},
    },
    store::{CredentialChange, MasterKey, Store},
};
use gander_probe::snapshot::{Cpu, Filesystem, Snapshot};
use sqlx::Connection as _;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) mod small_disk;

/// How long a condition may take to come true before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < give_up, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A running pipeline.
pub(crate) struct Pipeline {
    pub(crate) store: Store,
    pub(crate) live: Live,
    pub(crate) handle: IngestHandle,
    pub(crate) readings: mpsc::Sender<Reading>,
    running: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
    directory: PathBuf,
    capacity: usize,
    temporary: Option<tempfile::TempDir>,
}

impl Pipeline {
    /// Starts in a new directory.
    pub(crate) async fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut pipeline = Self::start_in(temporary.path(), 4096).await;
        pipeline.temporary = Some(temporary);
        pipeline
    }

    /// Starts with what is in a directory, and a channel of this capacity.
    pub(crate) async fn start_in(directory: &Path, capacity: usize) -> Self {
        let key = MasterKey::load_or_create(&directory.join("master.key")).unwrap();
        let store = Store::open(&directory.join("gander.db"), key).await.unwrap();
        let config = IngestConfig {
            default_interval: Duration::from_secs(10),
            ..IngestConfig::default()
        };
        let (ingest, handle, live) = Ingest::load(store.clone(), config).await.unwrap();
        let (readings, receiver) = mpsc::channel(capacity);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(ingest.run(receiver, shutdown.clone()));
        Self {
            store,
            live,
            handle,
            readings,
            running,
            shutdown,
            directory: directory.to_owned(),
            capacity,
            temporary: None,
        }
    }

    /// Enrols a server.
    pub(crate) async fn enrol(&self, name: &str) -> ServerId {
        let spec = spec(name);
        let credential = SshCredential {
            password: Some(Secret::new("secret".into())),
            ..SshCredential::default()
        };
        let server = self
            .store
            .create_server(&spec, &credential, None, &Actor::user("ada"), Timestamp::now())
            .await
            .unwrap();
        self.handle.servers_changed().await.unwrap();
        server.id
    }

    /// Switches a server on or off in the store.
    pub(crate) async fn set_enabled(&self, server_id: ServerId, enabled: bool) {
        self.change(server_id, |spec| spec.enabled = enabled).await;
    }

    /// Changes in the store how a server is read.
    pub(crate) async fn set_transport(&self, server_id: ServerId, transport: Transport) {
        self.change(server_id, |spec| spec.transport = transport).await;
    }

    async fn change(&self, server_id: ServerId, change: impl FnOnce(&mut ServerSpec)) {
        let mut spec = self.store.server(server_id).await.unwrap().unwrap().spec;
        change(&mut spec);
        self.store
            .update_server(
                server_id,
                &spec,
                &CredentialChange::default(),
                &Actor::user("ada"),
                Timestamp::now(),
            )
            .await
            .unwrap();
    }

    /// Puts a hand into the database, past the store.
    pub(crate) async fn sql(&self, statement: &str) {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.store.path())
            .busy_timeout(PATIENCE);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// Hands a reading to ingest.
    pub(crate) async fn send(&self, reading: Reading) {
        self.readings.send(reading).await.unwrap();
    }

    /// Waits until this many readings were committed since the start.
    pub(crate) async fn committed(&self, readings: u64) {
        eventually("the readings are committed", async || {
            self.handle.progress().committed_readings == readings
        })
        .await;
    }

    /// Stops as the hub does: asks for it, and lets go of the channel.
    pub(crate) async fn stop(self) {
        self.end().await.unwrap();
    }

    /// Stops, and returns what it complained of.
    pub(crate) async fn stop_with_error(self) -> String {
        self.end().await.unwrap_err().to_string()
    }

    /// Stops and starts again.
    pub(crate) async fn restart(mut self) -> Self {
        let directory = self.directory.clone();
        let capacity = self.capacity;
        let temporary = self.temporary.take();
        self.stop().await;
        let mut pipeline = Self::start_in(&directory, capacity).await;
        pipeline.temporary = temporary;
        pipeline
    }

    async fn end(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        drop(self.readings);
        let ended = tokio::time::timeout(PATIENCE, self.running).await;
        let result = ended.expect("ingest must end").unwrap();
        self.store.close().await;
        result
    }
}

/// A moment, this many seconds ago.
pub(crate) fn seconds_ago(seconds: i64) -> Timestamp {
    Timestamp::now().plus_millis(-seconds * 1000)
}

/// CPU use and use of the root filesystem in tenths of a percent.
pub(crate) fn values(cpu: u16, disk: u16) -> Snapshot {
    Snapshot {
        cpu: Some(Cpu {
            usage_permille: cpu,
            ..Cpu::default()
        }),
        filesystems: Some(vec![Filesystem {
            mount_point: "/".into(),
            device: "/dev/sda1".into(),
            total_bytes: 1000,
            used_bytes: disk.into(),
            available_bytes: 1000 - u64::from(disk),
            usage_permille: disk,
            ..Filesystem::default()
        }]),
        ..Snapshot::default()
    }
}

/// A reading that succeeded.
pub(crate) fn reading(server_id: ServerId, taken_at: Timestamp, snapshot: Snapshot) -> Reading {
    Reading {
        server_id,
        origin: Origin::Ssh,
        taken_at,
        outcome: Ok(Box::new(snapshot)),
        contact: None,
        receipt: None,
    }
}

/// A reading that failed.
pub(crate) fn failure(server_id: ServerId, taken_at: Timestamp, code: CollectErrorCode) -> Reading {
    Reading {
        outcome: Err(CollectError {
            code,
            message: "it failed, and this is what to do".into(),
            params: BTreeMap::new(),
        }),
        ..reading(server_id, taken_at, Snapshot::default())
    }
}

/// Some host key.
pub(crate) fn host_key(name: &str) -> HostKey {
    HostKey {
        algorithm: "ssh-ed25519".into(),
        fingerprint: format!("SHA256:{name}"),
        public_key: format!("ssh-ed25519 {name}"),
    }
}

/// A server's configuration.
pub(crate) fn spec(name: &str) -> ServerSpec {
    ServerSpec::new(name, "192.0.2.1", "root", Transport::Ssh)
}
