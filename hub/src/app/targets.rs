//! Keeps collection and ingest in step with the servers in the store.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::TargetsReceiver;
use crate::{
    collect::{Target, Targets, authorities_for},
    ingest::IngestHandle,
    model::ServerId,
    store::{Store, StoreError},
};

/// A change is taken over at once; those that follow within this time together.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked whether another process (the command line) enrolled or changed servers: a hub
/// without any writes little, and would not notice by itself.
const ELSEWHERE: Duration = Duration::from_secs(2);
/// The wait after the store failed.
const RETRY: Duration = Duration::from_secs(2);

/// Reloads the targets when servers, credentials, host authorities or pinned keys change.
pub(super) struct TargetsTask {
    store: Store,
    ingest: IngestHandle,
    generation: watch::Receiver<u64>,
    targets: watch::Sender<Targets>,
}

impl TargetsTask {
    /// Loads the targets as they are now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) async fn load(
        store: Store,
        ingest: IngestHandle,
    ) -> Result<(Self, TargetsReceiver), StoreError> {
        // Before the first read, so that no change falls between.
        let generation = store.subscribe_servers();
        let (targets, receiver) = watch::channel(read(&store, &Targets::default()).await?);
        let task = Self {
            store,
            ingest,
            generation,
            targets,
        };
        Ok((task, receiver))
    }

    /// Runs until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut mark = self.store.servers_mark().await.ok();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                changed = self.generation.changed() => changed?,
                () = tokio::time::sleep(ELSEWHERE) => {
                    let now = self.store.servers_mark().await.ok();
                    if now.is_none() || now == mark {
                        continue;
                    }
                    mark = now;
                }
            }
            let pause = match self.take_over().await {
                Ok(()) => PAUSE,
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "changed servers are not collected from yet"
                    );
                    self.generation.mark_changed();
                    RETRY
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn take_over(&self) -> anyhow::Result<()> {
        // Ingest first: it drops readings of servers that it does not know.
        self.ingest.servers_changed().await?;
        let before = Arc::clone(&self.targets.borrow());
        let targets = read(&self.store, &before).await?;
        self.targets.send_if_modified(|current| {
            let changed = *current != targets;
            *current = targets;
            changed
        });
        Ok(())
    }
}

/// The targets as stored; those that did not change are the same pointers as before.
async fn read(store: &Store, before: &Targets) -> Result<Targets, StoreError> {
    let before: HashMap<ServerId, &Arc<Target>> =
        before.iter().map(|target| (target.server.id, target)).collect();
    let stored = store.targets().await?;
    let authorities = store.host_authorities().await?;
    let targets = stored.into_iter().map(|(server, credential)| {
        let target = Target {
            authorities: authorities_for(&authorities, &server.spec.ip, server.spec.ssh_port),
            server,
            credential,
        };
        match before.get(&target.server.id) {
            Some(same) if ***same == target => Arc::clone(same),
            _ => Arc::new(target),
        }
    });
    Ok(Arc::new(targets.collect()))
}
