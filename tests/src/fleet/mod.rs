//! A fleet of simulated servers: each an SSH server at an address of its own that speaks the real
//! protocol (key exchange, log-in, channel, framing) and answers as the real script does on a real machine.
//!
//! Node `n` is `127.80.x.y`, all at one port. All of them live in one process; in measurements in one of
//! their own ([`process`]), so that what the hub costs is the hub's alone. They take any credential. What
//! they answer is made beforehand ([`answers`]), so the hub is what works.
//!
//! A fleet can be cut (every connection dropped, nothing listening), be silent, have a slow line,
//! and counts what a node would notice of a hub: handshakes at once, connections, polls and their moments.

pub mod answers;
mod line;
mod peer;
pub mod process;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use gander_hub::{
    collect::ConnectSpec,
    model::{HostKey, Secret, server::SshCredential},
};
use russh::{
    keys::{Algorithm, HashAlg, PrivateKey, PublicKeyBase64 as _},
    server::Config,
};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::measure::Lags;
use answers::Answers;
use peer::Peer;

/// Tries to find a port that is free at every address.
const PORT_TRIES: usize = 20;
/// Connections that may wait to be taken: all that one address should ever see at once, and more.
const BACKLOG: u32 = 256;
/// Width of a class of lateness.
const LATENESS: Duration = Duration::from_millis(1);
/// Nodes begin within this many seconds of the recording, so that none comes to its end for a while.
const SPREAD_SECONDS: usize = 500;

/// What a fleet is to be like.
#[derive(Debug, Clone, Copy)]
pub struct FleetSpec {
    /// How many nodes.
    pub nodes: usize,
    /// Whether each has an address of its own; otherwise all of them are one address.
    pub own_addresses: bool,
    /// What every round trip takes longer.
    pub round_trip: Duration,
    /// Keys are exchanged anew after this long.
    pub rekey: Duration,
}

impl FleetSpec {
    /// So many nodes on a fast line.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        Self {
            nodes,
            own_addresses: true,
            round_trip: Duration::ZERO,
            rekey: Duration::from_secs(3600),
        }
    }
}

/// What the nodes noticed, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Connections open now.
    pub open: usize,
    /// Connections taken so far.
    pub accepted: usize,
    /// Log-ins that succeeded so far.
    pub logged_in: usize,
    /// Handshakes under way now: from the hub's first byte until it is logged in.
    pub in_handshake: usize,
    /// The most of them at once since [`Fleet::measure`].
    pub most_in_handshake: usize,
    /// The most connections not yet logged in at once at one address since then, as an sshd counts them.
    pub most_at_one_address: usize,
    /// Polls answered so far.
    pub polls: u64,
    /// Nodes that answered a poll since [`Fleet::measure`] or [`Fleet::cut`].
    pub nodes_polled: usize,
    /// Bytes of TCP payload from the hub so far.
    pub heard_bytes: u64,
    /// Bytes of TCP payload to the hub so far.
    pub said_bytes: u64,
    /// By how much the time between two polls of a node differed from the interval: milliseconds
    /// within which half of them, and 99 in a hundred, lay since [`Fleet::measure`].
    pub off_pace_ms: (u64, u64),
}

/// What is counted; see [`Figures`].
#[derive(Default)]
struct Counters {
    open: AtomicUsize,
    accepted: AtomicUsize,
    logged_in: AtomicUsize,
    in_handshake: AtomicUsize,
    most_in_handshake: AtomicUsize,
    most_at_one_address: AtomicUsize,
    polls: AtomicU64,
    nodes_polled: AtomicUsize,
    heard_bytes: AtomicU64,
    said_bytes: AtomicU64,
}

/// One simulated server.
struct Node {
    number: usize,
    /// Connections not yet logged in.
    knocking: AtomicUsize,
    /// Microseconds of the fleet's clock at the last poll; 0 for never.
    last_poll_us: AtomicU64,
    /// The epoch in which it was polled last.
    polled_in: AtomicU64,
}

