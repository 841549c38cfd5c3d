//! When collection looks at a server that has an agent: pure.
//!
//! A server with transport `auto` is read by its agent while that streams, and over SSH while it
//! does not. The rule, in steps (a step is the server's interval, or a second while somebody
//! watches it):
//!
//! * The agent reads the server from the first live batch that was committed. Until then SSH
//!   goes on, so there is no gap; a look that is due in the moment after a stream was opened waits
//!   a little for that batch, so that the two do not tell the same moment.
//! * SSH stands in when the agent's next value does not come: at the moment it was due if there is
//!   no stream any more, half a step later if the stream is open but silent. Both are before the
//!   second interval ends.
//! * SSH begins with a counter memory of its own: its first rates cover the time since its own
//!   first look, never a time for which the agent has told them already.
//!
//! What both tell of nearly the same moment all the same, ingest leaves out (`ingest/handover.rs`).
//!
//! A server that only its agent reads counts as silent after two intervals.

use std::time::Duration;

use tokio::time::Instant;

use super::presence::Presence;

/// No silence is shorter while somebody watches: a stream that breaks is often back in a moment.
const SHORTEST_SILENCE: Duration = Duration::from_secs(3);
/// The longest a look waits for the first batch of a stream just opened.
const LONGEST_GREETING: Duration = Duration::from_secs(2);

/// Until when the agent is left to read the server; `None` when it was never heard.
pub(super) fn agent_reads_until(presence: &Presence, step: Duration, interval: Duration) -> Option<Instant> {
    let step = step.min(interval);
    let silence = if presence.streams > 0 {
        (step * 3 / 2).max(SHORTEST_SILENCE.min(interval * 3 / 2))
    } else {
        step.max(SHORTEST_SILENCE.min(interval))
    };
    presence.heard.map(|heard| heard + silence)
}

/// The first moment at which collection may look; `None`: at any.
pub(super) fn look_from(presence: &Presence, step: Duration, interval: Duration) -> Option<Instant> {
    let greeting = presence
        .opened
        .filter(|_| presence.streams > 0)
        .map(|opened| opened + (step.min(interval) / 2).min(LONGEST_GREETING));
    agent_reads_until(presence, step, interval).max(greeting)
}

/// When a server that only its agent reads counts as silent. `since`: since when it is expected.
pub(super) fn silent_from(presence: &Presence, since: Instant, interval: Duration) -> Instant {
    presence.heard.map_or(since, |heard| heard.max(since)) + interval * 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn presence(streams: u32, opened: Option<Instant>, heard: Option<Instant>) -> Presence {
        Presence {
            streams,
            opened,
            heard,
            ..Presence::default()
        }
    }

    #[test]
    fn a_server_whose_agent_was_never_heard_is_looked_at_as_if_it_had_none() {
        let step = Duration::from_secs(30);
        assert_eq!(look_from(&Presence::default(), step, step), None);
        let opened = Instant::now();
        assert_eq!(
            look_from(&presence(1, Some(opened), None), step, step),
            Some(opened + Duration::from_secs(2)),
            "but for the moment after its stream was opened"
        );
        assert_eq!(look_from(&presence(0, Some(opened), None), step, step), None);
    }

    #[test]
    fn a_broken_stream_is_stood_in_for_when_its_next_value_was_due_a_silent_one_half_a_step_later() {
        let now = Instant::now();
        let seconds = |streams, step, interval| {
            let until = agent_reads_until(
                &presence(streams, Some(now), Some(now)),
                Duration::from_secs(step),
                Duration::from_secs(interval),
            );
            (until.unwrap() - now).as_secs_f64()
        };
        assert_eq!((seconds(0, 30, 30), seconds(1, 30, 30)), (30.0, 45.0));
        assert_eq!((seconds(0, 1, 1), seconds(1, 1, 1)), (1.0, 1.5));
        assert_eq!((seconds(0, 1, 30), seconds(1, 1, 30)), (3.0, 3.0), "watched");
    }

    proptest! {
        #[test]
        fn ssh_stands_in_before_the_second_interval_ends(
            streams in 0u32..3, step_ms in 1u64..100_000, interval_ms in 1000u64..86_400_000, opened_ago in 0u64..10_000,
        ) {
            let (step, interval) = (Duration::from_millis(step_ms), Duration::from_millis(interval_ms));
            let heard = Instant::now() + Duration::from_secs(100_000);
            let opened = heard - Duration::from_millis(opened_ago);
            let from = look_from(&presence(streams, Some(opened), Some(heard)), step, interval).unwrap();
            prop_assert!(from < heard + interval * 2);
            prop_assert!(from >= heard + step.min(interval));
            prop_assert!(silent_from(&presence(streams, Some(opened), Some(heard)), opened, interval) == heard + interval * 2);
        }
    }
}
