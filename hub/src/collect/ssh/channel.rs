//! The running probe: one channel of one session, a request line out, an answer back.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gander_probe::{
    Answer, Decoder, Frame, Limits, Sections, WireError, script,
    wire::{self, PROTOCOL},
};
use russh::{Channel, ChannelMsg, client::Msg};
use tokio::time::timeout;

use super::{
    super::{CollectConfig, explain::Stage, gate::Gate},
    connect::{self, Budget, Session},
    route::{Hop, Route},
};
use crate::model::{Certificate, CollectError, HostKey, reading::SshSession};

/// How long a polite goodbye may take.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// The script is sent in pieces of this size: russh keeps a buffer of the longest packet it ever sent, for
/// every session.
const PIECE: usize = 1024;
/// Bytes of standard error kept for an error message.
const COMPLAINT: usize = 300;

/// The script, as it is sent with the exec request and after it.
static COMMAND: LazyLock<Bytes> = LazyLock::new(|| script::exec_command().into());
static SECOND_LINE: LazyLock<Bytes> = LazyLock::new(|| script::second_line().into());

/// A probe that said hello and waits for requests.
pub(crate) struct ProbeChannel {
    hop: Arc<Hop>,
    session: Session,
    jumps: Vec<Session>,
    channel: Channel<Msg>,
    decoder: Decoder,
    max_poll_bytes: usize,
    seq: u32,
    /// The beginning of what came on standard error.
    complaint: Vec<u8>,
    exit_status: Option<u32>,
    /// What the script said of the log-in: the hub's address, and whether it may do anything else.
    seen_from: Option<IpAddr>,
    is_locked: bool,
}

