//! A hub's gRPC port to test against, and an agent that says what a test wants it to say.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use gander_hub::{
    api::install::AgentSettings,
    collect::AgentPresence,
    grpc::{Authority, Grpc, GrpcParts, HUB_NAME},
    live::AgentBoard,
    model::{Actor, Timestamp, Transport, agent::AgentTokenSpec},
    store::{TokenHash, random_token},
};
use gander_probe::Snapshot;
use gander_proto::{
    SampleWriter,
    v1::{
        self, agent_message::Message as Up, agent_service_client::AgentServiceClient,
        enroll_response::Outcome, hub_message::Message as Down,
    },
};
use hyper_util::rt::TokioIo;
use rcgen::KeyPair;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::support::Pipeline;

/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pipeline with a gRPC port.
pub(crate) struct Hub {
    pub(crate) pipeline: Pipeline,
    pub(crate) board: AgentBoard,
    pub(crate) presence: AgentPresence,
    pub(crate) authority: Arc<Authority>,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::start_behind(&[]).await
    }

    /// A hub that is told by these proxies, by the PROXY protocol, who is there.
    pub(crate) async fn start_behind(proxies: &[&str]) -> Self {
        let pipeline = Pipeline::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let board = AgentBoard::default();
        let presence = AgentPresence::new();
        let shutdown = CancellationToken::new();
        let authority = Authority::load(&pipeline.store).await.unwrap();
        let grpc = Grpc::new(GrpcParts {
            store: pipeline.store.clone(),
            readings: pipeline.readings.clone(),
            presence: presence.clone(),
            live: pipeline.live.clone(),
            ingest: pipeline.handle.clone(),
            board: board.clone(),
            authority: Arc::clone(&authority),
            default_interval: Duration::from_secs(10),
            agent_lifetime: Duration::from_secs(90 * 24 * 3600),
            names: BTreeSet::new(),
            proxies: proxies.iter().map(|range| range.parse().unwrap()).collect(),
            shutdown: shutdown.clone(),
        })
        .unwrap();
        Self {
            running: tokio::spawn(grpc.run(listener)),
            pipeline,
            board,
            presence,
            authority,
            address,
            shutdown,
        }
    }

    /// A hub where machine 1 has enrolled: what its agent connects with, and what it was told.
    pub(crate) async fn with_agent() -> (Self, Identity, v1::Enrolled) {
        let hub = Self::start().await;
        let (identity, enrolled) = hub.enrol(&hub.token(1).await, machine(1)).await;
        (hub, identity, enrolled)
    }

    /// A token for so many machines.
    pub(crate) async fn token(&self, uses: u32) -> String {
        self.token_as(|spec| spec.uses = uses).await
    }

    /// A token of one use, for an hour, changed as told.
    pub(crate) async fn token_as(&self, change: impl FnOnce(&mut AgentTokenSpec)) -> String {
        let now = Timestamp::now();
        let mut spec = AgentTokenSpec {
            name: "a test".to_owned(),
            uses: 1,
            expires_at: now.plus_millis(3_600_000),
            tags: vec!["tested".to_owned()],
            group: None,
            transport: Transport::Agent,
            server_id: None,
        };
        change(&mut spec);
        let token = random_token("gde_").unwrap();
        let hash = TokenHash::of(token.expose());
        self.pipeline
            .store
            .create_agent_token(&spec, hash, &Actor::hub(), now)
            .await
            .unwrap();
        token.expose().to_owned()
    }

    /// A connection with a client certificate, or without.
    pub(crate) async fn connect(
        &self,
        identity: Option<&Identity>,
    ) -> Result<Channel, tonic::transport::Error> {
        connect(self.address, self.authority.certificate(), identity).await
    }

    /// Asks to enrol with a key.
    pub(crate) async fn ask(
        &self,
        token: &str,
        key: &KeyPair,
        machine: v1::Machine,
    ) -> Result<Outcome, Status> {
        let channel = self.connect(None).await.unwrap();
        ask_over(channel, token, key, machine).await
    }

    /// Enrols a machine that nobody knows yet.
    pub(crate) async fn enrol(&self, token: &str, machine: v1::Machine) -> (Identity, v1::Enrolled) {
        let key = KeyPair::generate().unwrap();
        match self.ask(token, &key, machine).await.unwrap() {
            Outcome::Enrolled(enrolled) => (Identity::new(&enrolled.certificate_chain_der, key), enrolled),
            other => panic!("not enrolled: {other:?}"),
        }
    }

    /// The authority's certificate in PEM.
    pub(crate) fn authority_pem(&self) -> String {
        let settings = AgentSettings {
            authority: self.authority.certificate().to_vec(),
            ..AgentSettings::default()
        };
        settings.authority_pem()
    }

    /// Stops as the hub does.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running).await;
        ended.expect("the port must close").unwrap().unwrap();
        self.pipeline.stop().await;
    }
}

/// Asks to enrol with a key, on a connection that is there.
pub(crate) async fn ask_over(
    channel: Channel,
    token: &str,
    key: &KeyPair,
    machine: v1::Machine,
) -> Result<Outcome, Status> {
    let request = v1::EnrollRequest {
        token: token.to_owned(),
        csr_der: csr(key),
        machine: Some(machine),
    };
    let answer = AgentServiceClient::new(channel).enroll(request).await?;
    Ok(answer.into_inner().outcome.unwrap())
}

/// What an agent has once it is enrolled.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    pub(crate) key: KeyPair,
}

impl Identity {
    pub(crate) fn new(chain: &[Vec<u8>], key: KeyPair) -> Self {
        Self {
            chain: chain
                .iter()
                .map(|der| CertificateDer::from(der.clone()))
                .collect(),
            key,
        }
    }

    /// The agent's own certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }
}

