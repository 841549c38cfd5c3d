//! One stream to the hub: what was looked at just now goes first, what lies in the spool follows at the
//! hub's pace, and nothing is forgotten before the hub says it is on its disk.
//!
//! Pure of any network: messages come in, messages come out, so that every rule of the stream is
//! tested without one. `run.rs` puts it between the looks, the spool and the connection.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use gander_proto::{SampleWriter, limits, v1 as pb};
use pb::{agent_message::Message as Up, hub_message::Message as Down};

use crate::{
    Sample, facts,
    spool::{Portion, Position, Status},
};

/// Samples the hub has not acknowledged after this long are put on the disk, in case the agent is
/// killed; the acknowledgement may still come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of the batches the hub takes unacknowledged, so many are left for what is looked at just now.
const KEPT_FREE: usize = 1;
/// Samples from the spool are asked for this many at a time until their size is known.
const FIRST_PORTION: usize = 16;
/// The share of a message that a portion may fill, as samples differ in size.
const FILL: usize = limits::MESSAGE_BYTES / 2;

/// What the hub wants, as it was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// Between two looks.
    pub interval: Duration,
    /// Between two looks at the slow sections; `None`: as the agent thinks fit.
    pub slow_interval: Option<Duration>,
    /// Somebody looks.
    pub focus: bool,
    /// What this machine's clock is ahead of the hub's; `None` before any hub has told.
    pub clock_ahead_ms: Option<i64>,
    /// Samples a second from the spool.
    pub replay_per_second: u32,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            slow_interval: None,
            focus: false,
            clock_ahead_ms: None,
            replay_per_second: 100,
        }
    }
}

impl Orders {
    /// What holds until the hub tells: the interval it ordered before, if it did.
    #[must_use]
    pub fn remembered(interval_ms: i64) -> Self {
        let mut orders = Self::default();
        if let Ok(ms @ 1..) = u64::try_from(interval_ms) {
            orders.interval =
                Duration::from_millis(ms).clamp(Duration::from_secs(1), Duration::from_secs(3600));
        }
        orders
    }

    /// Within what makes sense, whatever the hub says.
    fn of(directive: &pb::Directive) -> Self {
        let interval = Duration::from_millis(u64::from(directive.interval_ms));
        let slow = Duration::from_millis(u64::from(directive.slow_interval_ms));
        Self {
            interval: interval.clamp(Duration::from_secs(1), Duration::from_secs(3600)),
            slow_interval: (!slow.is_zero())
                .then(|| slow.clamp(Duration::from_secs(5), Duration::from_secs(3600))),
            focus: directive.focus,
            clock_ahead_ms: Some(directive.clock_ahead_ms),
            replay_per_second: directive.replay_samples_per_second.clamp(1, 10_000),
        }
    }
}

/// What a message of the hub's calls for.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// Nothing.
    None,
    /// Send this at once.
    Answer(Box<pb::AgentMessage>),
    /// The hub took the stream; it knows this agent by this name and number.
    Welcomed {
        /// The server's name on the hub.
        server_name: String,
        /// Its number.
        server_id: i64,
        /// What it wants.
        orders: Orders,
    },
    /// The hub wants something else from now on.
    Orders(Orders),
    /// The spool may forget what was handed out up to here.
    Acknowledged(Position),
    /// The hub ends the stream.
    Stopping {
        /// When to come back.
        retry_after: Duration,
        /// For a person.
        reason: String,
    },
}

/// A batch the hub has not acknowledged.
#[derive(Debug)]
struct Open {
    number: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Just looked at.
    Live {
        sample: Box<Sample>,
        since: Instant,
        /// It is on the disk as well.
        spooled: bool,
    },
    /// From the spool; the last batch of a portion has its end.
    Replay(Option<Position>),
}

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Session {
    writer: SampleWriter,
    open: VecDeque<Open>,
    last_number: u64,
    welcome: Option<Welcome>,
    replay_at: Option<Instant>,
    /// Of the samples sent so far, the largest share of a message one took.
    sample_bytes: usize,
}

