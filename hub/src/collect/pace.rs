//! When to look at a server next: pure arithmetic on durations since the collector started.
//!
//! Polls of many servers are spread over the interval by a phase taken from the server's id,
//! so that the hub's load is flat and a restart does not change who is polled when.

use std::time::Duration;

use crate::model::{CollectError, CollectErrorCode, ServerId};

/// The step of a server somebody looks at.
pub(super) const FOCUS_STEP: Duration = Duration::from_secs(1);
/// Two looks are never closer than this, except when a person asks.
const CLOSEST: Duration = Duration::from_millis(250);
/// The pace of the slow sections (filesystems, temperatures).
const SLOW_PACE: Duration = Duration::from_secs(30);
/// The pace of the facts (operating system, kernel, host name).
const FACTS_PACE: Duration = Duration::from_secs(3600);
/// The first pause after a refused credential. fail2ban's default is 5 failures in 10 minutes.
const CREDENTIAL_FIRST: Duration = Duration::from_secs(60);
/// The longest pause after a refused credential.
const CREDENTIAL_LONGEST: Duration = Duration::from_secs(15 * 60);
/// The first pause after a broken link.
const LINK_FIRST: Duration = Duration::from_secs(2);

/// Where in its interval a server is polled.
pub(super) fn phase(id: ServerId, interval: Duration) -> Duration {
    // splitmix64: neighbouring ids land far apart.
    let mut hash = id.0.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(hash % micros)
}

/// The first moment after `now` that is `phase` into an interval. When a look has just ended,
/// a moment that is very near is left out.
pub(super) fn next_tick(now: Duration, phase: Duration, interval: Duration) -> Duration {
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

/// How a failure is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// The link: soon, then at each interval, so that it is back within one interval.
    Link,
    /// What a person must put right: rarely, so that nobody is banned.
    Person,
}

impl Retry {
    /// The kind of retry an error calls for.
    pub(super) fn after(error: &CollectError) -> Self {
        let by_jump_host = error.code == CollectErrorCode::JumpHost
            && error.params.get("cause").is_some_and(|cause| {
                CollectErrorCode::ALL
                    .iter()
                    .any(|code| code.as_str() == cause && code.needs_a_person())
            });
        if error.code.needs_a_person() || by_jump_host {
            Self::Person
        } else {
            Self::Link
        }
    }

    /// The pause after the `failures`-th failure in a row (counted from 1). `chance` is in 0..1.
    pub(super) fn pause(self, failures: u32, interval: Duration, chance: f64) -> Duration {
        let (first, longest) = match self {
            Self::Link => (LINK_FIRST.min(interval), interval),
            Self::Person => (CREDENTIAL_FIRST, CREDENTIAL_LONGEST),
        };
        let doubled = first
            .saturating_mul(1 << failures.saturating_sub(1).min(20))
            .min(longest);
        let chance = chance.clamp(0.0, 1.0);
        match self {
            // Shorter by up to a quarter: never later than the interval.
            Self::Link => doubled.mul_f64(1.0 - chance / 4.0),
            // Longer by up to a quarter: never sooner than the first pause.
            Self::Person => doubled.mul_f64(1.0 + chance / 4.0).min(CREDENTIAL_LONGEST),
        }
    }
}

/// Whether the slow sections are due; they ride on a poll, so half an interval early counts.
pub(super) fn slow_due(since_last: Option<Duration>, interval: Duration) -> bool {
    due(since_last, SLOW_PACE, interval)
}

/// Whether the facts are due.
pub(super) fn facts_due(since_last: Option<Duration>, interval: Duration) -> bool {
    due(since_last, FACTS_PACE, interval)
}

fn due(since_last: Option<Duration>, pace: Duration, interval: Duration) -> bool {
    since_last.is_none_or(|since| since + (interval / 2).min(pace / 2) >= pace)
}

