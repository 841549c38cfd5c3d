//! What a server's task does because of its agent: it leaves the server to the agent that streams,
//! and says when one that alone may read it is silent. When, is for [`stand_in`] to say.

use std::sync::atomic::Ordering;

use gander_probe::Differ;
use tokio::time::{Instant, sleep_until};

use super::{
    super::{presence::Follower, stand_in},
    Node, Trouble,
};

impl Node {
    /// Says at each interval that the agent is silent, for as long as it is.
    pub(super) async fn keep_listening(&mut self) {
        let plan = self.signals.plan();
        let since = Instant::now();
        let mut told = None;
        loop {
            let Some(presence) = self.agent.as_ref().map(Follower::now) else {
                return;
            };
            let silent_from = stand_in::silent_from(&presence, since, self.interval);
            let due = told.map_or(silent_from, |told: Instant| silent_from.max(told + self.interval));
            if Instant::now() < due {
                // What is heard meanwhile is seen then.
                sleep_until(due).await;
                continue;
            }
            let is_news = told.is_none_or(|told| presence.heard > Some(told));
            told = Some(Instant::now());
            let error = plan.agent_silent(presence.heard.map(|heard| heard.elapsed()));
            if is_news {
                tracing::info!(server.id = self.id.0, code = error.code.as_str(), "{error}");
            }
            self.trouble = Some(Trouble {
                error,
                failures: 0,
                retry_at: Instant::now(),
            });
            if self.hand_on_trouble().await.is_err() {
                return;
            }
        }
    }

    /// Waits for as long as the server's agent reads it. Answers whether it did.
    pub(super) async fn leave_to_agent(&mut self) -> bool {
        let mut left = false;
        loop {
            let step = self.step();
            let Some(agent) = &mut self.agent else { return left };
            let presence = agent.now();
            let is_ahead = |moment: &Instant| *moment > Instant::now();
            let Some(look_from) = stand_in::look_from(&presence, step, self.interval).filter(is_ahead) else {
                agent.take_over();
                return left;
            };
            let reads = stand_in::agent_reads_until(&presence, step, self.interval);
            if !left && reads.as_ref().is_some_and(is_ahead) {
                left = true;
                self.let_go().await;
                continue;
            }
            tokio::select! {
                () = sleep_until(look_from) => {}
                () = agent.changed() => {}
                // The focus changed; a wish to look at once is fulfilled by the stream.
                () = self.signals.wake.notified() => {
                    self.signals.refresh.store(false, Ordering::Release);
                }
            }
        }
    }

    /// Forgets what was; another one reads the server now.
    async fn let_go(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        self.signals.set_proved(Vec::new());
        self.trouble = None;
        self.last_success = None;
        // What its counters will say next covers a time for which the agent tells the rates.
        self.differ = Differ::new();
    }
}

/// Waits until the agent is heard that was taken over from; for ever where there is none.
pub(super) async fn heard_again(agent: &mut Option<Follower>) {
    match agent {
        Some(agent) => agent.heard_again().await,
        None => std::future::pending().await,
    }
}