/// What all nodes share.
struct Shared {
    spec: FleetSpec,
    config: Arc<Config>,
    answers: Answers,
    counters: Arc<Counters>,
    started: Instant,
    is_silent: AtomicBool,
    /// Counts the calls of [`Fleet::measure`] and [`Fleet::cut`].
    epoch: AtomicU64,
    /// What the time between two polls is compared with, in microseconds; 0: with nothing.
    interval_us: AtomicU64,
    off_pace: Lags,
}

/// Simulated servers that run. They end when dropped.
pub struct Fleet {
    shared: Arc<Shared>,
    nodes: Vec<Arc<Node>>,
    port: u16,
    host_key: HostKey,
    /// Ends the listeners and the connections of the time between two cuts.
    line: Mutex<CancellationToken>,
    tasks: TaskTracker,
}

impl Fleet {
    /// Starts a fleet.
    ///
    /// # Errors
    /// No port is free at all addresses, or too few files may be open.
    pub async fn start(spec: FleetSpec) -> anyhow::Result<Self> {
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)?;
        let host_key = HostKey {
            algorithm: "ssh-ed25519".to_owned(),
            fingerprint: key.public_key().fingerprint(HashAlg::Sha256).to_string(),
            public_key: format!("ssh-ed25519 {}", key.public_key().public_key_base64()),
        };
        let config = Config {
            keys: vec![key],
            auth_rejection_time: Duration::from_millis(10),
            auth_rejection_time_initial: Some(Duration::ZERO),
            inactivity_timeout: None,
            window_size: 64 * 1024,
            channel_buffer_size: 4,
            event_buffer_size: 4,
            nodelay: true,
            limits: russh::Limits {
                rekey_time_limit: spec.rekey,
                ..russh::Limits::default()
            },
            ..Config::default()
        };
        let node = |number| {
            Arc::new(Node {
                number,
                knocking: AtomicUsize::new(0),
                last_poll_us: AtomicU64::new(0),
                polled_in: AtomicU64::new(u64::MAX),
            })
        };
        let mut fleet = Self {
            shared: Arc::new(Shared {
                spec,
                config: Arc::new(config),
                answers: Answers::committed()?,
                counters: Arc::default(),
                started: Instant::now(),
                is_silent: AtomicBool::new(false),
                epoch: AtomicU64::new(0),
                interval_us: AtomicU64::new(0),
                off_pace: Lags::new(LATENESS),
            }),
            nodes: (0..if spec.own_addresses { spec.nodes } else { 1 })
                .map(node)
                .collect(),
            port: 0,
            host_key,
            line: Mutex::new(CancellationToken::new()),
            tasks: TaskTracker::new(),
        };
        let mut last = None;
        for _ in 0..PORT_TRIES {
            fleet.port = free_port().await?;
            match fleet.listen() {
                Ok(()) => return Ok(fleet),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port is free")))
    }

    /// The port of every node.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a node.
    #[must_use]
    pub fn address(&self, node: usize) -> Ipv4Addr {
        address(if self.shared.spec.own_addresses { node } else { 0 })
    }

    /// What a person would enter to enrol a node.
    #[must_use]
    pub fn spec(&self, node: usize) -> ConnectSpec {
        ConnectSpec {
            name: format!("sim-{node}"),
            host: self.address(node).to_string(),
            port: self.port,
            user: "gander".to_owned(),
            credential: SshCredential {
                password: Some(Secret::new("any will do".to_owned())),
                ..SshCredential::default()
            },
            expected_host_key: Some(self.host_key.clone()),
            authorities: std::sync::Arc::default(),
            jump: None,
        }
    }

    /// Every connection is dropped, and nobody listens any more.
    pub fn cut(&self) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        self.begin_epoch();
    }

    /// After a cut: they listen again.
    ///
    /// # Errors
    /// The port is taken meanwhile.
    pub async fn restore(&self) -> anyhow::Result<()> {
        // The listeners are tasks too: the port is free once they are over.
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = CancellationToken::new();
        self.listen()
    }

