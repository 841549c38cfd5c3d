//! What an agent's clock is ahead of the hub's: measured by pings, corrected for when it matters.

use std::time::Duration;

use gander_proto::limits::CLOCK_TOLERANCE;

use crate::model::Timestamp;

/// A ping that took longer says too little about the clock.
const SLOWEST_PING: Duration = Duration::from_secs(5);

/// One agent's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    /// What is corrected for, in milliseconds; 0 while the clocks agree within the tolerance.
    pub(super) correction_ms: i64,
    /// The last measurement, in milliseconds.
    pub(super) measured_ms: Option<i64>,
}

impl Clock {
    /// A clock not measured yet, with the correction that was in use before.
    pub(super) fn new(correction_ms: i64) -> Self {
        Self {
            correction_ms,
            measured_ms: None,
        }
    }

    /// Takes a measurement: a ping was sent and its answer received by the hub's clock, and
    /// answered at `agent_ms` by the agent's. Whether the correction changed.
    pub(super) fn measure(&mut self, sent: Timestamp, received: Timestamp, agent_ms: i64) -> bool {
        let round_trip = received.millis_since(sent);
        if !(0..=millis(SLOWEST_PING)).contains(&round_trip) {
            // The hub's own clock was set meanwhile, or the network crawls.
            return false;
        }
        let ahead = agent_ms.saturating_sub(sent.as_millis().saturating_add(round_trip / 2));
        self.measured_ms = Some(ahead);
        let tolerance = millis(CLOCK_TOLERANCE);
        let correction = if ahead.saturating_abs() <= tolerance {
            0
        } else if ahead.saturating_sub(self.correction_ms).saturating_abs() <= tolerance / 2 + round_trip / 2
        {
            // Within what measuring is good for: values keep their distance.
            self.correction_ms
        } else {
            ahead
        };
        std::mem::replace(&mut self.correction_ms, correction) != correction
    }

    /// Whether a word the agent just sent shows that its clock was set since the last measurement.
    pub(super) fn looks_set(&self, agent_ms: i64, received: Timestamp) -> bool {
        let Some(measured) = self.measured_ms else {
            return false;
        };
        let now_ahead = agent_ms.saturating_sub(received.as_millis());
        // A word takes time to come, which makes the clock look late; it is never early.
        let is_early = now_ahead.saturating_sub(measured) > millis(CLOCK_TOLERANCE);
        let is_late = measured.saturating_sub(now_ahead) > 15_000;
        is_early || is_late
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn ping(clock: &mut Clock, ahead: i64, round_trip: i64) -> bool {
        let received = NOW.plus_millis(round_trip);
        clock.measure(NOW, received, NOW.0 + round_trip / 2 + ahead)
    }

    #[test]
    fn clocks_that_agree_are_left_alone() {
        let mut clock = Clock::new(0);
        for ahead in [0, 150, -1_900, 2_000] {
            assert!(!ping(&mut clock, ahead, 40));
            assert_eq!((clock.correction_ms, clock.measured_ms), (0, Some(ahead)));
        }
    }

    #[test]
    fn a_wrong_clock_is_corrected_by_a_figure_that_stays() {
        let mut clock = Clock::new(0);
        assert!(ping(&mut clock, 3_600_000, 100));
        assert_eq!(clock.correction_ms, 3_600_000);
        assert!(!ping(&mut clock, 3_600_400, 100), "measuring is not that good");
        assert_eq!(clock.correction_ms, 3_600_000);
        assert!(ping(&mut clock, -30_000, 100), "it was set");
        assert_eq!(clock.correction_ms, -30_000);
        assert!(ping(&mut clock, 10, 100), "it is right again");
        assert_eq!(clock.correction_ms, 0);
    }

    #[test]
    fn what_was_corrected_before_a_reconnect_stays() {
        let mut clock = Clock::new(3_600_000);
        assert!(!ping(&mut clock, 3_600_300, 100));
        assert_eq!(clock.correction_ms, 3_600_000);
    }

    #[test]
    fn measurements_that_say_nothing_are_not_taken() {
        let mut clock = Clock::new(0);
        assert!(!ping(&mut clock, 60_000, 20_000), "too slow");
        assert!(!ping(&mut clock, 60_000, -500), "the hub's clock was set");
        assert!(!clock.measure(NOW, NOW, i64::MIN) || clock.correction_ms < 0);
        let mut clock = Clock::new(0);
        assert!(clock.measure(NOW, NOW, i64::MAX), "hostile, and no panic");
    }

    #[test]
    fn a_clock_that_was_set_shows_in_the_next_word() {
        let mut clock = Clock::new(0);
        assert!(!clock.looks_set(NOW.0 + 99_999_999, NOW), "not measured yet");
        ping(&mut clock, 0, 0);
        assert!(!clock.looks_set(NOW.0 - 3_000, NOW), "it was under way");
        assert!(clock.looks_set(NOW.0 + 3_000, NOW));
        assert!(clock.looks_set(NOW.0 - 60_000, NOW));
    }
}
