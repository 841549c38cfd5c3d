//! Which backups have become too many.

use std::collections::BTreeMap;

use crate::model::Timestamp;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The backups to remove: all but the newest `keep`, and the newest of each of the `keep_weekly`
/// most recent weeks (Monday to Sunday, UTC) that have one. Never the newest of all.
#[must_use]
pub(super) fn too_many(times: &[Timestamp], keep: u32, keep_weekly: u32) -> Vec<Timestamp> {
    let mut newest_first = times.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    newest_first.dedup();
    let mut weeks: BTreeMap<i64, Timestamp> = BTreeMap::new();
    for moment in &newest_first {
        // 1970-01-01 was a Thursday.
        let week = (moment.0.div_euclid(DAY_MS) + 3).div_euclid(7);
        weeks.entry(week).or_insert(*moment);
    }
    let weekly: Vec<Timestamp> = weeks.into_values().rev().take(keep_weekly as usize).collect();
    newest_first
        .into_iter()
        .skip(keep.max(1) as usize)
        .filter(|moment| !weekly.contains(moment))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> Timestamp {
        // Day 0 is Monday, 2026-11-16.
        Timestamp(Timestamp::parse("2026-11-16T03:00:00Z").unwrap().0 + number * DAY_MS)
    }

    #[test]
    fn the_newest_stay_and_one_of_each_week() {
        let times: Vec<Timestamp> = (-21..=6).map(day).collect();
        let gone = too_many(&times, 3, 0);
        assert_eq!(gone.len(), 25);
        assert!(!gone.contains(&day(6)) && !gone.contains(&day(4)) && gone.contains(&day(3)));
        let gone = too_many(&times, 3, 3);
        // This week's newest is among the three; the Sundays of the two weeks before stay.
        assert_eq!(gone.len(), 23);
        for kept in [day(6), day(5), day(4), day(-1), day(-8)] {
            assert!(!gone.contains(&kept));
        }
    }

    #[test]
    fn the_newest_is_never_removed() {
        assert!(too_many(&[day(0)], 0, 0).is_empty());
        assert!(too_many(&[], 3, 4).is_empty());
        assert_eq!(too_many(&[day(0), day(1)], 0, 0), [day(0)]);
    }
}
