//! The long-lived tasks by name, and their end: all together, within a deadline.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::systemd;

/// Tasks that run until the same token is cancelled.
pub(super) struct Tasks {
    set: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    shutdown: CancellationToken,
}

impl Tasks {
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self {
            set: JoinSet::new(),
            names: HashMap::new(),
            shutdown,
        }
    }

    /// Starts a task that must not end before it is told to.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits for SIGTERM or SIGINT, or for a task that ends by itself; then stops all tasks. A
    /// second signal ends the program at once.
    ///
    /// # Errors
    /// A task ended early, failed while it stopped, or did not stop in time.
    pub(super) async fn run_until_told(
        mut self,
        mut signals: Signals,
        stop_time: Duration,
    ) -> anyhow::Result<()> {
        let mut result = tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, "gander-hub stops");
                Ok(())
            }
            Some(ended) = self.set.join_next_with_id() => Err(self.ended_early(ended)),
        };
        systemd::stopping();
        self.shutdown.cancel();
        let deadline = Instant::now() + stop_time;
        loop {
            tokio::select! {
                ended = self.set.join_next_with_id() => match ended {
                    None => return result,
                    Some(ended) => {
                        let (name, outcome) = self.named(ended);
                        if let Err(error) = outcome {
                            tracing::error!(task = name, error = format!("{error:#}"), "failed while it stopped");
                            result = result.and(Err(error.context(format!("{name} failed while it stopped"))));
                        }
                    }
                },
                name = signals.next() => {
                    tracing::warn!(signal = name, "a second signal: stopping at once");
                    std::process::exit(130);
                }
                () = tokio::time::sleep_until(deadline) => {
                    let left: Vec<&str> = self.names.values().copied().collect();
                    let left = left.join(", ");
                    let late = anyhow::anyhow!("did not stop within {} seconds: {left}", stop_time.as_secs());
                    return result.and(Err(late));
                }
            }
        }
    }

    fn ended_early(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> anyhow::Error {
        let (name, outcome) = self.named(ended);
        let error = match outcome {
            Ok(()) => anyhow::anyhow!("{name} ended by itself"),
            Err(error) => error.context(format!("{name} failed")),
        };
        tracing::error!(
            task = name,
            error = format!("{error:#}"),
            "gander-hub cannot go on"
        );
        error
    }

    fn named(
        &mut self,
        ended: Result<(Id, anyhow::Result<()>), JoinError>,
    ) -> (&'static str, anyhow::Result<()>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(anyhow::Error::new(error))),
        };
        (self.names.remove(&id).unwrap_or("a task"), outcome)
    }
}

/// The signals that ask for a stop. Made before anything else is started: from then on one that
/// comes is kept until it is asked for, and never ends the program midway.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// # Errors
    /// The system refuses a handler.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_task_that_ends_by_itself_ends_all_and_is_named() {
        let shutdown = CancellationToken::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let stop = shutdown.clone();
        tasks.spawn("steady", async move {
            stop.cancelled().await;
            let _ = sender.send(());
            Ok(())
        });
        tasks.spawn("hasty", async { Ok(()) });
        let error = tasks
            .run_until_told(Signals::new().unwrap(), LONG)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "hasty ended by itself");
        receiver.await.expect("the other one was stopped in order");
    }

    #[tokio::test]
    async fn a_task_that_panics_or_fails_is_named() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("clumsy", async { panic!("a bug") });
        let error = tasks
            .run_until_told(Signals::new().unwrap(), LONG)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "clumsy failed");
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("unlucky", async { anyhow::bail!("no luck") });
        let error = tasks
            .run_until_told(Signals::new().unwrap(), LONG)
            .await
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "unlucky failed: no luck");
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_named_and_left() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("stubborn", std::future::pending());
        tasks.spawn("hasty", async { Ok(()) });
        let error = tasks
            .run_until_told(Signals::new().unwrap(), Duration::from_millis(1))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "hasty ended by itself");
    }
}