#[derive(Debug)]
struct Welcome {
    batches: usize,
    samples: usize,
    replay_per_second: u32,
}

impl Session {
    /// A stream on which nothing was said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first message.
    #[must_use]
    pub fn hello(interval: Duration, spool: &Status) -> pb::AgentMessage {
        up(Up::Hello(pb::Hello {
            machine: Some(facts::machine()),
            interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
            spool: Some(pb::Spool {
                samples: spool.samples,
                bytes: spool.bytes,
                oldest_ms: spool.oldest_ms,
            }),
        }))
    }

    /// Whether the hub has taken the stream.
    #[must_use]
    pub fn is_welcome(&self) -> bool {
        self.welcome.is_some()
    }

    /// Takes a message of the hub's; `wall_ms` is this machine's clock.
    pub fn take(&mut self, message: pb::HubMessage, wall_ms: i64) -> Event {
        match message.message {
            Some(Down::Ping(ping)) => Event::Answer(Box::new(up(Up::Pong(pb::Pong {
                hub_ms: ping.hub_ms,
                agent_ms: wall_ms,
            })))),
            Some(Down::Welcome(welcome)) => {
                let orders = welcome.directive.as_ref().map(Orders::of).unwrap_or_default();
                self.welcome = Some(Welcome {
                    batches: (welcome.batches_unacknowledged as usize).clamp(1, 1024),
                    samples: (welcome.batch_samples as usize).clamp(1, limits::BATCH_SAMPLES),
                    replay_per_second: orders.replay_per_second,
                });
                Event::Welcomed {
                    server_name: welcome.server_name,
                    server_id: welcome.server_id,
                    orders,
                }
            }
            Some(Down::Directive(directive)) => {
                let orders = Orders::of(&directive);
                if let Some(welcome) = &mut self.welcome {
                    welcome.replay_per_second = orders.replay_per_second;
                }
                Event::Orders(orders)
            }
            Some(Down::Ack(ack)) => {
                let mut position = None;
                while let Some(first) = self.open.front()
                    && first.number <= ack.number
                {
                    if let Some(Open {
                        content: Content::Replay(Some(upto)),
                        ..
                    }) = self.open.pop_front()
                    {
                        position = Some(upto);
                    }
                }
                position.map_or(Event::None, Event::Acknowledged)
            }
            Some(Down::Stopping(stopping)) => Event::Stopping {
                retry_after: Duration::from_millis(u64::from(stopping.retry_after_ms).min(600_000)),
                reason: stopping.reason,
            },
            None => Event::None,
        }
    }

    /// The message for a sample of just now; `Err` gives it back: it belongs into the spool, as the
    /// hub takes no more at the moment.
    ///
    /// # Errors
    /// The hub has not taken the stream, or has not acknowledged enough.
    pub fn live(
        &mut self,
        sample: Sample,
        lost: u64,
        now: Instant,
        wall_ms: i64,
    ) -> Result<pb::AgentMessage, Box<Sample>> {
        let room = self
            .welcome
            .as_ref()
            .is_some_and(|welcome| self.open.len() < welcome.batches);
        if !room {
            return Err(Box::new(sample));
        }
        let message = self.batch(
            std::slice::from_ref(&sample),
            sample.clock_ahead_ms,
            true,
            lost,
            wall_ms,
        );
        self.open.push_back(Open {
            number: self.last_number,
            content: Content::Live {
                sample: Box::new(sample),
                since: now,
                spooled: false,
            },
        });
        Ok(message)
    }

    fn batch(
        &mut self,
        samples: &[Sample],
        clock_ahead_ms: Option<i64>,
        live: bool,
        lost: u64,
        wall_ms: i64,
    ) -> pb::AgentMessage {
        self.last_number += 1;
        let samples_of = samples
            .iter()
            .map(|sample| (sample.taken_at_ms, &sample.snapshot));
        let batch = pb::Batch {
            number: self.last_number,
            sent_at_ms: wall_ms,
            live,
            dropped: lost,
            samples: Some(self.writer.write(samples_of, clock_ahead_ms)),
        };
        let bytes = prost::Message::encoded_len(&batch) / samples.len().max(1);
        self.sample_bytes = self.sample_bytes.max(bytes).max(1);
        up(Up::Batch(batch))
    }

