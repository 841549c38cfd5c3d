//! The task of one server: waits for its moment, looks, hands the reading on, and deals with
//! failure. Everything here concerns this server alone.

mod following;
mod looking;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gander_probe::{Differ, Snapshot};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use following::heard_again;

use super::{
    CollectConfig,
    explain::while_collecting,
    gate::Gate,
    local::LocalReader,
    pace::{self, FOCUS_STEP, Retry},
    plan::{Plan, Source},
    presence::{AgentPresence, Follower},
    ssh::ProbeChannel,
};
use crate::model::{CollectError, HostKey, Origin, Reading, ServerId, Timestamp, reading::Contact};

/// The first look of a task comes within this time (longer if many are started together), so that a
/// start is no stampede.
const START_SPREAD: Duration = Duration::from_secs(1);
/// CPU use needs two looks; the second of a new connection comes this long after the first.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What all tasks share.
pub(super) struct Shared {
    pub(super) config: CollectConfig,
    pub(super) gate: Gate,
    pub(super) readings: mpsc::Sender<Reading>,
    pub(super) agents: AgentPresence,
    /// Moment zero of the phases and of the monotonic clock of the samples.
    pub(super) origin: Instant,
}

/// What the collector tells a running task.
pub(super) struct Signals {
    wake: Notify,
    refresh: AtomicBool,
    focus: AtomicBool,
    plan: Mutex<Arc<Plan>>,
    /// The host keys of the connection, jump hosts first; empty without one.
    proved: Mutex<Vec<HostKey>>,
}

impl Signals {
    pub(super) fn new(plan: Plan, focus: bool) -> Self {
        Self {
            wake: Notify::new(),
            refresh: AtomicBool::new(false),
            focus: AtomicBool::new(focus),
            plan: Mutex::new(Arc::new(plan)),
            proved: Mutex::default(),
        }
    }

