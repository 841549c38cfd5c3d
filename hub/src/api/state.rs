//! What handlers share: the parts of the hub they ask, the settings of the HTTP interface, and
//! its own small memories (log-in limits, the health check's last result).

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    backup::BackupHandle,
    collect::{CollectConfig, Refresh},
    ingest::IngestHandle,
    live::{AgentBoard, Live},
    model::IpRange,
    store::Store,
};

use super::{
    handlers::system::HealthCache,
    install::{AgentSettings, Binaries},
    limits::{LoginLimits, Pace},
    password::Passwords,
    ws::{Connections, Feed, FeedHandle},
};

/// Settings of the HTTP interface.
#[derive(Debug, Clone, Default)]
pub struct ApiSettings {
    /// Where people reach the hub (`https://gander.example.org`), when it is known.
    pub public_url: Option<String>,
    /// Other origins whose pages may call the REST interface (with an API token).
    pub cors_origins: Vec<String>,
    /// Reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpRange>,
    /// What agents are told.
    pub agents: AgentSettings,
}

/// Collection, as far as the HTTP interface asks for it.
#[derive(Debug, Clone)]
pub struct CollectHandle {
    /// Limits of connection tests, and the default interval.
    pub config: Arc<CollectConfig>,
    /// Wishes to look at once. A full channel means that a look is about to happen anyway.
    pub refresh: mpsc::Sender<Refresh>,
}

impl CollectHandle {
    /// Asks for a look at once. Says whether the wish was taken.
    #[must_use]
    pub fn refresh(&self, which: Refresh) -> bool {
        !matches!(
            self.refresh.try_send(which),
            Err(mpsc::error::TrySendError::Closed(_))
        )
    }

    /// The default poll interval in whole seconds, at least 1.
    #[must_use]
    pub fn default_interval_seconds(&self) -> u32 {
        u32::try_from(self.config.default_interval.as_secs())
            .unwrap_or(u32::MAX)
            .max(1)
    }
}

/// What the HTTP interface is built on.
pub struct ApiParts {
    /// History and configuration.
    pub store: Store,
    /// The present.
    pub live: Live,
    /// Changes that go through ingest.
    pub ingest: IngestHandle,
    /// Looks on request.
    pub collect: CollectHandle,
    /// Backups on request.
    pub backups: BackupHandle,
    /// The agents that stream.
    pub agent_board: AgentBoard,
    /// Settings.
    pub settings: ApiSettings,
    /// Ends every WebSocket (with 1001) and every stream.
    pub shutdown: CancellationToken,
}

/// What handlers share. A cheap handle.
#[derive(Clone)]
pub struct ApiState {
    shared: Arc<Shared>,
}

/// The fields of [`ApiState`].
pub struct Shared {
    /// History and configuration.
    pub store: Store,
    /// The present.
    pub live: Live,
    /// Changes that go through ingest.
    pub ingest: IngestHandle,
    /// Looks on request.
    pub collect: CollectHandle,
    /// Backups on request.
    pub backups: BackupHandle,
    /// The agents that stream.
    pub agent_board: AgentBoard,
    /// Settings.
    pub settings: ApiSettings,
    /// Ends every WebSocket and every stream.
    pub shutdown: CancellationToken,
    pub(super) agent_binaries: Arc<Binaries>,
    pub(super) passwords: Passwords,
    pub(super) login_limits: LoginLimits,
    pub(super) refresh_pace: Pace,
    pub(super) renewals: super::session_store::Renewals,
    /// Bumped when sessions, users or tokens go: WebSockets then ask again whether they may stay.
    pub(super) access_changed: watch::Sender<u64>,
    pub(super) health: HealthCache,
    pub(super) feed: FeedHandle,
    pub(super) connections: Connections,
    /// Open WebSockets, so that a shutdown can wait for their farewell.
    pub(super) sockets: TaskTracker,
    /// Exports under way: each holds a page of rows and, for Excel, a file on disk.
    pub(super) exports: Arc<Semaphore>,
    /// Connection tests under way: each is an SSH handshake outside of regular collection.
    pub(super) probes: Arc<Semaphore>,
    /// Fleets being tested before they are imported.
    pub(super) fleet_tests: Arc<Semaphore>,
}

impl ApiState {
    /// Takes its parts; the feed is run by the caller (WebSockets get their changes from it).
    #[must_use]
    pub fn new(parts: ApiParts) -> (Self, Feed) {
        let (feed, handle) = Feed::new(
            parts.store.clone(),
            parts.live.clone(),
            parts.collect.default_interval_seconds(),
        );
        let shared = Shared {
            store: parts.store,
            live: parts.live,
            ingest: parts.ingest,
            collect: parts.collect,
            backups: parts.backups,
            agent_board: parts.agent_board,
            agent_binaries: Arc::new(Binaries::new(parts.settings.agents.directory.clone())),
            settings: parts.settings,
            shutdown: parts.shutdown,
            passwords: Passwords::new(),
            login_limits: LoginLimits::new(),
            refresh_pace: Pace::new(Duration::from_secs(1)),
            renewals: super::session_store::Renewals::default(),
            access_changed: watch::Sender::new(0),
            health: HealthCache::default(),
            feed: handle,
            connections: Connections::default(),
            sockets: TaskTracker::new(),
            exports: Arc::new(Semaphore::new(2)),
            probes: Arc::new(Semaphore::new(16)),
            fleet_tests: Arc::new(Semaphore::new(1)),
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            feed,
        )
    }

    /// Tells open WebSockets to ask again whether they may stay.
    pub(super) fn access_has_changed(&self) {
        self.access_changed.send_modify(|generation| *generation += 1);
    }
}

impl std::ops::Deref for ApiState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}