    /// How many samples of the spool may be asked for now; `None`: none, the hub is busy enough.
    #[must_use]
    pub fn replay_room(&self, now: Instant) -> Option<usize> {
        let welcome = self.welcome.as_ref()?;
        let is_replaying = self
            .open
            .iter()
            .any(|open| matches!(open.content, Content::Replay(_)));
        let has_room = self.open.len() + KEPT_FREE < welcome.batches.max(KEPT_FREE + 1);
        if is_replaying || !has_room || self.replay_at.is_some_and(|at| now < at) {
            return None;
        }
        let fitting = match self.sample_bytes {
            0 => FIRST_PORTION,
            bytes => FILL / bytes,
        };
        // A quarter of a second's worth: the hub's other agents have their turn in between.
        let paced = welcome.replay_per_second.div_ceil(4) as usize;
        Some(fitting.min(welcome.samples).min(paced).max(1))
    }

    /// When [`Self::replay_room`] is worth asking again, if only time is in the way.
    #[must_use]
    pub fn replay_at(&self) -> Option<Instant> {
        self.replay_at
    }

    /// The messages for a portion of the spool. `settle` corrects what it was told of the clock for
    /// samples that no hub had told of then.
    pub fn replay(
        &mut self,
        mut portion: Portion,
        settle: impl Fn(&mut Sample),
        lost: u64,
        now: Instant,
        wall_ms: i64,
    ) -> Vec<pb::AgentMessage> {
        portion.samples.iter_mut().for_each(settle);
        let count = portion.samples.len() as u32;
        if let Some(welcome) = &self.welcome {
            self.replay_at = Some(now + Duration::from_secs(1) * count / welcome.replay_per_second.max(1));
        }
        let mut messages = Vec::new();
        let same_clock = |a: &Sample, b: &Sample| a.clock_ahead_ms == b.clock_ahead_ms;
        for run in portion.samples.chunk_by(same_clock) {
            let clock = run.first().and_then(|sample| sample.clock_ahead_ms);
            messages.push(self.batch(run, clock, false, lost, wall_ms));
            self.open.push_back(Open {
                number: self.last_number,
                content: Content::Replay(None),
            });
        }
        if let Some(Open {
            content: Content::Replay(upto),
            ..
        }) = self.open.back_mut()
        {
            *upto = Some(portion.upto);
        }
        messages
    }

    /// Samples that wait for their acknowledgement for so long that they belong on the disk.
    pub fn overdue(&mut self, now: Instant) -> Vec<Sample> {
        let mut overdue = Vec::new();
        for open in &mut self.open {
            if let Content::Live {
                sample,
                since,
                spooled: spooled @ false,
            } = &mut open.content
                && now.saturating_duration_since(*since) >= PATIENCE
            {
                *spooled = true;
                overdue.push((**sample).clone());
            }
        }
        overdue
    }

    /// The stream has ended: what the hub has not acknowledged and the spool does not have.
    #[must_use]
    pub fn end(self) -> Vec<Sample> {
        self.open
            .into_iter()
            .filter_map(|open| match open.content {
                Content::Live {
                    sample,
                    spooled: false,
                    ..
                } => Some(*sample),
                _ => None,
            })
            .collect()
    }
}

