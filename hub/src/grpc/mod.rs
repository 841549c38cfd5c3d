//! The gRPC port: agents enrol and stream here, other programs read here. The only module that
//! knows tonic.
//!
//! An agent is who its client certificate says, which the hub's own authority signed; nothing a
//! message says of that is believed. Behind a proxy the port must therefore be passed through as
//! it is (TCP); a proxy that ends TLS itself serves `MonitorService` only, whose callers are known
//! by a token.

mod access;
mod agents;
mod authority;
mod budget;
mod clock;
mod incoming;
mod limit;
mod machine;
mod monitor;
mod proxy;
mod report;
mod sessions;
mod shapes;
mod steward;
mod tls;
mod watch;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gander_proto::{
    DESCRIPTORS, limits,
    v1::{agent_service_server::AgentServiceServer, monitor_service_server::MonitorServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{codec::CompressionEncoding, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    collect::AgentPresence,
    ingest::IngestHandle,
    live::{AgentBoard, Live},
    model::{IpRange, Reading},
    store::Store,
};
use access::Guard;
use agents::Agents;
use incoming::Door;
use limit::Failures;
use monitor::Monitor;
use proxy::Fronts;
use sessions::Sessions;
use steward::Notes;
use tls::HubCertificate;

pub use authority::{Authority, HUB_NAME};

/// Accepted connections that nobody serves yet.
const CONNECTION_BACKLOG: usize = 64;
/// Bytes of a stream that may be under way. Ten thousand of them must fit; a batch may be larger
/// than that, it only waits for its turn.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of a connection that may be under way.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Calls on one connection at a time.
const CALLS: u32 = 64;
/// Bytes of headers of one call.
const HEADER_BYTES: u32 = 16 * 1024;
/// Calls that a client takes back before they are looked at, at most.
const PENDING_RESETS: usize = 32;
/// A silent connection is asked for a sign of life this often, and has this long for it.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));
/// What a call may take until it is answered, or its answer begins: of a stream, until it is open.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Bytes of a request of `MonitorService`.
const REQUEST_BYTES: usize = 64 * 1024;
/// What streams may take to end when the hub stops.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What the gRPC port is made of.
pub struct GrpcParts {
    /// Agents, tokens, and all that is measured.
    pub store: Store,
    /// Where agents' values go: the channel of all collectors.
    pub readings: mpsc::Sender<Reading>,
    /// Tells collection which agents stream.
    pub presence: AgentPresence,
    /// Who looks at which server.
    pub live: Live,
    /// Changes that go through ingest.
    pub ingest: IngestHandle,
    /// Tells others what agents say of themselves.
    pub board: AgentBoard,
    /// Names agents.
    pub authority: Arc<Authority>,
    /// The interval of servers that have none of their own.
    pub default_interval: Duration,
    /// How long an agent's certificate works; it is renewed after a third of that.
    pub agent_lifetime: Duration,
    /// Names and addresses the port is reached by, for its certificate.
    pub names: BTreeSet<String>,
    /// Proxies that pass connections through and say whose, by the PROXY protocol.
    pub proxies: Vec<IpRange>,
    /// Ends streams.
    pub shutdown: CancellationToken,
}

/// The gRPC port, ready to run.
pub struct Grpc {
    hub: Arc<Shared>,
    certificate: HubCertificate,
    fronts: Fronts,
}

/// What every call knows.
struct Shared {
    store: Store,
    readings: mpsc::Sender<Reading>,
    presence: AgentPresence,
    live: Live,
    ingest: IngestHandle,
    board: AgentBoard,
    authority: Arc<Authority>,
    sessions: Sessions,
    notes: Notes,
    making_known: tokio::sync::Mutex<()>,
    agent_lifetime: Duration,
    failures: Failures,
    streams: TaskTracker,
    shutdown: CancellationToken,
}

impl Grpc {
    /// Makes the port's certificate. Nothing runs before [`Grpc::run`].
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn new(parts: GrpcParts) -> anyhow::Result<Self> {
        let certificate = HubCertificate::new(Arc::clone(&parts.authority), parts.names)?;
        let hub = Shared {
            store: parts.store,
            readings: parts.readings,
            presence: parts.presence,
            live: parts.live,
            ingest: parts.ingest,
            board: parts.board,
            authority: parts.authority,
            sessions: Sessions::new(parts.default_interval),
            notes: Notes::default(),
            making_known: tokio::sync::Mutex::default(),
            agent_lifetime: parts.agent_lifetime,
            failures: Failures::default(),
            streams: TaskTracker::new(),
            shutdown: parts.shutdown,
        };
        Ok(Self {
            hub: Arc::new(hub),
            certificate,
            fronts: Fronts::new(parts.proxies),
        })
    }

    /// Serves until the hub stops, then gives streams a moment to end.
    ///
    /// # Errors
    /// TLS cannot be set up, or serving fails.
    pub async fn run(self, listener: TcpListener) -> anyhow::Result<()> {
        let Self {
            hub,
            certificate,
            fronts,
        } = self;
        let shutdown = hub.shutdown.clone();
        let tls = TlsAcceptor::from(certificate.config()?);
        let (sender, connections) = mpsc::channel(CONNECTION_BACKLOG);
        let accept = incoming::accept(listener, Door { fronts, tls }, sender, shutdown.clone());
        let agents = AgentServiceServer::new(Agents(Arc::clone(&hub)))
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        let monitor = MonitorServiceServer::new(Monitor::new(Arc::clone(&hub)))
            .max_decoding_message_size(REQUEST_BYTES)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let (reporter, health) = tonic_health::server::health_reporter();
        let describe = || {
            tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS)
        };
        let guarded = Arc::clone(&hub);
        let guard = tower::layer::layer_fn(move |inner| Guard {
            hub: Arc::clone(&guarded),
            inner,
        });
        let serve = Server::builder()
            .timeout(ANSWER_TIME)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(CALLS)
            .http2_max_header_list_size(HEADER_BYTES)
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
            .http2_keepalive_interval(Some(KEEPALIVE.0))
            .http2_keepalive_timeout(Some(KEEPALIVE.1))
            .layer(guard)
            .add_service(agents)
            .add_service(monitor)
            .add_service(health)
            .add_service(describe().build_v1()?)
            .add_service(describe().build_v1alpha()?)
            .serve_with_incoming_shutdown(
                ReceiverStream::new(connections),
                shutdown.clone().cancelled_owned(),
            );
        let serve = async {
            tokio::select! {
                served = serve => served,
                // Whoever holds a stream open is left behind.
                () = async { shutdown.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => Ok(()),
            }
        };
        let (served, (), (), (), ()) = tokio::join!(
            serve,
            accept,
            report_health(hub.ingest.clone(), reporter, shutdown.clone()),
            steward::run(hub, shutdown.clone()),
            certificate.renew(&shutdown)
        );
        served.map_err(Into::into)
    }
}

/// Tells the health service how the hub is: well while what is measured becomes durable.
async fn report_health(ingest: IngestHandle, reporter: HealthReporter, shutdown: CancellationToken) {
    const SERVICES: [&str; 3] = ["", "gander.v1.AgentService", "gander.v1.MonitorService"];
    let mut progress = ingest.watch_progress();
    let mut told = None;
    loop {
        let is_well = progress.borrow_and_update().failing_since.is_none() && !shutdown.is_cancelled();
        if told != Some(is_well) {
            told = Some(is_well);
            let status = if is_well {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for service in SERVICES {
                reporter.set_service_status(service, status).await;
            }
        }
        if shutdown.is_cancelled() {
            return;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            Ok(()) = progress.changed() => {}
        }
    }
}
