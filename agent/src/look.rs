//! Looking at this machine: the fast sections each time, the slow and the rare ones and the facts at
//! their pace, the processes while somebody watches.
//!
//! The slow and the rare sections are each read in a thread of their own. A look waits for them a
//! moment; when a device hangs it goes on without, says so, and takes what they told with a later look.

use std::time::Duration;

use gander_probe::{Sections, lane::Lane, pace, snapshot::SectionFault};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use crate::{
    Sample,
    platform::{self, HeavyPart, Machine},
};

/// How long a look waits for the slow or the rare sections.
const PATIENCE: Duration = Duration::from_millis(100);
/// Past this they are said to hang. A program they ask is ended after two seconds.
const HANGS: Duration = Duration::from_secs(3);

/// Looks at this machine.
#[derive(Debug)]
pub struct Looker {
    machine: Machine,
    slow: Heavy,
    rare: Heavy,
    last_facts: Option<Instant>,
    last_top: Option<Instant>,
    began: Instant,
}

/// Sections that may hang.
#[derive(Debug)]
struct Heavy {
    sections: Sections,
    /// Its name where it hangs.
    section: &'static str,
    lane: Lane,
    last: Option<Instant>,
    read: Option<HeavyRead>,
}

/// A read of them under way.
#[derive(Debug)]
struct HeavyRead {
    began: Instant,
    part: oneshot::Receiver<HeavyPart>,
}

impl Default for Looker {
    fn default() -> Self {
        Self::new()
    }
}

impl Looker {
    /// Has not looked yet: the first look has no CPU use and no rates.
    #[must_use]
    pub fn new() -> Self {
        Self {
            machine: Machine::default(),
            slow: Heavy::new(Sections::SLOW, "filesystems"),
            rare: Heavy::new(Sections::RARE, "prom"),
            last_facts: None,
            last_top: None,
            began: Instant::now(),
        }
    }

    /// Looks, at a pace of one look in `interval`, with the slow sections each `slow_interval` (`None`:
    /// at the pace of polls over SSH), and with the top processes if somebody `watches`.
    pub async fn look(
        &mut self,
        interval: Duration,
        slow_interval: Option<Duration>,
        watches: bool,
    ) -> Sample {
        let now = Instant::now();
        let since = |moment: Option<Instant>| moment.map(|moment| now - moment);
        let slow_due = match slow_interval {
            Some(pace) => pace::due(since(self.slow.last), pace, interval),
            None => pace::slow_due(since(self.slow.last), interval),
        };
        if slow_due {
            self.slow.begin(now);
        }
        if pace::rare_due(since(self.rare.last), interval, slow_due) {
            self.rare.begin(now);
        }
        let mut also = Sections::NONE;
        if pace::facts_due(since(self.last_facts), interval) {
            self.last_facts = Some(now);
            also = also | Sections::FACTS;
        }
        if watches && pace::top_due(since(self.last_top), interval) {
            self.last_top = Some(now);
            also = also | Sections::TOP;
        }
        let at_ms = i64::try_from((now - self.began).as_millis()).unwrap_or(i64::MAX);
        let taken_at_ms = wall_ms();
        let uptime_ms = platform::uptime_ms();
        let mut snapshot = self.machine.read(also, at_ms);
        for heavy in [&mut self.slow, &mut self.rare] {
            match heavy.part().await {
                Some(Ok(part)) => self.machine.lay_over(&mut snapshot, &part, at_ms),
                Some(Err(reason)) => snapshot.faults.push(SectionFault {
                    section: heavy.section.into(),
                    reason,
                }),
                None => {}
            }
        }
        Sample {
            taken_at_ms,
            uptime_ms,
            clock_ahead_ms: None,
            snapshot,
        }
    }
}

impl Heavy {
    fn new(sections: Sections, section: &'static str) -> Self {
        Self {
            sections,
            section,
            lane: Lane::default(),
            last: None,
            read: None,
        }
    }

    fn begin(&mut self, now: Instant) {
        self.last = Some(now);
        if self.read.is_some() {
            return;
        }
        let (sender, part) = oneshot::channel();
        let sections = self.sections;
        let started = self.lane.start(
            move || platform::read_heavy(sections),
            |part| {
                let _ = sender.send(part);
            },
        );
        match started {
            Ok(()) => self.read = Some(HeavyRead { began: now, part }),
            Err(error) => tracing::warn!("{} and the like are not read: {error}", self.section),
        }
    }

    /// What they told, if that is there by now: or what is wrong with them.
    async fn part(&mut self) -> Option<Result<HeavyPart, String>> {
        let read = self.read.as_mut()?;
        let waited = read.began.elapsed();
        // A later look does not wait: it takes what is there.
        let patience = PATIENCE.saturating_sub(waited);
        match timeout(patience, &mut read.part).await.ok() {
            Some(Ok(part)) => {
                self.read = None;
                Some(Ok(part))
            }
            Some(Err(_)) => {
                self.read = None;
                Some(Err("the reader crashed".into()))
            }
            None if waited >= HANGS => Some(Err(format!(
                "no value within {} s (a dead network mount?)",
                HANGS.as_secs()
            ))),
            None => None,
        }
    }
}

/// The machine's clock in milliseconds since 1970; before that, negative.
#[must_use]
pub fn wall_ms() -> i64 {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => ms(after),
        Err(before) => -ms(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use gander_probe::Snapshot;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn the_first_look_has_all_sections_and_the_second_the_rates() {
        let mut looker = Looker::new();
        let first = looker.look(SECOND, None, true).await;
        let Snapshot {
            cpu,
            memory,
            filesystems,
            system,
            top_processes,
            faults,
            ..
        } = first.snapshot;
        assert!(
            top_processes.is_some_and(|list| list.iter().any(|process| process.pid == 1) || list.len() >= 15)
        );
        assert!(cpu.is_none() && memory.is_some() && system.is_some());
        assert_eq!(faults, []);
        let mut second = looker.look(SECOND, None, false).await;
        while second.snapshot.cpu.is_none() {
            second = looker.look(SECOND, None, false).await;
        }
        assert!(second.taken_at_ms >= first.taken_at_ms && second.uptime_ms >= first.uptime_ms);
        assert!(second.snapshot.system.is_none(), "facts are asked once an hour");
        // A machine under load may have needed more than a moment for them.
        assert!(filesystems.is_some() || second.snapshot.filesystems.is_some() || looker.slow.read.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_hangs_stalls_no_look_and_is_told() {
        let mut looker = Looker::new();
        let (hanging, part) = oneshot::channel();
        looker.slow.read = Some(HeavyRead {
            began: Instant::now(),
            part,
        });
        looker.slow.last = Some(Instant::now());
        looker.rare.last = Some(Instant::now());
        let began = Instant::now();
        let look = looker.look(SECOND, None, false).await;
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(look.snapshot.faults, []);
        tokio::time::advance(HANGS).await;
        let look = looker.look(SECOND, None, false).await;
        assert_eq!(began.elapsed(), PATIENCE + HANGS, "no waiting any more");
        assert!(look.snapshot.faults[0].reason.contains("no value within 3 s"));
        assert!(look.snapshot.memory.is_some());
        drop(hanging.send(platform::read_heavy(Sections::SLOW)));
        let look = looker.look(SECOND, None, false).await;
        assert!(look.snapshot.filesystems.is_some());
        assert_eq!(look.snapshot.faults, []);
    }
}
