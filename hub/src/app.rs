//! The hub as a whole: makes every part, hands each just what it needs, and runs them until it
//! is told to stop. The only place that spawns long-lived tasks; each has a name, and one that
//! ends early ends the hub, for a hub that only half works helps nobody.

mod first_start;
mod folding;
mod housekeeping;
mod listen;
mod systemd;
mod targets;
mod tasks;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, ApiParts, ApiSettings, ApiState, CollectHandle},
    backup::{BackupConfig, Backups, BucketConfig},
    collect::{AgentPresence, CollectConfig, Collector},
    config::{Config, format_duration},
    grpc::{Authority, Grpc, GrpcParts},
    ingest::{Ingest, IngestConfig},
    live::AgentBoard,
    model::{Event, EventKind, Timestamp},
    store::{Ages, DatabaseLock, MasterKey, Store},
};
pub(crate) use first_start::hub_key;
pub(crate) use listen::{agent_settings, base_url};
use targets::TargetsTask;
use tasks::{Signals, Tasks};

/// Readings between collectors and ingest. Full, it makes collectors wait.
const READING_BACKLOG: usize = 4_096;
/// Wishes for a look at once. Full, it means that one is about to happen anyway.
const REFRESH_BACKLOG: usize = 64;
/// What a stop may take in all.
const STOP_TIME: Duration = Duration::from_secs(5);
/// The share of it that ingest has to commit what was received.
const DRAIN_TIME: Duration = Duration::from_secs(4);

/// Runs the hub until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start (the message says what to change), or a part of it ended by itself.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let signals = Signals::new()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "gander-hub starts");
    allow_many_files();
    // Before the store: whoever starts a second hub by mistake must not touch the database.
    let listener = listen::bind(&listen::HTTP, config.http_listen).await?;
    let grpc_listener = listen::bind(&listen::GRPC, config.grpc_listen).await?;

    let _lock = DatabaseLock::take(&config.database_path)?;
    let key = MasterKey::load_or_create(&config.master_key_path())?;
    let store = Store::open(&config.database_path, key).await?;
    let stopped = serve(&config, store.clone(), listener, grpc_listener, signals).await;
    store.close().await;
    match &stopped {
        Ok(()) => tracing::info!("gander-hub has stopped"),
        Err(error) => tracing::error!(error = format!("{error:#}"), "gander-hub has stopped"),
    }
    stopped
}

/// As many open files as the system lets us have: each agent, SSH session and page is one, and the usual
/// limit is 1,024, which whoever may raise it has to raise for himself.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is (LimitNOFILE, ulimit -n)");
    }
}