fn up(message: Up) -> pb::AgentMessage {
    pb::AgentMessage {
        message: Some(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(message: Down) -> pb::HubMessage {
        pb::HubMessage {
            message: Some(message),
        }
    }

    fn welcomed(batches: u32) -> Session {
        let mut session = Session::new();
        let welcome = pb::Welcome {
            batches_unacknowledged: batches,
            batch_samples: 256,
            directive: Some(pb::Directive {
                interval_ms: 1000,
                replay_samples_per_second: 400,
                ..pb::Directive::default()
            }),
            ..pb::Welcome::default()
        };
        assert!(matches!(
            session.take(down(Down::Welcome(welcome)), 0),
            Event::Welcomed { .. }
        ));
        session
    }

    fn sample(at: i64) -> Sample {
        Sample {
            taken_at_ms: at,
            ..Sample::default()
        }
    }

    fn ack(session: &mut Session, number: u64) -> Event {
        session.take(down(Down::Ack(pb::Ack { number })), 0)
    }

    #[test]
    fn nothing_is_sent_before_welcome_nor_past_what_the_hub_takes() {
        let now = Instant::now();
        assert!(Session::new().live(sample(1), 0, now, 0).is_err());
        let mut session = welcomed(2);
        assert!(session.live(sample(1), 0, now, 0).is_ok());
        assert!(session.live(sample(2), 0, now, 0).is_ok());
        let back = session.live(sample(3), 0, now, 0).unwrap_err();
        assert_eq!(*back, sample(3), "it goes into the spool");
        assert_eq!(ack(&mut session, 1), Event::None);
        assert!(session.live(sample(3), 0, now, 0).is_ok());
        let left: Vec<i64> = session.end().iter().map(|sample| sample.taken_at_ms).collect();
        assert_eq!(left, [2, 3], "what was not acknowledged is kept");
    }

    #[test]
    fn what_waits_too_long_goes_to_the_disk_once() {
        let now = Instant::now();
        let mut session = welcomed(4);
        session.live(sample(1), 0, now, 0).unwrap();
        assert!(session.overdue(now).is_empty());
        assert_eq!(session.overdue(now + PATIENCE), [sample(1)]);
        assert!(session.overdue(now + PATIENCE * 2).is_empty());
        assert!(session.end().is_empty(), "the spool has it");
    }

    #[test]
    fn the_spool_waits_for_its_acknowledgement_and_its_pace() {
        let now = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        let mut spool = crate::spool::Spool::open(directory.path(), Default::default(), "", now);
        for at in 0..50 {
            spool.append(&sample(at), now);
        }
        let mut session = welcomed(4);
        let most = session.replay_room(now).unwrap();
        let portion = spool.read(most, now).unwrap();
        let (upto, count) = (portion.upto, portion.samples.len());
        let messages = session.replay(portion, |_| (), 7, now, 0);
        assert_eq!(messages.len(), 1);
        let Some(Up::Batch(batch)) = &messages[0].message else {
            panic!("a batch")
        };
        assert_eq!((batch.live, batch.dropped), (false, 7));
        assert_eq!(batch.samples.as_ref().unwrap().samples.len(), count);
        assert_eq!(session.replay_room(now), None, "one portion at a time");
        assert!(
            session.live(sample(99), 0, now, 0).is_ok(),
            "just looked at goes first"
        );
        assert_eq!(ack(&mut session, 1), Event::Acknowledged(upto));
        assert_eq!(session.replay_room(now), None, "not faster than the hub said");
        assert!(session.replay_room(now + Duration::from_secs(1)).is_some());
    }

    #[test]
    fn samples_of_different_clocks_are_sent_apart() {
        let now = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        let mut spool = crate::spool::Spool::open(directory.path(), Default::default(), "", now);
        for (at, clock) in [(1, Some(0)), (2, Some(0)), (3, None), (4, Some(5000))] {
            let mut sample = sample(at);
            sample.clock_ahead_ms = clock;
            spool.append(&sample, now);
        }
        let portion = spool.read(10, now).unwrap();
        let upto = portion.upto;
        let mut session = welcomed(8);
        let messages = session.replay(portion, |_| (), 0, now, 0);
        assert_eq!(messages.len(), 3);
        assert_eq!(ack(&mut session, 2), Event::None, "only a part is there");
        assert_eq!(ack(&mut session, 3), Event::Acknowledged(upto));
    }
}
