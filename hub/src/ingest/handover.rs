//! Two ways to read one server, one truth: which readings count, and which way is live. Pure.
//!
//! At a switch both ways may tell nearly the same moment. SSH is the stand-in, so its reading
//! gives way: one taken within half an interval of the agent's newest value (two seconds at
//! most) is left out, be it a value or a failure. The agent's values are always kept: they were
//! promised to be stored, and each covers the time since the agent's own look before. A rate is
//! never a sum over both: each way has a counter memory of its own, and SSH begins its memory
//! anew each time it stands in (`collect/stand_in.rs`).

use crate::model::{
    CollectErrorCode, Origin, Reading, ServerPath, ServerState, Timestamp, Transport, server::PathReason,
};

/// Around the agent's newest value nothing of another way counts for at most this long.
const OVERLAP_MS: i64 = 2_000;

/// Whether a server of this transport is read this way. A reading that was under way when a
/// person changed the transport is left out.
pub(super) fn is_wanted(transport: Transport, origin: Origin) -> bool {
    match transport {
        Transport::Auto => origin != Origin::Local,
        Transport::Ssh => origin == Origin::Ssh,
        Transport::Agent => origin == Origin::Agent,
        Transport::Local => origin == Origin::Local,
    }
}

/// Whether a reading tells a moment that the agent has told. `agent_seen` is its newest value.
pub(super) fn is_told_already(agent_seen: Option<Timestamp>, reading: &Reading, interval_ms: i64) -> bool {
    let overlap_ms = (interval_ms / 2).min(OVERLAP_MS);
    reading.origin != Origin::Agent
        && agent_seen.is_some_and(|seen| reading.taken_at.millis_since(seen).abs() < overlap_ms)
}

/// Whether a failure says no more than that an agent which was never there is not there: it is
/// still to be installed, so the server is not down but unknown.
pub(super) fn is_not_installed_yet(before: &ServerState, reading: &Reading) -> bool {
    let is_silent = matches!(&reading.outcome, Err(error) if error.code == CollectErrorCode::AgentSilent);
    is_silent && before.last_success.is_none()
}

/// The path of a server after a reading that is newer than all before.
pub(super) fn path_after(transport: Transport, before: Option<&ServerPath>, reading: &Reading) -> ServerPath {
    let live = reading.origin;
    let is_value = reading.outcome.is_ok();
    let agent_seen = if live == Origin::Agent && is_value {
        Some(reading.taken_at)
    } else {
        before.and_then(|before| before.agent_seen)
    };
    let why = match (transport, live) {
        (Transport::Auto, Origin::Agent) if is_value => PathReason::AgentStreams,
        (Transport::Auto, _) if agent_seen.is_some() => PathReason::AgentSilent,
        (Transport::Auto, _) => PathReason::NoAgent,
        _ => PathReason::Only,
    };
    ServerPath {
        live,
        since: before
            .filter(|before| before.live == live)
            .map_or(reading.taken_at, |before| before.since),
        why,
        agent_seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ingest::status::tests::reading_by,
        model::{Status, reading::CollectErrorCode as Code},
    };

    const NONE: Option<Code> = None;

    #[test]
    fn only_the_ways_a_transport_allows_count() {
        use Origin::{Agent, Local, Ssh};
        for (transport, wanted) in [
            (Transport::Auto, &[Ssh, Agent][..]),
            (Transport::Ssh, &[Ssh]),
            (Transport::Agent, &[Agent]),
            (Transport::Local, &[Local]),
        ] {
            for origin in [Ssh, Agent, Local] {
                assert_eq!(
                    is_wanted(transport, origin),
                    wanted.contains(&origin),
                    "{transport:?} {origin:?}"
                );
            }
        }
    }

    #[test]
    fn ssh_gives_way_near_the_agents_newest_value() {
        let seen = Some(Timestamp(100_000));
        // (origin, taken at, interval, told already)
        for (origin, at, interval_ms, told) in [
            (Origin::Ssh, 100_500, 30_000, true),
            (Origin::Ssh, 98_500, 30_000, true),
            (Origin::Ssh, 102_000, 30_000, false),
            (Origin::Ssh, 100_400, 1_000, true),
            (Origin::Ssh, 100_600, 1_000, false),
            (Origin::Agent, 100_000, 30_000, false),
        ] {
            let reading = reading_by(origin, at, NONE);
            assert_eq!(
                is_told_already(seen, &reading, interval_ms),
                told,
                "{origin:?} at {at}"
            );
            assert!(!is_told_already(None, &reading, interval_ms));
        }
        let failure = reading_by(Origin::Ssh, 100_500, Some(Code::Timeout));
        assert!(is_told_already(seen, &failure, 30_000), "failures too");
    }

    #[test]
    fn an_agent_that_is_still_to_be_installed_is_no_failure() {
        let silent = reading_by(Origin::Agent, 10, Some(Code::AgentSilent));
        let mut state = ServerState::default();
        assert!(is_not_installed_yet(&state, &silent));
        assert!(!is_not_installed_yet(
            &state,
            &reading_by(Origin::Ssh, 10, Some(Code::Timeout))
        ));
        state.last_success = Some(Timestamp(1));
        state.status = Status::Online;
        assert!(!is_not_installed_yet(&state, &silent));
    }

    #[test]
    fn the_path_says_which_way_is_live_since_when_and_why() {
        let auto = Transport::Auto;
        let path = path_after(auto, None, &reading_by(Origin::Ssh, 10, NONE));
        assert_eq!(
            (path.live, path.why, path.agent_seen),
            (Origin::Ssh, PathReason::NoAgent, None)
        );
        let path = path_after(auto, Some(&path), &reading_by(Origin::Agent, 20, NONE));
        assert_eq!(
            (path.live, path.why, path.since.0),
            (Origin::Agent, PathReason::AgentStreams, 20)
        );
        let path = path_after(auto, Some(&path), &reading_by(Origin::Agent, 30, NONE));
        assert_eq!((path.since.0, path.agent_seen), (20, Some(Timestamp(30))));
        let path = path_after(
            auto,
            Some(&path),
            &reading_by(Origin::Ssh, 60, Some(Code::Timeout)),
        );
        assert_eq!(
            (path.live, path.why, path.since.0, path.agent_seen),
            (Origin::Ssh, PathReason::AgentSilent, 60, Some(Timestamp(30)))
        );
        let path = path_after(Transport::Ssh, None, &reading_by(Origin::Ssh, 10, NONE));
        assert_eq!(path.why, PathReason::Only);
        let silent = reading_by(Origin::Agent, 90, Some(Code::AgentSilent));
        assert_eq!(path_after(Transport::Agent, None, &silent).why, PathReason::Only);
    }
}
