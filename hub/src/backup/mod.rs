//! Backups of the database: made on a schedule or on request, verified, kept in a directory and
//! in a bucket, the oldest removed.
//!
//! A backup under its final name is whole and verified: it is written under another name, checked
//! page by page and value by value, hashed, forced to the disk, and only then renamed. The hub goes
//! on working meanwhile (`store::copy_database`). A failure is logged, recorded as an event and shown
//! by `GET /api/backups`; the next try comes soon. An upload that fails is tried again without making
//! another backup, and goes on where it was cut short.

mod bucket;
mod directory;
mod names;
mod rotation;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    model::{Actor, Event, EventKind, Timestamp},
    store::{self, EventQuery, Store, StoreError},
};

pub use bucket::{Bucket, BucketConfig, BucketState, Uploaded};
pub use directory::{
    Written, hash, list as list_directory, make as make_directory, noted_sha256, write as write_into,
    write_file,
};
pub use names::{name_of, time_of};

/// A start has better things to do.
const AFTER_START: Duration = Duration::from_secs(60);
/// A fresh hub has nothing worth keeping yet.
const FIRST: Duration = Duration::from_secs(600);
/// The wait after a failure, unless backups are made even more often.
const RETRY: Duration = Duration::from_secs(15 * 60);

/// Where backups go, how often, and how many are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupConfig {
    /// The directory.
    pub directory: PathBuf,
    /// Time between two backups; `None`: only on request.
    pub interval: Option<Duration>,
    /// The newest so many are kept.
    pub keep: u32,
    /// And the newest of each of so many weeks.
    pub keep_weekly: u32,
    /// Where every backup is uploaded to as well.
    pub bucket: Option<BucketConfig>,
}

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its file name: `gander-20261122T190000Z.db`.
    pub name: String,
    /// The moment it shows.
    pub taken_at: Timestamp,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the file in hexadecimal digits, noted after it was verified; `None` for a file
    /// that somebody put there.
    pub sha256: Option<String>,
}

/// What the backups are doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupState {
    /// Since when one is being made.
    pub running_since: Option<Timestamp>,
    /// When the next one is due.
    pub next_run: Option<Timestamp>,
    /// The last one that was made.
    pub last_success: Option<Timestamp>,
    /// Why the last try failed; `None` when it did not.
    pub last_error: Option<BackupError>,
    /// What the bucket holds; `None` without one, or before the first look.
    pub bucket: Option<BucketState>,
}

/// A try that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupError {
    /// When.
    pub at: Timestamp,
    /// Why, and what to do.
    pub message: String,
    /// Whether it was made and could not be uploaded.
    pub of_upload: bool,
}

/// Why a backup was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// One is being made already.
    #[error("a backup is being made already")]
    Running,
    /// The hub is on its way out.
    #[error("the hub is stopping")]
    Stopping,
}

/// Makes backups. Run it.
pub struct Backups {
    store: Store,
    config: Arc<BackupConfig>,
    requests: mpsc::Receiver<Actor>,
    state: Arc<watch::Sender<BackupState>>,
}

/// Asks for backups and looks at them. A cheap handle.
#[derive(Debug, Clone)]
pub struct BackupHandle {
    config: Arc<BackupConfig>,
    /// Room for one: a second wish while one is being made is refused.
    requests: mpsc::Sender<Actor>,
    state: Arc<watch::Sender<BackupState>>,
}

impl BackupHandle {
    /// What the backups are doing.
    #[must_use]
    pub fn state(&self) -> BackupState {
        self.state.borrow().clone()
    }

    /// Where they go, and how often.
    #[must_use]
    pub fn config(&self) -> &BackupConfig {
        &self.config
    }

    /// Begins one now.
    ///
    /// # Errors
    /// One is being made already, or the hub is stopping.
    pub fn begin(&self, actor: Actor) -> Result<(), NotBegun> {
        if self.state.borrow().running_since.is_some() {
            return Err(NotBegun::Running);
        }
        self.requests.try_send(actor).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotBegun::Running,
            mpsc::error::TrySendError::Closed(_) => NotBegun::Stopping,
        })?;
        // At once, so that whoever asks next sees it.
        self.state.send_modify(|state| {
            state.running_since.get_or_insert(Timestamp::now());
        });
        Ok(())
    }
}

