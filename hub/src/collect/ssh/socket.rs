//! The TCP socket of a session, which can outlive it, so that a node is not left with a dead session.
//!
//! When a link is cut, the hub gives a silent session up and comes back with a new one; but the node
//! cannot know. What the hub said last never arrived, and its kernel would give a closed socket up after
//! some two minutes. The node would keep an sshd and a shell for two hours, until its own TCP keepalive
//! notices. So the socket of a session that was given up stays open, with what it said last and its
//! goodbye still unacknowledged: the kernel repeats both, every two minutes at most, until the link is
//! back, the node hears the goodbye, ends the session and says so.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    task::JoinSet,
    time::timeout,
};

/// How long a node may be away and still be told. By then its own TCP keepalive has noticed: 2 h idle,
/// then 9 probes of 75 s.
const LONGEST: Duration = Duration::from_secs(2 * 3600 + 900);
/// Sockets that are kept at most; a quarter of the files that may be open, if that is less.
const MOST: usize = 10_000;

/// A socket that is shared with whoever may have to keep it.
#[derive(Clone)]
pub(super) struct Socket(Arc<TcpStream>);

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(length) => {
                    buf.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match SockRef::from(&*self.0).shutdown(Shutdown::Write) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            outcome => outcome,
        })
    }
}

/// Sockets of sessions that were given up, until their nodes have heard of it.
pub(crate) struct GivenUp {
    sockets: Mutex<JoinSet<()>>,
    most: usize,
}

impl GivenUp {
    pub(crate) fn new() -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
        Self {
            sockets: Mutex::default(),
            most: MOST.min(files / 4),
        }
    }

    /// Says goodbye on a socket and keeps it until the node has heard that. With too many of them, or at
    /// the very end of the program, it is closed: the kernel goes on for two minutes.
    pub(super) fn keep(&self, socket: &Socket) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        while sockets.try_join_next().is_some() {}
        if sockets.len() < self.most {
            sockets.spawn_on(until_heard(socket.clone()), &runtime);
        }
    }

    /// How many are kept.
    #[cfg(test)]
    fn kept(&self) -> usize {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        while sockets.try_join_next().is_some() {}
        sockets.len()
    }
}

/// Until the node ends the connection, or nobody will any more.
async fn until_heard(Socket(stream): Socket) {
    let socket = SockRef::from(&*stream);
    // Otherwise the kernel gives up after a quarter of an hour.
    let _ = socket.set_tcp_user_timeout(Some(LONGEST));
    let _ = socket.shutdown(Shutdown::Write);
    let heard = async {
        let mut rest = [0; 1024];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut rest) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => break,
            }
        }
    };
    // A node whose kernel is well and whose sshd hangs has been told: it need not be waited for longer.
    let _ = timeout(LONGEST, heard).await;
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near.into(), listener.accept().await.unwrap().0)
    }

    async fn none_is_kept(given_up: &GivenUp) {
        while given_up.kept() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_socket_is_kept_until_its_node_has_heard_the_goodbye() {
        let given_up = GivenUp::new();
        let (near, mut far) = pair().await;
        given_up.keep(&near);
        drop(near);
        assert_eq!(given_up.kept(), 1);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(given_up.kept(), 1, "the node has not ended the connection yet");
        drop(far);
        none_is_kept(&given_up).await;
    }

    #[tokio::test]
    async fn no_more_are_kept_than_allowed() {
        let given_up = GivenUp {
            most: 1,
            ..GivenUp::new()
        };
        let (one, _far) = pair().await;
        let (two, mut other) = pair().await;
        given_up.keep(&one);
        given_up.keep(&two);
        assert_eq!(given_up.kept(), 1);
        drop(two);
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 0, "closed");
    }
}
