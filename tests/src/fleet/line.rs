//! The wire below a simulated node: it counts bytes, can be made slow, and can be cut.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::Counters;

/// The most that is on its way on a slow line.
const ON_ITS_WAY: usize = 256 * 1024;

/// One connection's wire.
pub(super) struct Line {
    inner: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    counters: Arc<Counters>,
    slow: Option<Box<Slow>>,
}

/// What comes in is held for a while; so every round trip takes that much longer.
struct Slow {
    delay: Duration,
    held: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    is_over: bool,
    timer: Pin<Box<Sleep>>,
}

impl Line {
    pub(super) fn new(
        inner: TcpStream,
        cut: CancellationToken,
        counters: Arc<Counters>,
        round_trip: Duration,
    ) -> Self {
        let slow = Slow {
            delay: round_trip,
            held: VecDeque::new(),
            bytes: 0,
            is_over: false,
            timer: Box::pin(sleep(Duration::ZERO)),
        };
        Self {
            inner,
            cut: Box::pin(cut.cancelled_owned()),
            counters,
            slow: (!round_trip.is_zero()).then(|| Box::new(slow)),
        }
    }
}

impl Slow {
    /// Takes what has come, and hands out what has been held long enough.
    fn poll_read(
        &mut self,
        inner: &mut TcpStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_over && self.bytes < ON_ITS_WAY {
            let mut piece = [0; 4096];
            let mut read = ReadBuf::new(&mut piece);
            match Pin::new(&mut *inner).poll_read(cx, &mut read) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => self.is_over = true,
                Poll::Ready(Ok(())) => {
                    self.bytes += read.filled().len();
                    self.held
                        .push_back((Instant::now() + self.delay, read.filled().to_vec()));
                }
                Poll::Pending => break,
            }
        }
        let Some((due, bytes)) = self.held.front_mut() else {
            return if self.is_over {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        };
        if *due > Instant::now() {
            self.timer.as_mut().reset(*due);
            ready!(self.timer.as_mut().poll(cx));
        }
        let taken = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..taken]);
        self.bytes -= taken;
        if taken == bytes.len() {
            self.held.pop_front();
        } else {
            bytes.drain(..taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let line = &mut *self;
        ready!(match &mut line.slow {
            Some(slow) => slow.poll_read(&mut line.inner, cx, buf),
            None => Pin::new(&mut line.inner).poll_read(cx, buf),
        })?;
        let heard = buf.filled().len() - before;
        line.counters
            .heard_bytes
            .fetch_add(heard as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let said = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.counters.said_bytes.fetch_add(said as u64, Ordering::Relaxed);
        Poll::Ready(Ok(said))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
