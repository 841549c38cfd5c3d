//! Throwing away what is too old: samples, events, resolved alerts, sessions.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    model::Timestamp,
    store::{Store, StoreError},
};

/// Not at once: a start has better things to do.
const FIRST: Duration = Duration::from_secs(60);
/// Small steps keep each one short.
const EVERY: Duration = Duration::from_secs(600);
/// Events and resolved alerts are few and worth more: they stay at least this long.
const HISTORY_AT_LEAST: Duration = Duration::from_secs(90 * 24 * 3600);

/// Throws away what is too old, again and again.
pub(super) struct Housekeeping {
    store: Store,
}

impl Housekeeping {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Runs until `shutdown`. What fails is tried again the next time.
    pub(super) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut rounds = tokio::time::interval_at(Instant::now() + FIRST, EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = rounds.tick() => {}
            }
            // A purge goes in batches; a stop may come between them.
            let round = self.tidy(Timestamp::now());
            let Some(tidied) = shutdown.run_until_cancelled(round).await else {
                return Ok(());
            };
            if let Err(error) = tidied {
                tracing::warn!(%error, "old data could not be removed; the next try is in 10 minutes");
            }
        }
    }

    async fn tidy(&self, now: Timestamp) -> Result<(), StoreError> {
        let samples = self.store.retain(now).await?;
        // Events and alerts stay as long as samples do, and for ever where those do.
        let mut history = 0;
        if let Some(seconds) = self.store.retention().await?.global.samples {
            let age = Duration::from_secs(seconds).max(HISTORY_AT_LEAST);
            let ago = now.plus_millis(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            history = self.store.purge_history(ago).await?;
        }
        if samples + history > 0 {
            tracing::info!(samples, history, "old data removed");
        }
        self.store.purge_expired(now).await?;
        self.store.purge_enrolment(now).await?;
        Ok(())
    }
}
