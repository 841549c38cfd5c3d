//! An SSH server that misbehaves on purpose, in each way a real one cannot be made to.
//!
//! Below SSH: it says nothing, speaks rubbish, or hangs up. Above SSH (a real key exchange and
//! log-in by russh's server side): it is silent, floods, or hangs up in the middle of an answer.

use std::{
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use gander_hub::{
    collect::ConnectSpec,
    model::{Secret, server::SshCredential},
};
use russh::{
    Channel, ChannelId,
    keys::{Algorithm, PrivateKey},
    server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session, run_stream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    task::JoinHandle,
};

/// The way it misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Takes the connection and never says a word.
    SilentAfterConnect,
    /// Greets as SSH and never goes on.
    SilentInKeyExchange,
    /// Greets as SSH and hangs up.
    HangsUpInKeyExchange,
    /// Speaks HTTP.
    SpeaksHttp,
    /// Greets as SSH and goes on with random bytes.
    SpeaksGarbage,
    /// Lets in, takes the command, and never says a word.
    SilentAfterLogin,
    /// Greets as the probe, and answers no request.
    SilentProbe,
    /// Answers the first `polls` polls, then falls silent.
    SilentAfterPolls(u64),
    /// Greets as the probe; the first answer ends in the middle with the connection.
    HangsUpInAnswer,
    /// Greets as the probe; answers with a hundred megabytes.
    Floods,
    /// Prints a hundred megabytes before any greeting.
    FloodsBeforeGreeting,
    /// Prints this before the probe, then behaves.
    Noisy(Vec<u8>),
    /// Refuses every credential.
    RefusesEverything,
    /// Is no Linux.
    OtherSystem(&'static str),
    /// None: runs the real probe.
    None,
}

/// A misbehaving SSH server on a free port of loopback. Ends when dropped.
pub struct FakeSsh {
    port: u16,
    seen: Arc<Seen>,
    listener: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    credentials: AtomicUsize,
    bytes: AtomicU64,
    behaviour: Mutex<Option<Misbehaviour>>,
}

impl FakeSsh {
    /// Starts it.
    pub async fn start(misbehaviour: Misbehaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        *seen.behaviour.lock().unwrap() = Some(misbehaviour);
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            auth_rejection_time: Duration::from_millis(10),
            auth_rejection_time_initial: Some(Duration::ZERO),
            nodelay: true,
            ..Config::default()
        });
        let shared = Arc::clone(&seen);
        let listener = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                shared.open.fetch_add(1, Ordering::Relaxed);
                let (config, shared) = (Arc::clone(&config), Arc::clone(&shared));
                sessions.spawn(async move {
                    serve(stream, config, &shared).await;
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, seen, listener }
    }

    /// From the next connection on it behaves otherwise.
    pub fn become_like(&self, misbehaviour: Misbehaviour) {
        *self.seen.behaviour.lock().unwrap() = Some(misbehaviour);
    }

    /// What a person would enter to enrol it. Any credential will do.
    #[must_use]
    pub fn spec(&self, server: &str) -> ConnectSpec {
        ConnectSpec {
            name: server.to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: "deploy".to_owned(),
            credential: SshCredential {
                password: Some(Secret::new("secret".to_owned())),
                ..SshCredential::default()
            },
            expected_host_key: None,
            authorities: Arc::default(),
            jump: None,
        }
    }

    /// Connections taken so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.seen.open.load(Ordering::Relaxed)
    }

    /// Passwords and keys shown to it so far.
    #[must_use]
    pub fn credentials_seen(&self) -> usize {
        self.seen.credentials.load(Ordering::Relaxed)
    }

    /// Bytes of output the client took so far (as far as flow control let them go).
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for FakeSsh {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn serve(mut stream: TcpStream, config: Arc<Config>, seen: &Arc<Seen>) {
    let behaviour = seen.behaviour.lock().unwrap().clone().expect("set at the start");
    match behaviour {
        Misbehaviour::SilentAfterConnect => until_closed(&mut stream).await,
        Misbehaviour::SilentInKeyExchange => {
            let _ = stream.write_all(b"SSH-2.0-Silence\r\n").await;
            until_closed(&mut stream).await;
        }
        Misbehaviour::HangsUpInKeyExchange => {
            let _ = stream.write_all(b"SSH-2.0-Away\r\n").await;
            // Takes the client's greeting and its offer first, so that the end is no reset.
            let mut offer = [0; 4096];
            let _ = stream.read(&mut offer).await;
            let _ = stream.shutdown().await;
            until_closed(&mut stream).await;
        }
        Misbehaviour::SpeaksHttp => {
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
            until_closed(&mut stream).await;
        }
        Misbehaviour::SpeaksGarbage => {
            let garbage: Vec<u8> = (0u32..4096)
                .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect();
            let _ = stream.write_all(b"SSH-2.0-Garbage\r\n").await;
            let _ = stream.write_all(&garbage).await;
            until_closed(&mut stream).await;
        }
        behaviour => {
            let _ = stream.set_nodelay(true);
            let peer = Peer {
                behaviour,
                seen: Arc::clone(seen),
                input: None,
            };
            if let Ok(session) = run_stream(config, stream, peer).await {
                let _ = session.await;
            }
        }
    }
}

async fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
}

