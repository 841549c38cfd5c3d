//! What one message may hold: an agent keeps to it, the hub refuses more.

use std::time::Duration;

/// Bytes of one message on an agent's stream, uncompressed.
pub const MESSAGE_BYTES: usize = 256 * 1024;
/// Samples in one batch.
pub const BATCH_SAMPLES: usize = 256;
/// Words that one stream or file may have in its table.
pub const WORDS: usize = 16_384;
/// Bytes of all words in one table.
pub const WORD_BYTES: usize = 512 * 1024;
/// A writer begins a new table from this many words on.
pub const WORDS_REFILL: usize = 4_096;
/// A writer begins a new table from this many bytes of words on.
pub const WORD_BYTES_REFILL: usize = 128 * 1024;
/// Bytes of any other text in a message.
pub const TEXT_BYTES: usize = 4_096;
/// Cores of one machine.
pub const CORES: usize = 8_192;
/// Filesystems, disks, interfaces or temperature sensors of one machine.
pub const ITEMS: usize = 1_024;
/// Sections of one snapshot that could not be read.
pub const FAULTS: usize = 64;
/// Entries of the list in the field of this name.
pub(crate) fn longest(field: &str) -> usize {
    match field {
        "cores_permille" => CORES,
        "faults" => FAULTS,
        _ => ITEMS,
    }
}
/// Two clocks that are further apart than this are corrected for.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
