//! Tables of samples in memory: made from rows, and from other tables.

use std::collections::{BTreeMap, HashMap};

use super::block::{Damaged, Pattern, Series, Table};

/// Samples being turned into columns, in order of time.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    times: Vec<i64>,
    /// Rows and values of each series.
    series: BTreeMap<i64, (Vec<u32>, Vec<i64>)>,
}

impl Gathered {
    /// Adds a sample that is newer than all before it.
    pub(super) fn push(&mut self, taken_at: i64, values: impl IntoIterator<Item = (i64, i64)>) {
        let row = self.times.len() as u32;
        self.times.push(taken_at);
        for (id, value) in values {
            let (rows, own) = self.series.entry(id).or_default();
            rows.push(row);
            own.push(value);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    pub(super) fn into_table(self) -> Table {
        let mut table = Table {
            times: self.times,
            ..Table::default()
        };
        let mut numbers: HashMap<Vec<u32>, usize> = HashMap::new();
        for (id, (rows, values)) in self.series {
            let next = numbers.len();
            let pattern = *numbers.entry(rows).or_insert(next);
            table.series.push(Series {
                id,
                pattern,
                columns: vec![values],
            });
        }
        let mut patterns: Vec<(Vec<u32>, usize)> = numbers.into_iter().collect();
        patterns.sort_unstable_by_key(|(_, number)| *number);
        let pattern = |(rows, _)| Pattern {
            rows,
            extras: Vec::new(),
        };
        table.patterns = patterns.into_iter().map(pattern).collect();
        table
    }
}

/// All samples of some tables, each from a moment on. No moment may be in two of them.
pub(super) fn union(tables: impl IntoIterator<Item = (i64, Table)>) -> Result<Table, Damaged> {
    let tables: Vec<(i64, Table)> = tables.into_iter().collect();
    let seen = |(from, table): &(i64, Table)| table.times.partition_point(|time| time < from);
    let mut times: Vec<i64> = tables
        .iter()
        .flat_map(|both| both.1.times[seen(both)..].iter().copied())
        .collect();
    times.sort_unstable();
    if times.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Damaged("a sample is in two blocks"));
    }
    let mut series: BTreeMap<i64, Vec<(u32, i64)>> = BTreeMap::new();
    for both in &tables {
        let (first, table) = (seen(both) as u32, &both.1);
        // The place of every row in the union.
        let mut next = 0;
        let places: Vec<u32> = table
            .times
            .iter()
            .map(|time| {
                next += times[next..].partition_point(|other| other < time);
                next as u32
            })
            .collect();
        for own in &table.series {
            let rows = &table.patterns[own.pattern].rows;
            let skip = rows.partition_point(|row| *row < first);
            let cells = rows[skip..].iter().zip(&own.columns[0][skip..]);
            let cells = cells.map(|(row, value)| (places[*row as usize], *value));
            series.entry(own.id).or_default().extend(cells);
        }
    }
    let mut gathered = Gathered {
        times,
        ..Gathered::default()
    };
    for (id, mut cells) in series {
        if cells.is_empty() {
            continue;
        }
        if !cells.is_sorted_by_key(|(row, _)| *row) {
            cells.sort_unstable_by_key(|(row, _)| *row);
        }
        gathered.series.insert(id, cells.into_iter().unzip());
    }
    Ok(gathered.into_table())
}
