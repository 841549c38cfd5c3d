//! One look at this machine, with the moment it was true.

use gander_probe::Snapshot;

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// When the values were true, by this machine's clock, in milliseconds since 1970. May be wrong:
    /// the hub measures by how much.
    pub taken_at_ms: i64,
    /// Milliseconds since boot, sleep included. Never set by anybody, so it tells how far a clock
    /// that was set has jumped since.
    pub uptime_ms: i64,
    /// How far the clock was ahead of the hub's, as the hub had told by then; `None` before any did.
    pub clock_ahead_ms: Option<i64>,
    /// The values.
    pub snapshot: Snapshot,
}
