//! The names of backups: `gander-20261122T190000Z.db`, the moment in UTC.

use crate::model::Timestamp;

const PREFIX: &str = "gander-";
const ENDING: &str = ".db";

/// The name of the backup of a moment (to the second).
#[must_use]
pub fn name_of(moment: Timestamp) -> String {
    let text = moment.to_string();
    let seconds = text.split('.').next().unwrap_or(&text);
    let plain: String = seconds.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    format!("{PREFIX}{plain}Z{ENDING}")
}

/// The moment a name tells; `None` for a file that is no backup of ours.
#[must_use]
pub fn time_of(name: &str) -> Option<Timestamp> {
    let plain = name.strip_prefix(PREFIX)?.strip_suffix(ENDING)?;
    let moment = Timestamp::parse(plain).ok()?;
    // Not another way to write the same moment.
    (name_of(moment) == name).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_moment() {
        let moment = Timestamp::parse("2026-11-22T19:00:05.250Z").unwrap();
        assert_eq!(name_of(moment), "gander-20261122T190005Z.db");
        assert_eq!(time_of(&name_of(moment)), Some(Timestamp(moment.0 - 250)));
        for other in [
            "gander.db",
            "gander-.db",
            "gander-20261122T190005Z.db.sha256",
            "gander-2026-11-22T19:00:05Z.db",
            "gander-20261122T190005+01.db",
            ".gander-20261122T190005Z.db.part",
        ] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }
}
