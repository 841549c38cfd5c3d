//! What a machine's clock is worth: how far it is ahead of the hub's, and what that means for samples.
//!
//! The hub measures and tells; between two tellings the time since boot, which nobody sets, shows
//! whether the clock has jumped. The hub knows a sample by its corrected time, so what was once said
//! of a sample is never said differently.

use crate::{Sample, look::wall_ms, platform};

/// Jumps and differences below this are none: clocks are slewed all the time.
const TOLERANCE_MS: i64 = 2000;

/// What the hub has told of this machine's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    told: Option<Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    ahead_ms: i64,
    /// The clock minus the time since boot, when it was told.
    base_ms: i64,
}

/// The clock minus the time since boot: stays the same until the clock is set.
fn base_ms() -> i64 {
    wall_ms() - platform::uptime_ms()
}

impl Clock {
    /// The hub tells by how much this machine's clock is ahead, now.
    pub fn tell(&mut self, ahead_ms: i64) {
        self.tell_at(ahead_ms, base_ms());
    }

    fn tell_at(&mut self, ahead_ms: i64, base_ms: i64) {
        self.told = Some(Told { ahead_ms, base_ms });
    }

    /// Marks a sample of this boot with what is known of the clock it was taken by. One that is
    /// marked already stays as it is.
    pub fn mark(&self, sample: &mut Sample) {
        let Some(told) = self.told.filter(|_| sample.clock_ahead_ms.is_none()) else {
            return;
        };
        let base = sample.taken_at_ms.saturating_sub(sample.uptime_ms);
        let jump = base.saturating_sub(told.base_ms);
        sample.clock_ahead_ms = Some(if jump.saturating_abs() < TOLERANCE_MS {
            told.ahead_ms
        } else {
            // In whole seconds, so that the same is found when it is looked for again.
            let ahead = told.ahead_ms.saturating_add(jump);
            let seconds = ahead.saturating_add(ahead.signum() * 500) / 1000;
            if seconds.saturating_mul(1000).saturating_abs() < TOLERANCE_MS {
                0
            } else {
                seconds * 1000
            }
        });
    }

    /// This machine's clock, corrected by what the hub told.
    #[must_use]
    pub fn hub_ms(&self) -> i64 {
        let mut now = Sample {
            taken_at_ms: wall_ms(),
            uptime_ms: platform::uptime_ms(),
            ..Sample::default()
        };
        self.mark(&mut now);
        now.taken_at_ms - now.clock_ahead_ms.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(clock: &Clock, taken_at_ms: i64, uptime_ms: i64) -> Option<i64> {
        let mut sample = Sample {
            taken_at_ms,
            uptime_ms,
            ..Sample::default()
        };
        clock.mark(&mut sample);
        sample.clock_ahead_ms
    }

    #[test]
    fn nothing_is_said_before_the_hub_tells() {
        assert_eq!(marked(&Clock::default(), 5000, 5000), None);
    }

    #[test]
    fn a_clock_that_was_set_between_is_known_by_the_time_since_boot() {
        let hour = 3_600_000;
        let mut clock = Clock::default();
        // Told while the clock was right; it had been an hour behind when the sample was taken.
        clock.tell_at(0, 1_700_000_000_000);
        assert_eq!(
            marked(&clock, 1_700_000_000_000 - hour + 50_000, 50_000),
            Some(-hour)
        );
        assert_eq!(marked(&clock, 1_700_000_050_000, 50_000), Some(0));
        assert_eq!(
            marked(&clock, 1_700_000_051_500, 50_000),
            Some(0),
            "slewed, not set"
        );
        // Told while it was an hour ahead, and set right since.
        clock.tell_at(hour + 3, 1_700_000_000_000 + hour);
        assert_eq!(marked(&clock, 1_700_000_050_010, 50_000), Some(0));
        assert_eq!(marked(&clock, 1_700_000_050_000 + hour, 50_000), Some(hour + 3));
    }

    #[test]
    fn what_was_said_of_a_sample_stands() {
        let mut clock = Clock::default();
        clock.tell_at(9000, 0);
        let mut sample = Sample {
            clock_ahead_ms: Some(1),
            ..Sample::default()
        };
        clock.mark(&mut sample);
        assert_eq!(sample.clock_ahead_ms, Some(1));
    }
}
