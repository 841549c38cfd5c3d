//! One look at a server: over its connection, over a new one, or in process; and what it asks for.

use std::time::Duration;

use gander_probe::{Answer, RawSample, Sections, snapshot::SectionFault};
use tokio::time::Instant;

use super::{
    super::{
        explain::about_this_machine,
        pace,
        plan::Source,
        ssh::{ProbeChannel, Route},
    },
    Node, Sight, SlowHold,
};
use crate::model::{CollectError, CollectErrorCode, Timestamp, reading::Contact, server::Endpoint};

/// The first pause of the slow sections after a poll with them timed out, and the longest.
const SLOW_HOLD: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(900));

impl Node {
    pub(super) async fn look(&mut self) -> Result<Sight, CollectError> {
        let plan = self.signals.plan();
        match &plan.source {
            Source::Broken(error) => Err(error.clone()),
            Source::Agent => Err(plan.agent_silent(None)),
            Source::Local => self.look_locally(&plan.name).await,
            Source::Ssh(route) => self.look_over_ssh(route, &plan.endpoint).await,
        }
    }

    async fn look_locally(&mut self, name: &str) -> Result<Sight, CollectError> {
        let first = self.last_facts.is_none();
        let sections = self.sections_due();
        let limit = pace::answer_limit(self.shared.config.poll_timeout, self.interval);
        let answers = self
            .local
            .read(sections, limit)
            .await
            .map_err(|reason| about_this_machine(name).local(&reason))?;
        let mut sight = self.digest(&answers.fast, Sections::FACTS | (sections & Sections::TOP), None);
        for (asked, outcome) in answers.heavy {
            match outcome {
                Ok(answer) => {
                    let mut heavy = self.digest(&answer, asked, None).snapshot;
                    heavy.faults.append(&mut sight.snapshot.faults);
                    sight.snapshot.merge(heavy);
                }
                Err(reason) => {
                    self.note_asked(asked);
                    let section = if asked == Sections::SLOW {
                        "filesystems"
                    } else {
                        "prom"
                    };
                    sight.snapshot.faults.push(SectionFault {
                        section: section.into(),
                        reason,
                    });
                }
            }
        }
        sight.contact = first.then_some(Contact {
            host_key: None,
            session: None,
        });
        Ok(sight)
    }

    async fn look_over_ssh(&mut self, route: &Route, endpoint: &Endpoint) -> Result<Sight, CollectError> {
        let limit = pace::answer_limit(self.shared.config.poll_timeout, self.interval);
        if let Some(mut connection) = self.connection.take_if(|connection| !connection.is_closed()) {
            let sections = self.sections_due();
            match connection.ask(sections, limit).await {
                Ok(answer) => {
                    self.connection = Some(connection);
                    return Ok(self.digest(&answer, sections, None));
                }
                // A connection may have gone stale (a firewall forgot it, sshd was restarted):
                // one new try counts. A peer that sends rubbish will only send it again.
                Err(error) => match error.code {
                    CollectErrorCode::Timeout => self.suspect_slow(sections),
                    CollectErrorCode::Disconnected => {}
                    _ => return Err(error),
                },
            }
        }
        self.connection = None;
        let suspect = self.trouble.is_some();
        let opening = ProbeChannel::open(route, &self.shared.gate, &self.shared.config, suspect);
        // Boxed: big, and needed only while connecting.
        let mut connection = Box::new(Box::pin(opening).await?);
        let mut sections = Sections::TICK | Sections::FACTS;
        if !self.slow_is_held() {
            sections = sections | Sections::SLOW;
        }
        match connection.ask(sections, limit).await {
            Ok(answer) => {
                let host_key = connection.host_key();
                let keys = connection
                    .jump_host_keys()
                    .flatten()
                    .chain([&host_key])
                    .cloned()
                    .collect();
                self.signals.set_proved(keys);
                // What a certificate vouches for need not be pinned: its key may change with the next one.
                let is_vouched_for = connection.host_certificate().is_some();
                let contact = Contact {
                    host_key: (!is_vouched_for).then(|| (host_key, endpoint.clone())),
                    session: connection.session(),
                };
                self.connection = Some(connection);
                Ok(self.digest(&answer, sections, Some(contact)))
            }
            Err(error) => {
                if error.code == CollectErrorCode::Timeout {
                    self.suspect_slow(sections);
                }
                Err(error)
            }
        }
    }

    /// What the next poll of a running connection asks.
    fn sections_due(&self) -> Sections {
        let since = |moment: Option<Instant>| moment.map(|moment| moment.elapsed());
        let mut sections = Sections::TICK;
        if pace::slow_due(since(self.last_slow), self.interval) && !self.slow_is_held() {
            sections = sections | Sections::SLOW;
        }
        let with_slow = sections.contains(Sections::SLOW);
        if pace::rare_due(since(self.last_rare), self.interval, with_slow) && !self.slow_is_held() {
            sections = sections | Sections::RARE;
        }
        if self.signals.is_focused() && pace::top_due(since(self.last_top), self.step()) {
            sections = sections | Sections::TOP;
        }
        if pace::facts_due(since(self.last_facts), self.interval) {
            sections = sections | Sections::FACTS;
        }
        sections
    }

    fn slow_is_held(&self) -> bool {
        self.slow_hold
            .as_ref()
            .is_some_and(|hold| Instant::now() < hold.until)
    }

    /// A poll timed out. If it asked for the slow or the rare sections, they may be the reason: the next
    /// ones go without, so that a node with a dead mount is still read.
    fn suspect_slow(&mut self, asked: Sections) {
        if asked.intersects(Sections::SLOW | Sections::RARE) {
            let pause = self
                .slow_hold
                .as_ref()
                .map_or(SLOW_HOLD.0, |hold| (hold.pause * 2).min(SLOW_HOLD.1));
            self.slow_hold = Some(SlowHold {
                until: Instant::now() + pause,
                pause,
            });
        }
    }

    /// These were asked for just now.
    fn note_asked(&mut self, asked: Sections) {
        let now = Some(Instant::now());
        for (sections, last) in [
            (Sections::FACTS, &mut self.last_facts),
            (Sections::SLOW, &mut self.last_slow),
            (Sections::RARE, &mut self.last_rare),
            (Sections::TOP, &mut self.last_top),
        ] {
            if asked.contains(sections) {
                *last = now;
            }
        }
    }

    /// Turns an answer to `asked` into a snapshot.
    fn digest(&mut self, answer: &Answer, asked: Sections, contact: Option<Contact>) -> Sight {
        let at_ms = i64::try_from(self.shared.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut snapshot = self.differ.advance(RawSample::parse(answer), at_ms);
        self.note_asked(asked);
        if asked.intersects(Sections::SLOW | Sections::RARE) {
            self.slow_hold = None;
        } else if self.slow_is_held() {
            snapshot.faults.push(SectionFault {
                section: "filesystems".into(),
                reason: "a poll with them timed out; they are left out for a while".into(),
            });
        }
        Sight {
            snapshot,
            taken_at: Timestamp::now(),
            contact,
        }
    }
}
