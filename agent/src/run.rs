//! The running agent: one task looks at the machine, one brings what it saw to the hub, or into the
//! spool. Neither waits for the other, for the disk, or for the network.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant as Moment},
};

use anyhow::Context as _;
use gander_proto::v1 as pb;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::{
    Sample,
    board::Board,
    chance,
    clock::Clock,
    identity::{Identity, Pending},
    link::{
        self,
        backoff::{Backoff, Remedy},
        connect::{ConnectError, Connection, Step, connect},
        enrol::{self, AskError, Enrolment, in_words},
        session::{Event, Orders, Session},
    },
    look::{Looker, wall_ms},
    platform,
    spool::{Keeper, Limits, Portion, Position},
    state::StateDir,
    systemd,
};

/// Looks that may wait for the other task; it is never away for longer than a moment, and a full
/// channel makes the looks wait.
const LOOKS: usize = 16;
/// Messages that may wait for the network; more stay in the spool.
const OUTBOX: usize = 4;
/// How often things that have no event of their own are looked after.
const TEND_EVERY: Duration = Duration::from_millis(500);
/// How often the disk is asked whether the agent has been enrolled by now.
const ENROLLED_YET: Duration = Duration::from_secs(5);
/// How long a new certificate that was not to be had is not asked for again.
const RENEW_AGAIN: Duration = Duration::from_secs(3600);
/// How long a disk that hangs may hold up the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// CPU use needs two looks; the second comes this long after the first.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Runs until `shutdown`.
///
/// # Errors
/// The state directory cannot be used, another agent runs on it, or the identity is damaged.
pub async fn run(state: StateDir, limits: Limits, shutdown: CancellationToken) -> anyhow::Result<()> {
    state.make()?;
    let _lock = state.lock()?;
    let board = Board::new(state.clone());
    systemd::ready();
    let Some(identity) = enrolled(&state, &board, &shutdown).await? else {
        return Ok(());
    };
    let keeper =
        Keeper::start(&state.spool(), limits, &platform::boot_id()).context("no thread for the spool")?;
    let (orders, ordered) = watch::channel(Orders::remembered(identity.interval_ms));
    let (samples, looks) = mpsc::channel(LOOKS);
    let looking = tokio::spawn(keep_looking(ordered, samples));
    let mut agent = Agent {
        tls: link::tls_of(&identity)?,
        identity,
        state,
        board,
        keeper,
        orders,
        looks,
        clock: Clock::default(),
        backoff: Backoff::default(),
        rewind_due: false,
        forget: None,
        last_look: Instant::now(),
        fed: Instant::now(),
        watchdog: systemd::watchdog(),
        shutdown,
    };
    agent.keep_reporting().await;
    systemd::stopping();
    looking.abort();
    while let Ok(sample) = agent.looks.try_recv() {
        agent.spool(sample);
    }
    agent.board.say("stopped");
    agent.keeper.close(LAST_WORDS);
    Ok(())
}