/// A machine that nobody has seen before.
pub(crate) fn machine(number: u32) -> v1::Machine {
    v1::Machine {
        machine_id: format!("{number:032x}"),
        hostname: format!("machine-{number}"),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        agent_version: "0.1.0".to_owned(),
        ..v1::Machine::default()
    }
}

pub(crate) fn csr(key: &KeyPair) -> Vec<u8> {
    let params = rcgen::CertificateParams::default();
    params.serialize_request(key).unwrap().der().to_vec()
}

/// The TLS of a hub of this authority.
fn tls(authority: &CertificateDer<'static>, identity: Option<&Identity>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
            builder
                .with_client_auth_cert(identity.chain.clone(), key)
                .unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A connection to a hub of this authority on which nothing but TLS was spoken yet.
pub(crate) async fn dial(
    address: SocketAddr,
    authority: &CertificateDer<'static>,
    identity: Option<&Identity>,
) -> std::io::Result<TlsStream<TcpStream>> {
    greet_tls(TcpStream::connect(address).await?, &tls(authority, identity)).await
}

async fn greet_tls(stream: TcpStream, tls: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(HUB_NAME).map_err(std::io::Error::other)?;
    tls.connect(name, stream).await
}

/// A connection to a hub of this authority.
pub(crate) async fn connect(
    address: SocketAddr,
    authority: &CertificateDer<'static>,
    identity: Option<&Identity>,
) -> Result<Channel, tonic::transport::Error> {
    connect_by(move || TcpStream::connect(address), authority, identity).await
}

/// The same over a stream that `dial` makes, which may have been spoken on.
pub(crate) async fn connect_by<D>(
    dial: impl Fn() -> D + Send + 'static,
    authority: &CertificateDer<'static>,
    identity: Option<&Identity>,
) -> Result<Channel, tonic::transport::Error>
where
    D: Future<Output = std::io::Result<TcpStream>> + Send + 'static,
{
    let tls = tls(authority, identity);
    let connector = tower::service_fn(move |_| {
        let (tls, stream) = (tls.clone(), dial());
        async move { Ok::<_, std::io::Error>(TokioIo::new(greet_tls(stream.await?, &tls).await?)) }
    });
    Endpoint::from_static("http://gander-hub")
        .connect_with_connector(connector)
        .await
}

/// An open stream of an agent.
pub(crate) struct Agent {
    pub(crate) up: mpsc::Sender<v1::AgentMessage>,
    pub(crate) down: Streaming<v1::HubMessage>,
    writer: SampleWriter,
    pub(crate) number: u64,
    /// What its clock is ahead.
    pub(crate) ahead_ms: i64,
}

impl Agent {
    /// Opens the stream and says nothing yet.
    pub(crate) async fn open(channel: Channel) -> Result<Self, Status> {
        let (up, messages) = mpsc::channel(16);
        let mut client = AgentServiceClient::new(channel);
        let down = client.report(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self {
            up,
            down,
            writer: SampleWriter::new(),
            number: 0,
            ahead_ms: 0,
        })
    }

    /// Opens the stream of an enrolled agent, up to its welcome.
    pub(crate) async fn start(hub: &Hub, identity: &Identity) -> (Self, v1::Welcome) {
        let mut agent = Self::open(hub.connect(Some(identity)).await.unwrap())
            .await
            .unwrap();
        let welcome = agent.greet().await.unwrap();
        (agent, welcome)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        Timestamp::now().as_millis() + self.ahead_ms
    }

    pub(crate) async fn say(&self, message: Up) {
        // A stream that was ended is noticed by who reads from it.
        let _ = self
            .up
            .send(v1::AgentMessage {
                message: Some(message),
            })
            .await;
    }

    /// Hello, pong, welcome.
    pub(crate) async fn greet(&mut self) -> Result<v1::Welcome, Status> {
        self.say(Up::Hello(v1::Hello {
            machine: Some(machine(1)),
            interval_ms: 10_000,
            spool: None,
        }))
        .await;
        match self.hear().await? {
            Down::Welcome(welcome) => Ok(welcome),
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// The next word of the hub; pings are answered.
    pub(crate) async fn hear(&mut self) -> Result<Down, Status> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.down.message()).await;
            let message = next.expect("the hub says something")?;
            match message.and_then(|message| message.message) {
                None => return Err(Status::ok("the stream ended")),
                Some(Down::Ping(ping)) => {
                    let agent_ms = self.now_ms();
                    self.say(Up::Pong(v1::Pong {
                        hub_ms: ping.hub_ms,
                        agent_ms,
                    }))
                    .await;
                }
                Some(other) => return Ok(other),
            }
        }
    }

    /// Waits for the acknowledgement of everything sent.
    pub(crate) async fn acknowledged(&mut self) {
        loop {
            match self.hear().await.unwrap() {
                Down::Ack(ack) if ack.number == self.number => return,
                _ => {}
            }
        }
    }

    /// Waits for the next orders.
    pub(crate) async fn directive(&mut self) -> v1::Directive {
        loop {
            if let Down::Directive(directive) = self.hear().await.unwrap() {
                return directive;
            }
        }
    }

    /// Waits for the end of the stream.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
                return status;
            }
        }
    }

    /// Sends a batch of samples, each with its time by the agent's clock.
    pub(crate) async fn send(&mut self, samples: &[(i64, Snapshot)], clock_ahead_ms: Option<i64>) {
        self.number += 1;
        let samples = samples.iter().map(|(at, snapshot)| (*at, snapshot));
        let samples = self.writer.write(samples, clock_ahead_ms);
        self.say(Up::Batch(v1::Batch {
            number: self.number,
            sent_at_ms: self.now_ms(),
            live: true,
            dropped: 3,
            samples: Some(samples),
        }))
        .await;
    }
}
