//! From a table to the bytes of a block.

use std::collections::HashMap;

use gander_probe::varint::{self, zigzag};

use super::column::{self, Encoding};
use super::directory::{PACKED, SHORT, VERSION};
use super::{Damaged, Shape, Table};

/// A block ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Encoded {
    /// Directory, its checksum, and the data.
    pub(in crate::store) bytes: Vec<u8>,
    /// Length of the directory with its checksum.
    pub(in crate::store) directory_bytes: usize,
}

/// Encodes a table. Its columns must have the lengths the shape asks for.
pub(in crate::store) fn encode(table: &Table, shape: Shape) -> Result<Encoded, Damaged> {
    let mut writer = Writer::default();
    writer.directory.extend([VERSION, shape.code()]);
    for number in [table.times.len(), table.patterns.len(), table.series.len()] {
        varint::put(&mut writer.directory, number as u64);
    }
    writer.column(&table.times)?;
    for pattern in &table.patterns {
        varint::put(&mut writer.directory, pattern.rows.len() as u64);
        if pattern.rows.len() < table.times.len() {
            let positions: Vec<i64> = pattern.rows.iter().map(|row| i64::from(*row)).collect();
            writer.column(&positions)?;
        }
        for extra in &pattern.extras {
            writer.column(extra)?;
        }
    }
    // Columns seen, by pattern, place and shape of their curve: eth0 in a bridge, lo both ways, …
    let mut seen: HashMap<(usize, usize, u64), usize> = HashMap::new();
    let mut id = 0;
    for (number, series) in table.series.iter().enumerate() {
        varint::put(&mut writer.directory, series.id.wrapping_sub(id) as u64);
        id = series.id;
        varint::put(&mut writer.directory, series.pattern as u64);
        for (place, values) in series.columns.iter().enumerate() {
            let curve = Curve::of(values);
            let other = |hash: u64| seen.get(&(series.pattern, place, hash)).copied();
            let twin = |earlier: usize| &table.series[earlier].columns[place];
            let mirror = curve.and_then(|curve| {
                let plus = other(curve.up).filter(|at| follows(values, twin(*at), false));
                let minus = || other(curve.down).filter(|at| follows(values, twin(*at), true));
                plus.map(|at| (at, false))
                    .or_else(|| minus().map(|at| (at, true)))
            });
            if let Some((earlier, minus)) = mirror {
                let base = twin(earlier)[0];
                let by = if minus {
                    values[0].wrapping_add(base)
                } else {
                    values[0].wrapping_sub(base)
                };
                writer.put(
                    Encoding::Mirror {
                        series: earlier,
                        by,
                        minus,
                    },
                    &[],
                );
                continue;
            }
            let encoding = writer.column(values)?;
            if let (Encoding::Packed { .. } | Encoding::Short { .. } | Encoding::Runs, Some(curve)) =
                (encoding, curve)
            {
                seen.entry((series.pattern, place, curve.up)).or_insert(number);
            }
        }
    }
    let checksum = crc32fast::hash(&writer.directory);
    let mut bytes = writer.directory;
    bytes.extend(checksum.to_le_bytes());
    let directory_bytes = bytes.len();
    bytes.append(&mut writer.data);
    Ok(Encoded {
        bytes,
        directory_bytes,
    })
}

/// Hashes of a curve's distances from its first value, as they are and upside down.
#[derive(Clone, Copy)]
struct Curve {
    up: u64,
    down: u64,
}

impl Curve {
    /// `None`: too short to be worth it.
    fn of(values: &[i64]) -> Option<Self> {
        let (first, rest) = values.split_first()?;
        if rest.len() < 4 {
            return None;
        }
        let mix = |hash: u64, distance: i64| {
            (hash.rotate_left(5) ^ distance as u64).wrapping_mul(0x517c_c1b7_2722_0a95)
        };
        let (up, down) = rest.iter().fold((0, 0), |(up, down), value| {
            let distance = value.wrapping_sub(*first);
            (mix(up, distance), mix(down, distance.wrapping_neg()))
        });
        Some(Self { up, down })
    }
}

/// Whether a column is another one, or its opposite, moved by a constant.
fn follows(values: &[i64], other: &[i64], minus: bool) -> bool {
    let moved = |value: i64, other: i64| {
        if minus {
            value.wrapping_add(other)
        } else {
            value.wrapping_sub(other)
        }
    };
    values.len() == other.len()
        && values
            .iter()
            .zip(other)
            .all(|(value, twin)| moved(*value, *twin) == moved(values[0], other[0]))
}

#[derive(Default)]
struct Writer {
    directory: Vec<u8>,
    data: Vec<u8>,
}

impl Writer {
    fn column(&mut self, values: &[i64]) -> Result<Encoding, Damaged> {
        let start = self.data.len();
        let encoding = column::encode(values, &mut self.data)?;
        let bytes = self.data.split_off(start);
        self.put(encoding, &bytes);
        self.data.extend(bytes);
        Ok(encoding)
    }

    fn put(&mut self, encoding: Encoding, bytes: &[u8]) {
        let directory = &mut self.directory;
        let signed = |directory: &mut Vec<u8>, value: i64| varint::put(directory, zigzag(value));
        let outside = |directory: &mut Vec<u8>, tag: u8| {
            directory.push(tag);
            varint::put(directory, bytes.len() as u64);
            directory.extend(crc32fast::hash(bytes).to_le_bytes());
        };
        match encoding {
            Encoding::Constant { value } => {
                directory.push(0);
                signed(directory, value);
            }
            Encoding::Linear { first, step } => {
                directory.push(1);
                signed(directory, first);
                signed(directory, step);
            }
            Encoding::Mirror { series, by, minus } => {
                directory.push(if minus { 3 } else { 2 });
                varint::put(directory, series as u64);
                signed(directory, by);
            }
            Encoding::Runs => outside(directory, 4),
            Encoding::Packed { bits, base, scale } => {
                outside(directory, PACKED + bits.code());
                signed(directory, base);
                varint::put(directory, scale);
            }
            Encoding::Short {
                bits,
                base,
                significant,
            } => {
                outside(directory, SHORT + bits.code());
                varint::put(directory, base);
                varint::put(directory, u64::from(significant));
            }
        }
    }
}
