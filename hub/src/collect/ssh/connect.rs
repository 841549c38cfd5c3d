//! From nothing to a logged-in session: the TCP connection, each jump host, the key exchange
//! and the log-in, within one budget of time.

use std::{
    future::Future,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use russh::{
    AlgorithmKind, ChannelOpenFailure, ChannelStream, Disconnect,
    client::{Handle, Msg, connect_stream},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{
    super::{
        CollectConfig, SeenHostKey,
        explain::{About, Stage, address},
        gate::Gate,
    },
    algorithms::client_config,
    host_key::{HandshakeError, Observer, Seen},
    login,
    route::{Hop, Route},
    socket::{GivenUp, Socket},
    wire::Wire,
};
use crate::model::CollectError;

/// What is left of the time a connection may take. Waiting for a permit is not counted.
pub(super) struct Budget {
    limit: Duration,
    left: Duration,
}

impl Budget {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, left: limit }
    }

    /// Runs one stage within what is left.
    pub(super) async fn run<F: Future>(
        &mut self,
        about: About<'_>,
        stage: Stage,
        work: F,
    ) -> Result<F::Output, CollectError> {
        let started = Instant::now();
        let outcome = timeout(self.left, work).await;
        self.left = self.left.saturating_sub(started.elapsed());
        outcome.map_err(|_| about.timeout(stage, self.limit))
    }
}

/// A session and what was seen of its peer.
pub(super) struct Session {
    pub(super) handle: Handle<Observer>,
    pub(super) seen: Arc<Seen>,
    /// The handle was awaited to its end; a second time would be an error.
    over: bool,
    /// What is below it, and who keeps that if the session is given up; `None` through a jump host,
    /// which ends what it forwards.
    below: Option<(Socket, Arc<GivenUp>)>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some((socket, given_up)) = self.below.take()
            && !self.over
            && !self.handle.is_closed()
        {
            given_up.keep(&socket);
        }
    }
}

impl Session {
    /// The session's last words, once it is over. Waits a moment for them: russh closes its
    /// queues before it reports why.
    pub(super) async fn farewell(&mut self) -> String {
        if self.seen.farewell.get().is_none() && self.handle.is_closed() {
            self.end(Duration::from_millis(500)).await;
        }
        self.seen.farewell.get().cloned().unwrap_or_default()
    }

    /// Disconnects and waits until the session's task is over.
    pub(super) async fn close(mut self, limit: Duration) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
        self.end(limit).await;
    }

    async fn end(&mut self, limit: Duration) {
        if !self.over {
            self.over = timeout(limit, &mut self.handle).await.is_ok();
        }
    }
}

/// A logged-in session to the target, and those to the jump hosts that carry it.
pub(super) struct Sessions {
    pub(super) target: Session,
    /// Nearest to the hub first. They live as long as the target's session.
    pub(super) jumps: Vec<Session>,
}

/// Logs in to every hop of the route.
pub(super) async fn open(
    route: &Route,
    gate: &Gate,
    config: &CollectConfig,
    suspect: bool,
    budget: &mut Budget,
) -> Result<Sessions, CollectError> {
    let jumps = open_jumps(route, gate, config, suspect, budget).await?;
    let target = open_hop(route.target(), &jumps, gate, config, suspect, budget).await?;
    Ok(Sessions { target, jumps })
}

/// Logs in to every jump host, and asks the target for its key only.
pub(super) async fn fetch_host_key(
    route: &Route,
    gate: &Gate,
    config: &CollectConfig,
    limit: Duration,
) -> Result<SeenHostKey, CollectError> {
    let mut budget = Budget::new(limit);
    let jumps = open_jumps(route, gate, config, false, &mut budget).await?;
    let hop = route.target();
    let seen = Arc::new(Seen::default());
    let observer = Observer {
        expected: None,
        authorities: Arc::clone(&hop.spec.authorities),
        host: hop.spec.host.clone(),
        only_host_key: true,
        seen: Arc::clone(&seen),
    };
    let outcome = match jumps.last() {
        None => {
            let stream = dial(hop, &mut budget).await?;
            handshake(hop, stream, config, observer, &mut budget).await
        }
        Some(jump) => {
            let stream = forward(jump, hop, &mut budget).await?;
            handshake(hop, stream, config, observer, &mut budget).await
        }
    };
    match (seen.host_key.get(), outcome) {
        (Some(key), _) => Ok(SeenHostKey {
            host_key: key.clone(),
            host_certificate: seen.host_certificate.get().cloned(),
        }),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(hop.about().protocol("it proved no host key")),
    }
}

