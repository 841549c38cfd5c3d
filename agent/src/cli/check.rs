//! `gander-agent check`: goes the way a report goes, step by step, and says in plain words where it
//! ends. Disturbs nothing: the running agent's stream goes on.

use std::{io, process::ExitCode};

use tonic::Code;

use super::{
    say,
    show::{self, span},
};
use crate::{
    identity::Identity,
    link::{
        self,
        connect::{ConnectError, Connection, Step, addresses, reach, secure},
        enrol::{in_words, standing},
    },
    look::wall_ms,
    spool::{self, Limits},
    state::{StateDir, StateError},
};

/// A clock further off than this is worth a word.
const CLOCK_MS: i64 = 2000;

/// Collects what is said, and whether all was well.
struct Report {
    well: bool,
}

impl Report {
    fn good(&self, what: &str) {
        say(&format!("ok    {what}"));
    }

    fn note(&self, what: &str) {
        say(&format!("note  {what}"));
    }

    fn bad(&mut self, what: &str) {
        self.well = false;
        say(&format!("BAD   {what}"));
    }
}

pub(super) async fn run(state: &StateDir) -> anyhow::Result<ExitCode> {
    let mut report = Report { well: true };
    if let Some(identity) = local(state, &mut report) {
        certificate(&identity, &mut report);
        if let Err(error) = remote(&identity, &mut report).await {
            report.bad(&error.to_string());
        }
    }
    Ok(if report.well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The state directory. Answers who this agent is, if it is somebody.
fn local(state: &StateDir, report: &mut Report) -> Option<Identity> {
    let path = state.path().display();
    match std::fs::metadata(state.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.bad(&format!(
                "the state directory {path} is not there: this machine was never enrolled, or --state is wrong"
            ));
            return None;
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            report.bad(&format!(
                "the state directory {path} may not be looked at: run this as root"
            ));
            return None;
        }
        Err(error) => {
            report.bad(&format!("the state directory {path}: {error}"));
            return None;
        }
        Ok(metadata) => permissions(state, &metadata, report),
    }
    let running = matches!(state.lock(), Err(StateError::InUse { .. }));
    let status = std::fs::read_to_string(state.status_path()).ok();
    match (running, status) {
        (true, Some(text)) => report.good(&format!("running: {}", show::words(&text, wall_ms()))),
        (true, None) => report.good("running"),
        (false, _) => report.bad("the agent is not running: systemctl enable --now gander-agent"),
    }
    spool_state(state, running, report);
    match (state.identity(), state.pending()) {
        (Err(error), _) => report.bad(&error.to_string()),
        (Ok(Some(identity)), _) => {
            report.good(&format!(
                "enrolled with {} as {}",
                identity.hub, identity.server_name
            ));
            return Some(identity);
        }
        (Ok(None), Ok(Some(pending))) => report.bad(&format!(
            "the enrolment waits for a person at the hub {}: open its page \"Agents\"",
            pending.hub
        )),
        (Ok(None), _) => {
            report.bad("not enrolled: run the line that the hub shows under \"Add an agent\"");
        }
    }
    None
}

#[cfg(unix)]
fn permissions(state: &StateDir, directory: &std::fs::Metadata, report: &mut Report) {
    use std::os::unix::fs::MetadataExt as _;
    let path = state.path().display();
    if directory.mode() & 0o077 != 0 {
        report.bad(&format!("{path} is open to others: chmod 700 {path}"));
    } else {
        report.good(&format!("{path} belongs to the agent alone"));
    }
    if let Ok(identity) = std::fs::metadata(state.identity_path()) {
        let file = state.identity_path();
        if identity.uid() != directory.uid() {
            report.bad(&format!(
                "{} belongs to another user than {path}, so the agent cannot read it: chown --reference={path} {}",
                file.display(),
                file.display()
            ));
        }
        if identity.mode() & 0o077 != 0 {
            report.bad(&format!(
                "{} is open to others: chmod 600 {}",
                file.display(),
                file.display()
            ));
        }
    }
}

#[cfg(not(unix))]
fn permissions(_: &StateDir, _: &std::fs::Metadata, _: &mut Report) {}

fn spool_state(state: &StateDir, running: bool, report: &mut Report) {
    let waiting = match spool::peek(&state.spool()) {
        Ok(waiting) => waiting,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            report.bad(&format!("the spool {}: {error}", state.spool().display()));
            return;
        }
    };
    let limit = Limits::default().disk_bytes;
    let mut words = format!(
        "the spool holds {} samples in {} kB",
        waiting.samples,
        waiting.bytes.div_ceil(1000)
    );
    if let Some(oldest) = waiting.oldest_ms {
        let age = (wall_ms() - oldest).max(0) / 1000;
        words.push_str(&format!(", the oldest {} old", span(age)));
    }
    if waiting.dropped + waiting.thinned > 0 {
        words.push_str(&format!(
            "; {} were thinned and {} dropped for want of room",
            waiting.thinned, waiting.dropped
        ));
    }
    if waiting.bytes * 10 > limit * 9 {
        report.bad(&format!(
            "{words}: it is nearly full, old samples are thinned and then dropped"
        ));
    } else if waiting.samples > 0 && running {
        report.note(&words);
    } else {
        report.good(&words);
    }
}

