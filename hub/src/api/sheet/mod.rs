//! Sheets to take away: typed cells in, Excel or CSV out, as a stream.
//!
//! Rows come in small batches through a bounded channel and leave as bytes through another, so a
//! sheet of any length takes the same memory, and a client that stops reading stops the reading
//! of the database.

mod csv;
mod xlsx;

use std::{pin::Pin, task};

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::model::Timestamp;

pub(super) use csv::write as write_csv;
pub(super) use xlsx::write as write_xlsx;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
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
pub(super) type Row = Vec<Cell>;

/// Rows on their way to a writer. An error ends the sheet, visibly cut off.
pub(super) type Rows = mpsc::Receiver<Result<Vec<Row>, String>>;

/// A column: its heading, and its width in characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) width: u16,
}

/// The bytes of a sheet as they are written. Holds the export's place until it ends.
pub(super) struct Output {
    bytes: mpsc::Receiver<Result<Bytes, std::io::Error>>,
    _place: OwnedSemaphorePermit,
}

impl Output {
    pub(super) fn new(
        bytes: mpsc::Receiver<Result<Bytes, std::io::Error>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { bytes, _place: place }
    }
}

impl futures_util::Stream for Output {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<Option<Self::Item>> {
        self.bytes.poll_recv(context)
    }
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

impl std::io::Write for ChannelWriter {
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
