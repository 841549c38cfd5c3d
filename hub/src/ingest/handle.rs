//! What other parts hold of ingest: a way to ask for changes, and to see how it does.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::{Alert, AlertId, ServerId, Timestamp, event::Actor};

/// Which alerts a person resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolve {
    /// These; ids that are not firing are passed over.
    Ids(Vec<AlertId>),
    /// Every firing one.
    All,
    /// Every firing one of a server.
    Server(ServerId),
}

/// Why ingest did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The store does not take commits right now; the message says why and what to do.
    #[error("the database does not take changes at the moment: {0}")]
    StoreFailing(String),
    /// The hub is shutting down.
    #[error("the hub is shutting down")]
    Stopped,
}

/// A change asked of ingest, answered once it is committed and published.
pub(super) enum Command {
    Resolve {
        which: Resolve,
        by: Actor,
        reply: oneshot::Sender<Result<Vec<Alert>, IngestError>>,
    },
    ServersChanged {
        reply: oneshot::Sender<Result<(), IngestError>>,
    },
}

/// How ingest does, for `/api/health` and the watchdog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// When its loop last went round: it does so at least every second, and not while a commit hangs.
    pub last_turn: Timestamp,
    /// When something was last committed.
    pub last_commit: Option<Timestamp>,
    /// Readings committed since the start.
    pub committed_readings: u64,
    /// Readings received and not yet committed.
    pub waiting_readings: usize,
    /// Since when commits have failed; `None` while all is well.
    pub failing_since: Option<Timestamp>,
    /// Why the last commit failed; `None` while all is well.
    pub last_error: Option<String>,
    /// Readings left out since the start because the database refuses them for good: a bug, or
    /// somebody else's hand in the database.
    pub refused_readings: u64,
    /// The last one of them.
    pub last_refusal: Option<Refusal>,
}

/// A reading that the database refuses for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of which server.
    pub server_id: ServerId,
    /// When it was refused.
    pub at: Timestamp,
    /// What the database said.
    pub reason: String,
}

/// Asks ingest for changes, and tells how it does. Clones share one ingest.
#[derive(Clone)]
pub struct IngestHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) progress: watch::Receiver<Arc<Progress>>,
}

impl IngestHandle {
    /// Resolves alerts by hand; they stay quiet until their condition clears or worsens.
    /// Returns the alerts that were firing, as they are now. Recorded as an event.
    ///
    /// # Errors
    /// The store takes no changes, or the hub is stopping.
    pub async fn resolve_alerts(&self, which: Resolve, by: &Actor) -> Result<Vec<Alert>, IngestError> {
        let by = by.clone();
        self.ask(|reply| Command::Resolve { which, by, reply }).await
    }

    /// Tells that servers were created, changed or deleted in the store. Returns when the live
    /// state shows it.
    ///
    /// # Errors
    /// The store cannot be read, or the hub is stopping.
    pub async fn servers_changed(&self) -> Result<(), IngestError> {
        self.ask(|reply| Command::ServersChanged { reply }).await
    }

    /// How ingest does right now.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress.borrow())
    }

    /// How ingest does, as it changes.
    #[must_use]
    pub fn watch_progress(&self) -> watch::Receiver<Arc<Progress>> {
        self.progress.clone()
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, IngestError>>) -> Command,
    ) -> Result<T, IngestError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| IngestError::Stopped)?;
        answer.await.map_err(|_| IngestError::Stopped)?
    }
}
