//! The directory of a block: which columns there are, where their bytes lie, and reading them.

use std::ops::Range;

use gander_probe::varint::{self, unzigzag};

use super::column::{self, Bits, Encoding};
use super::{Damaged, MAX_ROWS, Pattern, Series, Shape, Table};

pub(super) const VERSION: u8 = 1;
/// Tags of the columns that pco packed; what is added tells the width of its numbers.
pub(super) const PACKED: u8 = 5;
pub(super) const SHORT: u8 = 9;

/// What a block has, and where.
#[derive(Debug, Clone)]
pub(in crate::store) struct Directory {
    pub(in crate::store) shape: Shape,
    /// Rows of the block.
    pub(in crate::store) rows: usize,
    times: Column,
    patterns: Vec<PatternColumns>,
    /// Id and pattern of every series, ordered by id.
    series: Vec<(i64, u32)>,
    /// As many for each series as the shape is wide.
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct PatternColumns {
    present: usize,
    positions: Option<Column>,
    extras: Vec<Column>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    encoding: Encoding,
    /// Where in the block its bytes begin.
    start: usize,
    length: usize,
    checksum: u32,
}

/// Which columns a reader is after.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Need<'a> {
    /// The times alone.
    Times,
    /// The times and these series, by their number.
    Series(&'a [usize]),
}

/// Some stretches of a block's bytes, in order.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Bytes {
    parts: Vec<(usize, Vec<u8>)>,
}

impl Bytes {
    /// All bytes of a block.
    #[cfg(test)]
    pub(in crate::store) fn whole(bytes: Vec<u8>) -> Self {
        Self {
            parts: vec![(0, bytes)],
        }
    }

    /// Adds the bytes that begin at `start`, behind all that are there.
    pub(in crate::store) fn push(&mut self, start: usize, bytes: Vec<u8>) {
        match self.parts.last_mut() {
            Some((first, last)) if *first + last.len() == start => last.extend(bytes),
            _ => self.parts.push((start, bytes)),
        }
    }

    fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        let after = self.parts.partition_point(|(start, _)| *start <= range.start);
        let (start, bytes) = self.parts.get(after.checked_sub(1)?)?;
        bytes.get(range.start - start..range.end - start)
    }
}