impl ProbeChannel {
    /// Connects, logs in and starts the probe.
    pub(crate) async fn open(
        route: &Route,
        gate: &Gate,
        config: &CollectConfig,
        suspect: bool,
    ) -> Result<Self, CollectError> {
        let mut budget = Budget::new(config.connect_timeout);
        let sessions = connect::open(route, gate, config, suspect, &mut budget).await?;
        let hop = Arc::clone(route.target());
        let about = hop.about();
        let mut session = sessions.target;
        let opened = budget
            .run(about, Stage::Probe, session.handle.channel_open_session())
            .await?;
        let channel = match opened {
            Ok(channel) => channel,
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                return Err(about.disconnected(Stage::Probe, &format!("it opens no channel: {reason:?}")));
            }
            Err(_) => {
                let words = session.farewell().await;
                return Err(about.disconnected(Stage::Probe, &words));
            }
        };
        let mut probe = Self {
            hop: Arc::clone(&hop),
            session,
            jumps: sessions.jumps,
            channel,
            decoder: Decoder::new(Limits {
                max_poll_bytes: config.max_poll_bytes,
                max_noise_bytes: config.max_noise_bytes,
            }),
            max_poll_bytes: config.max_poll_bytes,
            seq: 0,
            complaint: Vec::new(),
            exit_status: None,
            seen_from: None,
            is_locked: false,
        };
        match budget.run(about, Stage::Probe, probe.start()).await {
            Ok(outcome) => outcome?,
            // What it printed meanwhile says more than "timeout".
            Err(_) if !probe.said().is_empty() => {
                return Err(about.probe_failed("no greeting in time", &probe.said()));
            }
            Err(timeout) => return Err(timeout),
        }
        tracing::debug!(server = %hop.spec.name, place = %connect::place(&hop), "probe started");
        Ok(probe)
    }

    /// The key the peer proved.
    pub(crate) fn host_key(&self) -> HostKey {
        self.session
            .seen
            .host_key
            .get()
            .cloned()
            .unwrap_or_else(|| HostKey {
                algorithm: String::new(),
                fingerprint: String::new(),
                public_key: String::new(),
            })
    }

    /// The certificate that vouched for that key.
    pub(crate) fn host_certificate(&self) -> Option<&Certificate> {
        self.session.seen.host_certificate.get()
    }

    /// What the session is made of.
    pub(crate) fn session(&self) -> Option<Box<SshSession>> {
        let seen = &self.session.seen;
        let agreed = seen.agreed.get()?;
        Some(Box::new(SshSession {
            software: seen.first_words.get().cloned().unwrap_or_default(),
            key_exchange: agreed.key_exchange.clone(),
            host_key_algorithm: agreed.host_key.clone(),
            host_certificate: self.host_certificate().cloned(),
            cipher: agreed.cipher.clone(),
            mac: agreed.mac.clone(),
            strict_key_exchange: agreed.is_strict,
            terrapin: agreed.is_open_to_terrapin(),
            locked: self.is_locked,
            seen_from: self.seen_from.map(|address| address.to_canonical().to_string()),
        }))
    }

    /// The keys of the jump hosts, nearest to the hub first.
    pub(crate) fn jump_host_keys(&self) -> impl Iterator<Item = Option<&HostKey>> {
        self.jumps.iter().map(|session| session.seen.host_key.get())
    }

    /// Whether the connection is known to be over.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.handle.is_closed()
    }

    /// One request and its answer. After an error the channel is of no more use.
    pub(crate) async fn ask(&mut self, sections: Sections, limit: Duration) -> Result<Answer, CollectError> {
        match timeout(limit, self.exchange(sections)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.hop.about().timeout(Stage::Answer, limit)),
        }
    }

    /// Says goodbye to the probe and to every session, within a bounded time.
    pub(crate) async fn close(self) {
        let Self {
            session,
            jumps,
            channel,
            ..
        } = self;
        let goodbye = async move {
            // End of input ends the probe even if the connection were to linger.
            let _ = channel.eof().await;
            let _ = channel.close().await;
            for session in std::iter::once(session).chain(jumps.into_iter().rev()) {
                session.close(CLOSE_LIMIT).await;
            }
        };
        if timeout(CLOSE_LIMIT, goodbye).await.is_err() {
            tracing::debug!("a session did not close in time and was dropped");
        }
    }

    async fn start(&mut self) -> Result<(), CollectError> {
        if self.channel.exec(true, COMMAND.to_vec()).await.is_err() {
            return Err(self.ended(Stage::Probe).await);
        }
        match self.frame(Stage::Probe).await? {
            Frame::Hello(hello) if hello.protocol != PROTOCOL => Err(self.hop.about().probe_failed(
                &format!(
                    "it speaks version {} of the probe's protocol, the hub speaks {PROTOCOL}; renew the forced command's script",
                    hello.protocol
                ),
                "",
            )),
            Frame::Hello(hello) if hello.os != "Linux" => Err(self.hop.about().not_linux(&hello.os)),
            Frame::Hello(hello) => {
                (self.seen_from, self.is_locked) = (hello.seen_from, hello.is_locked);
                if hello.wants_more {
                    self.send_second_line().await
                } else {
                    Ok(())
                }
            }
            Frame::Answer(_) => Err(self.hop.about().probe_failed("it answered before it was asked", "")),
        }
    }

    /// Sends the rest of the script, slowly enough that russh does not gather the pieces in one buffer.
    async fn send_second_line(&mut self) -> Result<(), CollectError> {
        for start in (0..SECOND_LINE.len()).step_by(PIECE) {
            let piece = SECOND_LINE.slice(start..SECOND_LINE.len().min(start + PIECE));
            if self.channel.data_bytes(piece).await.is_err() {
                return Err(self.ended(Stage::Probe).await);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn exchange(&mut self, sections: Sections) -> Result<Answer, CollectError> {
        self.seq = self.seq.wrapping_add(1);
        let request = wire::request(self.seq, sections);
        if self.channel.data_bytes(request.into_bytes()).await.is_err() {
            return Err(self.ended(Stage::Answer).await);
        }
        let started = Instant::now();
        loop {
            match self.frame(Stage::Answer).await? {
                Frame::Answer(answer) if answer.seq == self.seq => {
                    tracing::trace!(server = %self.hop.spec.name, took = ?started.elapsed(), "answered");
                    return Ok(answer);
                }
                // Never asked for; bounded by the time limit of the poll.
                Frame::Answer(_) | Frame::Hello(_) => {}
            }
        }
    }

    /// The next frame, whatever pieces it comes in.
    async fn frame(&mut self, stage: Stage) -> Result<Frame, CollectError> {
        loop {
            if let Some(frame) = self.decoder.next() {
                return Ok(frame);
            }
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) => {
                    if let Err(error) = self.decoder.push(&data) {
                        return Err(self.wire_error(error));
                    }
                }
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    let room = COMPLAINT - self.complaint.len();
                    self.complaint.extend_from_slice(&data[..data.len().min(room)]);
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => self.exit_status = Some(exit_status),
                Some(ChannelMsg::Failure) => {
                    return Err(self
                        .hop
                        .about()
                        .probe_failed("sshd refused to run a command", &self.said()));
                }
                Some(ChannelMsg::Close) | None => return Err(self.ended(stage).await),
                Some(_) => {}
            }
        }
    }

    /// Why the channel is over.
    async fn ended(&mut self, stage: Stage) -> CollectError {
        if self.session.handle.is_closed() {
            let words = self.session.farewell().await;
            return self.hop.about().disconnected(stage, &words);
        }
        let reason = match self.exit_status {
            Some(status) => format!("exit status {status}"),
            None => "it ended at once".to_owned(),
        };
        match stage {
            Stage::Answer => self
                .hop
                .about()
                .disconnected(stage, &format!("the probe ended, {reason}")),
            _ => self.hop.about().probe_failed(&reason, &self.said()),
        }
    }

    /// What the node said that was not the probe's.
    fn said(&self) -> String {
        let printed = self.decoder.noise_excerpt();
        let complained = wire::sanitise(&self.complaint);
        match (printed.is_empty(), complained.is_empty()) {
            (_, true) => printed,
            (true, false) => complained,
            (false, false) => format!("{complained} {printed}"),
        }
    }

    fn wire_error(&self, error: WireError) -> CollectError {
        let about = self.hop.about();
        match error {
            WireError::TooMuchOutput { .. } => about.too_much_output(self.max_poll_bytes),
            WireError::TooMuchNoise { limit, .. } if self.decoder.greeted() => about.too_much_output(limit),
            WireError::TooMuchNoise { limit, excerpt } => about.probe_failed(
                &format!("{limit} bytes came without the probe's greeting"),
                &excerpt,
            ),
            WireError::Malformed { what } => about.probe_failed("its output is garbled", &what),
        }
    }
}