impl Backups {
    /// The task, and the handle to it.
    #[must_use]
    pub fn new(store: Store, config: BackupConfig) -> (Self, BackupHandle) {
        let (sender, requests) = mpsc::channel(1);
        let config = Arc::new(config);
        let state = Arc::new(watch::Sender::new(BackupState::default()));
        let handle = BackupHandle {
            config: Arc::clone(&config),
            requests: sender,
            state: Arc::clone(&state),
        };
        let task = Self {
            store,
            config,
            requests,
            state,
        };
        (task, handle)
    }

    /// Runs until `shutdown`. A backup that is being made then is given up, without a trace.
    ///
    /// # Errors
    /// None: what fails is told and tried again.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.recall().await;
        let start = Timestamp::now();
        let mut next = self.first_run(start);
        // What an end of the hub cut short goes on soon.
        let mut next_upload = self.config.bucket.is_some().then(|| plus(start, AFTER_START));
        loop {
            self.state.send_modify(|state| state.next_run = next);
            let maker = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                Some(actor) = self.requests.recv() => Some(actor),
                () = wait_until(next) => Some(Actor::hub()),
                () = wait_until(next_upload) => None,
            };
            let began = Timestamp::now();
            self.state.send_modify(|state| {
                state.running_since = Some(began);
                state.next_run = None;
            });
            let mut actor = Actor::hub();
            if let Some(maker) = maker {
                actor = maker;
                let making = make(self.store.path(), &self.config, began, &shutdown);
                let Some(made) = shutdown.run_until_cancelled(making).await else {
                    return Ok(());
                };
                next = self.tell(made, &actor, began).await;
            }
            if let Some(bucket) = &self.config.bucket {
                let Some(uploaded) = shutdown.run_until_cancelled(upload(bucket, &self.config)).await else {
                    return Ok(());
                };
                let retry = self.tell_upload(uploaded, bucket, &actor).await;
                next_upload = retry.then(|| plus(Timestamp::now(), RETRY));
            }
            self.state.send_modify(|state| state.running_since = None);
        }
    }

    /// Records and shows how an upload went; answers whether it is to be tried again.
    async fn tell_upload(
        &self,
        uploaded: anyhow::Result<Uploaded>,
        bucket: &BucketConfig,
        actor: &Actor,
    ) -> bool {
        let now = Timestamp::now();
        match uploaded {
            Ok(uploaded) => {
                for name in &uploaded.added {
                    tracing::info!(name, %bucket, "a backup was uploaded and verified");
                }
                if let Some(reason) = uploaded.not_removed {
                    tracing::warn!(%bucket, reason, "old backups stay in the bucket");
                }
                self.state.send_modify(|state| {
                    state.bucket = Some(BucketState {
                        at: now,
                        names: uploaded.names,
                    });
                    // An error of the making stays until one is made.
                    if state.last_error.as_ref().is_some_and(|error| error.of_upload) {
                        state.last_error = None;
                    }
                });
                false
            }
            Err(error) => {
                let message = format!("{error:#}");
                tracing::error!(error = message, "a backup could not be uploaded");
                let details = serde_json::json!({ "reason": message, "bucket": bucket.to_string() });
                self.record(EventKind::BackupFailed, actor, details, now).await;
                self.state.send_modify(|state| {
                    state.last_error.get_or_insert(BackupError {
                        at: now,
                        message,
                        of_upload: true,
                    });
                });
                true
            }
        }
    }

    async fn record(&self, kind: EventKind, actor: &Actor, details: serde_json::Value, now: Timestamp) {
        let event = Event {
            at: now,
            kind,
            server_id: None,
            actor: actor.0.clone(),
            details,
        };
        if let Err(error) = self.store.record_event(&event).await {
            tracing::warn!(%error, "the record of a backup could not be written");
        }
    }

    /// What is known from before the start.
    async fn recall(&self) {
        let last_success = match directory::list(&self.config.directory) {
            Ok(backups) => backups.iter().map(|backup| backup.taken_at).max(),
            Err(_) => None,
        };
        let last = async |kind| {
            let query = EventQuery {
                kind: Some(kind),
                limit: 1,
                ..EventQuery::default()
            };
            let found = self.store.events(&query).await.ok()?.pop()?;
            Some(found.event)
        };
        let failed = last(EventKind::BackupFailed).await;
        let made = last(EventKind::BackupMade).await;
        let last_error = failed
            .filter(|failed| made.is_none_or(|made| made.at < failed.at))
            .map(|failed| BackupError {
                at: failed.at,
                message: failed.details["reason"]
                    .as_str()
                    .unwrap_or("see the log")
                    .to_owned(),
                of_upload: failed.details["bucket"].is_string(),
            });
        self.state.send_modify(|state| {
            state.last_success = last_success;
            state.last_error = last_error;
        });
    }

    fn first_run(&self, now: Timestamp) -> Option<Timestamp> {
        let interval = self.config.interval?;
        Some(match self.state.borrow().last_success {
            Some(last) => plus(last, interval).max(plus(now, AFTER_START)),
            None => plus(now, FIRST.min(interval)),
        })
    }

    /// Records and shows how it went; answers when the next one is due.
    async fn tell(&self, made: anyhow::Result<Made>, actor: &Actor, began: Timestamp) -> Option<Timestamp> {
        let now = Timestamp::now();
        let (kind, details, outcome) = match made {
            Ok(made) => {
                tracing::info!(
                    name = made.backup.name,
                    bytes = made.backup.bytes,
                    seconds = now.millis_since(began) / 1000,
                    "a backup was made and verified"
                );
                let details = serde_json::json!({
                    "name": made.backup.name,
                    "bytes": made.backup.bytes,
                    "problems": made.written.problems,
                });
                (EventKind::BackupMade, details, Ok(made.backup.taken_at))
            }
            Err(error) => {
                let message = format!("{error:#}");
                tracing::error!(error = message, "no backup could be made");
                let details = serde_json::json!({ "reason": message });
                (EventKind::BackupFailed, details, Err(message))
            }
        };
        self.record(kind, actor, details, now).await;
        let wait = if outcome.is_ok() { Duration::MAX } else { RETRY };
        self.state.send_modify(|state| match outcome {
            Ok(taken_at) => {
                state.last_success = Some(taken_at);
                state.last_error = None;
            }
            Err(message) => {
                state.last_error = Some(BackupError {
                    at: now,
                    message,
                    of_upload: false,
                });
            }
        });
        self.config.interval.map(|interval| plus(now, interval.min(wait)))
    }
}

