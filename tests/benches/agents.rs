//! How many agents one hub carries at a second each: real mutual TLS and HTTP/2, a connection and a
//! certificate for each agent, real samples of some 50 values, real commits.
//!
//! `make bench ONLY=agents`, or `cargo bench -p gander-e2e --bench agents -- COUNT...` (1000 2500 5000
//! 10000). The agents are tasks of one process beside the hub on the same machine: they take CPU that
//! real ones would not, so the most that is carried here is less than the hub alone would carry. Of
//! memory only the hub's own is told. A lag is from the moment a sample is taken: until it is
//! acknowledged, and, in a part of its own after that, until a WebSocket that shows the whole fleet has it.
//! Nothing is asserted; a stage that falls behind is the last.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a measuring program: it prints, and whatever fails ends it"
)]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gander_e2e::{
    TestHub,
    measure::{Lags, allow_many_files, cpu_of, machine, memory_of, own_cpu},
    recording::{Recording, Step},
};
use gander_hub::{
    grpc::{Authority, HUB_NAME},
    model::{Actor, Timestamp, Transport, agent::AgentTokenSpec, metric::visit},
    store::{MasterKey, Store, TokenHash, random_token},
};
use gander_probe::Snapshot;
use gander_proto::{SampleWriter, v1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{net::TcpStream, sync::mpsc, time::MissedTickBehavior};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use v1::{
    agent_message::Message as Up, agent_service_client::AgentServiceClient, enroll_response::Outcome,
    hub_message::Message as Down,
};

const COUNTS: [usize; 4] = [1_000, 2_500, 5_000, 10_000];
/// Agents that enrol at a time.
const ENROLLING: usize = 32;
const SETTLE: Duration = Duration::from_secs(5);
const MEASURE: Duration = Duration::from_secs(20);
/// How long a WebSocket is listened to.
const SHOWN: Duration = Duration::from_secs(10);
/// What a stage may take to have all agents welcomed.
const WELCOME: Duration = Duration::from_secs(180);
/// Width of a class of lags.
const LAG_STEP: Duration = Duration::from_millis(10);
/// A stage is carried when so many in a hundred of what is sent are acknowledged in its time.
const CARRIED: f64 = 0.97;

/// What all agents share.
struct Fleet {
    hub: SocketAddr,
    verifier: Arc<WebPkiServerVerifier>,
    token: String,
    samples: Vec<Step>,
    welcomed: AtomicUsize,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    lags: Lags,
    ended: AtomicUsize,
}

/// The lags of what a WebSocket of the whole fleet shows in a while.
async fn shown(hub: &TestHub) -> Lags {
    let lags = Lags::new(LAG_STEP);
    let mut live = hub.live().await;
    let until = Instant::now() + SHOWN;
    while Instant::now() < until {
        let Ok(Some(message)) = tokio::time::timeout(SHOWN, live.next()).await else {
            break;
        };
        if message["type"] != "delta" {
            continue;
        }
        let now = Timestamp::now();
        for server in message["servers"].as_array().into_iter().flatten() {
            let taken = server["last_success"]
                .as_str()
                .and_then(|at| Timestamp::parse(at).ok());
            if let Some(taken) = taken {
                lags.count(Duration::from_millis(now.millis_since(taken).max(0) as u64));
            }
        }
    }
    lags
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this too, to see whether it starts.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let asked: Vec<usize> = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let counts = if asked.is_empty() { COUNTS.to_vec() } else { asked };
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&counts));
}

