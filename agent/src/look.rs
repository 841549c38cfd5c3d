//! Looking at this machine: the fast sections each time, the slow ones and the facts at their pace.
//!
//! The slow sections are read in a thread of their own. A look waits for them a moment; when a device
//! hangs it goes on without, says so, and takes what they told with a later look.

use std::time::Duration;

use gander_probe::{lane::Lane, pace, snapshot::SectionFault};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use crate::{
    Sample,
    platform::{self, Machine, SlowPart},
};

/// How long a look waits for the slow sections.
const PATIENCE: Duration = Duration::from_millis(100);
/// Past this the slow sections are said to hang.
const HANGS: Duration = Duration::from_secs(2);

/// Looks at this machine.
#[derive(Debug)]
pub struct Looker {
    machine: Machine,
    lane: Lane,
    slow: Option<SlowRead>,
    last_slow: Option<Instant>,
    last_facts: Option<Instant>,
    began: Instant,
}

/// A read of the slow sections under way.
#[derive(Debug)]
struct SlowRead {
    began: Instant,
    part: oneshot::Receiver<SlowPart>,
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
            lane: Lane::default(),
            slow: None,
            last_slow: None,
            last_facts: None,
            began: Instant::now(),
        }
    }

    /// Looks, at a pace of one look in `interval`, with the slow sections each `slow_interval` (`None`:
    /// at the pace of polls over SSH).
    pub async fn look(&mut self, interval: Duration, slow_interval: Option<Duration>) -> Sample {
        let now = Instant::now();
        let since = |moment: Option<Instant>| moment.map(|moment| now - moment);
        let slow_due = match slow_interval {
            Some(pace) => pace::due(since(self.last_slow), pace, interval),
            None => pace::slow_due(since(self.last_slow), interval),
        };
        if slow_due {
            self.last_slow = Some(now);
            self.begin_slow(now);
        }
        let facts = pace::facts_due(since(self.last_facts), interval);
        if facts {
            self.last_facts = Some(now);
        }
        let at_ms = i64::try_from((now - self.began).as_millis()).unwrap_or(i64::MAX);
        let taken_at_ms = wall_ms();
        let uptime_ms = platform::uptime_ms();
        let mut snapshot = self.machine.read(facts, at_ms);
        match self.slow_part().await {
            Some(Ok(part)) => self.machine.lay_over(&mut snapshot, &part, at_ms),
            Some(Err(reason)) => snapshot.faults.push(SectionFault {
                section: "filesystems".into(),
                reason,
            }),
            None => {}
        }
        Sample {
            taken_at_ms,
            uptime_ms,
            clock_ahead_ms: None,
            snapshot,
        }
    }

    fn begin_slow(&mut self, now: Instant) {
        if self.slow.is_some() {
            return;
        }
        let (sender, part) = oneshot::channel();
        let started = self.lane.start(platform::read_slow, |part| {
            let _ = sender.send(part);
        });
        match started {
            Ok(()) => self.slow = Some(SlowRead { began: now, part }),
            Err(error) => tracing::warn!("filesystems and temperatures are not read: {error}"),
        }
    }

    /// What the slow sections told, if that is there by now: or what is wrong with them.
    async fn slow_part(&mut self) -> Option<Result<SlowPart, String>> {
        let read = self.slow.as_mut()?;
        let waited = read.began.elapsed();
        // A later look does not wait: it takes what is there.
        let patience = PATIENCE.saturating_sub(waited);
        match timeout(patience, &mut read.part).await.ok() {
            Some(Ok(part)) => {
                self.slow = None;
                Some(Ok(part))
            }
            Some(Err(_)) => {
                self.slow = None;
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
        let first = looker.look(SECOND, None).await;
        let Snapshot {
            cpu,
            memory,
            filesystems,
            system,
            faults,
            ..
        } = first.snapshot;
        assert!(cpu.is_none() && memory.is_some() && system.is_some());
        assert_eq!(faults, []);
        let mut second = looker.look(SECOND, None).await;
        while second.snapshot.cpu.is_none() {
            second = looker.look(SECOND, None).await;
        }
        assert!(second.taken_at_ms >= first.taken_at_ms && second.uptime_ms >= first.uptime_ms);
        assert!(second.snapshot.system.is_none(), "facts are asked once an hour");
        // A machine under load may have needed more than a moment for them.
        assert!(filesystems.is_some() || second.snapshot.filesystems.is_some() || looker.slow.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_hangs_stalls_no_look_and_is_told() {
        let mut looker = Looker::new();
        let (hanging, part) = oneshot::channel();
        looker.slow = Some(SlowRead {
            began: Instant::now(),
            part,
        });
        looker.last_slow = Some(Instant::now());
        let began = Instant::now();
        let look = looker.look(SECOND, None).await;
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(look.snapshot.faults, []);
        tokio::time::advance(HANGS).await;
        let look = looker.look(SECOND, None).await;
        assert_eq!(began.elapsed(), PATIENCE + HANGS, "no waiting any more");
        assert!(look.snapshot.faults[0].reason.contains("no value within 2 s"));
        assert!(look.snapshot.memory.is_some());
        drop(hanging.send(platform::read_slow()));
        let look = looker.look(SECOND, None).await;
        assert!(look.snapshot.filesystems.is_some());
        assert_eq!(look.snapshot.faults, []);
    }
}