/// Waits until there is an identity: enrolled by hand, or by a person at the hub who says yes.
async fn enrolled(
    state: &StateDir,
    board: &Board,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Identity>> {
    let mut backoff = Backoff::default();
    let watchdog = systemd::watchdog().unwrap_or(ENROLLED_YET);
    let mut ask_at = Instant::now();
    loop {
        systemd::alive();
        if let Some(identity) = state.identity()? {
            return Ok(Some(identity));
        }
        match state.pending()? {
            None => board.say("not enrolled: run the line that the hub shows under \"Add an agent\""),
            Some(pending) if Instant::now() >= ask_at => {
                let asked = tokio::select! {
                    () = shutdown.cancelled() => return Ok(None),
                    asked = enrol::enrol(&pending) => asked,
                };
                ask_at = Instant::now() + after_asking(state, board, &pending, asked, &mut backoff)?;
                continue;
            }
            Some(_) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = sleep(ENROLLED_YET.min(watchdog)) => {}
        }
    }
}

fn after_asking(
    state: &StateDir,
    board: &Board,
    pending: &Pending,
    asked: Result<Enrolment, AskError>,
    backoff: &mut Backoff,
) -> anyhow::Result<Duration> {
    Ok(match asked {
        Ok(Enrolment::Enrolled(identity)) => {
            state.put_identity(&identity)?;
            Duration::ZERO
        }
        Ok(Enrolment::Waiting { reason, retry_after }) => {
            board.say(&format!("waiting for a person at the hub: {reason}"));
            backoff.reset();
            retry_after
        }
        Ok(Enrolment::Refused { reason }) => {
            board.say(&format!("the hub refuses the token: {reason}"));
            state.drop_pending()?;
            Duration::ZERO
        }
        Err(error) => {
            board.say(&format!("not enrolled yet: {}: {error}", pending.hub));
            backoff.pause(Remedy::Time, chance::share())
        }
    })
}

/// Looks at the machine at the pace that is ordered.
async fn keep_looking(mut orders: watch::Receiver<Orders>, samples: mpsc::Sender<Sample>) {
    let mut looker = Looker::new();
    let began = Instant::now();
    // Many machines of one hub look at different moments.
    let seed = chance::next();
    let mut extra = Some(began);
    loop {
        let now = *orders.borrow_and_update();
        let step = if now.focus {
            now.interval.min(gander_probe::pace::FOCUS_STEP)
        } else {
            now.interval
        };
        let phase = gander_probe::pace::phase(seed, step);
        let tick = began + gander_probe::pace::next_tick(began.elapsed(), phase, step);
        let next = extra.map_or(tick, |extra| extra.min(tick));
        tokio::select! {
            () = sleep_until(next) => {}
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                continue;
            }
        }
        let sample = looker.look(step, now.slow_interval).await;
        extra = match extra {
            Some(_) if sample.snapshot.cpu.is_none() => Some(Instant::now() + SECOND_LOOK),
            _ => None,
        };
        if samples.send(sample).await.is_err() {
            return;
        }
    }
}

struct Agent {
    state: StateDir,
    identity: Identity,
    tls: Arc<rustls::ClientConfig>,
    board: Board,
    keeper: Keeper,
    orders: watch::Sender<Orders>,
    looks: mpsc::Receiver<Sample>,
    clock: Clock,
    backoff: Backoff,
    /// The spool is to hand out again what it handed out to a stream that ended.
    rewind_due: bool,
    /// The spool may forget all up to here, and has not been told.
    forget: Option<Position>,
    last_look: Instant,
    fed: Instant,
    watchdog: Option<Duration>,
    shutdown: CancellationToken,
}

/// How a stream, or the try to make one, ended.
enum End {
    /// The agent stops.
    Shutdown,
    /// Come back after this.
    Retry(Duration),
    /// Come back when time, or a person, has helped.
    Failed(Remedy, String),
}

