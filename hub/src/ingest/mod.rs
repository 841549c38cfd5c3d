//! The one way of data: readings in, one transaction, then the world is told.
//!
//! Readings come through a bounded channel. A batch closes 100 ms after its first reading or
//! at 2,000 readings; it is judged (status, alerts) and committed with everything that follows
//! from it in one transaction. Only then [`Live`] is told. A commit that fails (the disk is
//! full, the database is locked) is kept and tried again unchanged; meanwhile no reading is
//! taken from the channel, which fills and slows the collectors down. A commit that can never
//! succeed (a bug) is taken apart until the reading is found that the database refuses; that one
//! is left out, counted and logged (see `aside`). So nothing is lost that could be kept, and
//! nothing is written twice; a reading's receipt tells its sender when it is durable; and what
//! the alert engine knows is what the database holds, or will hold before anything else.

mod aside;
mod desk;
mod handle;
mod handover;
mod status;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    alert::Policy,
    live::{Delta, Live},
    model::{Actor, Alert, Event, EventKind, Reading, ServerId, Timestamp},
    store::{Store, StoreError},
};
use desk::{Desk, Work};
use handle::Command;

pub use handle::{IngestError, IngestHandle, Progress, Refusal, Resolve};

/// A batch closes this long after its first reading …
const BATCH_TIME: Duration = Duration::from_millis(100);
/// … or at this many readings.
const BATCH_READINGS: usize = 2_000;
/// The loop goes round at least this often, so that a stuck one shows.
const TURN: Duration = Duration::from_secs(1);
/// The wait before the second try of a failed commit; doubles with each try.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// People's wishes that may wait; whoever wants more waits with them.
const COMMAND_BACKLOG: usize = 64;

/// What may be set.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// Poll interval of servers that have none of their own.
    pub default_interval: Duration,
    /// Times of the alert rules.
    pub policy: Policy,
    /// How long a shutdown may take to commit what was received.
    pub drain: Duration,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            default_interval: Duration::from_secs(30),
            policy: Policy::default(),
            drain: Duration::from_secs(4),
        }
    }
}

/// Takes readings until it is told to stop. Made by [`Ingest::load`].
pub struct Ingest {
    store: Store,
    live: Live,
    desk: Desk,
    drain: Duration,
    commands: mpsc::Receiver<Command>,
    progress: watch::Sender<Arc<Progress>>,
    batch: Vec<Reading>,
    batch_closes: Instant,
    unsaved: Option<Unsaved>,
    /// Readings to be judged and committed by themselves, before the batch.
    apart: VecDeque<Vec<Reading>>,
    /// Servers with a reading that was refused, until one of theirs is stored.
    refused: HashSet<ServerId>,
}

/// Work that could not be committed yet.
struct Unsaved {
    work: Work,
    next_try: Instant,
    wait: Duration,
}

/// What woke the loop.
enum Wake {
    Readings,
    NoMoreReadings,
    Command(Command),
    Shutdown,
    Time,
}

impl Ingest {
    /// Reads from the store what was known at the last stop. Nothing runs before [`Ingest::run`].
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn load(store: Store, config: IngestConfig) -> Result<(Self, IngestHandle, Live), StoreError> {
        let mut desk = Desk::new(
            store.load_states().await?,
            store.servers().await?,
            store.load_open_alerts().await?,
            store.next_alert_id().await?,
            config.policy,
            config.default_interval,
        );
        let mut switched = desk.set_servers(store.servers().await?, Timestamp::now());
        if let Err(error) = commit(&store, &switched).await {
            if !error.is_permanent() {
                return Err(error);
            }
            tracing::error!(%error, "servers that were switched on or off cannot be stored so");
            let open = store.load_open_alerts().await?;
            desk.take_back(&mut switched, open, store.next_alert_id().await?);
        }
        let live = Live::new(desk.states(), desk.firing());
        let (sender, commands) = mpsc::channel(COMMAND_BACKLOG);
        let progress = watch::Sender::new(Arc::new(Progress {
            last_turn: Timestamp::now(),
            ..Progress::default()
        }));
        let handle = IngestHandle {
            commands: sender,
            progress: progress.subscribe(),
        };
        let ingest = Self {
            store,
            live: live.clone(),
            desk,
            drain: config.drain,
            commands,
            progress,
            batch: Vec::new(),
            batch_closes: Instant::now(),
            unsaved: None,
            apart: VecDeque::new(),
            refused: HashSet::new(),
        };
        Ok((ingest, handle, live))
    }

