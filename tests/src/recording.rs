//! What a real machine told a probe for a while (`agent/probe/examples/record.rs`), as the samples
//! a hub would have made of it at any pace.
//!
//! The recording has the counters as they stood each second. A slower pace leaves answers out
//! before the real differ sees them, and may begin at any second: ten series at 10 s come out of
//! one recording, all of the same machine, none the same numbers.

use std::{io::Read as _, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use gander_probe::{
    Snapshot,
    delta::Differ,
    parse::RawSample,
    wire::{Decoder, Frame, Limits},
};

/// Sections that a hub asks for every 30 s at most.
const SLOW: [&str; 6] = ["mounts", "statfs", "thermal", "hwmon", "processes", "df"];
/// The pace of the slow sections, in seconds.
const SLOW_PACE: usize = 30;

/// One second of it.
struct Moment {
    /// Milliseconds since the first one.
    at_ms: i64,
    /// What is read at every tick.
    tick: RawSample,
    /// Index of the newest moment that has the slow sections.
    slow: usize,
    /// The slow sections, where they were read.
    slow_raw: Option<RawSample>,
}

/// A recording, parsed.
pub struct Recording {
    moments: Vec<Moment>,
}

/// One sample of a series of samples.
#[derive(Debug, Clone)]
pub struct Step {
    /// Milliseconds since the first sample.
    pub at_ms: i64,
    /// What the hub would have stored.
    pub snapshot: Arc<Snapshot>,
}

impl Recording {
    /// Reads a recording, compressed by gzip (`.gz`) or not.
    ///
    /// # Errors
    /// The file cannot be read, or is no recording.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
        let mut bytes = Vec::new();
        let mut read: Box<dyn std::io::Read> = match path.extension().is_some_and(|end| end == "gz") {
            true => Box::new(flate2::read::MultiGzDecoder::new(file)),
            false => Box::new(file),
        };
        read.read_to_end(&mut bytes)?;
        let mut decoder = Decoder::new(Limits::default());
        let mut moments: Vec<Moment> = Vec::new();
        let (mut first, mut newest_slow) = (None, 0);
        // In small pieces: the decoder bounds what it holds. The last answer may be cut short.
        for piece in bytes.chunks(4096) {
            decoder.push(piece)?;
            while let Some(frame) = decoder.next() {
                let Frame::Answer(mut answer) = frame else {
                    continue;
                };
                let recorded = answer.text("recorded").context("an answer without its time")?;
                let monotonic: i64 = recorded
                    .split_whitespace()
                    .nth(1)
                    .and_then(|word| word.parse().ok())
                    .context("an answer without its time")?;
                let mut slow = answer.clone();
                slow.sections
                    .retain(|section| SLOW.contains(&section.name.as_str()));
                let slow_raw = (!slow.sections.is_empty()).then(|| RawSample::parse(&slow));
                answer
                    .sections
                    .retain(|section| !SLOW.contains(&section.name.as_str()));
                if slow_raw.is_some() {
                    newest_slow = moments.len();
                }
                moments.push(Moment {
                    at_ms: monotonic - *first.get_or_insert(monotonic),
                    tick: RawSample::parse(&answer),
                    slow: newest_slow,
                    slow_raw,
                });
            }
        }
        if moments.len() < 120 {
            bail!(
                "{} holds only {} seconds: record at least two minutes",
                path.display(),
                moments.len()
            );
        }
        Ok(Self { moments })
    }

    /// Its length in seconds.
    #[must_use]
    pub fn seconds(&self) -> usize {
        self.moments.len()
    }

    /// The samples of a hub that looked every `step` seconds, the first time in second `phase`.
    /// The slow sections come every 30 s, as from a hub. The first look, which has no rates yet,
    /// is left out.
    #[must_use]
    pub fn samples(&self, step: usize, phase: usize) -> Vec<Step> {
        let step = step.max(1);
        let mut differ = Differ::new();
        let mut samples = Vec::with_capacity(self.moments.len() / step);
        let mut start = 0;
        for (number, moment) in self.moments.iter().skip(phase).step_by(step).enumerate() {
            let mut raw = moment.tick.clone();
            let is_slow_due = (number * step) % SLOW_PACE < step;
            if let Some(slow) = self.moments[moment.slow]
                .slow_raw
                .as_ref()
                .filter(|_| is_slow_due)
            {
                raw.filesystems.clone_from(&slow.filesystems);
                raw.temperatures.clone_from(&slow.temperatures);
                if let Some(counted) = &slow.processes {
                    raw.processes.get_or_insert_default().total = counted.total;
                }
            }
            let snapshot = differ.advance(raw, moment.at_ms);
            if number == 0 {
                start = moment.at_ms + i64::try_from(step).unwrap_or(1) * 1_000;
                continue;
            }
            samples.push(Step {
                at_ms: moment.at_ms - start,
                snapshot: Arc::new(snapshot),
            });
        }
        samples
    }
}
