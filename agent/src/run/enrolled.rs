//! The time before there is an identity: nothing is looked at, and nobody is told anything.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::ENROLLED_YET;
use crate::{
    board::Board,
    chance,
    identity::{Identity, Pending},
    link::{
        backoff::{Backoff, Remedy},
        enrol::{self, AskError, Enrolment},
    },
    platform::systemd,
    state::StateDir,
};

/// Waits until there is an identity: enrolled by hand, or by a person at the hub who says yes.
pub(super) async fn identity(
    state: &StateDir,
    board: &Board,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Identity>> {
    let mut backoff = Backoff::default();
    let watchdog = systemd::watchdog().unwrap_or(ENROLLED_YET);
    let mut ask_at = Instant::now();
    loop {
        systemd::alive();
        if let Some(identity) = state.identity()? {
            return Ok(Some(identity));
        }
        match state.pending()? {
            None => board.say("not enrolled: run the line that the hub shows under \"Add an agent\""),
            Some(pending) if Instant::now() >= ask_at => {
                let asked = tokio::select! {
                    () = shutdown.cancelled() => return Ok(None),
                    asked = enrol::enrol(&pending) => asked,
                };
                ask_at = Instant::now() + after_asking(state, board, &pending, asked, &mut backoff)?;
                continue;
            }
            Some(_) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = sleep(ENROLLED_YET.min(watchdog)) => {}
        }
    }
}

fn after_asking(
    state: &StateDir,
    board: &Board,
    pending: &Pending,
    asked: Result<Enrolment, AskError>,
    backoff: &mut Backoff,
) -> anyhow::Result<Duration> {
    Ok(match asked {
        Ok(Enrolment::Enrolled(identity)) => {
            state.put_identity(&identity)?;
            Duration::ZERO
        }
        Ok(Enrolment::Waiting { reason, retry_after }) => {
            board.say(&format!("waiting for a person at the hub: {reason}"));
            backoff.reset();
            retry_after
        }
        Ok(Enrolment::Refused { reason }) => {
            board.say(&format!("the hub refuses the token: {reason}"));
            state.drop_pending()?;
            Duration::ZERO
        }
        Err(error) => {
            board.say(&format!("not enrolled yet: {}: {error}", pending.hub));
            backoff.pause(Remedy::Time, chance::share())
        }
    })
}
