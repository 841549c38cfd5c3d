//! Roll-ups: minimum, mean and maximum of longer steps, made from samples.
//!
//! Pure. A roll-up holds what a set of samples adds to each bucket of its step, exactly (count,
//! sum, extremes, first and last moment), so roll-ups of disjoint sets of samples can be added up
//! in any order: two halves of a bucket, a late sample, a roll-up of roll-ups. A query over a step
//! that is a multiple answers the same from them as from the samples.
//!
//! In a block ([`Shape::RollUp`](super::block::Shape)) a row is a bucket and its time the bucket's
//! start. Columns of a pattern: number of samples; first and last sample, as milliseconds after
//! the start. Columns of a series: low 64 bits of the sum (signed); the rest of it; how far the
//! minimum lies below the mean (rounded down) and the maximum above it.

use std::collections::{BTreeMap, HashMap};

use super::block::{Damaged, Pattern, Series, Table};
use super::buckets::{Bucket, EMPTY};

/// Length of the buckets of each roll-up, in milliseconds; each a multiple of the one before.
/// The same number is the tier of its blocks in the database; samples are tier 0.
pub(super) const STEPS: [i64; 2] = [15 * 60_000, 3 * 3_600_000];

/// The whole of time.
pub(super) const EVER: (i64, i64) = (i64::MIN, i64::MAX);

/// The buckets of each series, in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RollUp {
    pub(super) series: BTreeMap<i64, Vec<(i64, Bucket)>>,
}

impl RollUp {
    /// Adds the samples of a table that were taken in `[from, to)`.
    pub(super) fn add_samples(&mut self, table: &Table, step: i64, (from, to): (i64, i64)) {
        let times: Vec<Vec<i64>> = table
            .patterns
            .iter()
            .map(|pattern| {
                pattern
                    .rows
                    .iter()
                    .map(|row| table.times[*row as usize])
                    .collect()
            })
            .collect();
        for series in &table.series {
            let mut buckets: Vec<(i64, Bucket)> = Vec::new();
            let both = times[series.pattern].iter().zip(&series.columns[0]);
            for (taken_at, value) in both.filter(|(at, _)| (from..to).contains(*at)) {
                let start = taken_at.div_euclid(step) * step;
                match buckets.last_mut() {
                    Some((last, bucket)) if *last == start => bucket.add(*taken_at, *value),
                    _ => {
                        let mut bucket = EMPTY;
                        bucket.add(*taken_at, *value);
                        buckets.push((start, bucket));
                    }
                }
            }
            self.merge(series.id, buckets);
        }
    }

    /// Adds the buckets of a roll-up's table that begin in `[from, to)`.
    pub(super) fn add_table(&mut self, table: &Table, (from, to): (i64, i64)) -> Result<(), Damaged> {
        for series in &table.series {
            let pattern = &table.patterns[series.pattern];
            let mut buckets = Vec::with_capacity(pattern.rows.len());
            for (place, row) in pattern.rows.iter().enumerate() {
                let start = table.times[*row as usize];
                if (from..to).contains(&start) {
                    buckets.push((start, bucket(start, place, &pattern.extras, &series.columns)?));
                }
            }
            self.merge(series.id, buckets);
        }
        Ok(())
    }

    /// The same in longer steps, each a multiple of those it has.
    pub(super) fn in_steps_of(self, step: i64) -> Self {
        let mut longer = Self::default();
        for (series, buckets) in self.series {
            for (start, bucket) in buckets {
                longer.merge(series, vec![(start.div_euclid(step) * step, bucket)]);
            }
        }
        longer
    }

    fn merge(&mut self, series: i64, buckets: Vec<(i64, Bucket)>) {
        if buckets.is_empty() {
            return;
        }
        let own = self.series.entry(series).or_default();
        let in_order = own.last().is_none_or(|(last, _)| *last < buckets[0].0);
        own.extend(buckets);
        if in_order {
            return;
        }
        own.sort_by_key(|(start, _)| *start);
        own.dedup_by(|(start, later), (earlier_start, earlier)| {
            let same = start == earlier_start;
            if same {
                earlier.absorb(later);
            }
            same
        });
    }