/// How long one poll may take to be answered: so short that silence is noticed, and a new
/// connection tried, before the second interval ends; never under three seconds, because an
/// overloaded machine is slow and is worth watching.
pub(super) fn answer_limit(poll_timeout: Duration, interval: Duration) -> Duration {
    (interval / 3)
        .clamp(Duration::from_secs(3), poll_timeout.max(Duration::from_secs(3)))
        .min(poll_timeout)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_tick_is_in_the_future_on_phase_and_at_most_one_interval_and_a_bit_away(
            id in any::<i64>(), now_ms in 0u64..10_000_000_000, interval_ms in 1u64..100_000_000,
        ) {
            let (now, interval) = (Duration::from_millis(now_ms), Duration::from_millis(interval_ms));
            let phase = phase(ServerId(id), interval);
            prop_assert!(phase < interval);
            let tick = next_tick(now, phase, interval);
            prop_assert!(tick > now);
            prop_assert!(tick - now <= interval + interval / 4);
            prop_assert_eq!((tick - phase).as_nanos() % interval.as_nanos(), 0);
            prop_assert!(next_tick(tick, phase, interval) == tick + interval);
        }

        #[test]
        fn a_broken_link_is_tried_again_within_one_interval(
            failures in 1u32..1000, interval_s in 1u64..86_400, chance in 0.0f64..1.0,
        ) {
            let interval = Duration::from_secs(interval_s);
            let pause = Retry::Link.pause(failures, interval, chance);
            prop_assert!(pause <= interval);
            prop_assert!(pause >= Duration::from_millis(750));
        }

        #[test]
        fn a_refused_credential_is_not_hammered(
            failures in 1u32..1000, interval_s in 1u64..86_400, chance in 0.0f64..1.0,
        ) {
            let pause = Retry::Person.pause(failures, Duration::from_secs(interval_s), chance);
            prop_assert!(pause >= Duration::from_secs(60));
            prop_assert!(pause <= Duration::from_secs(900));
        }
    }

    #[test]
    fn pauses_double() {
        let pauses = |retry: Retry, interval| {
            [1, 2, 3, 4, 5, 6].map(|failures| {
                retry
                    .pause(failures, Duration::from_secs(interval), 0.0)
                    .as_secs()
            })
        };
        assert_eq!(pauses(Retry::Link, 30), [2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses(Retry::Link, 1), [1, 1, 1, 1, 1, 1]);
        assert_eq!(pauses(Retry::Person, 30), [60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn polls_of_many_servers_are_spread_evenly() {
        let interval = Duration::from_secs(30);
        let mut seconds = [0u32; 30];
        for id in 1..=3000 {
            seconds[usize::try_from(phase(ServerId(id), interval).as_secs()).unwrap()] += 1;
        }
        for (second, count) in seconds.iter().enumerate() {
            assert!(
                (60..=140).contains(count),
                "second {second} has {count} of 3000 polls"
            );
        }
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

    #[test]
    fn silence_is_noticed_before_the_second_interval_ends() {
        let poll_timeout = Duration::from_secs(10);
        for (interval, limit) in [(1, 3), (10, 3), (15, 5), (30, 10), (300, 10)] {
            assert_eq!(
                answer_limit(poll_timeout, Duration::from_secs(interval)).as_secs(),
                limit
            );
        }
    }

    #[test]
    fn a_jump_host_that_refuses_us_is_not_hammered_either() {
        let error = |code: CollectErrorCode, cause: &str| CollectError {
            code,
            message: String::new(),
            params: BTreeMap::from([("cause".to_owned(), cause.to_owned())]),
        };
        assert_eq!(
            Retry::after(&error(CollectErrorCode::JumpHost, "key_refused")),
            Retry::Person
        );
        assert_eq!(
            Retry::after(&error(CollectErrorCode::JumpHost, "timeout")),
            Retry::Link
        );
        assert_eq!(
            Retry::after(&error(CollectErrorCode::JumpHost, "cycle")),
            Retry::Link
        );
        assert_eq!(
            Retry::after(&error(CollectErrorCode::PasswordRefused, "")),
            Retry::Person
        );
        assert_eq!(
            Retry::after(&error(CollectErrorCode::ConnectionRefused, "")),
            Retry::Link
        );
    }
}