async fn run(counts: &[usize]) {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = home.path().join("gander.db");
    let (token, authority) = prepare(&database, counts.iter().copied().max().unwrap_or(1)).await;
    let hub = TestHub::builder()
        .database(&database)
        .without_local_server()
        .env("GANDER_INTERVAL", "1s")
        .start()
        .await;
    let pid = hub.pid().to_string();
    let address = hub
        .log()
        .find(grpc_address)
        .await
        .expect("the hub says where it takes agents");
    let fleet = Arc::new(Fleet {
        hub: address,
        verifier: verifier(authority),
        token,
        samples: samples(),
        welcomed: AtomicUsize::new(0),
        sent: AtomicU64::new(0),
        acknowledged: AtomicU64::new(0),
        lags: Lags::new(LAG_STEP),
        ended: AtomicUsize::new(0),
    });
    let mut values = 0_usize;
    visit(&fleet.samples[0].snapshot, |_, _, _| values += 1);
    println!(
        "\n## Agents streaming at 1 s, {values} values each: {}\n",
        machine()
    );
    println!(
        "| agents | acknowledged a second | acknowledged after, median | 99th percentile | shown after, median | 99th percentile | hub CPU | agents' CPU | hub memory an agent |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let empty = memory_of(&pid, "VmRSS");
    let mut running = 0;
    for &count in counts {
        let started = Instant::now();
        enrol_and_stream(&fleet, running..count).await;
        running = count;
        while fleet.welcomed.load(Ordering::Relaxed) < count && started.elapsed() < WELCOME {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let welcomed = fleet.welcomed.load(Ordering::Relaxed);
        tokio::time::sleep(SETTLE).await;
        fleet.lags.forget();
        let before = (
            cpu_of(&pid),
            own_cpu(),
            fleet.acknowledged.load(Ordering::Relaxed),
            Instant::now(),
        );
        tokio::time::sleep(MEASURE).await;
        let seconds = before.3.elapsed().as_secs_f64();
        let rate = (fleet.acknowledged.load(Ordering::Relaxed) - before.2) as f64 / seconds;
        let (hubs_cpu, agents_cpu) = (cpu_of(&pid) - before.0, own_cpu() - before.1);
        let (median, last) = (fleet.lags.percentile(50), fleet.lags.percentile(99));
        let shown = shown(&hub).await;
        println!(
            "| {welcomed} | {rate:.0} | {median} ms | {last} ms | {} ms | {} ms | {:.0} % | {:.0} % | {:.1} KiB |",
            shown.percentile(50),
            shown.percentile(99),
            hubs_cpu.as_secs_f64() / seconds * 100.0,
            agents_cpu.as_secs_f64() / seconds * 100.0,
            (memory_of(&pid, "VmRSS").saturating_sub(empty)) as f64 / 1024.0 / welcomed.max(1) as f64,
        );
        let ended = fleet.ended.load(Ordering::Relaxed);
        if welcomed < count || ended > 0 || rate < CARRIED * count as f64 {
            println!(
                "\n{count} agents are more than this machine carries: {welcomed} were welcomed, {ended} streams ended"
            );
            break;
        }
    }
    hub.kill().await;
}

/// A token for so many agents, and the certificate of the hub's authority.
async fn prepare(database: &Path, uses: usize) -> (String, CertificateDer<'static>) {
    let key = MasterKey::load_or_create(&database.with_file_name("master.key")).unwrap();
    let store = Store::open(database, key).await.unwrap();
    let now = Timestamp::now();
    let spec = AgentTokenSpec {
        name: "bench".to_owned(),
        uses: u32::try_from(uses).unwrap(),
        expires_at: now.plus_millis(86_400_000),
        tags: Vec::new(),
        group: None,
        transport: Transport::Agent,
        server_id: None,
    };
    let token = random_token("").unwrap().expose().to_owned();
    let actor = Actor::hub();
    let made = store.create_agent_token(&spec, TokenHash::of(&token), &actor, now);
    made.await.unwrap();
    let authority = Authority::load(&store).await.unwrap().certificate().clone();
    store.close().await;
    (token, authority)
}

/// Where the hub says it takes agents.
fn grpc_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("agents and gRPC on ")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)))
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn verifier(authority: CertificateDer<'static>) -> Arc<WebPkiServerVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap()
}

/// Samples of the recording, with six cores more: a middling server.
fn samples() -> Vec<Step> {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/loaded.answers.gz");
    let file = std::env::var_os("RECORDING").map_or_else(|| PathBuf::from(committed), PathBuf::from);
    let widen = |step: &Step| {
        let mut snapshot: Snapshot = (*step.snapshot).clone();
        if let Some(cpu) = &mut snapshot.cpu {
            let (use_of_all, user) = (cpu.usage_permille, cpu.user_permille);
            cpu.cores_permille
                .extend([use_of_all, user, use_of_all / 2, user / 2, use_of_all, user]);
        }
        Step {
            at_ms: step.at_ms,
            snapshot: Arc::new(snapshot),
        }
    };
    Recording::read(&file)
        .unwrap()
        .samples(1, 0)
        .iter()
        .map(widen)
        .collect()
}

