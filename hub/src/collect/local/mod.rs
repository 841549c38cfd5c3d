//! Reading the hub's own machine, in process: the same sections, through the same parsers.
//!
//! `/proc` can hang too (a dead NFS mount hangs `statvfs`), and a thread that hangs in the
//! kernel cannot be stopped. So each read has a thread of its own, outside the runtime (whose
//! end would wait for it), at most one for the fast sections, one for the slow and one for the rare ones.

use std::time::Duration;

use gander_probe::{Answer, Sections, lane::Lane};
use tokio::{sync::oneshot, time::timeout};

/// How long the slow or the rare sections may hold up a poll.
const HEAVY_LIMIT: Duration = Duration::from_secs(2);

/// Reads this machine.
#[derive(Default)]
pub(super) struct LocalReader {
    fast: Lane,
    slow: Lane,
    rare: Lane,
}

/// What one poll of this machine brought.
pub(super) struct LocalAnswers {
    /// The fast sections.
    pub(super) fast: Answer,
    /// Of the slow and the rare ones those that were asked for: what they told, or why there is nothing.
    pub(super) heavy: Vec<(Sections, Result<Answer, String>)>,
}

impl LocalReader {
    /// Reads `sections`; the slow and the rare ones may be missing. The error is the reason, for a person.
    pub(super) async fn read(&self, sections: Sections, limit: Duration) -> Result<LocalAnswers, String> {
        let fast = Sections::TICK | (sections & (Sections::FACTS | Sections::TOP));
        let fast = run(&self.fast, limit, move || gander_probe::local::read(fast)).await?;
        let mut heavy = Vec::new();
        for (part, lane) in [(Sections::SLOW, &self.slow), (Sections::RARE, &self.rare)] {
            if sections.contains(part) {
                let limit = HEAVY_LIMIT.min(limit);
                let outcome = run(lane, limit, move || gander_probe::local::read(part)).await;
                heavy.push((part, outcome));
            }
        }
        Ok(LocalAnswers { fast, heavy })
    }
}

/// Reads in a thread of its own, for at most `limit`.
async fn run<T: Send + 'static>(
    lane: &Lane,
    limit: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = oneshot::channel();
    lane.start(read, |value| {
        let _ = sender.send(value);
    })
    .map_err(|error| error.to_string())?;
    match timeout(limit, receiver).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err("the reader crashed".into()),
        Err(_) => Err(format!(
            "no value within {} s (a dead network mount?)",
            limit.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_stuck_read_is_given_up_and_not_piled_upon() {
        let lane = Lane::default();
        let (release, stuck) = mpsc::channel::<()>();
        let given_up = run(&lane, Duration::from_millis(1), move || stuck.recv().is_ok()).await;
        assert!(given_up.unwrap_err().contains("no value within"));
        let second = run(&lane, Duration::from_secs(60), || true).await;
        assert!(second.unwrap_err().contains("still hangs"));
        release.send(()).unwrap();
        while lane.is_busy() {
            tokio::task::yield_now().await;
        }
        assert_eq!(run(&lane, Duration::from_secs(60), || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_crashed_read_is_told() {
        let crashed = run(&Lane::default(), Duration::from_secs(60), || -> u8 {
            panic!("as a broken parser would")
        })
        .await;
        assert_eq!(crashed, Err("the reader crashed".into()));
    }
}