fn certificate(identity: &Identity, report: &mut Report) {
    let left = (identity.not_after_ms - wall_ms()) / 1000;
    if left <= 0 {
        report.bad(&format!(
            "the certificate ended {} ago (by this machine's clock): enrol again with the line the hub shows, with --again",
            span(-left)
        ));
    } else {
        report.good(&format!("the certificate is good for {}", span(left)));
    }
}

async fn remote(identity: &Identity, report: &mut Report) -> Result<(), ConnectError> {
    let hub = &identity.hub;
    let addresses = addresses(hub).await?;
    let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.good(&format!("{} is {}", hub.host, list.join(", ")));
    let stream = reach(hub, &addresses).await?;
    report.good(&format!("{hub} takes connections"));
    let tls = match link::tls_of(identity) {
        Ok(tls) => tls,
        Err(error) => {
            report.bad(&format!("{error:#}: enrol again with --again"));
            return Ok(());
        }
    };
    let connection = match secure(stream, tls).await {
        Err(error) if error.step == Step::Clock => {
            report.bad(&error.to_string());
            return Ok(());
        }
        other => other?,
    };
    report.good(&format!(
        "{hub} proved that it is the hub this machine was enrolled with"
    ));
    welcome(&connection, report).await;
    Ok(())
}

/// Whether the hub takes this agent, and what its clock says.
async fn welcome(connection: &Connection, report: &mut Report) {
    let before = wall_ms();
    let status = match standing(connection).await {
        Ok(status) => status,
        Err(error) => return report.bad(&error.to_string()),
    };
    match status.code() {
        // What was asked cannot be granted, but who asked was taken.
        Code::InvalidArgument | Code::Ok => report.good("the hub takes this agent's certificate"),
        Code::PermissionDenied | Code::Unauthenticated => report.bad(&format!(
            "{}: enrol again with the line the hub shows, with --again",
            in_words(&status)
        )),
        _ => report.bad(&in_words(&status)),
    }
    let middle = before + (wall_ms() - before) / 2;
    let date = status.metadata().get("date").and_then(|date| date.to_str().ok());
    if let Some(hub_ms) = date.and_then(http_date_ms) {
        // The date has whole seconds: take its middle.
        let ahead = middle - hub_ms - 500;
        if ahead.abs() > CLOCK_MS {
            report.bad(&format!(
                "this machine's clock is {} s {} the hub's: set it (timedatectl set-ntp true). The hub corrects for it meanwhile",
                ahead.abs() / 1000,
                if ahead > 0 { "ahead of" } else { "behind" }
            ));
        } else {
            report.good("the clocks agree");
        }
    }
}

/// `Sun, 22 Nov 2026 18:49:16 GMT` in milliseconds since 1970.
fn http_date_ms(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_ascii_whitespace().skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // Days from the civil calendar, years beginning in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_web_are_read() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 22 Nov 2026 18:49:16 GMT", 1_795_373_356),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Sat, 01 Mar 2036 00:00:00 GMT", 2_087_942_400),
        ] {
            assert_eq!(http_date_ms(text), Some(seconds * 1000), "{text}");
        }
        assert_eq!(http_date_ms("yesterday"), None);
    }
}
