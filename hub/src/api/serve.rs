//! Takes connections and hands their requests to the router, within bounds: so many connections
//! at once, so long for the head of a request, so long for the farewell at a shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::state::ApiState;

/// Connections at once. A browser opens up to six; further ones wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 4096;
/// How long a client may take for the head of a request; an idle connection is closed after it.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// How long requests under way and WebSockets have at a shutdown.
const FAREWELL: Duration = Duration::from_secs(3);
/// The wait after a failed accept (usually: no file descriptors are left).
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Serves HTTP until `shutdown`, then lets requests under way end within a bounded time.
///
/// # Errors
/// Never; the type is that of every task.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let sockets = state.sockets.clone();
    let router = super::router(state);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let place = tokio::select! {
            () = shutdown.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place?,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    connections.close();
    sockets.close();
    let farewell = async { tokio::join!(connections.wait(), sockets.wait()) };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::info!("some requests were cut off: they did not end in time");
    }
    Ok(())
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