impl Directory {
    /// Reads a directory with its checksum.
    pub(in crate::store) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let split = bytes
            .len()
            .checked_sub(4)
            .ok_or(Damaged("a directory is too short"))?;
        let (body, checksum) = bytes.split_at(split);
        if crc32fast::hash(body).to_le_bytes() != checksum {
            return Err(Damaged("the checksum of a directory does not fit"));
        }
        let mut parser = Parser {
            rest: body,
            next: bytes.len(),
        };
        if parser.byte()? != VERSION {
            return Err(Damaged("a block of a newer version"));
        }
        let shape = match parser.byte()? {
            0 => Shape::Samples,
            1 => Shape::RollUp,
            _ => return Err(Damaged("a block of unknown shape")),
        };
        let rows = parser.count(MAX_ROWS)?;
        let pattern_count = parser.count(MAX_ROWS)?;
        let series_count = parser.count(MAX_ROWS)?;
        let times = parser.column()?;
        let mut patterns = Vec::new();
        for _ in 0..pattern_count {
            let present = parser.count(rows)?;
            let positions = (present < rows).then(|| parser.column()).transpose()?;
            let extras = (0..shape.extras())
                .map(|_| parser.column())
                .collect::<Result<_, _>>()?;
            patterns.push(PatternColumns {
                present,
                positions,
                extras,
            });
        }
        let mut series: Vec<(i64, u32)> = Vec::new();
        let mut columns = Vec::with_capacity(series_count.min(body.len()) * shape.width());
        let mut id = 0_i64;
        for number in 0..series_count {
            id = id.wrapping_add(parser.number()? as i64);
            if series.last().is_some_and(|(before, _)| *before >= id) {
                return Err(Damaged("series out of order"));
            }
            let pattern = parser.count(pattern_count.saturating_sub(1))?;
            series.push((id, pattern as u32));
            for _ in 0..shape.width() {
                let column = parser.column()?;
                if let Encoding::Mirror { series: other, .. } = column.encoding
                    && (other >= number || series[other].1 as usize != pattern)
                {
                    return Err(Damaged("a mirror of nothing"));
                }
                columns.push(column);
            }
        }
        if series_count > 0 && pattern_count == 0 || !parser.rest.is_empty() {
            return Err(Damaged("a directory that does not end"));
        }
        Ok(Self {
            shape,
            rows,
            times,
            patterns,
            series,
            columns,
        })
    }

    /// Ids of its series, rising.
    pub(in crate::store) fn ids(&self) -> impl Iterator<Item = i64> {
        self.series.iter().map(|(id, _)| *id)
    }

    /// The number of a series in this block.
    #[cfg(test)]
    pub(in crate::store) fn find(&self, id: i64) -> Option<usize> {
        self.series.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    /// Values (or buckets) in the block, of all series.
    pub(in crate::store) fn values(&self) -> u64 {
        let present = |(_, pattern): &(i64, u32)| self.patterns[*pattern as usize].present as u64;
        self.series.iter().map(present).sum()
    }

    /// The number of a series' pattern.
    pub(in crate::store) fn pattern_of(&self, series: usize) -> usize {
        self.series[series].1 as usize
    }

    /// Length of the block, as the directory has it.
    pub(in crate::store) fn end(&self) -> usize {
        let extras = self
            .patterns
            .iter()
            .flat_map(|pattern| pattern.positions.iter().chain(&pattern.extras));
        let all = std::iter::once(&self.times).chain(extras).chain(&self.columns);
        all.map(|column| column.start + column.length).max().unwrap_or(0)
    }

    /// The stretches of bytes to fetch, in order and apart.
    pub(in crate::store) fn ranges(&self, need: Need<'_>) -> Vec<Range<usize>> {
        let mut columns = vec![&self.times];
        match need {
            Need::Times => {}
            Need::Series(wanted) => {
                for number in wanted {
                    columns.extend(self.patterns[self.pattern_of(*number)].all());
                    for place in 0..self.shape.width() {
                        let column = self.column(*number, place);
                        columns.push(column);
                        if let Encoding::Mirror { series, .. } = column.encoding {
                            columns.push(self.column(series, place));
                        }
                    }
                }
            }
        }
        let mut ranges: Vec<Range<usize>> = columns
            .into_iter()
            .filter(|column| column.length > 0)
            .map(|column| column.start..column.start + column.length)
            .collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup();
        ranges
    }

    fn column(&self, series: usize, place: usize) -> &Column {
        &self.columns[series * self.shape.width() + place]
    }

    /// The time of every row.
    pub(in crate::store) fn times(&self, bytes: &Bytes) -> Result<Vec<i64>, Damaged> {
        let times = self.times.decode(bytes, self.rows)?;
        if times.is_sorted_by(|a, b| a < b) {
            Ok(times)
        } else {
            Err(Damaged("times out of order"))
        }
    }

    /// A pattern by its number.
    pub(in crate::store) fn pattern(&self, number: usize, bytes: &Bytes) -> Result<Pattern, Damaged> {
        let pattern = self
            .patterns
            .get(number)
            .ok_or(Damaged("a pattern that is not there"))?;
        let rows: Vec<u32> = match &pattern.positions {
            None => (0..pattern.present as u32).collect(),
            Some(column) => {
                let positions = column.decode(bytes, pattern.present)?;
                if !positions.is_sorted_by(|a, b| a < b)
                    || positions.first().is_some_and(|first| *first < 0)
                    || positions.last().is_some_and(|last| *last >= self.rows as i64)
                {
                    return Err(Damaged("positions outside the block"));
                }
                positions.into_iter().map(|position| position as u32).collect()
            }
        };
        let extras = pattern
            .extras
            .iter()
            .map(|column| column.decode(bytes, pattern.present));
        Ok(Pattern {
            rows,
            extras: extras.collect::<Result<_, _>>()?,
        })
    }

    /// The columns of a series by its number.
    pub(in crate::store) fn series(&self, number: usize, bytes: &Bytes) -> Result<Vec<Vec<i64>>, Damaged> {
        let present = self.patterns[self.pattern_of(number)].present;
        let read = |place| {
            let column = self.column(number, place);
            let Encoding::Mirror { series, by, minus } = column.encoding else {
                return column.decode(bytes, present);
            };
            let mut values = self.column(series, place).decode(bytes, present)?;
            for value in &mut values {
                *value = if minus {
                    by.wrapping_sub(*value)
                } else {
                    value.wrapping_add(by)
                };
            }
            Ok(values)
        };
        (0..self.shape.width()).map(read).collect()
    }

    /// The whole block.
    pub(in crate::store) fn table(&self, bytes: &Bytes) -> Result<Table, Damaged> {
        let patterns = (0..self.patterns.len()).map(|number| self.pattern(number, bytes));
        let series = self.series.iter().enumerate().map(|(number, (id, pattern))| {
            Ok(Series {
                id: *id,
                pattern: *pattern as usize,
                columns: self.series(number, bytes)?,
            })
        });
        Ok(Table {
            times: self.times(bytes)?,
            patterns: patterns.collect::<Result<_, _>>()?,
            series: series.collect::<Result<_, _>>()?,
        })
    }
}

