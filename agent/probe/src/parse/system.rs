//! What the system's own tools keep of its state: failed units, as `systemctl list-units
//! --state=failed --plain` prints them, and what updates left behind in files.

use super::{COMPLETE, ParseError, label, number};
use crate::snapshot::{Units, Updates};

/// Names of failed units that are kept.
const MAX_NAMES: usize = 32;

/// Parses the list of failed units, whose last line says that it is whole; else nothing is believed.
///
/// # Errors
/// None at present; the signature is that of every section.
pub fn units(text: &str) -> Result<Option<Units>, ParseError> {
    if text.lines().next_back() != Some(COMPLETE) {
        return Ok(None);
    }
    let mut units = Units::default();
    for line in text.lines().filter(|line| *line != COMPLETE) {
        // Old ones put a dot or a star before the name.
        let name = line
            .split_ascii_whitespace()
            .find(|word| word.contains('.') && word.len() > 2);
        let Some(name) = name else { continue };
        units.failed = units.failed.saturating_add(1);
        if units.failed_names.len() < MAX_NAMES {
            units.failed_names.push(label(name));
        }
    }
    Ok(Some(units))
}

/// Parses `reboot 1`, and `available SENTENCE` out of `/var/lib/update-notifier/updates-available`
/// ("12 updates can be applied immediately.", "5 of these updates are standard security updates.").
///
/// # Errors
/// None at present; the signature is that of every section.
pub fn updates(text: &str) -> Result<Option<Updates>, ParseError> {
    let mut updates = Updates::default();
    for line in text.lines() {
        if let Some(flag) = line.strip_prefix("reboot ") {
            updates.reboot_required = match flag.trim() {
                "1" => Some(1),
                "0" => Some(0),
                _ => None,
            };
            continue;
        }
        let Some(sentence) = line.strip_prefix("available ") else {
            continue;
        };
        // The number stands first; another sentence ("0 of which …") may follow.
        let Some(count) = sentence.split_ascii_whitespace().next().and_then(number) else {
            continue;
        };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        // What a subscription would bring is not waiting here.
        if sentence.contains("ESM") || sentence.contains("additional") {
            continue;
        }
        if sentence.contains("security") {
            updates.security = Some(count);
        } else if sentence.contains("update") || sentence.contains("package") {
            updates.pending = Some(count);
        }
    }
    Ok(Some(updates).filter(|updates| *updates != Updates::default()))
}