async fn open_jumps(
    route: &Route,
    gate: &Gate,
    config: &CollectConfig,
    suspect: bool,
    budget: &mut Budget,
) -> Result<Vec<Session>, CollectError> {
    let mut jumps = Vec::with_capacity(route.jumps().len());
    for hop in route.jumps() {
        let session = open_hop(hop, &jumps, gate, config, suspect, budget)
            .await
            .map_err(|cause| route.target().about().jump_host(&hop.spec.name, &cause))?;
        jumps.push(session);
    }
    Ok(jumps)
}

/// Logs in to one hop, through the last of the jump hosts before it.
async fn open_hop(
    hop: &Hop,
    jumps: &[Session],
    gate: &Gate,
    config: &CollectConfig,
    suspect: bool,
    budget: &mut Budget,
) -> Result<Session, CollectError> {
    // A credential that cannot work is not worth a connection.
    let credentials = login::Credentials::of(hop, config).await?;
    let seen = Arc::new(Seen::default());
    let observer = Observer {
        expected: hop.expected_host_key(),
        authorities: Arc::clone(&hop.spec.authorities),
        host: hop.spec.host.clone(),
        only_host_key: false,
        seen: Arc::clone(&seen),
    };
    let _address = gate.address(&hop.spec.host, hop.spec.port).await;
    let (_handshake, handle, below) = match jumps.last() {
        None => {
            let stream = dial(hop, budget).await?;
            let permit = gate.handshake(suspect).await;
            let below = (stream.clone(), gate.given_up());
            let handle = handshake(hop, stream, config, observer, budget).await?;
            (permit, handle, Some(below))
        }
        Some(jump) => {
            let stream = forward(jump, hop, budget).await?;
            let permit = gate.handshake(suspect).await;
            (
                permit,
                handshake(hop, stream, config, observer, budget).await?,
                None,
            )
        }
    };
    if let Some(key) = seen.host_key.get()
        && seen.host_certificate.get().is_none()
    {
        hop.proved(key);
    }
    let mut session = Session {
        handle,
        seen,
        over: false,
        below,
    };
    budget
        .run(
            hop.about(),
            Stage::Login,
            login::log_in(hop, credentials, &mut session),
        )
        .await??;
    Ok(session)
}

/// The TCP connection. Tries each address the name has.
async fn dial(hop: &Hop, budget: &mut Budget) -> Result<Socket, CollectError> {
    let about = hop.about();
    let (host, port) = (hop.spec.host.as_str(), hop.spec.port);
    let addresses: Vec<_> = match budget
        .run(about, Stage::Connect, tokio::net::lookup_host((host, port)))
        .await?
    {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(about.unknown_host(&plain(&error))),
    };
    let mut last = about.unknown_host("the name has no address");
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for (tried, address) in (0u32..).zip(addresses) {
        // A dead address must not eat the time of the one that works.
        let share = budget.left / (count - tried).max(1);
        let attempt = timeout(share, TcpStream::connect(address));
        last = match budget.run(about, Stage::Connect, attempt).await? {
            Ok(Ok(stream)) => {
                // Requests are smaller than a packet; Nagle would hold them back.
                let _ = stream.set_nodelay(true);
                return Ok(stream.into());
            }
            Ok(Err(error)) => dial_error(about, &error),
            Err(_) => about.timeout(Stage::Connect, budget.limit),
        };
    }
    Err(last)
}

fn dial_error(about: About<'_>, error: &io::Error) -> CollectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => about.connection_refused(),
        io::ErrorKind::TimedOut => about.timeout(Stage::Connect, Duration::from_secs(120)),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            about.disconnected(Stage::Connect, &plain(error))
        }
        _ if is_out_of_files(error) => {
            about.local("it has too many files open: raise the hub's LimitNOFILE (ulimit -n)")
        }
        _ => about.no_route(&plain(error)),
    }
}

/// `EMFILE` and `ENFILE`, which have no [`io::ErrorKind`] of their own.
fn is_out_of_files(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error)
        .is_some_and(|errno| errno == rustix::io::Errno::MFILE || errno == rustix::io::Errno::NFILE)
}

