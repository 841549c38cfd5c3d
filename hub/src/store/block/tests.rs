//! Blocks come back as they were, and damage is seen.

use proptest::prelude::*;

use super::*;

fn round_trip(table: &Table, shape: Shape) -> usize {
    let encoded = encode(table, shape).unwrap();
    let directory = Directory::parse(&encoded.bytes[..encoded.directory_bytes]).unwrap();
    assert_eq!(directory.end().max(encoded.directory_bytes), encoded.bytes.len());
    let bytes = Bytes::whole(encoded.bytes.clone());
    assert_eq!(directory.table(&bytes).unwrap(), *table);
    // Each series alone, from no more bytes than it needs.
    for (number, series) in table.series.iter().enumerate() {
        assert_eq!(directory.find(series.id), Some(number));
        let mut few = Bytes::default();
        for range in directory.ranges(Need::Series(&[number])) {
            few.push(range.start, encoded.bytes[range].to_vec());
        }
        assert_eq!(directory.series(number, &few).unwrap(), series.columns);
        assert_eq!(
            directory.pattern(series.pattern, &few).unwrap(),
            table.patterns[series.pattern]
        );
        assert_eq!(directory.times(&few).unwrap(), table.times);
    }
    encoded.bytes.len()
}

/// A walk of the kind a server's values take.
fn curve(kind: u8, length: usize, seed: i64) -> Vec<i64> {
    let noise =
        |step: usize| ((step as i64 + seed).wrapping_mul(6_364_136_223_846_793_005) >> 40).rem_euclid(1_000);
    (0..length)
        .map(|step| match kind % 9 {
            0 => seed,
            1 => seed + step as i64 * 7,
            2 => noise(step),
            3 => noise(step) << 12,
            4 => i64::from(step % 97 == 0),
            5 => (step as i64 / 50) * 3 + seed,
            6 => noise(step).wrapping_mul(i64::MAX / 3),
            7 => noise(step) << (noise(step + 1) % 40),
            _ => (1 << 34) + noise(step) * noise(step + 1),
        })
        .collect()
}

fn tables() -> impl Strategy<Value = (Table, Shape)> {
    let series = (0..9_u8, any::<i32>(), 0..3_usize, any::<bool>());
    (
        0..700_usize,
        proptest::collection::vec(series, 0..12),
        any::<bool>(),
        1..9_usize,
    )
        .prop_map(|(rows, wanted, roll_up, every)| {
            let shape = if roll_up { Shape::RollUp } else { Shape::Samples };
            let times: Vec<i64> = (0..rows as i64).map(|row| row * 10_000 + row % 3).collect();
            let patterns: Vec<Pattern> = [1, every, every * 2]
                .iter()
                .map(|every| {
                    let present: Vec<u32> = (0..rows as u32).step_by(*every).collect();
                    let extras = (0..shape.extras()).map(|place| curve(place as u8, present.len(), 9));
                    Pattern {
                        extras: extras.collect(),
                        rows: present,
                    }
                })
                .collect();
            let series = wanted
                .iter()
                .enumerate()
                .map(|(number, (kind, seed, pattern, opposite))| {
                    let length = patterns[*pattern].rows.len();
                    let mut values = curve(*kind, length, i64::from(*seed));
                    if *opposite {
                        values
                            .iter_mut()
                            .for_each(|value| *value = 1_000_i64.wrapping_sub(*value));
                    }
                    let columns = (0..shape.width()).map(|_| values.clone());
                    Series {
                        id: 5 + number as i64 * 3,
                        pattern: *pattern,
                        columns: columns.collect(),
                    }
                });
            let series = series.collect();
            (
                Table {
                    times,
                    patterns,
                    series,
                },
                shape,
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_block_comes_back_as_it_was((table, shape) in tables()) {
        round_trip(&table, shape);
    }

    #[test]
    fn a_changed_byte_is_noticed_and_nothing_panics(
        (table, shape) in tables(),
        place: prop::sample::Index,
        flip in 1..=255_u8,
    ) {
        let mut encoded = encode(&table, shape).unwrap();
        let index = place.index(encoded.bytes.len());
        encoded.bytes[index] ^= flip;
        let read = Directory::parse(&encoded.bytes[..encoded.directory_bytes])
            .and_then(|directory| directory.table(&Bytes::whole(encoded.bytes.clone())));
        prop_assert!(read.is_err(), "byte {index} of {} was changed", encoded.bytes.len());
    }

    #[test]
    fn arbitrary_directories_never_panic(bytes: Vec<u8>) {
        let mut signed = bytes.clone();
        signed.extend(crc32fast::hash(&bytes).to_le_bytes());
        for bytes in [bytes, signed] {
            if let Ok(directory) = Directory::parse(&bytes) {
                let _ = directory.table(&Bytes::whole(bytes));
            }
        }
    }
}

#[test]
fn columns_that_move_together_are_stored_once() {
    let used = curve(8, 2_000, 1);
    let series = |id, values: Vec<i64>| Series {
        id,
        pattern: 0,
        columns: vec![values],
    };
    let free: Vec<i64> = used.iter().map(|used| (64 << 30) - used).collect();
    let more: Vec<i64> = used.iter().map(|used| used + 12).collect();
    let pattern = Pattern {
        rows: (0..2_000).collect(),
        extras: Vec::new(),
    };
    let times: Vec<i64> = (0..2_000).map(|row| row * 10_000).collect();
    let mut table = Table {
        times,
        patterns: vec![pattern],
        series: vec![series(1, used)],
    };
    let one = round_trip(&table, Shape::Samples);
    table.series.extend([series(2, free), series(3, more)]);
    let three = round_trip(&table, Shape::Samples);
    assert!(three <= one + 24, "{one} bytes became {three}");
}

#[test]
fn an_empty_block_and_one_of_one_row_are_blocks() {
    round_trip(&Table::default(), Shape::Samples);
    let pattern = Pattern {
        rows: vec![0],
        extras: vec![vec![1], vec![0], vec![0]],
    };
    let columns = vec![vec![0], vec![i64::MIN], vec![i64::MAX], vec![-1]];
    let series = vec![Series {
        id: i64::MAX,
        pattern: 0,
        columns,
    }];
    round_trip(
        &Table {
            times: vec![NOW],
            patterns: vec![pattern],
            series,
        },
        Shape::RollUp,
    );
}

const NOW: i64 = 1_767_225_600_000;
