//! Sheets to take away: typed cells in, Excel, CSV or Parquet out, as a stream.
//!
//! Rows come in small batches through a bounded channel and leave as bytes while they come, so a
//! sheet of any length takes the same memory, and a reader that stops reading stops the reading
//! of the database. The HTTP interface and the command line write the same sheets.

mod csv;
mod parquet;
pub mod source;
pub mod words;
mod xlsx;

use std::{io::Write, str::FromStr};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::model::Timestamp;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing is known.
    Empty,
    /// A text; whatever it holds, a spreadsheet shows it and does not run it.
    Text(String),
    /// A number.
    Number(f64),
    /// A moment, shown in UTC.
    Moment(Timestamp),
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Timestamp> for Cell {
    fn from(value: Timestamp) -> Self {
        Self::Moment(value)
    }
}

/// One row of cells.
pub type Row = Vec<Cell>;

/// Some rows, or why there are no more. An error ends the sheet, visibly cut off.
pub type Batch = Result<Vec<Row>, String>;

/// Rows on their way to a writer.
pub type Rows = mpsc::Receiver<Batch>;

/// What the cells of a column are, where they are not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Texts.
    Text,
    /// Numbers.
    Number,
    /// Moments.
    Moment,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name for programs (Parquet): `cpu_usage`.
    pub name: &'static str,
    /// Its heading for people (Excel, CSV).
    pub heading: &'static str,
    /// What its cells are.
    pub kind: Kind,
    /// Its width in characters.
    pub width: u16,
}

/// A sheet without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The sheet's title.
    pub title: &'static str,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// How a sheet is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An Excel workbook.
    Xlsx,
    /// Comma-separated values, UTF-8 with a byte order mark.
    Csv,
    /// Parquet, compressed with Snappy.
    Parquet,
}

impl Format {
    /// Every format, by its name, which is also the ending of its files.
    pub const ALL: [(&'static str, Self); 3] = [
        ("xlsx", Self::Xlsx),
        ("csv", Self::Csv),
        ("parquet", Self::Parquet),
    ];

    /// The ending of its files.
    #[must_use]
    pub fn ending(self) -> &'static str {
        match self {
            Self::Xlsx => "xlsx",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|(name, _)| *name == text)
            .map(|(_, format)| format)
            .ok_or_else(|| format!("\"{text}\" is no format: xlsx, csv or parquet"))
    }
}

/// Writes a sheet as its rows come. Blocks: call it in a thread that may.
///
/// # Errors
/// The output cannot be written, or the rows end with an error.
pub fn write(
    format: Format,
    layout: &Layout,
    rows: &mut Rows,
    output: impl Write + Send,
) -> std::io::Result<()> {
    match format {
        Format::Xlsx => xlsx::write(layout, rows, output),
        Format::Csv => csv::write(&layout.columns, rows, output),
        Format::Parquet => parquet::write(&layout.columns, rows, output),
    }
}

/// Writes a sheet in a blocking thread; the receiver gets its bytes.
pub fn stream(
    format: Format,
    layout: Layout,
    mut rows: Rows,
) -> mpsc::Receiver<Result<Bytes, std::io::Error>> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let failures = sender.clone();
        if let Err(error) = write(format, &layout, &mut rows, ChannelWriter::new(sender)) {
            tracing::warn!(%error, "an export was cut off");
            let _ = failures.blocking_send(Err(error));
        }
    });
    receiver
}

/// A `Write` into a channel of bytes, for writers that know nothing of async. In a blocking thread.
struct ChannelWriter {
    buffer: Vec<u8>,
    bytes: mpsc::Sender<Result<Bytes, std::io::Error>>,
}

/// Bytes that leave at once.
const CHUNK: usize = 64 * 1024;

impl ChannelWriter {
    fn new(bytes: mpsc::Sender<Result<Bytes, std::io::Error>>) -> Self {
        Self {
            buffer: Vec::with_capacity(CHUNK),
            bytes,
        }
    }

    fn send(&mut self) -> std::io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.bytes
            .blocking_send(Ok(chunk.into()))
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the client went away"))
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= CHUNK {
            self.send()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            Ok(())
        } else {
            self.send()
        }
    }
}