/// An I/O error without "(os error 113)".
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text.to_lowercase(),
    }
}

/// A connection to the hop, made by the jump host before it.
async fn forward(jump: &Session, hop: &Hop, budget: &mut Budget) -> Result<ChannelStream<Msg>, CollectError> {
    let about = hop.about();
    let name = hop.spec.jump.as_deref().map_or("", |jump| jump.name.as_str());
    let (host, port) = (hop.spec.host.as_str(), hop.spec.port);
    let opening = jump
        .handle
        .channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
    match budget.run(about, Stage::Connect, opening).await? {
        Ok(channel) => Ok(channel.into_stream()),
        Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited)) => {
            Err(about.jump_forward(name, true, "forbidden"))
        }
        Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed)) => {
            Err(about.jump_forward(name, false, "its own attempt failed"))
        }
        Err(error) => Err(about.jump_forward(name, false, &error.to_string())),
    }
}

/// The key exchange. Ends before anything secret is sent if the peer's key is not the pinned one.
async fn handshake<S>(
    hop: &Hop,
    stream: S,
    config: &CollectConfig,
    observer: Observer,
    budget: &mut Budget,
) -> Result<Handle<Observer>, CollectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let about = hop.about();
    let expected = observer.expected.as_ref().map(|(key, _)| key);
    let may_vouch = observer.authorities.iter().any(|authority| !authority.revoked);
    let client = client_config(expected, may_vouch, config.max_poll_bytes);
    let seen = Arc::clone(&observer.seen);
    // Dropped when the handshake is given up, which ends the stream under russh's hands.
    let (stream, wanted) = Wire::new(stream, &seen);
    let connecting = connect_stream(client, stream, observer);
    let connected = budget.run(about, Stage::Handshake, connecting).await?;
    wanted.keep();
    match connected {
        Ok(handle) => Ok(handle),
        Err(HandshakeError::HostKeyChanged {
            expected,
            is_pinned,
            offered,
        }) => Err(about.host_key_changed(&expected, is_pinned, &offered)),
        Err(HandshakeError::CertificateInvalid { certificate, reason }) => {
            Err(about.host_certificate(&certificate, &reason))
        }
        Err(HandshakeError::NotVouchedFor { key }) => Err(about.host_not_vouched_for(&key)),
        Err(HandshakeError::Revoked { key }) => Err(about.host_key_revoked(&key)),
        Err(HandshakeError::HostKeySeen) => Err(about.protocol("only its key was asked for")),
        Err(HandshakeError::Ssh(error)) => Err(handshake_error(
            about,
            &error,
            seen.first_words.get().map_or("", String::as_str),
        )),
    }
}

fn handshake_error(about: About<'_>, error: &russh::Error, first_words: &str) -> CollectError {
    let hung_up = |detail: &str| {
        if first_words.is_empty() || first_words.starts_with("SSH-") {
            about.disconnected(Stage::Handshake, detail)
        } else {
            about.protocol(&format!("it says \"{first_words}\""))
        }
    };
    // Whatever comes of words that are no version: a line of it may be all, or the end come before it.
    if SSHD_TURNS_AWAY.iter().any(|words| first_words.starts_with(words)) {
        return about.disconnected(Stage::Handshake, first_words);
    }
    match error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let kind = match kind {
                AlgorithmKind::Kex => "key exchange",
                AlgorithmKind::Key => "host key",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Compression => "compression",
                AlgorithmKind::Mac => "MAC",
            };
            let theirs = gander_probe::wire::sanitise(theirs.join(", ").as_bytes());
            about.no_common_algorithm(kind, &theirs)
        }
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::RecvError | russh::Error::SendError => {
            hung_up("")
        }
        russh::Error::IO(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof => hung_up(""),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                hung_up(&plain(error))
            }
            _ => about.protocol(&plain(error)),
        },
        other => about.protocol(&gander_probe::wire::sanitise(other.to_string().as_bytes())),
    }
}

/// What newer versions of sshd say in the clear before they hang up on somebody.
const SSHD_TURNS_AWAY: [&str; 2] = ["Exceeded MaxStartups", "Not allowed at this time"];

/// `host:port` of a hop, for logs.
pub(super) fn place(hop: &Hop) -> String {
    address(&hop.spec.host, hop.spec.port)
}
