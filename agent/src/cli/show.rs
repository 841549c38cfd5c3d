//! `gander-agent status`: what the running agent last said of itself.

use std::process::ExitCode;

use anyhow::Context as _;

use super::say;
use crate::{look::wall_ms, state::StateDir};

pub(super) fn run(state: &StateDir) -> anyhow::Result<ExitCode> {
    let text = match std::fs::read_to_string(state.status_path()) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            say("the agent has not run yet (systemctl start gander-agent)");
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "{} cannot be read: run this as root or as the agent's user",
                    state.status_path().display()
                )
            });
        }
    };
    let running = state.lock().is_err();
    say(&words(&text, wall_ms()));
    if !running {
        say("The agent is not running (systemctl start gander-agent).");
    }
    Ok(if running {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The sentence of the status file, with how long it has been so.
pub(super) fn words(text: &str, now_ms: i64) -> String {
    let mut lines = text.lines();
    let since = lines
        .next()
        .and_then(|line| line.strip_prefix("since_ms = ")?.parse::<i64>().ok());
    let what = lines.next().unwrap_or("nothing known");
    match since.map(|since| now_ms.saturating_sub(since) / 1000) {
        Some(seconds @ 0..) => format!("{what} (for {})", span(seconds)),
        _ => what.to_owned(),
    }
}

/// `3 days 4 h`, `5 min`, `12 s`.
pub(super) fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_and_its_age() {
        let text = "since_ms = 1000\nreporting to hub:8001 as web-1\n";
        assert_eq!(words(text, 61_000), "reporting to hub:8001 as web-1 (for 60 s)");
        assert_eq!(
            words(text, 8_000_000_000),
            "reporting to hub:8001 as web-1 (for 92 days)"
        );
        assert_eq!(
            words(text, 0),
            "reporting to hub:8001 as web-1",
            "the clock was set back"
        );
        assert_eq!(words("", 0), "nothing known");
    }
}
