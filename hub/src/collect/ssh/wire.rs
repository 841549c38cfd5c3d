//! The stream below a session. It listens to the first bytes of a connection, because a peer
//! that is no SSH server often says so ("HTTP/1.1 400 Bad Request") and russh skips what it says;
//! and it ends when the handshake is given up, because russh listens to nobody but the peer in
//! the middle of a key exchange and would keep a silent one's socket for a long time.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use gander_probe::wire::sanitise;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

use super::host_key::Seen;

/// A stream that notes down what it heard first, and is out of the way once it is wanted for good.
pub(super) struct Wire<S> {
    inner: S,
    seen: Option<Arc<Seen>>,
    wanted: Want,
}

/// Whether the stream is still wanted.
enum Want {
    /// Asked here: wanted for good, or not any more.
    Undecided(oneshot::Receiver<()>),
    ForGood,
    NoMore,
}

/// Ends the stream when it is dropped before [`Wanted::keep`].
pub(super) struct Wanted(oneshot::Sender<()>);

impl Wanted {
    /// The handshake is over, well or badly: russh deals with the stream from here on.
    pub(super) fn keep(self) {
        // Nobody listens where the stream is gone already.
        let _ = self.0.send(());
    }
}

impl<S> Wire<S> {
    pub(super) fn new(inner: S, seen: &Arc<Seen>) -> (Self, Wanted) {
        let (sender, wanted) = oneshot::channel();
        let wire = Self {
            inner,
            seen: Some(Arc::clone(seen)),
            wanted: Want::Undecided(wanted),
        };
        (wire, Wanted(sender))
    }

    /// Whether the handshake was given up. Wakes the reader when it is.
    fn is_given_up(&mut self, cx: &mut Context<'_>) -> bool {
        if let Want::Undecided(receiver) = &mut self.wanted {
            match Pin::new(receiver).poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.wanted = Want::ForGood,
                Poll::Ready(Err(_)) => self.wanted = Want::NoMore,
            }
        }
        matches!(self.wanted, Want::NoMore)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_given_up(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let heard = &buf.filled()[before..];
        if !heard.is_empty()
            && let Some(seen) = self.seen.take()
        {
            let line = heard.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let _ = seen.first_words.set(sanitise(&line[..line.len().min(80)]));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_given_up_ends_although_the_peer_is_silent() {
        let (near, _far) = tokio::io::duplex(64);
        let (mut wire, wanted) = Wire::new(near, &Arc::default());
        let reading = tokio::spawn(async move { wire.read_u8().await.unwrap_err().kind() });
        drop(wanted);
        assert_eq!(reading.await.unwrap(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn a_stream_that_is_kept_goes_on() {
        use tokio::io::AsyncWriteExt;
        let (near, mut far) = tokio::io::duplex(64);
        let (mut wire, wanted) = Wire::new(near, &Arc::default());
        wanted.keep();
        far.write_u8(7).await.unwrap();
        assert_eq!(wire.read_u8().await.unwrap(), 7);
    }
}