async fn serve(
    config: &Config,
    store: Store,
    listener: tokio::net::TcpListener,
    grpc_listener: tokio::net::TcpListener,
    signals: Signals,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listening address")?;
    let grpc_address = grpc_listener.local_addr().context("the gRPC address")?;
    tracing::info!(
        path = %config.database_path.display(),
        sqlite = store.sqlite_version().await?,
        size_bytes = std::fs::metadata(&config.database_path).map_or(0, |file| file.len()),
        samples = store.sample_count().await?,
        "database ready"
    );
    if config.local_server {
        first_start::enrol_this_machine(&store).await?;
    }
    first_start::make_admin(&store, config).await?;
    let started = Event {
        at: Timestamp::now(),
        kind: EventKind::HubStarted,
        server_id: None,
        actor: None,
        details: serde_json::json!({"version": env!("CARGO_PKG_VERSION")}),
    };
    store.record_event(&started).await?;

    let ingest_config = IngestConfig {
        default_interval: config.interval,
        drain: DRAIN_TIME,
        ..IngestConfig::default()
    };
    let (ingest, ingest_handle, live) = Ingest::load(store.clone(), ingest_config).await?;
    let (targets_task, targets) = TargetsTask::load(store.clone(), ingest_handle.clone()).await?;
    let (reading_sender, readings) = mpsc::channel(READING_BACKLOG);
    let (refresh_sender, refresh) = mpsc::channel(REFRESH_BACKLOG);
    let collect_config = CollectConfig {
        hub_key: Some(first_start::hub_key(&store).await?),
        agent_socket: config.ssh_agent_socket.clone(),
        default_interval: config.interval,
        ..CollectConfig::default()
    };
    let presence = AgentPresence::new();
    let servers = targets.borrow().len();
    let shutdown = CancellationToken::new();
    let authority = Authority::load(&store).await?;
    let board = AgentBoard::default();
    let grpc = Grpc::new(GrpcParts {
        store: store.clone(),
        readings: reading_sender.clone(),
        presence: presence.clone(),
        live: live.clone(),
        ingest: ingest_handle.clone(),
        board: board.clone(),
        authority: Arc::clone(&authority),
        default_interval: config.interval,
        agent_lifetime: config.agent_certificates,
        names: listen::names(config),
        proxies: config.grpc_proxy_protocol.clone(),
        shutdown: shutdown.clone(),
    })?;
    let collector = Collector::new(
        collect_config.clone(),
        targets,
        live.focus(),
        refresh,
        reading_sender,
        presence,
    );
    let (backups, backup_handle) = Backups::new(store.clone(), backup_config(config));
    let (api_state, feed) = ApiState::new(ApiParts {
        store: store.clone(),
        live,
        ingest: ingest_handle.clone(),
        collect: CollectHandle {
            config: Arc::new(collect_config),
            refresh: refresh_sender,
        },
        backups: backup_handle,
        agent_board: board,
        settings: ApiSettings {
            public_url: config.public_url.clone(),
            cors_origins: config.cors_origins.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            agents: agent_settings(config, &authority, grpc_address.port()),
        },
        shutdown: shutdown.clone(),
    });

    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("ingest", ingest.run(readings, shutdown.clone()));
    tasks.spawn("collector", collector.run(shutdown.clone()));
    tasks.spawn("targets", targets_task.run(shutdown.clone()));
    tasks.spawn("feed", feed.run(shutdown.clone()));
    tasks.spawn("grpc", grpc.run(grpc_listener));
    tasks.spawn("http", api::serve(listener, api_state, shutdown.clone()));
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    store.configure_retention(Ages {
        samples: seconds(config.retention),
        quarter_hours: seconds(config.retention_15m),
        three_hours: seconds(config.retention_3h),
    });
    let housekeeping = housekeeping::Housekeeping::new(store.clone());
    tasks.spawn("housekeeping", housekeeping.run(shutdown.clone()));
    tasks.spawn("backups", backups.run(shutdown.clone()));
    tasks.spawn(
        "folding",
        folding::Folding::new(store.clone()).run(shutdown.clone()),
    );
    if let Some(watchdog) = systemd::Watchdog::wanted(ingest_handle.watch_progress()) {
        tasks.spawn("watchdog", watchdog.run(shutdown.clone()));
    }
    tracing::info!(
        servers,
        interval = format_duration(config.interval),
        "collectors run"
    );
    tracing::info!("listening on http://{address}");
    tracing::info!("listening for agents and gRPC on {grpc_address}");
    first_start::print_setup_link(&store, config, address.port()).await?;
    systemd::ready(address);

    tasks.run_until_told(signals, STOP_TIME).await
}

/// The bucket of backups, if one is configured.
fn bucket_config(config: &Config) -> Option<BucketConfig> {
    Some(BucketConfig {
        endpoint: config.s3_endpoint.clone()?,
        region: config.s3_region.clone(),
        bucket: config.s3_bucket.clone()?,
        prefix: config.s3_prefix.clone(),
        access_key: config.s3_access_key.clone()?,
        secret_key: config.s3_secret_key.clone()?,
        path_style: config.s3_path_style,
    })
}

/// Where backups go, as configured.
#[must_use]
pub fn backup_config(config: &Config) -> BackupConfig {
    BackupConfig {
        directory: config.backup_directory(),
        interval: config.backup_interval,
        keep: config.backup_keep,
        keep_weekly: config.backup_keep_weekly,
        bucket: bucket_config(config),
    }
}

/// A watch of targets: what collection reads.
type TargetsReceiver = watch::Receiver<crate::collect::Targets>;
