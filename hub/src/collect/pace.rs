//! When to look at a server next: pure arithmetic on durations since the collector started.
//!
//! Polls of many servers are spread over the interval by a phase taken from the server's id,
//! so that the hub's load is flat and a restart does not change who is polled when. The steps
//! and the pace of the sections are the probe's, so that an agent keeps them too.

use std::time::Duration;

pub(super) use gander_probe::pace::{FOCUS_STEP, facts_due, next_tick, rare_due, slow_due, top_due};

use crate::model::{CollectError, CollectErrorCode, ServerId};

/// The first pause after a refused credential. fail2ban's default is 5 failures in 10 minutes.
const CREDENTIAL_FIRST: Duration = Duration::from_secs(60);
/// The longest pause after a refused credential.
const CREDENTIAL_LONGEST: Duration = Duration::from_secs(15 * 60);
/// The first pause after a broken link.
const LINK_FIRST: Duration = Duration::from_secs(2);

/// Where in its interval a server is polled.
pub(super) fn phase(id: ServerId, interval: Duration) -> Duration {
    gander_probe::pace::phase(id.0.cast_unsigned(), interval)
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

/// How long one poll may take to be answered: so short that a new connection is tried before the
/// second interval ends; never under three seconds, because an overloaded machine is slow and is
/// worth watching.
pub(super) fn answer_limit(poll_timeout: Duration, interval: Duration) -> Duration {
    (interval / 3)
        .clamp(Duration::from_secs(3), poll_timeout.max(Duration::from_secs(3)))
        .min(poll_timeout)
}

/// How long after the last value a server counts as silent, although the poll under way is still
/// being waited for (or a new connection is being made): before the second interval ends, whatever
/// the time limits of a poll are.
pub(super) fn silence_limit(interval: Duration) -> Duration {
    interval.mul_f64(1.75)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
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
    fn silence_is_told_after_the_poll_that_was_due_and_before_the_next_interval_ends() {
        for seconds in [1, 2, 5, 6, 30, 86_400] {
            let interval = Duration::from_secs(seconds);
            let limit = silence_limit(interval);
            assert!(limit > interval + interval / 2 && limit < interval * 2);
        }
    }

    #[test]
    fn a_poll_may_take_a_third_of_the_interval_and_at_least_three_seconds() {
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
