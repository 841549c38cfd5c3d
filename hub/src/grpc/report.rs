//! One agent's stream: batches up, acknowledgements and orders down.
//!
//! A batch's samples go into the same channel as every collector's readings; it is acknowledged
//! when the last of them is durable. At most [`OPEN_BATCHES`] are under way: then nothing more is
//! read, the stream's window fills, and the agent waits. The same happens when it sends faster
//! than [`Budget`] allows. What is sent twice is stored once, and acknowledged twice.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesOrdered};
use gander_probe::Snapshot;
use gander_proto::{SampleReader, limits, v1};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};
use tonic::{Code, Status, Streaming};
use v1::{agent_message::Message as Up, hub_message::Message as Down};

use super::{Shared, budget::Budget, clock::Clock, incoming::Peer, machine, sessions::Orders, steward};
use crate::{
    collect::AgentStream,
    live::AgentLive,
    model::{
        Agent, Origin, Reading, Server, Timestamp,
        agent::Machine,
        reading::{Fate, ReceiptBook},
    },
};

/// Batches of one stream that are not acknowledged yet.
const OPEN_BATCHES: usize = 4;
/// Messages to an agent that wait to be sent; full, the stream waits for the agent to read.
pub(super) const DOWN_BACKLOG: usize = 8;
/// How long an agent may take for its first words, and to read what it is sent.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two pings.
const PING: Duration = Duration::from_secs(60);
/// The shortest time between two pings, when a clock seems to have been set.
const SOONEST_PING: Duration = Duration::from_secs(5);
/// What is under way when the hub stops has this long to become durable.
const LAST_ACKS: Duration = Duration::from_millis(1_500);
/// When an agent may come back after the hub stopped.
const COME_BACK_MS: u32 = 1_000;

/// A word to an agent. In a box: a channel holds room for 32 of them at least, and there is one a stream.
pub(super) type Word = Box<Result<v1::HubMessage, Status>>;

type Settling = Pin<Box<dyn Future<Output = (u64, bool, Fate)> + Send>>;

/// One open stream.
pub(super) struct Session {
    hub: Arc<Shared>,
    agent: Agent,
    server: Server,
    machine: Machine,
    number: u64,
    orders: watch::Receiver<Orders>,
    down: mpsc::Sender<Word>,
    presence: AgentStream,
    clock: Clock,
    reader: SampleReader,
    last_batch: u64,
    dropped: u64,
    open: FuturesOrdered<Settling>,
    budget: Budget,
    pinged: Option<Instant>,
}

impl Session {
    /// Takes the place of the agent's stream before, if there is one.
    pub(super) fn open(
        hub: Arc<Shared>,
        agent: Agent,
        server: Server,
        peer: &Peer,
        down: mpsc::Sender<Word>,
    ) -> Self {
        let focus = hub.live.focus();
        let (number, orders) = hub
            .sessions
            .open(agent.id, &server, || focus.borrow().contains(&server.id));
        let interval = orders.borrow().directive(0).interval_ms;
        // What is in the store trails; a correction must not change by a mere reconnect.
        let clock_ahead_ms = hub
            .board
            .get(agent.id)
            .map(|before| before.clock_ahead_ms)
            .or_else(|| hub.notes.clock_ahead_ms(agent.id))
            .unwrap_or(agent.clock_ahead_ms);
        hub.board.put(
            agent.id,
            AgentLive {
                stream: number,
                connected_at: Timestamp::now(),
                address: peer.ip().to_string(),
                last_batch_at: None,
                clock_measured_ms: None,
                clock_ahead_ms,
                dropped: agent.dropped,
                spooled_samples: 0,
                interval_ms: interval,
            },
        );
        Self {
            presence: hub.presence.stream(server.id),
            machine: agent.machine.clone(),
            clock: Clock::new(clock_ahead_ms),
            dropped: agent.dropped,
            hub,
            agent,
            server,
            number,
            orders,
            down,
            reader: SampleReader::new(),
            last_batch: 0,
            open: FuturesOrdered::new(),
            budget: Budget::new(Instant::now()),
            pinged: None,
        }
    }

