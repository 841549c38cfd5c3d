//! How long to wait before the next try: longer each time, and never all agents at once.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// The first and the longest pause while only a person can help.
const PERSON: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15 * 60));

/// Who can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Time: the hub is away, or busy.
    Time,
    /// A person: revoked, of another hub, a wrong clock.
    Person,
}

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure. `chance` is in 0..1.
    pub fn pause(&mut self, remedy: Remedy, chance: f64) -> Duration {
        let (first, longest) = match remedy {
            Remedy::Time => (FIRST, LONGEST),
            Remedy::Person => PERSON,
        };
        let doubled = first.saturating_mul(1 << self.failures.min(20)).min(longest);
        self.failures = self.failures.saturating_add(1);
        // From a half to the whole: thousands of agents that lost one hub come back spread out.
        doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// It works again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..8)
            .map(|_| backoff.pause(Remedy::Time, 1.0).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.pause(Remedy::Time, 0.0), Duration::from_millis(500));
        backoff.reset();
        let pauses: Vec<u64> = (0..6)
            .map(|_| backoff.pause(Remedy::Person, 1.0).as_secs())
            .collect();
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
    }
}