    /// As the table of a block.
    pub(super) fn to_table(&self) -> Table {
        let mut times: Vec<i64> = self.series.values().flatten().map(|(start, _)| *start).collect();
        times.sort_unstable();
        times.dedup();
        let mut table = Table {
            times,
            ..Table::default()
        };
        let mut numbers: HashMap<Pattern, usize> = HashMap::new();
        for (id, buckets) in &self.series {
            let row = |start: &i64| table.times.partition_point(|time| time < start) as u32;
            let pattern = Pattern {
                rows: buckets.iter().map(|(start, _)| row(start)).collect(),
                extras: vec![
                    buckets
                        .iter()
                        .map(|(_, bucket)| i64::from(bucket.count))
                        .collect(),
                    buckets
                        .iter()
                        .map(|(start, bucket)| bucket.first.wrapping_sub(*start))
                        .collect(),
                    buckets
                        .iter()
                        .map(|(start, bucket)| bucket.last.wrapping_sub(*start))
                        .collect(),
                ],
            };
            let next = numbers.len();
            let number = *numbers.entry(pattern).or_insert(next);
            let mut columns = vec![Vec::new(); 4];
            for (_, bucket) in buckets {
                let mean = mean(bucket.sum, bucket.count);
                let low = bucket.sum as i64;
                columns[0].push(low);
                columns[1].push(((bucket.sum - i128::from(low)) >> 64) as i64);
                columns[2].push(mean.wrapping_sub(bucket.min));
                columns[3].push(bucket.max.wrapping_sub(mean));
            }
            table.series.push(Series {
                id: *id,
                pattern: number,
                columns,
            });
        }
        let mut patterns: Vec<(Pattern, usize)> = numbers.into_iter().collect();
        patterns.sort_by_key(|(_, number)| *number);
        table.patterns = patterns.into_iter().map(|(pattern, _)| pattern).collect();
        table
    }
}

/// The mean, rounded down: it lies between the extremes, so it is an `i64`.
fn mean(sum: i128, count: u32) -> i64 {
    sum.div_euclid(i128::from(count.max(1))) as i64
}

/// The bucket in a row of a roll-up's columns.
pub(super) fn bucket(
    start: i64,
    row: usize,
    extras: &[Vec<i64>],
    columns: &[Vec<i64>],
) -> Result<Bucket, Damaged> {
    let count = u32::try_from(extras[0][row]).ok().filter(|count| *count > 0);
    let count = count.ok_or(Damaged("a bucket of no samples"))?;
    let sum = (i128::from(columns[1][row]) << 64) + i128::from(columns[0][row]);
    let mean = mean(sum, count);
    Ok(Bucket {
        sum,
        min: mean.wrapping_sub(columns[2][row]),
        max: mean.wrapping_add(columns[3][row]),
        first: start.wrapping_add(extras[1][row]),
        last: start.wrapping_add(extras[2][row]),
        count,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::block::{Bytes, Directory, Shape, encode};

    fn samples(values: &BTreeMap<i64, i64>) -> Table {
        Table {
            times: values.keys().copied().collect(),
            patterns: vec![Pattern {
                rows: (0..values.len() as u32).collect(),
                extras: Vec::new(),
            }],
            series: vec![Series {
                id: 7,
                pattern: 0,
                columns: vec![values.values().copied().collect()],
            }],
        }
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole_through_a_block(
            values in proptest::collection::btree_map(-5_000..5_000_i64, any::<i64>(), 1..200),
            halves in proptest::collection::vec(any::<bool>(), 200),
        ) {
            let step = 100;
            let mut whole = RollUp::default();
            whole.add_samples(&samples(&values), step, EVER);
            let mut sum = RollUp::default();
            for half in [true, false] {
                let part = values.iter().zip(&halves).filter(|(_, side)| **side == half);
                let part: BTreeMap<i64, i64> = part.map(|((at, value), _)| (*at, *value)).collect();
                let mut roll_up = RollUp::default();
                roll_up.add_samples(&samples(&part), step, EVER);
                let encoded = encode(&roll_up.to_table(), Shape::RollUp).unwrap();
                let directory = Directory::parse(&encoded.bytes[..encoded.directory_bytes]).unwrap();
                let table = directory.table(&Bytes::whole(encoded.bytes)).unwrap();
                sum.add_table(&table, EVER).unwrap();
            }
            prop_assert_eq!(&sum, &whole);
            for (start, bucket) in &whole.series[&7] {
                let own: Vec<i64> = values.range(start..&(start + step)).map(|(_, value)| *value).collect();
                prop_assert_eq!(bucket.count as usize, own.len());
                prop_assert_eq!(Some(&bucket.max), own.iter().max());
                prop_assert_eq!(bucket.sum, own.iter().map(|value| i128::from(*value)).sum::<i128>());
            }
        }
    }
}
