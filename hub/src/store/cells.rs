//! The cells of a sample: its values as a run of variable-length integers, in the order of a
//! layout.
//!
//! A cell is a LEB128 integer: `zigzag(value) + 1`, or 0 for "absent", followed by how many
//! more cells in a row are absent. Absent cells at the end are not written. Reading is bounded
//! by the bytes at hand and never panics: what does not decode is [`Damaged`].

use gander_probe::varint::{self, Damaged, unzigzag, zigzag};

/// Writes cells one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    absent: u64,
}

impl Encoder {
    /// The next cell has no value.
    pub(super) fn absent(&mut self) {
        self.absent += 1;
    }

    /// The next cell has this value. The smallest integer is kept as the one above it.
    pub(super) fn value(&mut self, value: i64) {
        if self.absent > 0 {
            self.bytes.push(0);
            varint::put(&mut self.bytes, self.absent - 1);
            self.absent = 0;
        }
        varint::put(&mut self.bytes, zigzag(value.max(i64::MIN + 1)) + 1);
    }

    /// The cells written.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Calls `visit(slot, value)` for the wanted cells that have a value; `wanted` is `(cell, slot)`
/// in rising order of cells. Cells between them are stepped over without being decoded.
pub(super) fn pick(
    bytes: &[u8],
    wanted: &[(u32, u32)],
    mut visit: impl FnMut(u32, i64),
) -> Result<(), Damaged> {
    let mut rest = bytes;
    let mut cell: u64 = 0;
    for (target, slot) in wanted {
        let target = u64::from(*target);
        while cell < target {
            let Some(first) = rest.first() else { return Ok(()) };
            if *first == 0 {
                rest = &rest[1..];
                let more = varint::take(&mut rest)?;
                cell = cell
                    .checked_add(more)
                    .and_then(|cell| cell.checked_add(1))
                    .ok_or(Damaged)?;
            } else {
                let length = rest.iter().position(|byte| byte & 0x80 == 0).ok_or(Damaged)? + 1;
                rest = &rest[length..];
                cell += 1;
            }
        }
        if cell > target {
            continue;
        }
        match rest.first() {
            None => return Ok(()),
            // The run of absent cells that begins here is stepped over by the next target.
            Some(0) => {}
            Some(_) => {
                let code = varint::take(&mut rest)?;
                visit(*slot, unzigzag(code.checked_sub(1).ok_or(Damaged)?));
                cell += 1;
            }
        }
    }
    Ok(())
}

/// Calls `visit(cell, value)` for every cell that has a value.
pub(super) fn each(bytes: &[u8], mut visit: impl FnMut(usize, i64)) -> Result<(), Damaged> {
    let mut rest = bytes;
    let mut cell = 0_usize;
    while !rest.is_empty() {
        let code = varint::take(&mut rest)?;
        if code == 0 {
            let more = usize::try_from(varint::take(&mut rest)?).map_err(|_| Damaged)?;
            cell = cell
                .checked_add(more)
                .and_then(|cell| cell.checked_add(1))
                .ok_or(Damaged)?;
        } else {
            visit(cell, unzigzag(code - 1));
            cell = cell.checked_add(1).ok_or(Damaged)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(cells: &[Option<i64>]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        for cell in cells {
            match cell {
                Some(value) => encoder.value(*value),
                None => encoder.absent(),
            }
        }
        encoder.finish()
    }

    fn decode_all(bytes: &[u8], cells: usize) -> Result<Vec<Option<i64>>, Damaged> {
        let mut out = vec![None; cells];
        let wanted: Vec<(u32, u32)> = (0..cells as u32).map(|cell| (cell, cell)).collect();
        pick(bytes, &wanted, |slot, value| out[slot as usize] = Some(value))?;
        Ok(out)
    }

    #[test]
    fn small_values_take_one_byte_and_runs_of_absent_ones_two() {
        assert_eq!(encode(&[Some(0), Some(-1), Some(63), Some(64)]).len(), 5);
        assert_eq!(encode(&[None; 100]).len(), 0);
        assert_eq!(encode(&[None, None, None, Some(1)]), [0, 2, 3]);
    }

    #[test]
    fn the_smallest_integer_is_the_only_one_that_moves() {
        let cells = [Some(i64::MIN), Some(i64::MAX), Some(i64::MIN + 1)];
        let back = decode_all(&encode(&cells), 3).unwrap();
        assert_eq!(back, [Some(i64::MIN + 1), Some(i64::MAX), Some(i64::MIN + 1)]);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(cells: Vec<Option<i64>>) {
            let bytes = encode(&cells);
            let kept: Vec<_> = cells.iter().map(|cell| cell.map(|value| value.max(i64::MIN + 1))).collect();
            prop_assert_eq!(decode_all(&bytes, cells.len()).unwrap(), kept);
        }

        #[test]
        fn picking_sees_what_decoding_sees(
            cells in proptest::collection::vec(proptest::option::of(any::<i64>()), 0..80),
            wanted in proptest::collection::btree_set(0_u32..100, 0..20),
        ) {
            let bytes = encode(&cells);
            let wanted: Vec<(u32, u32)> = wanted.into_iter().zip(0..).collect();
            let mut picked = Vec::new();
            pick(&bytes, &wanted, |slot, value| picked.push((slot, value))).unwrap();
            let expected: Vec<(u32, i64)> = wanted
                .iter()
                .filter_map(|(cell, slot)| {
                    Some((*slot, cells.get(*cell as usize).copied()??.max(i64::MIN + 1)))
                })
                .collect();
            prop_assert_eq!(picked, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes: Vec<u8>,
            wanted in proptest::collection::btree_set(0_u32..u32::MAX, 0..20),
        ) {
            let wanted: Vec<(u32, u32)> = wanted.into_iter().zip(0..).collect();
            let _ = decode_all(&bytes, 50);
            let _ = pick(&bytes, &wanted, |_, _| ());
        }
    }
}
