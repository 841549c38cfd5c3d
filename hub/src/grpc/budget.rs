//! How much one stream may send, so that no agent drowns the others: pure.

use std::time::Duration;

use tokio::time::Instant;

/// How much one stream may send: so much at once, and so much every second after that.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    counted: Instant,
}

impl Budget {
    /// Messages or samples, whichever are more.
    const AT_ONCE: f64 = 1_024.0;
    const EACH_SECOND: f64 = 256.0;

    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: Self::AT_ONCE,
            counted: now,
        }
    }

    pub(super) fn spend(&mut self, count: usize, now: Instant) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.refill(now);
        self.left -= f64::from(count);
    }

    /// How long nothing more may be read.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.refill(now);
        if self.left > 0.0 {
            return Duration::ZERO;
        }
        // A little more than nothing is enough for the next message.
        Duration::from_secs_f64((1.0 - self.left) / Self::EACH_SECOND)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.left = (self.left + passed * Self::EACH_SECOND).min(Self::AT_ONCE);
        self.counted = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_too_much_waits() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        for _ in 0..4 {
            assert!(budget.wait(start).is_zero());
            budget.spend(256, start);
        }
        let wait = budget.wait(start);
        assert!(!wait.is_zero());
        assert!(budget.wait(start + wait).is_zero(), "and no longer than that");
        let rested = start + Duration::from_secs(3600);
        assert!(budget.wait(rested).is_zero());
        budget.spend(2_000, rested);
        assert!(!budget.wait(rested).is_zero(), "rest is not hoarded");
    }
}
