//! The one place where counters are subtracted.

use crate::parse::RawSample;
use crate::snapshot::Snapshot;

/// Turns the counters of successive answers of one connection into snapshots.
#[derive(Debug, Clone, Default)]
pub struct Differ {}

impl Differ {
    /// A differ that has seen nothing yet: the first snapshot has no CPU use and no rates.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next reading, made at `at_monotonic_ms` of a clock of the caller that never steps.
    pub fn advance(&mut self, raw: RawSample, at_monotonic_ms: i64) -> Snapshot {
        let _ = at_monotonic_ms;
        Snapshot {
            faults: raw.faults,
            ..Snapshot::default()
        }
    }
}