    /// Takes readings until `shutdown` is asked and the collectors have let go of the channel,
    /// or until [`IngestConfig::drain`] after that, then commits what is left.
    ///
    /// # Errors
    /// Every sender of the channel is gone before `shutdown`; or readings are left that the
    /// store did not take in time.
    pub async fn run(
        mut self,
        mut readings: mpsc::Receiver<Reading>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            self.save_what_is_due().await;
            self.tell_progress(readings.len());
            let due = self.next_due();
            let room = BATCH_READINGS.saturating_sub(self.batch.len());
            let wake = tokio::select! {
                () = shutdown.cancelled() => Wake::Shutdown,
                Some(command) = self.commands.recv() => Wake::Command(command),
                received = readings.recv_many(&mut self.batch, room), if self.unsaved.is_none() && room > 0 => {
                    if received == 0 { Wake::NoMoreReadings } else {
                        if self.batch.len() == received {
                            self.batch_closes = Instant::now() + BATCH_TIME;
                        }
                        Wake::Readings
                    }
                }
                () = tokio::time::sleep_until(due) => Wake::Time,
            };
            match wake {
                Wake::Readings | Wake::Time => {}
                Wake::Command(command) => self.obey(command).await,
                Wake::Shutdown => return self.finish(readings).await,
                Wake::NoMoreReadings => {
                    self.finish(readings).await?;
                    if shutdown.is_cancelled() {
                        return Ok(());
                    }
                    anyhow::bail!("no collector is left to send readings");
                }
            }
        }
    }

    /// Commits everything received, for as long as the drain time allows.
    async fn finish(&mut self, mut readings: mpsc::Receiver<Reading>) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.drain;
        // Collectors hang up one after the other; from halfway on nothing new is taken.
        let mut patience = Instant::now() + self.drain / 2;
        loop {
            self.batch_closes = Instant::now();
            if let Some(unsaved) = &mut self.unsaved {
                unsaved.wait = FIRST_RETRY;
                unsaved.next_try = unsaved.next_try.min(Instant::now() + FIRST_RETRY);
            }
            let saving = tokio::time::timeout_at(deadline, self.save_what_is_due());
            if saving.await.is_err() {
                break;
            }
            self.tell_progress(readings.len());
            if let Some(unsaved) = &self.unsaved {
                tokio::time::sleep_until(unsaved.next_try.min(deadline)).await;
            } else if self.apart.is_empty() {
                let receiving = readings.recv_many(&mut self.batch, BATCH_READINGS);
                match tokio::time::timeout_at(patience, receiving).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    // What is already in the channel still comes; nothing new is let in.
                    Err(_) => {
                        readings.close();
                        patience = deadline;
                    }
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        let left = self.waiting(readings.len());
        if left == 0 {
            return Ok(());
        }
        let reason = self.progress.borrow().last_error.clone();
        anyhow::bail!(
            "{left} readings could not be stored before the end: {}",
            reason.as_deref().unwrap_or("there was no time")
        )
    }

    /// The moment by which the loop must go round again.
    fn next_due(&self) -> Instant {
        let turn = Instant::now() + TURN;
        match &self.unsaved {
            Some(unsaved) => unsaved.next_try.min(turn),
            None if !self.apart.is_empty() => Instant::now(),
            None if !self.batch.is_empty() => self.batch_closes.min(turn),
            None => turn,
        }
    }

    /// Commits what failed before, then the batch, if their time has come.
    async fn save_what_is_due(&mut self) {
        let now = Instant::now();
        if let Some(unsaved) = self.unsaved.take_if(|unsaved| unsaved.next_try <= now) {
            let wait = (unsaved.wait * 2).min(LONGEST_RETRY);
            self.save(unsaved.work, wait).await;
        }
        if self.unsaved.is_some() {
            return;
        }
        if let Some(readings) = self.apart.pop_front() {
            let work = self.desk.judge(readings, Timestamp::now());
            self.save(work, FIRST_RETRY).await;
            return;
        }
        let is_closed = self.batch_closes <= now || self.batch.len() >= BATCH_READINGS;
        if !self.batch.is_empty() && is_closed {
            let batch = std::mem::take(&mut self.batch);
            let batch = self.without_suspects(batch);
            let work = self.desk.judge(batch, Timestamp::now());
            self.save(work, FIRST_RETRY).await;
        }
    }

    /// Commits and tells; keeps the work for another try after `wait`; or takes it apart.
    async fn save(&mut self, work: Work, wait: Duration) {
        // Kept here during the commit, so that a commit that is given up at the very end of a
        // shutdown still counts as not saved.
        let unsaved = self.unsaved.insert(Unsaved {
            work,
            wait,
            next_try: Instant::now() + wait,
        });
        if let Err(error) = commit(&self.store, &unsaved.work).await {
            unsaved.next_try = Instant::now() + wait;
            if !error.is_permanent() {
                self.note_failure(&error);
            } else if let Err(error) = self.set_aside(&error).await {
                self.note_failure(&error);
            }
            return;
        }
        if let Some(Unsaved { mut work, .. }) = self.unsaved.take() {
            let before = Arc::clone(&self.progress.borrow());
            self.note_success(&work);
            for judged in &mut work.judged {
                self.refused.remove(&judged.server_id);
                judged.settle();
            }
            self.tell(work.delta);
            // Last: what is stored is told by now, should the end of the hub come in between.
            self.record_end_of_failure(&before).await;
        }
    }

    fn tell(&self, delta: Delta) {
        if !delta.is_empty() {
            self.live.publish(delta);
        }
    }

    async fn obey(&mut self, command: Command) {
        // A person waits: what failed before is tried again at once, for it must come first.
        if let Some(unsaved) = self.unsaved.take() {
            self.save(unsaved.work, unsaved.wait).await;
        }
        match command {
            Command::Resolve { which, by, reply } => {
                let answer = self.resolve(&which, &by).await;
                reply_to(reply, answer);
            }
            Command::ServersChanged { reply } => {
                let answer = self.reload_servers().await;
                reply_to(reply, answer);
            }
        }
    }

    async fn resolve(&mut self, which: &Resolve, by: &Actor) -> Result<Vec<Alert>, IngestError> {
        self.refuse_while_failing()?;
        let memory = self.desk.memory_of_alerts();
        let work = self.desk.resolve(which, by, Timestamp::now());
        if let Err(error) = commit(&self.store, &work).await {
            self.desk.recall_alerts(memory);
            self.note_failure(&error);
            return Err(IngestError::StoreFailing(error.to_string()));
        }
        self.note_success(&work);
        let resolved = work.delta.alerts.clone();
        self.tell(work.delta);
        Ok(resolved)
    }

    async fn reload_servers(&mut self) -> Result<(), IngestError> {
        self.refuse_while_failing()?;
        let servers = self
            .store
            .servers()
            .await
            .map_err(|error| IngestError::StoreFailing(error.to_string()))?;
        let work = self.desk.set_servers(servers, Timestamp::now());
        self.save(work, FIRST_RETRY).await;
        self.refuse_while_failing()
    }

    fn refuse_while_failing(&self) -> Result<(), IngestError> {
        if self.unsaved.is_none() {
            return Ok(());
        }
        let reason = self.progress.borrow().last_error.clone();
        Err(IngestError::StoreFailing(reason.unwrap_or_default()))
    }

    fn waiting(&self, in_channel: usize) -> usize {
        let unsaved = self.unsaved.as_ref();
        let unsaved = unsaved.map_or(0, |unsaved| unsaved.work.judged.len());
        let apart: usize = self.apart.iter().map(Vec::len).sum();
        in_channel + self.batch.len() + apart + unsaved
    }

    fn note_failure(&self, error: &StoreError) {
        let progress = self.progress.borrow().clone();
        if progress.failing_since.is_none() {
            tracing::error!(%error, "readings cannot be stored; they are kept and tried again");
        } else {
            tracing::debug!(%error, "readings still cannot be stored");
        }
        self.change_progress(|progress| {
            progress.failing_since.get_or_insert(Timestamp::now());
            progress.last_error = Some(error.to_string());
        });
    }

    /// Puts on record that nothing could be stored for a while: meanwhile there was no place for it.
    async fn record_end_of_failure(&self, before: &Progress) {
        let Some(since) = before.failing_since else { return };
        let event = Event {
            at: Timestamp::now(),
            kind: EventKind::StorageFailed,
            server_id: None,
            actor: None,
            details: serde_json::json!({ "since": since, "reason": before.last_error }),
        };
        if let Err(error) = self.store.record_event(&event).await {
            tracing::warn!(%error, "the record of what failed could not be written");
        }
    }

    fn note_success(&self, work: &Work) {
        if self.progress.borrow().failing_since.is_some() {
            tracing::info!("readings are stored again");
        }
        self.change_progress(|progress| {
            progress.failing_since = None;
            progress.last_error = None;
            if !work.is_empty() {
                progress.last_commit = Some(Timestamp::now());
            }
            progress.committed_readings += work.judged.len() as u64;
        });
    }

    fn tell_progress(&self, in_channel: usize) {
        let waiting = self.waiting(in_channel);
        self.change_progress(|progress| {
            progress.last_turn = Timestamp::now();
            progress.waiting_readings = waiting;
        });
    }

    fn change_progress(&self, change: impl FnOnce(&mut Progress)) {
        self.progress
            .send_modify(|progress| change(Arc::make_mut(progress)));
    }
}

async fn commit(store: &Store, work: &Work) -> Result<(), StoreError> {
    if work.is_empty() {
        return Ok(());
    }
    let receipt = store.commit(&work.commit).await?;
    if receipt.duplicates > 0 || receipt.orphans > 0 {
        tracing::debug!(
            receipt.duplicates,
            receipt.orphans,
            "some of a batch was not news"
        );
    }
    Ok(())
}

/// Who asked may be gone; then nobody misses the answer.
fn reply_to<T>(reply: oneshot::Sender<T>, answer: T) {
    let _ = reply.send(answer);
}
