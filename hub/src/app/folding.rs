//! What is done for the store again and again, beside ingest: samples are folded into blocks and
//! roll-ups, and the log is written back.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{model::Timestamp, store::Store};

/// Time between two looks whether there is something to fold.
const EVERY: Duration = Duration::from_secs(5);
/// One round at most, so that the oldest rows of every server get their turn.
const BUDGET: Duration = Duration::from_secs(4);

/// Time between two looks at the log: what a busy hub writes meanwhile is a part of what makes it full.
const LOOK_AT_LOG: Duration = Duration::from_millis(500);

/// Keeps the recent tier and the log short.
pub(super) struct Folding {
    store: Store,
}

impl Folding {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Runs until `shutdown`. What fails is tried again the next time.
    pub(super) async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tokio::join!(self.fold(&shutdown), self.write_back(&shutdown));
        Ok(())
    }

    async fn write_back(&self, shutdown: &CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_AT_LOG);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let look = async {
                looks.tick().await;
                self.store.tend_log().await
            };
            let Some(written) = shutdown.run_until_cancelled(look).await else {
                return;
            };
            match written {
                Ok(()) if failing => tracing::info!("the log can be written back again"),
                Err(ref error) if !failing => tracing::warn!(
                    %error,
                    "the log cannot be written back into the database and grows; tried again twice a second"
                ),
                _ => {}
            }
            failing = written.is_err();
        }
    }

    async fn fold(&self, shutdown: &CancellationToken) {
        let mut rounds = tokio::time::interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = rounds.tick() => {}
            }
            // Dropped half way, a round leaves everything as it was before its last step.
            let round = self.store.fold(Timestamp::now(), BUDGET);
            let Some(folded) = shutdown.run_until_cancelled(round).await else {
                return;
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