    /// Look at once.
    pub(super) fn refresh(&self) {
        self.refresh.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Somebody watches this server, or nobody any more.
    pub(super) fn set_focus(&self, focus: bool) {
        if self.focus.swap(focus, Ordering::AcqRel) != focus {
            self.wake.notify_one();
        }
    }

    /// Whether somebody watches this server.
    fn is_focused(&self) -> bool {
        self.focus.load(Ordering::Acquire)
    }

    /// For the next connection; the running one is fine.
    pub(super) fn replace_plan(&self, plan: Plan) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn proved(&self) -> Vec<HostKey> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_proved(&self, keys: Vec<HostKey>) {
        *self.proved.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

/// One server's task.
pub(super) struct Node {
    id: ServerId,
    shared: Arc<Shared>,
    signals: Arc<Signals>,
    interval: Duration,
    /// Within this time the first look is to come.
    spread: Duration,
    connection: Option<Box<ProbeChannel>>,
    local: LocalReader,
    /// What is known of its agent, where one may read it.
    agent: Option<Follower>,
    /// Lives longer than a connection: counters go on counting while nobody looks.
    differ: Differ,
    trouble: Option<Trouble>,
    last_success: Option<Instant>,
    last_slow: Option<Instant>,
    last_rare: Option<Instant>,
    last_top: Option<Instant>,
    last_facts: Option<Instant>,
    slow_hold: Option<SlowHold>,
}

/// A server that could not be read last time.
struct Trouble {
    error: CollectError,
    failures: u32,
    retry_at: Instant,
}

/// The slow sections made a poll time out; they are left out for a while.
struct SlowHold {
    until: Instant,
    pause: Duration,
}

/// A successful look.
struct Sight {
    snapshot: Snapshot,
    taken_at: Timestamp,
    contact: Option<Contact>,
}

impl Node {
    pub(super) fn new(id: ServerId, shared: Arc<Shared>, signals: Arc<Signals>, spread: Duration) -> Self {
        let plan = signals.plan();
        let interval = plan.interval;
        let agent = plan.follows_agent.then(|| shared.agents.follow(id));
        Self {
            id,
            shared,
            signals,
            interval,
            spread: spread.max(START_SPREAD.min(interval / 10)),
            connection: None,
            local: LocalReader::default(),
            agent,
            differ: Differ::new(),
            trouble: None,
            last_success: None,
            last_slow: None,
            last_rare: None,
            last_top: None,
            last_facts: None,
            slow_hold: None,
        }
    }

    /// Looks at the server until it is cancelled (or nobody takes readings any more), then
    /// closes the connection within a bounded time.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = self.keep_going() => {}
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    async fn keep_going(&mut self) {
        if matches!(self.signals.plan().source, Source::Agent) {
            self.keep_listening().await;
        } else {
            // In a box: the task of a server that its agent alone reads keeps no room for connections.
            Box::pin(self.keep_looking()).await;
        }
    }

    async fn keep_looking(&mut self) {
        let mut tick = Instant::now() + self.spread.mul_f64(rand::random());
        // A look outside the rhythm: the second one, or a retry.
        let mut extra: Option<Instant> = None;
        let mut looked = false;
        loop {
            if self.leave_to_agent().await {
                // At once: its last value is an interval old.
                tick = Instant::now();
                extra = None;
            }
            let wake_at = extra.map_or(tick, |extra| extra.min(tick));
            let asked = tokio::select! {
                () = sleep_until(wake_at) => false,
                () = heard_again(&mut self.agent) => continue,
                () = self.signals.wake.notified() => {
                    if self.signals.refresh.swap(false, Ordering::AcqRel) {
                        true
                    } else {
                        // The focus changed. The first look comes as soon in any case.
                        if looked {
                            tick = self.next_tick();
                        }
                        continue;
                    }
                }
            };
            looked = true;
            let on_tick = Instant::now() >= tick;
            if asked || self.may_try(on_tick) {
                let Ok(outcome) = self.look_and_tell_silence().await else {
                    return;
                };
                // The agent is heard again: whatever this look would have told is its to tell.
                let Some(outcome) = outcome else { continue };
                extra = match outcome {
                    Ok(sight) => {
                        let again = sight.contact.is_some() && sight.snapshot.cpu.is_none();
                        self.trouble = None;
                        self.last_success = Some(Instant::now());
                        if self.hand_on(sight).await.is_err() {
                            return;
                        }
                        again.then(|| Instant::now() + SECOND_LOOK)
                    }
                    Err(error) => {
                        let (retry_at, news) = self.note_failure(error);
                        // A retry between two polls that fails the same way is no news.
                        if (on_tick || asked || news) && self.hand_on_trouble().await.is_err() {
                            return;
                        }
                        Some(retry_at)
                    }
                };
            } else if on_tick {
                if self.hand_on_trouble().await.is_err() {
                    return;
                }
            } else {
                extra = None;
            }
            if Instant::now() >= tick || (asked && self.trouble.is_none()) {
                tick = self.next_tick();
            }
        }
    }

    /// Whether a look is worth it now. A link is tried at each tick; what a person must put
    /// right only when its pause is over.
    fn may_try(&self, on_tick: bool) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| {
            Instant::now() >= trouble.retry_at || (on_tick && Retry::after(&trouble.error) == Retry::Link)
        })
    }

    fn next_tick(&self) -> Instant {
        let step = if self.trouble.is_none() {
            self.step()
        } else {
            self.interval
        };
        let origin = self.shared.origin;
        origin + pace::next_tick(origin.elapsed(), pace::phase(self.id, step), step)
    }

    /// The time between two looks.
    fn step(&self) -> Duration {
        if self.signals.is_focused() {
            FOCUS_STEP.min(self.interval)
        } else {
            self.interval
        }
    }

    /// Remembers a failure. Answers when to try again, and whether the failure is news.
    fn note_failure(&mut self, error: CollectError) -> (Instant, bool) {
        let error = while_collecting(error);
        self.signals.set_proved(Vec::new());
        let news = self
            .trouble
            .as_ref()
            .is_none_or(|trouble| trouble.error.code != error.code);
        let retry = Retry::after(&error);
        let before = self
            .trouble
            .as_ref()
            .filter(|trouble| Retry::after(&trouble.error) == retry);
        let failures = before.map_or(0, |trouble| trouble.failures).saturating_add(1);
        let retry_at = Instant::now() + retry.pause(failures, self.interval, rand::random());
        if news {
            tracing::info!(server.id = self.id.0, code = error.code.as_str(), "{error}");
        }
        self.trouble = Some(Trouble {
            error,
            failures,
            retry_at,
        });
        (retry_at, news)
    }

    async fn hand_on(&self, sight: Sight) -> Result<(), mpsc::error::SendError<Reading>> {
        let reading = Reading {
            server_id: self.id,
            origin: self.origin(),
            taken_at: sight.taken_at,
            outcome: Ok(Box::new(sight.snapshot)),
            contact: sight.contact,
            receipt: None,
        };
        self.shared.readings.send(reading).await
    }

    async fn hand_on_trouble(&self) -> Result<(), mpsc::error::SendError<Reading>> {
        let Some(trouble) = &self.trouble else {
            return Ok(());
        };
        let reading = Reading {
            server_id: self.id,
            origin: self.origin(),
            taken_at: Timestamp::now(),
            outcome: Err(trouble.error.clone()),
            contact: None,
            receipt: None,
        };
        self.shared.readings.send(reading).await
    }

    fn origin(&self) -> Origin {
        match self.signals.plan().source {
            Source::Local => Origin::Local,
            Source::Agent => Origin::Agent,
            Source::Ssh(_) | Source::Broken(_) => Origin::Ssh,
        }
    }

    /// Looks; and when the look takes so long that the server has been silent for nearly two
    /// intervals, says so at once. The look goes on all the same: an overloaded machine may still
    /// answer, and a new connection may be on its way. `None`: the agent was heard meanwhile, and
    /// the look was given up. The error: nobody takes readings.
    async fn look_and_tell_silence(
        &mut self,
    ) -> Result<Option<Result<Sight, CollectError>>, mpsc::error::SendError<Reading>> {
        let healthy_until = self
            .last_success
            .filter(|_| self.trouble.is_none())
            .map(|seen| seen + pace::silence_limit(self.interval));
        let (id, origin) = (self.id, self.origin());
        let (shared, plan) = (Arc::clone(&self.shared), self.signals.plan());
        // Out of the way of the look, which borrows everything else.
        let mut agent = self.agent.take();
        let asked = Instant::now();
        let outcome = {
            let look = self.look();
            tokio::pin!(look);
            let mut told = healthy_until.is_none();
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut look => break Ok(Some(outcome)),
                    () = heard_again(&mut agent) => break Ok(None),
                    () = sleep_until(healthy_until.unwrap_or(asked)), if !told => {
                        told = true;
                        let reading = Reading {
                            server_id: id,
                            origin,
                            taken_at: Timestamp::now(),
                            outcome: Err(while_collecting(plan.no_answer(asked.elapsed()))),
                            contact: None,
                            receipt: None,
                        };
                        if let Err(error) = shared.readings.send(reading).await {
                            break Err(error);
                        }
                    }
                }
            }
        };
        self.agent = agent;
        outcome
    }
}