/// One logged-in client.
struct Peer {
    behaviour: Misbehaviour,
    seen: Arc<Seen>,
    /// To the program on the other end of the channel.
    input: Option<mpsc::Sender<Vec<u8>>>,
}

impl Peer {
    fn judge(&self) -> Auth {
        self.seen.credentials.fetch_add(1, Ordering::Relaxed);
        match self.behaviour {
            Misbehaviour::RefusesEverything => Auth::reject(),
            _ => Auth::Accept,
        }
    }
}

impl Handler for Peer {
    type Error = russh::Error;

    async fn auth_password(&mut self, _user: &str, _password: &str) -> Result<Auth, Self::Error> {
        Ok(self.judge())
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge())
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let (sender, receiver) = mpsc::channel(16);
        self.input = Some(sender);
        let program = Program {
            behaviour: self.behaviour.clone(),
            seen: Arc::clone(&self.seen),
            handle: session.handle(),
            channel,
            input: receiver,
            command: String::from_utf8_lossy(command).into_owned(),
        };
        tokio::spawn(program.run());
        Ok(())
    }

    async fn data(
        &mut self,
        _channel: ChannelId,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(input) = &self.input {
            let _ = input.send(data.to_vec()).await;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, _channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.input = None;
        Ok(())
    }

    async fn channel_close(
        &mut self,
        _channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.input = None;
        Ok(())
    }
}

/// What "runs" in the session.
struct Program {
    behaviour: Misbehaviour,
    seen: Arc<Seen>,
    handle: Handle,
    channel: ChannelId,
    input: mpsc::Receiver<Vec<u8>>,
    command: String,
}

impl Program {
    async fn run(mut self) {
        match self.behaviour.clone() {
            Misbehaviour::SilentAfterLogin => self.ignore_input().await,
            Misbehaviour::SilentProbe => {
                self.print(HELLO).await;
                self.ignore_input().await;
            }
            Misbehaviour::HangsUpInAnswer => {
                self.print(HELLO).await;
                self.input.recv().await;
                self.print(b"@gander answer 1 5000\n=stat\ncpu 1 2 3\n").await;
                let _ = self
                    .handle
                    .disconnect(russh::Disconnect::ByApplication, "enough".into(), String::new())
                    .await;
            }
            Misbehaviour::Floods => {
                self.print(HELLO).await;
                self.input.recv().await;
                self.print(b"@gander answer 1 104857600\n=stat\n").await;
                self.flood().await;
            }
            Misbehaviour::FloodsBeforeGreeting => self.flood().await,
            Misbehaviour::OtherSystem(name) => {
                self.print(format!("\n@gander hello 1 {name}\n").as_bytes()).await;
                self.ignore_input().await;
            }
            Misbehaviour::Noisy(noise) => {
                self.print(&noise).await;
                self.run_probe(u64::MAX).await;
            }
            Misbehaviour::SilentAfterPolls(polls) => self.run_probe(polls).await,
            _ => self.run_probe(u64::MAX).await,
        }
    }

    async fn ignore_input(&mut self) {
        while self.input.recv().await.is_some() {}
    }

    async fn flood(&mut self) {
        let piece = vec![b'x'; 16 * 1024];
        for _ in 0..(100 * 64) {
            if !self.print(&piece).await {
                return;
            }
        }
        self.ignore_input().await;
    }

    /// Whether the client was still there.
    async fn print(&self, bytes: &[u8]) -> bool {
        let there = self.handle.data(self.channel, bytes.to_vec()).await.is_ok();
        if there {
            self.seen.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        there
    }

    /// The real script, passed on for so many requests.
    async fn run_probe(mut self, polls: u64) {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("/bin/sh");
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (mut asked, mut at_start) = (0, true);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                input = self.input.recv() => match input {
                    Some(_) if asked >= polls => {}
                    Some(bytes) => {
                        // A request is a line that begins with its number; the script's second line is none,
                        // and comes in pieces.
                        let is_request = at_start && bytes.first().is_some_and(u8::is_ascii_digit);
                        asked += u64::from(is_request);
                        at_start = bytes.last() == Some(&b'\n');
                        if stdin.write_all(&bytes).await.is_err() { break }
                    }
                    None => break,
                },
                length = stdout.read(&mut buffer) => match length {
                    Ok(length) if length > 0 => {
                        if !self.print(&buffer[..length]).await { break }
                    }
                    _ => break,
                },
            }
        }
    }
}

const HELLO: &[u8] = b"\n@gander hello 1 Linux\n";
