//! Accepting connections: TLS handshakes beside each other, each in bounded time, and never
//! more connections than the hub can carry, nor so many of strangers that agents find no room.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{authority, proxy::Fronts};
use crate::model::{Timestamp, agent::AgentUid};

/// Connections at a time. Further ones wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 20_000;
/// Connections without a certificate of ours at a time: who enrols, and other programs. Further ones
/// are closed.
const MOST_STRANGERS: usize = 2_000;
/// Handshakes at a time.
const MOST_HANDSHAKES: usize = 512;
/// What a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The pause after the system refused to accept (no file descriptors are left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Whom the client certificate names, which the hub's authority signed, and when it ends.
    pub(super) agent: Option<(AgentUid, Timestamp)>,
}

impl Peer {
    /// The address, an IPv4 one also where it came through an IPv6 socket.
    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}

/// What a connection passes before anything is served.
pub(super) struct Door {
    /// Proxies in front of it.
    pub(super) fronts: Fronts,
    pub(super) tls: TlsAcceptor,
}

/// An accepted connection.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
    _strangers_place: Option<OwnedSemaphorePermit>,
}

/// Accepts until `shutdown`; what is accepted goes to `connections`.
pub(super) async fn accept(
    listener: TcpListener,
    door: Door,
    connections: mpsc::Sender<io::Result<Connection>>,
    shutdown: CancellationToken,
) {
    let door = Arc::new(door);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let strangers = Arc::new(Semaphore::new(MOST_STRANGERS));
    let handshakes = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    let mut running = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            let turn = Arc::clone(&handshakes).acquire_owned().await.ok()?;
            Some((place, turn, listener.accept().await))
        };
        let (place, turn, accepted) = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = running.join_next(), if !running.is_empty() => continue,
            Some(accepted) = accepted => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a gRPC connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (door, strangers) = (Arc::clone(&door), Arc::clone(&strangers));
        let connections = connections.clone();
        running.spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE_TIME, handshake(stream, address, &door)).await;
            drop(turn);
            match shaken {
                Ok(Ok((stream, peer))) => {
                    let strangers_place = match peer.agent {
                        Some(_) => None,
                        None => match strangers.try_acquire_owned() {
                            Ok(place) => Some(place),
                            Err(_) => {
                                tracing::debug!(%address, "too many connections without a certificate");
                                return;
                            }
                        },
                    };
                    let connection = Connection {
                        stream,
                        peer,
                        _place: place,
                        _strangers_place: strangers_place,
                    };
                    // Nobody takes it any more when the hub stops.
                    let _ = connections.send(Ok(connection)).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
            }
        });
    }
}

async fn handshake(
    mut stream: TcpStream,
    address: SocketAddr,
    door: &Door,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    stream.set_nodelay(true)?;
    let address = door.fronts.address_of(&mut stream, address).await?;
    let stream = door.tls.accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let agent = certificates
        .and_then(|chain| chain.first())
        .and_then(|certificate| authority::agent_of(certificate));
    Ok((stream, Peer { address, agent }))
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
