//! Columnar blocks: many samples (or roll-up buckets) of one server in few bytes.
//!
//! Pure: integers in, bytes out, and back; knows neither SQL nor what the integers mean. A block
//! is one string of bytes, stored in page-sized chunks (`store/chunks.rs`), so that a reader
//! fetches the directory and then only the columns it wants.
//!
//! # Layout (version 1)
//!
//! ```text
//! block     := directory crc32(directory) data
//! directory := version:u8 shape:u8 rows patterns series column(times)
//!              { pattern } × patterns   { one } × series
//! pattern   := present [column(positions)] { column } × extras     positions only if present < rows
//! one       := id-delta pattern-number { column } × width          ordered by id
//! column    := 0 value                       every value is this one
//!            | 1 first step                  an arithmetic sequence
//!            | 2 series value                column of an earlier series of this pattern, plus value
//!            | 3 series value                value minus that column
//!            | 4 length crc32                runs: { value-delta run-length } in the data
//!            | 5..=8 length crc32 base scale pco in the data: base + scale × number of 8, 16, 32, 64 bits
//!            | 9..=12 length crc32 base significant
//!                                            pco in the data: base + number, and that in few significant bits
//! ```
//!
//! Numbers are LEB128; those that may be negative are zigzag; `crc32` is 4 bytes, little endian.
//! `shape` is 0 for samples (width 1, no extras) and 1 for roll-ups (width 4, 3 extras); what the
//! columns of a roll-up hold is said in `store/rollup.rs`. `times` are milliseconds, strictly
//! rising, one for each row. A *pattern* says in which rows a series has a value: the sections of a
//! snapshot come at different paces, and series of one section share the positions. Columns with
//! bytes of their own (4 to 12) lie one after the other in `data`, in the order of the directory;
//! each has its checksum, so that a damaged one is known without reading the rest. Every pco column
//! is one chunk of one page in pco's wrapped format, its file header left out ([`column`]).
//!
//! Arithmetic wraps: every `i64` survives.

mod column;
mod directory;
mod encode;

#[cfg(test)]
mod tests;

pub(super) use directory::{Bytes, Directory, Need};
pub(super) use encode::{Encoded, encode};

/// Most rows a block may have; more is damage.
pub(super) const MAX_ROWS: usize = 1 << 20;

/// Bytes that no encoder wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the block is damaged: {0}")]
pub(super) struct Damaged(pub(super) &'static str);

/// What the columns of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One value a row.
    Samples,
    /// A bucket a row.
    RollUp,
}

impl Shape {
    fn code(self) -> u8 {
        match self {
            Self::Samples => 0,
            Self::RollUp => 1,
        }
    }

    /// Columns of a series.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Samples => 1,
            Self::RollUp => 4,
        }
    }

    /// Columns of a pattern, besides its positions.
    pub(super) fn extras(self) -> usize {
        match self {
            Self::Samples => 0,
            Self::RollUp => 3,
        }
    }
}

/// A block in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table {
    /// Strictly rising, one a row.
    pub(super) times: Vec<i64>,
    pub(super) patterns: Vec<Pattern>,
    /// Ordered by id.
    pub(super) series: Vec<Series>,
}

/// The rows some series have values in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Pattern {
    /// Strictly rising.
    pub(super) rows: Vec<u32>,
    /// As many as the shape has, each as long as `rows`.
    pub(super) extras: Vec<Vec<i64>>,
}

/// The values of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) id: i64,
    /// Number of its pattern.
    pub(super) pattern: usize,
    /// As many as the shape is wide, each as long as the pattern's rows.
    pub(super) columns: Vec<Vec<i64>>,
}
