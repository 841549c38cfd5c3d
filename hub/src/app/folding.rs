//! Folding samples into blocks and roll-ups, again and again, beside ingest.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{model::Timestamp, store::Store};

/// Time between two looks whether there is something to fold.
const EVERY: Duration = Duration::from_secs(5);
/// One round at most, so that the oldest rows of every server get their turn.
const BUDGET: Duration = Duration::from_secs(4);

/// Keeps the recent tier short.
pub(super) struct Folding {
    store: Store,
}

impl Folding {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Runs until `shutdown`. What fails is tried again the next time.
    pub(super) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut rounds = tokio::time::interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = rounds.tick() => {}
            }
            // Dropped half way, a round leaves everything as it was before its last step.
            let round = self.store.fold(Timestamp::now(), BUDGET);
            let Some(folded) = shutdown.run_until_cancelled(round).await else {
                return Ok(());
            };
            match folded {
                Ok(report) => {
                    if report.written > 0 {
                        tracing::debug!(
                            samples = report.folded,
                            merged = report.merged,
                            written = report.written,
                            bytes = report.bytes,
                            longest_write_ms = report.longest_write.as_millis() as u64,
                            "samples folded"
                        );
                    }
                    if report.more {
                        rounds.reset_immediately();
                    }
                }
                Err(error) => tracing::warn!(%error, "samples could not be folded; the next try is soon"),
            }
        }
    }
}
