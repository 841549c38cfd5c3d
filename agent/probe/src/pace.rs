//! When to look next, and at which sections: pure arithmetic on durations since some beginning,
//! the same for the hub's polls and for an agent.

use std::time::Duration;

/// The step of a machine somebody looks at.
pub const FOCUS_STEP: Duration = Duration::from_secs(1);
/// Two looks are never closer than this, except when a person asks.
const CLOSEST: Duration = Duration::from_millis(250);
/// The pace of the slow sections (filesystems, temperatures).
const SLOW_PACE: Duration = Duration::from_secs(30);
/// The pace of the rare sections (failed units, containers, the owner's files).
const RARE_PACE: Duration = Duration::from_secs(60);
/// The pace of the list of processes, while somebody looks.
const TOP_PACE: Duration = Duration::from_secs(5);
/// Below this the slow and the rare sections do not ride on one look: each may take its two seconds.
const TOGETHER: Duration = Duration::from_secs(15);
/// The pace of the facts (operating system, kernel, host name).
const FACTS_PACE: Duration = Duration::from_secs(3600);

/// Where in its interval a machine is looked at. Neighbouring seeds land far apart.
#[must_use]
pub fn phase(seed: u64, interval: Duration) -> Duration {
    // splitmix64
    let mut hash = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(hash % micros)
}

/// The first moment after `now` that is `phase` into an interval. When a look has just ended,
/// a moment that is very near is left out.
#[must_use]
pub fn next_tick(now: Duration, phase: Duration, interval: Duration) -> Duration {
    let interval = interval.max(Duration::from_millis(1));
    let earliest = now + CLOSEST.min(interval / 4);
    if earliest <= phase {
        return phase;
    }
    let past = (earliest - phase).as_nanos();
    let step = interval.as_nanos();
    let steps = past.div_ceil(step);
    phase + Duration::from_nanos(u64::try_from(steps.saturating_mul(step)).unwrap_or(u64::MAX))
}

/// Whether the slow sections are due; they ride on a look, so half an interval early counts.
#[must_use]
pub fn slow_due(since_last: Option<Duration>, interval: Duration) -> bool {
    due(since_last, SLOW_PACE, interval)
}

/// Whether the rare sections are due; `with_slow`: the slow ones ride on this look.
#[must_use]
pub fn rare_due(since_last: Option<Duration>, interval: Duration, with_slow: bool) -> bool {
    due(since_last, RARE_PACE, interval) && !(with_slow && interval < TOGETHER)
}

/// Whether the list of processes is due, of a machine somebody looks at.
#[must_use]
pub fn top_due(since_last: Option<Duration>, step: Duration) -> bool {
    due(since_last, TOP_PACE, step)
}

/// Whether the facts are due.
#[must_use]
pub fn facts_due(since_last: Option<Duration>, interval: Duration) -> bool {
    due(since_last, FACTS_PACE, interval)
}

/// Whether something with this pace of its own is due at a look.
#[must_use]
pub fn due(since_last: Option<Duration>, pace: Duration, interval: Duration) -> bool {
    since_last.is_none_or(|since| since + (interval / 2).min(pace / 2) >= pace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tick_is_in_the_future_on_phase_and_at_most_one_interval_and_a_bit_away(
            seed in any::<u64>(), now_ms in 0u64..10_000_000_000, interval_ms in 1u64..100_000_000,
        ) {
            let (now, interval) = (Duration::from_millis(now_ms), Duration::from_millis(interval_ms));
            let phase = phase(seed, interval);
            prop_assert!(phase < interval);
            let tick = next_tick(now, phase, interval);
            prop_assert!(tick > now);
            prop_assert!(tick - now <= interval + interval / 4);
            prop_assert_eq!((tick - phase).as_nanos() % interval.as_nanos(), 0);
            prop_assert!(next_tick(tick, phase, interval) == tick + interval);
        }
    }

    #[test]
    fn slow_and_rare_sections_take_no_look_together_where_looks_are_frequent() {
        let second = Duration::from_secs(1);
        assert!(rare_due(None, second, false) && !rare_due(None, second, true));
        assert!(!rare_due(Some(Duration::from_secs(58)), second, false));
        assert!(rare_due(Some(Duration::from_secs(60)), second, false));
        assert!(rare_due(None, Duration::from_secs(30), true));
        assert!(top_due(None, second) && !top_due(Some(second), second));
    }

    #[test]
    fn slow_sections_ride_on_polls() {
        let seconds = |list: &[u64]| -> Vec<bool> {
            list.iter()
                .map(|since| slow_due(Some(Duration::from_secs(*since)), Duration::from_secs(1)))
                .collect()
        };
        assert!(slow_due(None, Duration::from_secs(1)));
        assert_eq!(seconds(&[0, 1, 29, 30, 31]), [false, false, false, true, true]);
        assert!(
            slow_due(Some(Duration::from_millis(29_990)), Duration::from_secs(30)),
            "each poll at 30 s"
        );
        assert!(slow_due(Some(Duration::from_secs(60)), Duration::from_secs(60)));
        assert!(!facts_due(
            Some(Duration::from_secs(1800)),
            Duration::from_secs(30)
        ));
        assert!(facts_due(
            Some(Duration::from_secs(3590)),
            Duration::from_secs(30)
        ));
    }
}
