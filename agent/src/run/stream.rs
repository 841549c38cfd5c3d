//! One open stream: what comes in, what goes out, and the spool behind it. The rules are the
//! session's (`link/session.rs`); here they meet the network, the spool's thread and the clock.

use std::{
    collections::VecDeque,
    time::{Duration, Instant as Moment},
};

use gander_proto::v1 as pb;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{Agent, End, OUTBOX};
use crate::{
    Sample,
    identity::Identity,
    link::{
        self,
        backoff::Remedy,
        connect::Connection,
        enrol::{self, AskError},
        session::{Event, Orders, Session},
    },
    look::wall_ms,
    platform,
    spool::Portion,
};

/// How often things that have no event of their own are looked after.
const TEND_EVERY: Duration = Duration::from_millis(500);
/// How long a new certificate that was not to be had is not asked for again, at most and at least.
const RENEW_AGAIN: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(1));

/// What belongs to one stream.
pub(super) struct Stream {
    pub(super) session: Session,
    /// In the order they were made: each builds on the words of those before.
    outbox: VecDeque<pb::AgentMessage>,
    /// The spool was asked for samples.
    portion: Option<oneshot::Receiver<Option<Portion>>>,
    renewal: Option<JoinHandle<Result<Identity, AskError>>>,
    renew_at: Instant,
}

impl Stream {
    /// One on which nothing was said.
    pub(super) fn new() -> Self {
        Self {
            session: Session::new(),
            outbox: VecDeque::new(),
            portion: None,
            renewal: None,
            renew_at: Instant::now(),
        }
    }
}

