//! The task of one server: waits for its moment, looks, hands the reading on, and deals with
//! failure. Everything here concerns this server alone.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gander_probe::{Answer, Differ, RawSample, Sections, Snapshot, snapshot::SectionFault};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    CollectConfig,
    explain::{about_this_machine, while_collecting},
    gate::Gate,
    local::LocalReader,
    pace::{self, FOCUS_STEP, Retry},
    plan::{Plan, Source},
    ssh::{ProbeChannel, Route},
};
use crate::model::{
    CollectError, CollectErrorCode, HostKey, Origin, Reading, ServerId, Timestamp, reading::Contact,
    server::Endpoint,
};

/// The first look of a task comes within this time, so that a start is no stampede.
const START_SPREAD: Duration = Duration::from_secs(1);
/// CPU use needs two looks; the second of a new connection comes this long after the first.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// The first pause of the slow sections after a poll with them timed out, and the longest.
const SLOW_HOLD: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(900));

/// What all tasks share.
pub(super) struct Shared {
    pub(super) config: CollectConfig,
    pub(super) gate: Gate,
    pub(super) readings: mpsc::Sender<Reading>,
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
    connection: Option<Box<ProbeChannel>>,
    local: LocalReader,
    /// Lives longer than a connection: counters go on counting while nobody looks.
    differ: Differ,
    trouble: Option<Trouble>,
    last_success: Option<Instant>,
    last_slow: Option<Instant>,
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
    pub(super) fn new(id: ServerId, shared: Arc<Shared>, signals: Arc<Signals>) -> Self {
        let interval = signals.plan().interval;
        Self {
            id,
            shared,
            signals,
            interval,
            connection: None,
            local: LocalReader::default(),
            differ: Differ::new(),
            trouble: None,
            last_success: None,
            last_slow: None,
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
            () = self.keep_looking() => {}
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    async fn keep_looking(&mut self) {
        let spread = START_SPREAD.min(self.interval / 10);
        let mut tick = Instant::now() + spread.mul_f64(rand::random());
        // A look outside the rhythm: the second one, or a retry.
        let mut extra: Option<Instant> = None;
        let mut looked = false;
        loop {
            let wake_at = extra.map_or(tick, |extra| extra.min(tick));
            let asked = tokio::select! {
                () = sleep_until(wake_at) => false,
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
        let watched = self.signals.focus.load(Ordering::Acquire) && self.trouble.is_none();
        let step = if watched {
            FOCUS_STEP.min(self.interval)
        } else {
            self.interval
        };
        let origin = self.shared.origin;
        origin + pace::next_tick(origin.elapsed(), pace::phase(self.id, step), step)
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
            Source::Ssh(_) | Source::Broken(_) => Origin::Ssh,
        }
    }

    /// Looks; and when the look takes so long that the server has been silent for nearly two
    /// intervals, says so at once. The look goes on all the same: an overloaded machine may still
    /// answer, and a new connection may be on its way. The outer error: nobody takes readings.
    async fn look_and_tell_silence(
        &mut self,
    ) -> Result<Result<Sight, CollectError>, mpsc::error::SendError<Reading>> {
        let healthy_until = self
            .last_success
            .filter(|_| self.trouble.is_none())
            .map(|seen| seen + pace::silence_limit(self.interval));
        let (id, origin, shared, plan) = (
            self.id,
            self.origin(),
            Arc::clone(&self.shared),
            self.signals.plan(),
        );
        let look = self.look();
        tokio::pin!(look);
        let Some(healthy_until) = healthy_until else {
            return Ok(look.await);
        };
        let asked = Instant::now();
        tokio::select! {
            biased;
            outcome = &mut look => return Ok(outcome),
            () = sleep_until(healthy_until) => {}
        }
        let reading = Reading {
            server_id: id,
            origin,
            taken_at: Timestamp::now(),
            outcome: Err(while_collecting(plan.no_answer(asked.elapsed()))),
            contact: None,
            receipt: None,
        };
        shared.readings.send(reading).await?;
        Ok(look.await)
    }

    async fn look(&mut self) -> Result<Sight, CollectError> {
        let plan = self.signals.plan();
        match &plan.source {
            Source::Broken(error) => Err(error.clone()),
            Source::Local => self.look_locally(&plan.name).await,
            Source::Ssh(route) => self.look_over_ssh(route, &plan.endpoint).await,
        }
    }

    async fn look_locally(&mut self, name: &str) -> Result<Sight, CollectError> {
        let first = self.last_facts.is_none();
        let sections = self.sections_due();
        let limit = pace::answer_limit(self.shared.config.poll_timeout, self.interval);
        let answers = self
            .local
            .read(sections, limit)
            .await
            .map_err(|reason| about_this_machine(name).local(&reason))?;
        let mut sight = self.digest(&answers.fast, Sections::FACTS, None);
        match answers.slow {
            Some(Ok(answer)) => {
                let mut slow = self.digest(&answer, Sections::SLOW, None).snapshot;
                slow.faults.append(&mut sight.snapshot.faults);
                sight.snapshot.merge(slow);
            }
            Some(Err(reason)) => {
                self.last_slow = Some(Instant::now());
                sight.snapshot.faults.push(SectionFault {
                    section: "filesystems".into(),
                    reason,
                });
            }
            None => {}
        }
        sight.contact = first.then_some(Contact { host_key: None });
        Ok(sight)
    }

    async fn look_over_ssh(&mut self, route: &Route, endpoint: &Endpoint) -> Result<Sight, CollectError> {
        let limit = pace::answer_limit(self.shared.config.poll_timeout, self.interval);
        if let Some(mut connection) = self.connection.take_if(|connection| !connection.is_closed()) {
            let sections = self.sections_due();
            match connection.ask(sections, limit).await {
                Ok(answer) => {
                    self.connection = Some(connection);
                    return Ok(self.digest(&answer, sections, None));
                }
                // A connection may have gone stale (a firewall forgot it, sshd was restarted):
                // one new try counts. A peer that sends rubbish will only send it again.
                Err(error) => match error.code {
                    CollectErrorCode::Timeout => self.suspect_slow(sections),
                    CollectErrorCode::Disconnected => {}
                    _ => return Err(error),
                },
            }
        }
        self.connection = None;
        let suspect = self.trouble.is_some();
        let opening = ProbeChannel::open(route, &self.shared.gate, &self.shared.config, suspect);
        // Boxed: big, and needed only while connecting.
        let mut connection = Box::new(Box::pin(opening).await?);
        let mut sections = Sections::TICK | Sections::FACTS;
        if !self.slow_is_held() {
            sections = sections | Sections::SLOW;
        }
        match connection.ask(sections, limit).await {
            Ok(answer) => {
                let host_key = connection.host_key();
                let keys = connection
                    .jump_host_keys()
                    .flatten()
                    .chain([&host_key])
                    .cloned()
                    .collect();
                self.signals.set_proved(keys);
                self.connection = Some(connection);
                let contact = Contact {
                    host_key: Some((host_key, endpoint.clone())),
                };
                Ok(self.digest(&answer, sections, Some(contact)))
            }
            Err(error) => {
                if error.code == CollectErrorCode::Timeout {
                    self.suspect_slow(sections);
                }
                Err(error)
            }
        }
    }

    /// What the next poll of a running connection asks.
    fn sections_due(&self) -> Sections {
        let since = |moment: Option<Instant>| moment.map(|moment| moment.elapsed());
        let mut sections = Sections::TICK;
        if pace::slow_due(since(self.last_slow), self.interval) && !self.slow_is_held() {
            sections = sections | Sections::SLOW;
        }
        if pace::facts_due(since(self.last_facts), self.interval) {
            sections = sections | Sections::FACTS;
        }
        sections
    }

    fn slow_is_held(&self) -> bool {
        self.slow_hold
            .as_ref()
            .is_some_and(|hold| Instant::now() < hold.until)
    }

    /// A poll timed out. If it asked for the slow sections, they may be the reason: the next
    /// ones go without, so that a node with a dead mount is still read.
    fn suspect_slow(&mut self, asked: Sections) {
        if asked.contains(Sections::SLOW) {
            let pause = self
                .slow_hold
                .as_ref()
                .map_or(SLOW_HOLD.0, |hold| (hold.pause * 2).min(SLOW_HOLD.1));
            self.slow_hold = Some(SlowHold {
                until: Instant::now() + pause,
                pause,
            });
        }
    }

    /// Turns an answer to `asked` into a snapshot.
    fn digest(&mut self, answer: &Answer, asked: Sections, contact: Option<Contact>) -> Sight {
        let now = Instant::now();
        let at_ms = i64::try_from(self.shared.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut snapshot = self.differ.advance(RawSample::parse(answer), at_ms);
        if asked.contains(Sections::FACTS) {
            self.last_facts = Some(now);
        }
        if asked.contains(Sections::SLOW) {
            self.last_slow = Some(now);
            self.slow_hold = None;
        } else if self.slow_is_held() {
            snapshot.faults.push(SectionFault {
                section: "filesystems".into(),
                reason: "a poll with them timed out; they are left out for a while".into(),
            });
        }
        Sight {
            snapshot,
            taken_at: Timestamp::now(),
            contact,
        }
    }
}
