//! Which blocks become one, and what it then is. Pure: tables in, encoded blocks out.

use super::block::{Damaged, Encoded, Shape, Table, encode};
use super::chunks::BlockRow;
use super::rollup::{EVER, RollUp, STEPS};
use super::table::union;

/// When to fold and merge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Rows of a server that are worth a block; four times as many are folded at once at most.
    pub(super) fold: i64,
    /// A block of samples with so many rows enters the roll-ups.
    pub(super) roll: i64,
    /// A block with so many rows is merged no more.
    pub(super) full: i64,
}

/// What the hub runs with.
pub(super) const SIZES: Sizes = Sizes {
    fold: 256,
    roll: 1_024,
    full: 4_096,
};
/// Small blocks of samples merged together: each sample is encoded anew seldom.
pub(super) const FAN_IN: usize = 4;
/// Larger ones, and roll-ups: little is left over as small blocks, which have more bytes a value.
const PAIR: usize = 2;
/// Values a block may have: bounds the memory a merge takes.
const FULL_VALUES: i64 = 2_000_000;

/// Rank of a block's size, and how many neighbours of one rank are merged.
fn rank(block: &BlockRow, sizes: &Sizes) -> (u32, usize) {
    let power = block.samples.max(1).ilog2();
    if block.tier == 0 && block.samples < sizes.roll {
        (power / 2, FAN_IN)
    } else {
        (power, PAIR)
    }
}

/// The blocks to merge next, if any.
pub(super) fn choose(mut blocks: Vec<BlockRow>, sizes: &Sizes) -> Option<Vec<BlockRow>> {
    blocks.sort_by_key(|block| (block.first_at, block.id));
    let fits = |chosen: &[BlockRow]| {
        chosen.iter().map(|block| block.samples).sum::<i64>() <= 2 * sizes.full
            && chosen.iter().map(|block| block.cells).sum::<i64>() <= FULL_VALUES
    };
    let small = |block: &BlockRow| block.samples < sizes.full;
    // Neighbours of about the same size.
    let mut start = 0;
    for end in 1..=blocks.len() {
        let of_a_kind = end < blocks.len()
            && small(&blocks[end])
            && rank(&blocks[end], sizes) == rank(&blocks[start], sizes);
        let run = &blocks[start..end];
        if run.len() >= rank(&run[0], sizes).1 && small(&run[0]) && fits(run) {
            return Some(run.to_vec());
        }
        if !of_a_kind {
            start = end;
        }
    }
    // One that lies within the time of a larger one, or a small one before a larger one: late samples.
    // Roll-ups that follow each other may share a bucket.
    blocks.windows(2).find_map(|pair| {
        let overlap = pair[0].tier == 0 && pair[1].first_at <= pair[0].last_at;
        let swallowed = small(&pair[0]) && rank(&pair[0], sizes).0 < rank(&pair[1], sizes).0;
        ((overlap || swallowed) && fits(pair)).then(|| pair.to_vec())
    })
}

/// One block in the place of several.
pub(super) fn merged(
    server_id: i64,
    tier: i64,
    tables: Vec<(BlockRow, Table)>,
    roll_rows: i64,
) -> Result<Vec<(BlockRow, Encoded)>, Damaged> {
    if tier > 0 {
        let mut roll_up = RollUp::default();
        for (row, table) in &tables {
            roll_up.add_table(table, (row.first_at, i64::MAX))?;
        }
        return Ok(vec![block_of(server_id, tier, &roll_up.to_table(), false)?]);
    }
    let samples: i64 = tables.iter().map(|(row, _)| row.samples).sum();
    let roll = samples >= roll_rows || tables.iter().any(|(row, _)| row.rolled);
    let mut new = Vec::new();
    if roll {
        new = roll_ups(server_id, &tables)?;
    }
    let table = union(tables.into_iter().map(|(row, table)| (row.first_at, table)))?;
    new.push(block_of(server_id, 0, &table, roll)?);
    Ok(new)
}

/// The same block again, its samples in the roll-ups.
pub(super) fn rolled(
    server_id: i64,
    tables: Vec<(BlockRow, Table)>,
) -> Result<Vec<(BlockRow, Encoded)>, Damaged> {
    let mut new = roll_ups(server_id, &tables)?;
    let table = union(tables.into_iter().map(|(row, table)| (row.first_at, table)))?;
    new.push(block_of(server_id, 0, &table, true)?);
    Ok(new)
}

