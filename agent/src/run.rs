//! The running agent: one task looks at the machine, one brings what it saw to the hub, or into the
//! spool. Neither waits for the other, for the disk, or for the network.

mod enrolled;
mod looking;
mod stream;

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::{mpsc, watch},
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
    identity::Identity,
    link::{
        self,
        backoff::{Backoff, Remedy},
        connect::{ConnectError, Step, connect},
        enrol::in_words,
        session::{Orders, Session},
    },
    platform::{self, systemd},
    spool::{Keeper, Limits, Position},
    state::StateDir,
};
use stream::Stream;

/// Looks that may wait for the other task; it is never away for longer than a moment, and a full
/// channel makes the looks wait.
const LOOKS: usize = 16;
/// Messages that may wait for the network; more stay in the spool.
const OUTBOX: usize = 4;
/// How often the disk is asked whether the agent has been enrolled by now.
const ENROLLED_YET: Duration = Duration::from_secs(5);
/// How long a disk that hangs may hold up the end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs until `shutdown`.
///
/// # Errors
/// The state directory cannot be used, another agent runs on it, or the identity is damaged.
pub async fn run(state: StateDir, limits: Limits, shutdown: CancellationToken) -> anyhow::Result<()> {
    state.make()?;
    let _lock = state.lock()?;
    let board = Board::new(state.clone());
    systemd::ready();
    let Some(identity) = enrolled::identity(&state, &board, &shutdown).await? else {
        return Ok(());
    };
    let keeper =
        Keeper::start(&state.spool(), limits, &platform::boot_id()).context("no thread for the spool")?;
    let (orders, ordered) = watch::channel(Orders::remembered(identity.interval_ms));
    let (samples, looks) = mpsc::channel(LOOKS);
    let looking = tokio::spawn(looking::keep_looking(ordered, samples));
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
        let mut stream = Stream::new();
        let end = self.stream(&connection, &mut stream, &up, down).await;
        for mut sample in stream.session.end() {
            self.clock.mark(&mut sample);
            self.keeper.append([sample]);
        }
        end
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

fn remedy_of(error: &ConnectError) -> Remedy {
    match error.step {
        Step::Authority | Step::Clock => Remedy::Person,
        _ => Remedy::Time,
    }
}