impl PatternColumns {
    fn all(&self) -> impl Iterator<Item = &Column> {
        self.positions.iter().chain(&self.extras)
    }
}

impl Column {
    fn decode(&self, bytes: &Bytes, count: usize) -> Result<Vec<i64>, Damaged> {
        if self.length == 0 {
            return column::decode(self.encoding, &[], count);
        }
        let bytes = bytes
            .get(self.start..self.start + self.length)
            .ok_or(Damaged("a column lies outside the block"))?;
        if crc32fast::hash(bytes) != self.checksum {
            return Err(Damaged("the checksum of a column does not fit"));
        }
        column::decode(self.encoding, bytes, count)
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    /// Where the bytes of the next column begin.
    next: usize,
}

impl Parser<'_> {
    fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self
            .rest
            .split_first()
            .ok_or(Damaged("a directory is too short"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        varint::take(&mut self.rest).map_err(|_| Damaged("a directory is too short"))
    }

    fn signed(&mut self) -> Result<i64, Damaged> {
        self.number().map(unzigzag)
    }

    fn count(&mut self, most: usize) -> Result<usize, Damaged> {
        let number = self.number()?;
        usize::try_from(number)
            .ok()
            .filter(|number| *number <= most)
            .ok_or(Damaged("a number is too large"))
    }

    fn column(&mut self) -> Result<Column, Damaged> {
        let tag = self.byte()?;
        let inside = |encoding| {
            Ok(Column {
                encoding,
                start: 0,
                length: 0,
                checksum: 0,
            })
        };
        match tag {
            0 => {
                return inside(Encoding::Constant {
                    value: self.signed()?,
                });
            }
            1 => {
                return inside(Encoding::Linear {
                    first: self.signed()?,
                    step: self.signed()?,
                });
            }
            2 | 3 => {
                let series = self.count(MAX_ROWS)?;
                return inside(Encoding::Mirror {
                    series,
                    by: self.signed()?,
                    minus: tag == 3,
                });
            }
            4..=12 => {}
            _ => return Err(Damaged("a column of unknown encoding")),
        }
        // No block has 4 GiB.
        let length = self.count(u32::MAX as usize)?;
        let checksum = self.rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let checksum = checksum.ok_or(Damaged("a directory is too short"))?;
        self.rest = &self.rest[4..];
        let start = self.next;
        self.next += length;
        let encoding = match tag {
            4 => Encoding::Runs,
            PACKED..SHORT => Encoding::Packed {
                bits: Bits::of(tag - PACKED),
                base: self.signed()?,
                scale: self.number()?,
            },
            _ => Encoding::Short {
                bits: Bits::of(tag - SHORT),
                base: self.number()?,
                // An encoder writes no more than 12, and shifting needs one.
                significant: self.count(63)?.max(1) as u32,
            },
        };
        Ok(Column {
            encoding,
            start,
            length,
            checksum,
        })
    }
}
