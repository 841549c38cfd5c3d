//! What a simulated node does in a session: it lets anybody in and answers requests.

use std::sync::{Arc, atomic::Ordering};

use russh::{
    Channel, ChannelId,
    server::{Auth, ChannelOpenHandle, Handler, Msg, Session, VerifiedPublicKey},
};

use super::{Node, SPREAD_SECONDS, Shared, answers::request};

/// The script's first word when it came over the line.
const HELLO: &[u8] = b"\n@gander hello 1 Linux from=127.0.0.1 more\n";
/// Longest line that is kept: requests are short, and the script's second line is looked at by nobody.
const LONGEST: usize = 64 * 1024;

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was said yet. An sshd counts it among those that may be turned away (MaxStartups).
    Knocking,
    /// Keys are exchanged, or a credential is shown.
    Handshake,
    /// Logged in, or gone.
    In,
}

/// One session.
pub(super) struct Peer {
    shared: Arc<Shared>,
    node: Arc<Node>,
    stage: Stage,
    /// The beginning of a line that is not all there.
    line: Vec<u8>,
}

impl Peer {
    /// A peer that has just connected.
    pub(super) fn new(shared: Arc<Shared>, node: Arc<Node>) -> Self {
        let here = node.knocking.fetch_add(1, Ordering::Relaxed) + 1;
        shared
            .counters
            .most_at_one_address
            .fetch_max(here, Ordering::Relaxed);
        Self {
            shared,
            node,
            stage: Stage::Knocking,
            line: Vec::new(),
        }
    }

    /// It has said its first word.
    pub(super) fn begins(&mut self) {
        self.stage = Stage::Handshake;
        let counters = &self.shared.counters;
        let all = counters.in_handshake.fetch_add(1, Ordering::Relaxed) + 1;
        counters.most_in_handshake.fetch_max(all, Ordering::Relaxed);
    }

    fn leave(&mut self, stage: Stage) {
        let left = std::mem::replace(&mut self.stage, stage);
        if left == Stage::Handshake {
            self.shared.counters.in_handshake.fetch_sub(1, Ordering::Relaxed);
        }
        if left != Stage::In {
            self.node.knocking.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn let_in(&mut self) -> Auth {
        if self.stage != Stage::In {
            self.leave(Stage::In);
            self.shared.counters.logged_in.fetch_add(1, Ordering::Relaxed);
        }
        Auth::Accept
    }

    /// Notes a poll: how far from the pace it came, and that this node has been polled.
    fn note_poll(&self) {
        let now = u64::try_from(self.shared.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let last = self.node.last_poll_us.swap(now, Ordering::Relaxed);
        let interval = self.shared.interval_us.load(Ordering::Relaxed);
        if last > 0 && interval > 0 {
            let off = now.saturating_sub(last).abs_diff(interval);
            self.shared.off_pace.count(std::time::Duration::from_micros(off));
        }
        let epoch = self.shared.epoch.load(Ordering::Relaxed);
        if self.node.polled_in.swap(epoch, Ordering::Relaxed) != epoch {
            self.shared.counters.nodes_polled.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.counters.polls.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer to a line; `None` to what is no request, and while the fleet is silent.
    fn answer(&self, line: &[u8]) -> Option<Vec<u8>> {
        let (seq, sections) = request(std::str::from_utf8(line).ok()?)?;
        if self.shared.is_silent.load(Ordering::Relaxed) {
            return None;
        }
        self.note_poll();
        let age = usize::try_from(self.shared.started.elapsed().as_secs()).unwrap_or(0);
        let second = age + self.node.number * 37 % SPREAD_SECONDS;
        Some(
            self.shared
                .answers
                .framed(self.node.number, second, seq, sections),
        )
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.leave(Stage::In);
    }
}

impl Handler for Peer {
    type Error = russh::Error;

    async fn auth_password(&mut self, _user: &str, _password: &str) -> Result<Auth, Self::Error> {
        Ok(self.let_in())
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.let_in())
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        session.data(channel, HELLO)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let mut rest = data;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            let answer = if self.line.is_empty() {
                self.answer(line)
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.answer(&line)
            };
            if let Some(answer) = answer {
                session.data(channel, answer)?;
            }
            rest = behind;
        }
        if self.line.len() + rest.len() <= LONGEST {
            self.line.extend_from_slice(rest);
        }
        Ok(())
    }
}
