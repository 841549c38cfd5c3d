//! Pressure stall information: lines of `/proc/pressure/*` with the resource's name before them,
//! `cpu some avg10=1.53 …`. Format: `Documentation/accounting/psi.rst`.

use super::{ParseError, hundredths};
use crate::snapshot::Pressure;

/// Parses the lines; `avg10` is used, in tenths of a percent.
///
/// # Errors
/// Where a line is not of this form.
pub fn parse(text: &str) -> Result<Pressure, ParseError> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(resource), Some(share)) = (words.next(), words.next()) else {
            continue;
        };
        let field = match (resource, share) {
            ("cpu", "some") => &mut pressure.cpu_some_permille,
            ("memory", "some") => &mut pressure.memory_some_permille,
            ("memory", "full") => &mut pressure.memory_full_permille,
            ("io", "some") => &mut pressure.io_some_permille,
            ("io", "full") => &mut pressure.io_full_permille,
            _ => continue,
        };
        let percent_hundredths = words
            .next()
            .and_then(|word| word.strip_prefix("avg10="))
            .and_then(hundredths)
            .ok_or_else(|| ParseError::at("no avg10", line))?;
        let permille = (percent_hundredths.saturating_add(5) / 10).min(1000);
        *field = u16::try_from(permille).ok();
    }
    Ok(pressure)
}
