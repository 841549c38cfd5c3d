//! Waiting on a condition instead of for a time.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// How long a condition may take. Generous: on a busy machine everything is slow, and a test that
/// passes never waits that long. (Some alerts hold for a minute before they fire or resolve.)
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The end of one's patience, and the pauses until then.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// [`PATIENCE`] from now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now() + PATIENCE)
    }

    /// Waits a moment before the next look; `false` when there is no time for another.
    pub async fn another_look(self) -> bool {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Instant::now() < self.0
    }
}

/// Asks until the answer is `Some`, and returns it. Panics with `what` after [`PATIENCE`].
pub async fn eventually<T, F, Fut>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Deadline::start();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            deadline.another_look().await,
            "waited {PATIENCE:?} in vain: {what}"
        );
    }
}
