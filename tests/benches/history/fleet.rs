//! The samples all stores are fed: some servers out of one recording.
//!
//! At a pace of n seconds a recording of seconds gives n series of samples (one beginning at each
//! second), none with the same numbers; server `i` has the one of second `i % n`. Where more
//! servers than that are wanted, the copies begin at another place of the series (and go on at its
//! beginning), so that no two servers have equal blocks. All three stores compress each series for
//! itself, so copies help none of them. Where more samples are asked for than one series has, the
//! next second's series follows, and so on: the same machine at the same time, but other numbers
//! where something moves fast. What moves slowly comes again; of the three, only VictoriaMetrics (zstd
//! over 8,192 values of a series) can make use of that.

use std::sync::Arc;

use gander_e2e::recording::{Recording, Step};
use gander_hub::model::Timestamp;
use gander_probe::Snapshot;

/// The samples of some servers at one pace.
pub(crate) struct Fleet {
    /// Seconds between two samples.
    pub(crate) step: usize,
    /// Samples of each server.
    pub(crate) length: usize,
    /// Whether the times have the recording's few milliseconds of delay; otherwise whole seconds.
    pub(crate) jitter: bool,
    /// The time of the first sample.
    pub(crate) start: i64,
    servers: Vec<Line>,
}

struct Line {
    /// Series that follow each other.
    phases: Vec<Arc<Vec<Step>>>,
    /// The place in them it begins at.
    from: usize,
}

impl Fleet {
    /// `length` samples for each of `servers`; without a length as many as the recording has.
    pub(crate) fn new(recording: &Recording, step: usize, servers: usize, length: Option<usize>) -> Self {
        let phases: Vec<Arc<Vec<Step>>> = (0..step)
            .map(|phase| Arc::new(recording.samples(step, phase)))
            .collect();
        let shortest = phases.iter().map(|phase| phase.len()).min().unwrap_or(0);
        let length = length.unwrap_or(shortest);
        let copies = servers.div_ceil(step);
        let lines = (0..servers).map(|server| {
            let mut phases = phases.clone();
            phases.rotate_left(server % step);
            if length <= shortest {
                phases.truncate(1);
            }
            Line {
                phases,
                from: server / step * shortest / copies,
            }
        });
        // Some days ago, at a whole hour: no store is fed the future.
        let span = i64::try_from(length * step * 1_000).unwrap_or(0);
        let end = Timestamp::now().0 - 3_600_000;
        Self {
            step,
            length,
            jitter: false,
            start: (end - span).div_euclid(3_600_000) * 3_600_000,
            servers: lines.collect(),
        }
    }

    /// The same samples with the times as they were.
    pub(crate) fn with_jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// The first moment after the last sample.
    pub(crate) fn end(&self) -> i64 {
        self.time(self.length)
    }

    fn time(&self, number: usize) -> i64 {
        self.start + i64::try_from(number * self.step * 1_000).unwrap_or(0)
    }

    /// Sample `number` of a server, counted from 0.
    pub(crate) fn sample(&self, server: usize, number: usize) -> (Timestamp, &Snapshot) {
        let line = &self.servers[server];
        let whole: usize = line.phases.iter().map(|phase| phase.len()).sum();
        let mut place = (line.from + number) % whole;
        let mut step = &line.phases[0][0];
        for phase in &line.phases {
            if place < phase.len() {
                step = &phase[place];
                break;
            }
            place -= phase.len();
        }
        let regular = i64::try_from(place * self.step * 1_000).unwrap_or(0);
        let late = if self.jitter {
            (step.at_ms - regular).clamp(-400, 400)
        } else {
            0
        };
        (Timestamp(self.time(number) + late), &step.snapshot)
    }
}