/// What a try came to.
#[derive(Debug)]
pub struct Made {
    /// The backup.
    pub backup: Backup,
    /// What was written.
    pub written: Written,
    /// Backups that were removed for it.
    pub removed: Vec<String>,
}

/// Makes a backup of a database, which may be in use, and removes those that are too old.
///
/// # Errors
/// With the place that failed, and what to do.
pub async fn make(
    database: &Path,
    config: &BackupConfig,
    now: Timestamp,
    stop: &CancellationToken,
) -> anyhow::Result<Made> {
    let (backup, written) = directory::write(database, &config.directory, now, stop).await?;
    let removed = directory::rotate(&config.directory, config)
        .with_context(|| format!("old backups in {} cannot be removed", config.directory.display()))?;
    Ok(Made {
        backup,
        written,
        removed,
    })
}

/// Brings the bucket up to date with the directory: uploads what it lacks, removes what is too old.
///
/// # Errors
/// With the bucket, what the store said, and what to do.
pub async fn upload(bucket: &BucketConfig, config: &BackupConfig) -> anyhow::Result<Uploaded> {
    Bucket::new(bucket)?.bring_up_to_date(config).await
}

/// A full disk is not the database's when a backup was being written.
fn explain(error: StoreError, directory: &Path) -> anyhow::Error {
    match error {
        StoreError::Full => {
            let free = store::free_bytes(directory).unwrap_or(0);
            anyhow::anyhow!(
                "the disk of {} is full ({} MB are free): free some space, or set backup.directory to another disk",
                directory.display(),
                free / 1_000_000
            )
        }
        error => error.into(),
    }
}

fn plus(moment: Timestamp, time: Duration) -> Timestamp {
    moment.plus_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// Waits by the wall clock, in steps, so that a clock that is set or a machine that slept is noticed.
async fn wait_until(moment: Option<Timestamp>) {
    const STEP: Duration = Duration::from_secs(60);
    let Some(moment) = moment else {
        return std::future::pending().await;
    };
    loop {
        let left = moment.millis_since(Timestamp::now());
        let Ok(left) = u64::try_from(left) else { return };
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left).min(STEP)).await;
    }
}
