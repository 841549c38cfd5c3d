//! The life of one alert: what one finding makes of it.
//!
//! A clock (`pending_since`, `clearing_since`, `level_change_since`) runs only over readings
//! that follow each other closely; after a gap it starts anew.

use crate::model::{Alert, AlertId, Level, Timestamp, alert::AlertPhase};

use super::condition::Finding;

/// What becomes of an alert.
pub(super) enum Next {
    /// It stays open.
    Keep(Alert),
    /// It was pending and cleared: no trace.
    Forget(AlertId),
    /// It is over.
    End(Alert),
    /// It was held and is worse now: over, and a new one fires in its place.
    Reopen {
        ended: Alert,
        level: Level,
        since: Timestamp,
    },
}

/// What a finding makes of an open alert.
pub(super) fn advance(mut alert: Alert, finding: &Finding, at: Timestamp, gap_ms: i64) -> Next {
    // A clock that stepped back leaves evidence in the future: as good as none.
    let since_evidence = at.millis_since(alert.evidence_at);
    let broken = since_evidence > gap_ms || since_evidence < 0;
    if alert.phase == AlertPhase::Pending {
        return pending(alert, finding, at, broken);
    }
    if broken {
        alert.clearing_since = None;
        alert.level_change_since = None;
    }
    // A filesystem that is back, or gone again, is judged afresh.
    if alert.clearing_since.is_some() && is_vanished(&alert) != finding.vanished {
        alert.clearing_since = None;
    }
    set_vanished(&mut alert, finding.clears && finding.vanished);

    run(&mut alert.clearing_since, finding.clears, at);
    if elapsed(alert.clearing_since, at, finding.keep_ms) {
        if alert.held {
            alert.held = false;
            stop_clocks(&mut alert);
        } else {
            close(&mut alert, at);
        }
        return Next::End(alert);
    }

    let worsens = alert.level == Level::Warning && finding.asks == Some(Level::Critical);
    let lowers = alert.level == Level::Critical && finding.lowers && !alert.held;
    run(&mut alert.level_change_since, worsens || lowers, at);
    let wait_ms = if worsens { finding.for_ms } else { finding.keep_ms };
    // A value that is about to end the alert does not first send word of a lower level.
    if elapsed(alert.level_change_since, at, wait_ms) && !finding.clears {
        let since = alert.level_change_since.unwrap_or(at);
        alert.level_change_since = None;
        if alert.held {
            alert.held = false;
            stop_clocks(&mut alert);
            return Next::Reopen {
                ended: alert,
                level: Level::Critical,
                since,
            };
        }
        alert.level = if worsens { Level::Critical } else { Level::Warning };
        tell(&mut alert, finding);
    } else if alert.phase == AlertPhase::Firing && finding.names_another_cause(&alert) {
        tell(&mut alert, finding);
    }
    if alert.clearing_since.is_some() || alert.level_change_since.is_some() {
        alert.evidence_at = at;
    }
    Next::Keep(alert)
}

fn pending(mut alert: Alert, finding: &Finding, at: Timestamp, broken: bool) -> Next {
    let Some(asked) = finding.asks else {
        return Next::Forget(alert.id);
    };
    if broken {
        alert.pending_since = at;
        alert.created_at = at;
        alert.level = asked;
        alert.level_change_since = None;
        alert.evidence_count = 0;
    }
    // It fires at the level that held for the whole time; the rest of the way up it goes
    // once that level has held as long.
    if asked < alert.level {
        alert.level = asked;
    }
    run(&mut alert.level_change_since, asked > alert.level, at);
    alert.evidence_at = at;
    alert.evidence_count = alert.evidence_count.saturating_add(1);
    Next::Keep(ripen(alert, finding, at))
}

/// Lets a pending alert fire when it has been pending for long enough.
pub(super) fn ripen(mut alert: Alert, finding: &Finding, at: Timestamp) -> Alert {
    if alert.evidence_count >= finding.min_count && elapsed(Some(alert.pending_since), at, finding.for_ms) {
        fire(&mut alert, finding, at);
    }
    alert
}

/// Makes a pending alert a firing one.
pub(super) fn fire(alert: &mut Alert, finding: &Finding, at: Timestamp) {
    alert.phase = AlertPhase::Firing;
    alert.created_at = at;
    alert.evidence_at = at;
    tell(alert, finding);
}

/// Makes a firing alert a resolved one.
pub(super) fn close(alert: &mut Alert, at: Timestamp) {
    alert.phase = AlertPhase::Resolved;
    alert.resolved_at = Some(at);
    stop_clocks(alert);
}

fn stop_clocks(alert: &mut Alert) {
    alert.clearing_since = None;
    alert.level_change_since = None;
    set_vanished(alert, false);
}

/// Puts what was found into the values for the message.
fn tell(alert: &mut Alert, finding: &Finding) {
    alert.params = finding.params(alert.level, alert.pending_since);
}

/// Starts, lets run or stops a clock.
fn run(clock: &mut Option<Timestamp>, holds: bool, at: Timestamp) {
    *clock = if holds { clock.or(Some(at)) } else { None };
}

fn elapsed(since: Option<Timestamp>, at: Timestamp, wait_ms: i64) -> bool {
    since.is_some_and(|since| at.millis_since(since) >= wait_ms)
}

fn is_vanished(alert: &Alert) -> bool {
    alert.params.contains_key("vanished")
}

fn set_vanished(alert: &mut Alert, vanished: bool) {
    if vanished {
        alert.params.insert("vanished".into(), true.into());
    } else {
        alert.params.remove("vanished");
    }
}