/// Enrols agents and lets them stream, until they end by themselves.
async fn enrol_and_stream(fleet: &Arc<Fleet>, numbers: std::ops::Range<usize>) {
    let mut enrolling = tokio::task::JoinSet::new();
    for number in numbers {
        if enrolling.len() >= ENROLLING {
            enrolling.join_next().await.unwrap().unwrap();
        }
        let fleet = Arc::clone(fleet);
        enrolling.spawn(async move {
            let config = enrol(&fleet, number).await;
            tokio::spawn(async move {
                if let Err(status) = stream(&fleet, number, config).await
                    && fleet.ended.fetch_add(1, Ordering::Relaxed) == 0
                {
                    println!("agent {number}: {status}");
                }
            });
        });
    }
    while let Some(enrolled) = enrolling.join_next().await {
        enrolled.unwrap();
    }
}

fn config(fleet: &Fleet) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_webpki_verifier(Arc::clone(&fleet.verifier))
}

async fn connect(fleet: &Fleet, mut config: ClientConfig) -> Channel {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let (hub, connector) = (fleet.hub, TlsConnector::from(Arc::new(config)));
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(hub).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(HUB_NAME).map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    Endpoint::from_static("http://gander-hub")
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(64 * 1024)
        .connect_with_connector(dial)
        .await
        .unwrap()
}

/// A key, a request, a token: what the agent connects with from now on.
async fn enrol(fleet: &Fleet, number: usize) -> ClientConfig {
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let channel = connect(fleet, config(fleet).with_no_client_auth()).await;
    let request = v1::EnrollRequest {
        token: fleet.token.clone(),
        csr_der: request.der().to_vec(),
        machine: Some(v1::Machine {
            machine_id: format!("{number:032x}"),
            hostname: format!("agent-{number}"),
            os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
            kernel: "6.1.0".to_owned(),
            architecture: "x86_64".to_owned(),
            boot_id: format!("{number:032x}"),
            agent_version: "0.1.0".to_owned(),
        }),
    };
    let answer = AgentServiceClient::new(channel)
        .enroll(request)
        .await
        .unwrap()
        .into_inner();
    let Some(Outcome::Enrolled(enrolled)) = answer.outcome else {
        panic!("agent {number} was not enrolled: {answer:?}");
    };
    let chain = enrolled
        .certificate_chain_der
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    config(fleet).with_client_auth_cert(chain, key).unwrap()
}

/// Streams a sample a second until the hub ends it.
async fn stream(fleet: &Fleet, number: usize, config: ClientConfig) -> Result<(), tonic::Status> {
    let channel = connect(fleet, config).await;
    let (up, messages) = mpsc::channel(8);
    let say = async |message: Up| {
        let sent = up
            .send(v1::AgentMessage {
                message: Some(message),
            })
            .await;
        sent.map_err(|_| tonic::Status::cancelled("the stream is gone"))
    };
    say(Up::Hello(v1::Hello {
        machine: None,
        interval_ms: 1_000,
        spool: None,
    }))
    .await?;
    let mut down = AgentServiceClient::new(channel)
        .report(ReceiverStream::new(messages))
        .await?
        .into_inner();
    let mut writer = SampleWriter::new();
    let mut open: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut last = 0_u64;
    // Agents do not tick together.
    let offset = Duration::from_micros(number as u64 * 7_919 % 1_000_000);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + offset, Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut most = 0;
    loop {
        tokio::select! {
            message = down.message() => {
                let Some(message) = message? else { return Err(tonic::Status::unavailable("the stream ended")) };
                match message.message {
                    Some(Down::Ping(ping)) => {
                        say(Up::Pong(v1::Pong { hub_ms: ping.hub_ms, agent_ms: Timestamp::now().0 })).await?;
                    }
                    Some(Down::Welcome(welcome)) => {
                        most = welcome.batches_unacknowledged as usize;
                        fleet.welcomed.fetch_add(1, Ordering::Relaxed);
                    }
                    Some(Down::Ack(ack)) => {
                        while let Some((_, sent)) = open.pop_front_if(|(number, _)| *number <= ack.number) {
                            fleet.lags.count(sent.elapsed());
                            fleet.acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    _ => {}
                }
            }
            // What may not be sent now is not sent at all: the rate tells.
            _ = ticks.tick(), if open.len() < most => {
                last += 1;
                let place = (number * 37 + last as usize) % fleet.samples.len();
                let now = Timestamp::now().0;
                let samples = writer.write([(now, &*fleet.samples[place].snapshot)], Some(0));
                open.push_back((last, Instant::now()));
                fleet.sent.fetch_add(1, Ordering::Relaxed);
                say(Up::Batch(v1::Batch {
                    number: last,
                    sent_at_ms: now,
                    live: true,
                    dropped: 0,
                    samples: Some(samples),
                }))
                .await?;
            }
        }
    }
}
