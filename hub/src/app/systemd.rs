//! What systemd is told: ready, alive, stopping. Without systemd nothing happens.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{ingest::Progress, model::Timestamp};

/// The hub serves.
pub(super) fn ready(address: SocketAddr) {
    tell(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("listening on http://{address}")),
    ]);
}

/// The hub was told to stop.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// Tells systemd that the hub is alive whenever ingest has gone round, so that a hub that only
/// breathes but does not work is restarted.
pub(super) struct Watchdog {
    progress: watch::Receiver<Arc<Progress>>,
    /// At most one word in this time.
    pause: Duration,
}

impl Watchdog {
    /// `None` when systemd does not ask for it.
    pub(super) fn wanted(progress: watch::Receiver<Arc<Progress>>) -> Option<Self> {
        let limit = sd_notify::watchdog_enabled()?;
        Some(Self {
            progress,
            pause: limit / 4,
        })
    }

    /// Runs until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut last_turn = Timestamp::default();
        loop {
            let changed = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                changed = self.progress.changed() => changed,
            };
            if changed.is_err() {
                // Ingest is gone; whoever watches it says so.
                shutdown.cancelled().await;
                return Ok(());
            }
            let turn = self.progress.borrow_and_update().last_turn;
            if turn == last_turn {
                continue;
            }
            last_turn = turn;
            tell(&[NotifyState::Watchdog]);
            let next = Instant::now() + self.pause;
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }
}
