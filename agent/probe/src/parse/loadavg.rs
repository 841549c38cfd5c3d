//! `/proc/loadavg`: `0.42 0.31 0.27 2/345 6789`.

use super::{ParseError, hundredths};
use crate::snapshot::Load;

/// What the line tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loadavg {
    /// The three averages.
    pub load: Load,
    /// Runnable scheduling entities now, the reader among them.
    pub running: Option<u32>,
    /// All scheduling entities: processes and threads.
    pub threads: Option<u32>,
}

/// Parses the line.
///
/// # Errors
/// Where the three averages are not there.
pub fn parse(text: &str) -> Result<Loadavg, ParseError> {
    let line = text.lines().next().unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    let mut average = || {
        words
            .next()
            .and_then(hundredths)
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| ParseError::at("not three load averages", line))
    };
    let load = Load {
        one_hundredths: average()?,
        five_hundredths: average()?,
        fifteen_hundredths: average()?,
    };
    let tasks = words.next().and_then(|word| word.split_once('/'));
    Ok(Loadavg {
        load,
        running: tasks.and_then(|(running, _)| running.parse().ok()),
        threads: tasks.and_then(|(_, threads)| threads.parse().ok()),
    })
}
