//! Records what this machine tells a probe, each second, so that a benchmark can feed a store with
//! what a real machine did rather than with a random walk.
//!
//! ```sh
//! cargo run --release -p gander-probe --example record -- --seconds 7200 --out recording.answers
//! ```
//!
//! The file is a probe's own stream (see `gander_probe::wire`): the counters as they stood, not yet
//! subtracted. So any slower pace can be had from one recording by leaving answers out before the
//! differ sees them. Each answer has a section more, `recorded`: milliseconds since 1970 and
//! milliseconds of a clock that is never set. It costs about half a thousandth of a core.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use gander_probe::local;
use gander_probe::wire::{Answer, PROTOCOL, Sections};

const SECOND: Duration = Duration::from_secs(1);
/// Every so many seconds the sections that cost more.
const SLOW_EVERY: u64 = 10;
/// Every so many seconds what hardly changes.
const FACTS_EVERY: u64 = 3_600;

fn main() -> Result<()> {
    let (seconds, out) = arguments()?;
    let file = File::create(&out).with_context(|| format!("{} cannot be written", out.display()))?;
    let mut file = BufWriter::with_capacity(256 * 1024, file);
    writeln!(file, "@gander hello {PROTOCOL} Linux")?;
    let start = Instant::now();
    for number in 0..seconds {
        let mut sections = Sections::TICK;
        if number % SLOW_EVERY == 0 {
            sections = sections | Sections::SLOW;
        }
        if number % FACTS_EVERY == 0 {
            sections = sections | Sections::FACTS;
        }
        let answer = local::read(sections);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let recorded = format!("{} {}\n", wall.as_millis(), start.elapsed().as_millis());
        write(&mut file, u32::try_from(number)?, &answer, &recorded)?;
        if number % 10 == 9 {
            file.flush()?;
        }
        // A second that came too late is left out of the sleeping, not of the recording.
        let next = SECOND * u32::try_from(number + 1)?;
        std::thread::sleep(next.saturating_sub(start.elapsed()));
    }
    file.flush()?;
    Ok(())
}

fn arguments() -> Result<(u64, PathBuf)> {
    let (mut seconds, mut out) = (None, None);
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        let value = words.next();
        match (word.to_str(), value) {
            (Some("--seconds"), Some(value)) => {
                let text = value.to_string_lossy().into_owned();
                let number = text
                    .parse()
                    .with_context(|| format!("--seconds wants a number, not \"{text}\""))?;
                seconds = Some(number);
            }
            (Some("--out"), Some(value)) => out = Some(PathBuf::from(value)),
            _ => bail!(
                "\"{}\" is not understood; use --seconds N --out FILE",
                word.to_string_lossy()
            ),
        }
    }
    Ok((
        seconds.context("--seconds N is missing")?,
        out.context("--out FILE is missing")?,
    ))
}

/// One answer as the script would have framed it.
fn write(file: &mut impl std::io::Write, number: u32, answer: &Answer, recorded: &str) -> Result<()> {
    let mut body = String::with_capacity(8 * 1024);
    let sections = answer
        .sections
        .iter()
        .map(|section| (section.name.as_str(), section.text.as_str()));
    for (name, text) in sections.chain([("recorded", recorded)]) {
        body.push('=');
        body.push_str(name);
        body.push('\n');
        for line in text.lines() {
            if line.starts_with(['=', '?']) {
                body.push(' ');
            }
            body.push_str(line);
            body.push('\n');
        }
    }
    for fault in &answer.faults {
        body.push_str(&format!("?{} {}\n", fault.section, fault.reason));
    }
    write!(
        file,
        "@gander answer {number} {}\n{body}@gander end {number}\n",
        body.len()
    )?;
    Ok(())
}