impl Agent {
    async fn keep_reporting(&mut self) {
        loop {
            let end = self.report().await;
            self.rewind_due = true;
            let pause = match end {
                End::Shutdown => return,
                End::Retry(pause) => pause.mul_f64(1.0 + chance::share() / 2.0),
                End::Failed(remedy, reason) => {
                    let pause = self.backoff.pause(remedy, chance::share());
                    self.board.say(&reason);
                    pause
                }
            };
            // `gander-agent enroll --again` may have given this machine another identity.
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if self
                    .meanwhile(sleep_until(until.min(Instant::now() + ENROLLED_YET)))
                    .await
                    .is_none()
                {
                    return;
                }
                if self.take_new_identity() {
                    self.backoff.reset();
                    break;
                }
            }
        }
    }

    fn take_new_identity(&mut self) -> bool {
        let Ok(Some(identity)) = self.state.identity() else {
            return false;
        };
        if identity == self.identity {
            return false;
        }
        match link::tls_of(&identity) {
            Ok(tls) => {
                (self.identity, self.tls) = (identity, tls);
                true
            }
            Err(error) => {
                tracing::error!("{error:#}");
                false
            }
        }
    }

    /// Waits for `future` and spools what is looked at in the meantime. `None`: the agent stops.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            self.feed();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                value = &mut future => return Some(value),
                Some(sample) = self.looks.recv() => self.spool(sample),
                () = sleep(Duration::from_secs(5)) => {}
            }
        }
    }

    fn spool(&mut self, mut sample: Sample) {
        self.last_look = Instant::now();
        self.clock.mark(&mut sample);
        self.keeper.append([sample]);
    }

    /// The watchdog hears from here, as long as looks come.
    fn feed(&mut self) {
        let Some(pause) = self.watchdog else { return };
        let limit = self.orders.borrow().interval * 2 + Duration::from_secs(30);
        if self.fed.elapsed() >= pause && self.last_look.elapsed() < limit {
            self.fed = Instant::now();
            systemd::alive();
        }
    }

    /// One connection and its stream, from beginning to end.
    async fn report(&mut self) -> End {
        let (hub, tls) = (self.identity.hub.clone(), Arc::clone(&self.tls));
        let connection = match self.meanwhile(connect(&hub, tls)).await {
            None => return End::Shutdown,
            Some(Ok(connection)) => connection,
            Some(Err(error)) => return End::Failed(remedy_of(&error), error.to_string()),
        };
        let (up, outgoing) = mpsc::channel(OUTBOX);
        let hello = Session::hello(self.orders.borrow().interval, &self.keeper.status());
        // The channel is new: there is room.
        let _ = up.try_send(hello);
        let mut client = connection.client();
        let opened = self.meanwhile(client.report(ReceiverStream::new(outgoing))).await;
        let down = match opened {
            None => return End::Shutdown,
            Some(Ok(answer)) => answer.into_inner(),
            Some(Err(status)) => return self.end_of(&status),
        };
        let mut stream = Stream {
            session: Session::new(),
            outbox: VecDeque::new(),
            portion: None,
            renewal: None,
            renew_at: Instant::now(),
        };
        let end = self.stream(&connection, &mut stream, &up, down).await;
        for mut sample in stream.session.end() {
            self.clock.mark(&mut sample);
            self.keeper.append([sample]);
        }
        end
    }

    async fn stream(
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
            stream.renew_at = Instant::now() + RENEW_AGAIN;
            let renewal = enrol::renew(connection.client(), self.identity.clone());
            stream.renewal = Some(tokio::spawn(renewal));
        }
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
            Err(error) => tracing::warn!("no new certificate: {error:#}; asking again in an hour"),
        }
    }

    /// What cannot be kept now is asked for, or told, again by the hub.
    fn keep_identity(&self) {
        if let Err(error) = self.state.put_identity(&self.identity) {
            tracing::error!("{error}");
        }
    }

    /// What the end of a stream means.
    fn end_of(&self, status: &Status) -> End {
        let words = in_words(status);
        match status.code() {
            Code::PermissionDenied => End::Failed(
                Remedy::Person,
                format!("{words}. Only a new token helps: run the line that the hub shows, with --again"),
            ),
            Code::Unauthenticated => End::Failed(
                Remedy::Person,
                format!("{words}. Enrol again with the line that the hub shows, with --again"),
            ),
            Code::Aborted => End::Failed(
                Remedy::Person,
                format!(
                    "{words}. Another machine uses this agent's identity (a copied disk?): enrol one of them again, with --again"
                ),
            ),
            _ => End::Failed(Remedy::Time, words),
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

fn remedy_of(error: &ConnectError) -> Remedy {
    match error.step {
        Step::Authority | Step::Clock => Remedy::Person,
        _ => Remedy::Time,
    }
}

/// What belongs to one stream.
struct Stream {
    session: Session,
    /// In the order they were made: each builds on the words of those before.
    outbox: VecDeque<pb::AgentMessage>,
    /// The spool was asked for samples.
    portion: Option<oneshot::Receiver<Option<Portion>>>,
    renewal: Option<JoinHandle<Result<Identity, AskError>>>,
    renew_at: Instant,
}