    /// Runs the stream to its end, and tells the agent why it ended.
    pub(super) async fn run(mut self, mut up: Streaming<v1::AgentMessage>) {
        tracing::info!(
            agent.id = self.agent.id.0,
            server.name = self.server.spec.name,
            "an agent streams"
        );
        let ended = self.stream(&mut up).await;
        match &ended {
            Ok(()) => tracing::info!(
                agent.id = self.agent.id.0,
                server.name = self.server.spec.name,
                "an agent's stream has ended"
            ),
            Err(status) => tracing::info!(
                agent.id = self.agent.id.0,
                server.name = self.server.spec.name,
                code = ?status.code(),
                reason = status.message(),
                "an agent's stream was ended"
            ),
        }
        if let Err(status) = ended {
            // A full queue means that nobody reads; the end of the stream says enough then.
            let _ = self.down.try_send(Box::new(Err(status)));
        }
    }

    async fn stream(&mut self, up: &mut Streaming<v1::AgentMessage>) -> Result<(), Status> {
        let stop = self.hub.shutdown.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => return self.say_goodbye().await,
            end = ended(self.orders.clone()) => return Err(end),
            // In a box: a stream that lives for weeks does not keep room for its first words.
            greeted = tokio::time::timeout(PATIENCE, Box::pin(self.greet(up))) => {
                greeted.map_err(|_| Status::deadline_exceeded("no hello or no answer to the first ping in time"))??;
            }
        }
        let mut pings = tokio::time::interval_at(Instant::now() + PING, PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let may_read = self.open.len() < OPEN_BATCHES;
            let wait = self.budget.wait(Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.say_goodbye().await,
                changed = self.orders.changed() => {
                    changed.map_err(|_| Status::unavailable("the hub stops"))?;
                    let orders = self.orders.borrow_and_update().clone();
                    if let Some(end) = orders.end {
                        return Err(end.status());
                    }
                    self.direct(&orders).await?;
                }
                Some(settled) = self.open.next(), if !self.open.is_empty() => self.settled(settled).await?,
                _ = pings.tick() => self.ping().await?,
                () = tokio::time::sleep(wait), if may_read && !wait.is_zero() => {}
                message = up.message(), if may_read && wait.is_zero() => {
                    match message.map_err(explain)?.map(|message| message.message) {
                        None => return self.last_acks().await,
                        Some(Some(message)) => self.take(message).await?,
                        Some(None) => return Err(Status::invalid_argument("an empty message: this hub is older than the agent?")),
                    }
                }
            }
        }
    }

    /// Hello, the first ping and its answer, welcome.
    async fn greet(&mut self, up: &mut Streaming<v1::AgentMessage>) -> Result<(), Status> {
        let Some(Up::Hello(hello)) = next(up).await? else {
            return Err(Status::invalid_argument("the first message must be hello"));
        };
        let spool = hello.spool.unwrap_or_default();
        self.hub.board.change(self.agent.id, self.number, |live| {
            live.spooled_samples = spool.samples;
        });
        if let Some(said) = &hello.machine {
            self.machine = machine::clean(said);
        }
        self.ping().await?;
        let Some(Up::Pong(pong)) = next(up).await? else {
            return Err(Status::invalid_argument(
                "the second message must be the answer to the ping",
            ));
        };
        self.measure(&pong);
        let orders = self.orders.borrow_and_update().clone();
        if let Some(end) = orders.end {
            return Err(end.status());
        }
        self.say(Down::Welcome(v1::Welcome {
            server_name: self.server.spec.name.clone(),
            server_id: self.server.id.0,
            hub_version: env!("CARGO_PKG_VERSION").to_owned(),
            batches_unacknowledged: u32::try_from(OPEN_BATCHES).unwrap_or(1),
            batch_samples: u32::try_from(limits::BATCH_SAMPLES).unwrap_or(1),
            directive: Some(orders.directive(self.clock.correction_ms)),
        }))
        .await
    }

    async fn take(&mut self, message: Up) -> Result<(), Status> {
        match message {
            // In a box: between two batches a stream keeps no room for one.
            Up::Batch(batch) => Box::pin(self.batch(batch)).await,
            Up::Pong(pong) => {
                self.budget.spend(1, Instant::now());
                if self.measure(&pong) {
                    let orders = self.orders.borrow().clone();
                    self.direct(&orders).await?;
                }
                Ok(())
            }
            Up::Hello(_) => Err(Status::invalid_argument("hello comes once, and first")),
        }
    }

    async fn batch(&mut self, batch: v1::Batch) -> Result<(), Status> {
        if batch.number <= self.last_batch {
            return Err(Status::invalid_argument(format!(
                "batch {} came after batch {}: numbers must rise",
                batch.number, self.last_batch
            )));
        }
        self.last_batch = batch.number;
        let now = Timestamp::now();
        let samples = batch.samples.unwrap_or_default();
        let ahead = samples.clock_ahead_ms.unwrap_or(self.clock.correction_ms);
        let samples = self
            .reader
            .read(samples)
            .map_err(|error| Status::invalid_argument(format!("batch {}: {error}", batch.number)))?;
        self.budget.spend(samples.len().max(1), Instant::now());
        self.dropped = batch.dropped;
        if batch.live && self.clock.looks_set(batch.sent_at_ms, now) {
            self.ping().await?;
        }
        let tells = batch.live && samples.iter().any(|sample| is_a_look(&sample.snapshot));
        let (book, settled) = ReceiptBook::new();
        for sample in samples {
            let reading = Reading {
                server_id: self.server.id,
                origin: Origin::Agent,
                taken_at: Timestamp(sample.taken_at_ms.saturating_sub(ahead)),
                outcome: Ok(Box::new(sample.snapshot)),
                contact: None,
                receipt: Some(book.leaf()),
            };
            tokio::select! {
                biased;
                end = ended(self.orders.clone()) => return Err(end),
                sent = self.hub.readings.send(reading) => {
                    sent.map_err(|_| Status::unavailable("the hub stops"))?;
                }
            }
        }
        drop(book);
        let number = batch.number;
        self.open
            .push_back(Box::pin(async move { (number, tells, settled.fate().await) }));
        Ok(())
    }

    /// A batch is durable, or will never be. `tells`: it has values of this very moment.
    async fn settled(&mut self, (number, tells, fate): (u64, bool, Fate)) -> Result<(), Status> {
        match fate {
            Fate::Committed => {
                if tells {
                    self.presence.heard();
                }
                let (dropped, clock) = (self.dropped, self.clock);
                self.hub.board.change(self.agent.id, self.number, |seen| {
                    seen.last_batch_at = Some(Timestamp::now());
                    seen.dropped = dropped;
                    seen.clock_measured_ms = clock.measured_ms;
                    seen.clock_ahead_ms = clock.correction_ms;
                });
            }
            Fate::Refused => tracing::warn!(
                agent.id = self.agent.id.0,
                server.name = self.server.spec.name,
                batch = number,
                "the store takes some values of an agent never, so they are not asked for again"
            ),
            Fate::Lost => {
                return Err(Status::unavailable(
                    "the hub could not store what came: send it again",
                ));
            }
        }
        self.say(Down::Ack(v1::Ack { number })).await
    }

    async fn direct(&mut self, orders: &Orders) -> Result<(), Status> {
        let directive = orders.directive(self.clock.correction_ms);
        let interval_ms = directive.interval_ms;
        self.hub
            .board
            .change(self.agent.id, self.number, |live| live.interval_ms = interval_ms);
        self.say(Down::Directive(directive)).await
    }

    async fn ping(&mut self) -> Result<(), Status> {
        let now = Instant::now();
        if self
            .pinged
            .is_some_and(|before| now.duration_since(before) < SOONEST_PING)
        {
            return Ok(());
        }
        self.pinged = Some(now);
        self.note();
        let hub_ms = Timestamp::now().as_millis();
        self.say(Down::Ping(v1::Ping { hub_ms })).await
    }

    /// Whether the correction of the clock changed.
    fn measure(&mut self, pong: &v1::Pong) -> bool {
        let changed = self
            .clock
            .measure(Timestamp(pong.hub_ms), Timestamp::now(), pong.agent_ms);
        if changed {
            tracing::warn!(
                server.name = self.server.spec.name,
                clock_ahead_ms = self.clock.correction_ms,
                "an agent's clock is corrected for: set the clock of its machine (NTP)"
            );
        }
        let clock = self.clock;
        self.hub.board.change(self.agent.id, self.number, |live| {
            live.clock_measured_ms = clock.measured_ms;
            live.clock_ahead_ms = clock.correction_ms;
        });
        changed
    }

    /// To be written down with the next notes.
    fn note(&self) {
        let seen = steward::seen(
            self.agent.id,
            &self.machine,
            self.clock.correction_ms,
            self.dropped,
        );
        self.hub.notes.put(seen);
    }

    /// The hub stops: nothing more is read; what is under way has a moment to become durable.
    async fn say_goodbye(&mut self) -> Result<(), Status> {
        // What could not be said comes again.
        let _ = self.last_acks().await;
        let stopping = v1::Stopping {
            retry_after_ms: COME_BACK_MS,
            reason: "the hub stops".to_owned(),
        };
        let _ = self.down.try_send(Box::new(Ok(v1::HubMessage {
            message: Some(Down::Stopping(stopping)),
        })));
        Err(Status::unavailable("the hub stops"))
    }

    /// Nothing more comes: what is under way has a moment to become durable.
    async fn last_acks(&mut self) -> Result<(), Status> {
        let settle = async {
            while let Some(settled) = self.open.next().await {
                self.settled(settled).await?;
            }
            Ok(())
        };
        tokio::time::timeout(LAST_ACKS, settle)
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("what came last is not stored yet")))
    }

    async fn say(&mut self, message: Down) -> Result<(), Status> {
        let message = v1::HubMessage {
            message: Some(message),
        };
        tokio::select! {
            biased;
            end = ended(self.orders.clone()) => Err(end),
            sent = tokio::time::timeout(PATIENCE, self.down.send(Box::new(Ok(message)))) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Status::cancelled("the agent has gone")),
                Err(_) => Err(Status::deadline_exceeded("the agent does not read what it is sent")),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.sessions.close(self.agent.id, self.number);
        let live = self.hub.board.remove(self.agent.id, self.number);
        if live.is_some_and(|live| live.last_batch_at.is_some()) {
            self.note();
        }
    }
}

/// Whether a snapshot has anything in it. An agent that looks and sees nothing reads its server for
/// nobody: SSH must not be kept from doing it.
fn is_a_look(snapshot: &Snapshot) -> bool {
    *snapshot != Snapshot::default()
}

/// Waits for a word to end the stream.
async fn ended(mut orders: watch::Receiver<Orders>) -> Status {
    match orders.wait_for(|orders| orders.end.is_some()).await {
        Ok(orders) => orders.end.map_or_else(
            || Status::unavailable("the hub stops"),
            super::sessions::End::status,
        ),
        Err(_) => Status::unavailable("the hub stops"),
    }
}

async fn next(up: &mut Streaming<v1::AgentMessage>) -> Result<Option<Up>, Status> {
    let message = up.message().await.map_err(explain)?;
    Ok(message.and_then(|message| message.message))
}

/// tonic's words for a message that is too large, in ours.
fn explain(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => Status::resource_exhausted(format!(
            "a message may have {} bytes: {}",
            limits::MESSAGE_BYTES,
            status.message()
        )),
        _ => status,
    }
}
