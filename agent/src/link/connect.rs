//! One connection to the hub, step by step, so that what fails can be named: the name, the way, the
//! port, TLS, HTTP/2.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use gander_proto::v1::agent_service_client::AgentServiceClient;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{CertificateError, ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use super::tls::HUB_NAME;
use crate::{address::Address, resolve};

/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The hub is asked whether it is there when nothing came for this long, and given up when it does
/// not answer in time.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// What the hub sends is short: acknowledgements and directives.
const WINDOW: u32 = 64 * 1024;

/// The step of a connection that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The host's name has no address.
    Name,
    /// There is no way to the address.
    Route,
    /// Nobody takes connections there.
    Port,
    /// Nobody answers.
    Silence,
    /// What answers proves no certificate of the hub's authority.
    Authority,
    /// The clocks are too far apart for a certificate.
    Clock,
    /// TLS in any other way.
    Tls,
    /// HTTP/2.
    Http,
}

/// Why there is no connection: for a person, with the fix.
#[derive(Debug)]
pub struct ConnectError {
    /// Where it ended.
    pub step: Step,
    message: String,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for ConnectError {}

fn fail<T>(step: Step, message: String) -> Result<T, ConnectError> {
    Err(ConnectError { step, message })
}

/// Takes gRPC requests over one HTTP/2 connection.
#[derive(Debug, Clone)]
pub struct Http {
    requests: SendRequest<Body>,
}

impl tower_service::Service<http::Request<Body>> for Http {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.requests.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.requests.send_request(request))
    }
}

/// A connection; ends when it is dropped.
#[derive(Debug)]
pub struct Connection {
    http: Http,
    driver: JoinHandle<()>,
    /// The address that took it.
    pub peer: SocketAddr,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// A client of the hub's service for agents.
    #[must_use]
    pub fn client(&self) -> AgentServiceClient<Http> {
        let origin = http::Uri::from_static("https://gander-hub");
        AgentServiceClient::with_origin(self.http.clone(), origin)
            .max_decoding_message_size(gander_proto::limits::MESSAGE_BYTES)
    }
}

/// The addresses of a hub.
///
/// # Errors
/// There are none.
pub async fn addresses(hub: &Address) -> Result<Vec<SocketAddr>, ConnectError> {
    let host = &hub.host;
    match timeout(LIMIT, resolve::resolve(host, hub.port)).await {
        Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
        Ok(Ok(_)) => fail(
            Step::Name,
            format!("the name {host} has no address: check its spelling and /etc/resolv.conf"),
        ),
        Ok(Err(error)) => fail(
            Step::Name,
            format!("the name {host} cannot be looked up ({error}): check its spelling and /etc/resolv.conf"),
        ),
        Err(_) => fail(
            Step::Name,
            format!("no name server answered for {host}: check /etc/resolv.conf"),
        ),
    }
}

/// The first of the addresses that takes a connection.
///
/// # Errors
/// None does; the error is the last one's.
pub async fn reach(hub: &Address, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError {
        step: Step::Name,
        message: format!("{hub} has no address"),
    };
    for address in addresses {
        match timeout(LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = why_not_reached(address, &error),
            Err(_) => last = why_not_reached(address, &ErrorKind::TimedOut.into()),
        }
    }
    Err(last)
}

fn why_not_reached(address: &SocketAddr, error: &io::Error) -> ConnectError {
    let (step, message) = match error.kind() {
        ErrorKind::ConnectionRefused => (
            Step::Port,
            format!(
                "{address} refuses connections: is the hub running, and is this its gRPC port (8001 unless it was changed)?"
            ),
        ),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => (
            Step::Route,
            format!("there is no way to {address} ({error}): check this machine's network and routes"),
        ),
        ErrorKind::TimedOut => (
            Step::Silence,
            format!(
                "{address} does not answer: a firewall between here and the hub may drop packets to port {}",
                address.port()
            ),
        ),
        ErrorKind::PermissionDenied => (
            Step::Route,
            format!("this machine does not let the agent connect to {address} ({error}): check its firewall"),
        ),
        _ => (Step::Route, format!("{address} cannot be reached: {error}")),
    };
    ConnectError { step, message }
}

/// Connects, as whom `config` says.
///
/// # Errors
/// A step failed: see [`Step`].
pub async fn connect(hub: &Address, config: Arc<ClientConfig>) -> Result<Connection, ConnectError> {
    let stream = reach(hub, &addresses(hub).await?).await?;
    secure(stream, config).await
}

/// TLS and HTTP/2 over a connection that stands.
///
/// # Errors
/// As [`connect`].
pub async fn secure(stream: TcpStream, config: Arc<ClientConfig>) -> Result<Connection, ConnectError> {
    let peer = stream.peer_addr().map_err(|error| ConnectError {
        step: Step::Route,
        message: error.to_string(),
    })?;
    let name = ServerName::try_from(HUB_NAME).map_err(|error| ConnectError {
        step: Step::Tls,
        message: error.to_string(),
    })?;
    let stream = match timeout(LIMIT, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(why_no_tls(&peer, &error)),
        Err(_) => {
            return fail(
                Step::Tls,
                format!(
                    "{peer} takes connections but does not begin TLS: it is not a hub's gRPC port, or the hub hangs"
                ),
            );
        }
    };
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(gander_proto::limits::MESSAGE_BYTES)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .handshake(TokioIo::new(stream));
    match timeout(LIMIT, handshake).await {
        Ok(Ok((requests, connection))) => {
            let driver = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "the connection ended");
                }
            });
            Ok(Connection {
                http: Http { requests },
                driver,
                peer,
            })
        }
        Ok(Err(error)) => fail(
            Step::Http,
            format!("{peer} does not speak HTTP/2 ({error}): is a proxy in between?"),
        ),
        Err(_) => fail(Step::Http, format!("{peer} does not answer over HTTP/2")),
    }
}

fn why_no_tls(peer: &SocketAddr, error: &io::Error) -> ConnectError {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (step, message) = match tls {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => (
                Step::Authority,
                format!(
                    "{peer} is not the hub this agent was enrolled with: its certificate comes from another authority. \
                     If the hub was set up anew, enrol again with the line it shows now"
                ),
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                Step::Clock,
                format!(
                    "the certificate of {peer} has ended by this machine's clock: set the clock (date; timedatectl)"
                ),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                Step::Authority,
                format!("{peer} shows a certificate of the hub's authority that is not the hub's own"),
            ),
            why => (
                Step::Tls,
                format!("the certificate of {peer} does not hold: {why:?}"),
            ),
        },
        Some(rustls::Error::AlertReceived(alert)) => (
            Step::Tls,
            format!("{peer} refuses this agent's certificate ({alert:?})"),
        ),
        Some(rustls::Error::InvalidMessage(_)) => (
            Step::Tls,
            format!("{peer} does not speak TLS: is this the hub's gRPC port (8001 unless it was changed)?"),
        ),
        _ if error.kind() == ErrorKind::UnexpectedEof => (
            Step::Tls,
            format!("{peer} hung up during TLS: is this the hub's gRPC port (8001 unless it was changed)?"),
        ),
        _ => (Step::Tls, format!("no TLS with {peer}: {error}")),
    };
    ConnectError { step, message }
}