/// What the samples that are not rolled yet add to the roll-ups.
fn roll_ups(server_id: i64, tables: &[(BlockRow, Table)]) -> Result<Vec<(BlockRow, Encoded)>, Damaged> {
    let mut unrolled = tables.iter().filter(|(row, _)| !row.rolled).peekable();
    if unrolled.peek().is_none() {
        return Ok(Vec::new());
    }
    let samples = union(unrolled.map(|(row, table)| (row.first_at, table.clone())))?;
    let roll = |step| {
        let mut roll_up = RollUp::default();
        roll_up.add_samples(&samples, step, EVER);
        block_of(server_id, step, &roll_up.to_table(), false)
    };
    // Samples without a single value are in no roll-up.
    if samples.series.is_empty() {
        Ok(Vec::new())
    } else {
        STEPS.into_iter().map(roll).collect()
    }
}

/// A table as a block to insert.
pub(super) fn block_of(
    server_id: i64,
    tier: i64,
    table: &Table,
    rolled: bool,
) -> Result<(BlockRow, Encoded), Damaged> {
    let shape = if tier == 0 { Shape::Samples } else { Shape::RollUp };
    let encoded = encode(table, shape)?;
    let (Some(first_at), Some(last_at)) = (table.times.first(), table.times.last()) else {
        return Err(Damaged("a block of nothing"));
    };
    let cells = |series: &super::block::Series| table.patterns[series.pattern].rows.len() as i64;
    let row = BlockRow {
        id: 0,
        server_id,
        tier,
        first_at: *first_at,
        last_at: *last_at,
        samples: table.times.len() as i64,
        cells: table.series.iter().map(cells).sum(),
        rolled,
        directory_bytes: encoded.directory_bytes as i64,
        bytes: encoded.bytes.len() as i64,
    };
    Ok((row, encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: i64, first_at: i64, last_at: i64, samples: i64) -> BlockRow {
        BlockRow {
            id,
            server_id: 1,
            tier: 0,
            first_at,
            last_at,
            samples,
            cells: samples,
            rolled: false,
            directory_bytes: 0,
            bytes: 0,
        }
    }

    #[test]
    fn blocks_of_one_size_are_merged_until_they_are_full() {
        let equal = |count: i64, samples| {
            (0..count)
                .map(|id| block(id, id * 10, id * 10 + 9, samples))
                .collect::<Vec<_>>()
        };
        assert_eq!(choose(equal(3, 256), &SIZES), None);
        assert_eq!(choose(equal(9, 256), &SIZES).unwrap().len(), FAN_IN);
        assert_eq!(choose(equal(4, SIZES.full), &SIZES), None);
        assert_eq!(choose(equal(3, 1_024), &SIZES).unwrap().len(), PAIR);
        let roll_ups = |count| {
            let blocks = equal(count, 12).into_iter();
            blocks
                .map(|block| BlockRow { tier: 1, ..block })
                .collect::<Vec<_>>()
        };
        assert_eq!(choose(roll_ups(1), &SIZES), None);
        assert_eq!(choose(roll_ups(2), &SIZES).unwrap().len(), PAIR);
        let mut mixed = equal(3, 256);
        mixed.insert(0, block(9, -10, -1, 1_024));
        assert_eq!(choose(mixed, &SIZES), None);
    }

    #[test]
    fn late_samples_are_merged_with_the_block_they_lie_in() {
        let ids = |blocks| {
            choose(blocks, &SIZES).map(|chosen| chosen.iter().map(|block| block.id).collect::<Vec<_>>())
        };
        let full = block(1, 0, 100, SIZES.full);
        assert_eq!(ids(vec![full.clone(), block(2, 50, 60, 5)]), Some(vec![1, 2]));
        assert_eq!(ids(vec![full.clone(), block(2, 150, 160, 5)]), None);
        assert_eq!(ids(vec![block(2, -20, -10, 5), full.clone()]), Some(vec![2, 1]));
        assert_eq!(ids(vec![full, block(2, 50, 160, 2 * SIZES.full)]), None);
    }
}