impl Agent {
    /// Runs the stream to its end.
    pub(super) async fn stream(
        &mut self,
        connection: &Connection,
        stream: &mut Stream,
        up: &mpsc::Sender<pb::AgentMessage>,
        mut down: tonic::Streaming<pb::HubMessage>,
    ) -> End {
        loop {
            self.feed();
            self.tend(connection, stream);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return End::Shutdown,
                permit = up.reserve(), if !stream.outbox.is_empty() => {
                    let Ok(permit) = permit else {
                        return self.last_word(down).await;
                    };
                    if let Some(message) = stream.outbox.pop_front() {
                        permit.send(message);
                    }
                }
                message = down.message() => match message {
                    Ok(Some(message)) => {
                        if let Some(end) = self.take(stream, message) {
                            return end;
                        }
                    }
                    Ok(None) => return End::Failed(Remedy::Time, "the hub ended the stream".into()),
                    Err(status) => return self.end_of(&status),
                },
                Some(sample) = self.looks.recv() => self.send(stream, sample),
                read = when_asked(&mut stream.portion) => {
                    stream.portion = None;
                    if let Ok(Some(read)) = read {
                        self.replay(stream, read);
                    }
                }
                renewed = when_asked(&mut stream.renewal) => {
                    stream.renewal = None;
                    if let Ok(renewed) = renewed {
                        self.renewed(renewed);
                    }
                }
                () = sleep(TEND_EVERY) => {}
            }
        }
    }

    /// The hub closed its ear; its mouth says why.
    async fn last_word(&mut self, mut down: tonic::Streaming<pb::HubMessage>) -> End {
        let words = async {
            loop {
                match down.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(2), words).await {
            Ok(Some(status)) => self.end_of(&status),
            _ => End::Failed(Remedy::Time, "the connection to the hub broke".into()),
        }
    }

    /// A look goes to the hub, or into the spool when the hub is behind.
    fn send(&mut self, stream: &mut Stream, mut sample: Sample) {
        self.last_look = Instant::now();
        self.clock.mark(&mut sample);
        if stream.outbox.len() >= OUTBOX {
            self.keeper.append([sample]);
            return;
        }
        match stream.session.live(sample, self.lost(), Moment::now(), wall_ms()) {
            Ok(message) => stream.outbox.push_back(message),
            Err(sample) => self.keeper.append([*sample]),
        }
    }

    fn replay(&mut self, stream: &mut Stream, portion: Portion) {
        let this_boot = *portion.boot_id == *platform::boot_id();
        let clock = self.clock;
        let settle = |sample: &mut Sample| {
            if this_boot {
                clock.mark(sample);
            }
        };
        let lost = self.lost();
        let messages = stream
            .session
            .replay(portion, settle, lost, Moment::now(), wall_ms());
        stream.outbox.extend(messages);
    }

    fn lost(&self) -> u64 {
        let status = self.keeper.status();
        status.dropped + status.thinned
    }

    /// Acts on a message of the hub's. `Some`: the stream is to end.
    fn take(&mut self, stream: &mut Stream, message: pb::HubMessage) -> Option<End> {
        match stream.session.take(message, wall_ms()) {
            Event::None => {}
            // Before anything else that waits: it measures the time there and back.
            Event::Answer(answer) => stream.outbox.push_front(*answer),
            Event::Welcomed {
                server_name,
                server_id,
                orders,
            } => {
                self.backoff.reset();
                self.board
                    .say(&format!("reporting to {} as {server_name}", self.identity.hub));
                if (&server_name, server_id) != (&self.identity.server_name, self.identity.server_id) {
                    (self.identity.server_name, self.identity.server_id) = (server_name, server_id);
                    self.keep_identity();
                }
                self.obey(orders);
            }
            Event::Orders(orders) => self.obey(orders),
            Event::Acknowledged(position) => {
                self.forget = self.forget.max(Some(position));
            }
            Event::Stopping { retry_after, reason } => {
                self.board.say(&format!("the hub says: {reason}"));
                return Some(End::Retry(retry_after.max(Duration::from_millis(500))));
            }
        }
        None
    }

    fn obey(&mut self, orders: Orders) {
        if let Some(ahead_ms) = orders.clock_ahead_ms {
            self.clock.tell(ahead_ms);
            if ahead_ms != 0 && self.orders.borrow().clock_ahead_ms != Some(ahead_ms) {
                tracing::warn!(
                    "this machine's clock is {} s ahead of the hub's",
                    ahead_ms as f64 / 1000.0
                );
            }
        }
        self.orders
            .send_if_modified(|before| std::mem::replace(before, orders) != orders);
    }

    /// What has no event of its own.
    fn tend(&mut self, connection: &Connection, stream: &mut Stream) {
        if self.rewind_due && self.keeper.rewind() {
            self.rewind_due = false;
        }
        if let Some(position) = self.forget
            && self.keeper.acknowledge(position)
        {
            self.forget = None;
        }
        for sample in stream.session.overdue(Moment::now()) {
            self.keeper.append([sample]);
        }
        if !stream.session.is_welcome() {
            return;
        }
        // What is forgotten is not to be sent again.
        let settled = !self.rewind_due && self.forget.is_none();
        if settled
            && stream.portion.is_none()
            && stream.outbox.is_empty()
            && self.keeper.status().samples > 0
            && let Some(most) = stream.session.replay_room(Moment::now())
        {
            stream.portion = self.keeper.read(most);
        }
        if stream.renewal.is_none()
            && Instant::now() >= stream.renew_at
            && self.clock.hub_ms() >= self.identity.renew_after_ms
        {
            stream.renew_at = Instant::now() + self.renew_again();
            let renewal = enrol::renew(connection.client(), self.identity.clone());
            stream.renewal = Some(tokio::spawn(renewal));
        }
    }

    /// The pause before a certificate is asked for again: there is to be time for many more tries.
    fn renew_again(&self) -> Duration {
        let left_ms = self.identity.not_after_ms.saturating_sub(self.clock.hub_ms());
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        (left / 10).clamp(RENEW_AGAIN.1, RENEW_AGAIN.0)
    }

    fn renewed(&mut self, renewed: Result<Identity, AskError>) {
        let kept = renewed
            .map_err(anyhow::Error::from)
            .and_then(|identity| Ok((link::tls_of(&identity)?, identity)));
        match kept {
            Ok((tls, identity)) => {
                (self.tls, self.identity) = (tls, identity);
                self.keep_identity();
                tracing::info!("the certificate was renewed");
            }
            Err(error) => tracing::warn!("no new certificate: {error:#}; asking again soon"),
        }
    }

    /// What cannot be kept now is asked for, or told, again by the hub.
    fn keep_identity(&self) {
        if let Err(error) = self.state.put_identity(&self.identity) {
            tracing::error!("{error}");
        }
    }
}

/// What was asked for, when it comes; never, if nothing was.
async fn when_asked<F: Future + Unpin>(asked: &mut Option<F>) -> F::Output {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}