    /// From now on no request is answered (or they are again); connections stay.
    pub fn silence(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Forgets the mosts so far, and compares the time between polls with this interval from now on.
    pub fn measure(&self, interval: Duration) {
        let counters = &self.shared.counters;
        counters.most_in_handshake.store(0, Ordering::Relaxed);
        counters.most_at_one_address.store(0, Ordering::Relaxed);
        let interval = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        self.shared.interval_us.store(interval, Ordering::Relaxed);
        self.shared.off_pace.forget();
        self.begin_epoch();
    }

    /// What was noticed so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let counters = &self.shared.counters;
        let number = |value: &AtomicUsize| value.load(Ordering::Relaxed);
        let off_pace = &self.shared.off_pace;
        Figures {
            open: number(&counters.open),
            accepted: number(&counters.accepted),
            logged_in: number(&counters.logged_in),
            in_handshake: number(&counters.in_handshake),
            most_in_handshake: number(&counters.most_in_handshake),
            most_at_one_address: number(&counters.most_at_one_address),
            polls: counters.polls.load(Ordering::Relaxed),
            nodes_polled: number(&counters.nodes_polled),
            heard_bytes: counters.heard_bytes.load(Ordering::Relaxed),
            said_bytes: counters.said_bytes.load(Ordering::Relaxed),
            off_pace_ms: (off_pace.percentile(50), off_pace.percentile(99)),
        }
    }

    fn begin_epoch(&self) {
        self.shared.counters.nodes_polled.store(0, Ordering::Relaxed);
        self.shared.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Binds every address, then takes connections at each.
    fn listen(&self) -> anyhow::Result<()> {
        let bind = |node: &Arc<Node>| {
            let place = SocketAddr::from((address(node.number), self.port));
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(place)?;
            socket.listen(BACKLOG)
        };
        let bound: Result<Vec<TcpListener>, _> = self.nodes.iter().map(bind).collect();
        let bound = bound.context("a simulated server cannot listen")?;
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (listener, node) in bound.into_iter().zip(&self.nodes) {
            let (shared, node) = (Arc::clone(&self.shared), Arc::clone(node));
            let (line, tasks) = (line.clone(), self.tasks.clone());
            self.tasks.spawn(async move {
                loop {
                    let accepted = tokio::select! {
                        () = line.cancelled() => return,
                        accepted = listener.accept() => accepted,
                    };
                    // Out of files for a moment: whoever knocks will knock again.
                    let Ok((stream, _)) = accepted else { continue };
                    tasks.spawn(serve(
                        stream,
                        Arc::clone(&shared),
                        Arc::clone(&node),
                        line.clone(),
                    ));
                }
            });
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }
}

/// `127.80.0.1` and what follows.
fn address(node: usize) -> Ipv4Addr {
    let number = u32::try_from(node + 1).unwrap_or(u32::MAX) & 0x000f_ffff;
    Ipv4Addr::from(0x7f50_0000 | number)
}

/// A port that nobody uses at the first address.
async fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((address(0), 0)).await?;
    Ok(listener.local_addr()?.port())
}

/// One connection from its first byte to its last.
async fn serve(stream: TcpStream, shared: Arc<Shared>, node: Arc<Node>, line: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let counters = Arc::clone(&shared.counters);
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    counters.open.fetch_add(1, Ordering::Relaxed);
    let mut peer = Peer::new(Arc::clone(&shared), node);
    let spoken = tokio::select! {
        () = line.cancelled() => false,
        ready = stream.readable() => ready.is_ok(),
    };
    if spoken {
        peer.begins();
        let config = Arc::clone(&shared.config);
        let stream = line::Line::new(stream, line, Arc::clone(&counters), shared.spec.round_trip);
        if let Ok(session) = Box::pin(russh::server::run_stream(config, stream, peer)).await {
            let _ = session.await;
        }
    }
    counters.open.fetch_sub(1, Ordering::Relaxed);
}
