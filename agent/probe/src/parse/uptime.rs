//! `/proc/uptime`: `350735.47 234388.90`, seconds since boot and idle time.

use super::{ParseError, hundredths};

/// Milliseconds since boot (the kernel tells hundredths of a second).
///
/// # Errors
/// Where the first word is no number.
pub fn parse(text: &str) -> Result<u64, ParseError> {
    text.split_ascii_whitespace()
        .next()
        .and_then(hundredths)
        .and_then(|value| value.checked_mul(10))
        .ok_or_else(|| ParseError::at("not an uptime", text))
}
