//! Listens to the first bytes of a connection: a peer that is no SSH server often says so
//! ("HTTP/1.1 400 Bad Request"), and russh skips what it says.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use gander_probe::wire::sanitise;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::host_key::Seen;

/// A stream that notes down what it heard first, and is then out of the way.
pub(super) struct FirstWords<S> {
    inner: S,
    seen: Option<Arc<Seen>>,
}

impl<S> FirstWords<S> {
    pub(super) fn of(inner: S, seen: &Arc<Seen>) -> Self {
        Self {
            inner,
            seen: Some(Arc::clone(seen)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstWords<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstWords<S> {
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
