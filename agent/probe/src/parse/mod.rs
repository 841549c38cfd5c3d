//! Text to counters: one file a subsystem, pure functions on `&str`.

use crate::snapshot::SectionFault;
use crate::wire::Answer;

/// The counters of one answer, not yet subtracted from those before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawSample {
    /// Sections that were asked for and could not be read or understood.
    pub faults: Vec<SectionFault>,
}

impl RawSample {
    /// Parses every section of `answer`. A broken one becomes a fault and spoils no other.
    #[must_use]
    pub fn parse(answer: &Answer) -> Self {
        Self {
            faults: answer.faults.clone(),
        }
    }
}
