//! One file of the spool (or its image in memory while the disk takes nothing).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::record::{Decoder, Encoder, Header};
use crate::Sample;

/// Where a segment's bytes are.
#[derive(Debug)]
pub(super) enum Place {
    /// In its file.
    File,
    /// Nowhere else: the disk did not take them.
    Memory(Vec<u8>),
}

/// A run of samples.
#[derive(Debug)]
pub(super) struct Segment {
    /// Its place in the order, and its file's name.
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) bytes: u64,
    pub(super) samples: u64,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// The step it was thinned to, or need not be thinned to; 0: as it came.
    pub(super) step_ms: i64,
    pub(super) boot_id: Arc<str>,
}

impl Segment {
    pub(super) fn new(number: u64, place: Place, step_ms: i64, boot_id: &Arc<str>) -> Self {
        Self {
            number,
            place,
            bytes: 0,
            samples: 0,
            first_ms: 0,
            last_ms: 0,
            step_ms,
            boot_id: Arc::clone(boot_id),
        }
    }

    /// Learns what is in a file that an earlier run left. `None`: nothing that can be read.
    pub(super) fn of_file(directory: &Path, number: u64) -> io::Result<Option<Self>> {
        let bytes = fs::read(path(directory, number))?;
        let length = bytes.len() as u64;
        let Some(mut decoder) = Decoder::new(bytes) else {
            return Ok(None);
        };
        let boot_id = Arc::from(decoder.header.boot_id.as_str());
        let mut segment = Self::new(number, Place::File, decoder.header.step_ms, &boot_id);
        segment.bytes = length;
        while let Some(taken_at_ms) = decoder.skip() {
            segment.note(taken_at_ms);
        }
        Ok((segment.samples > 0).then_some(segment))
    }

    /// Counts one more sample.
    pub(super) fn note(&mut self, taken_at_ms: i64) {
        if self.samples == 0 {
            self.first_ms = taken_at_ms;
        }
        self.last_ms = taken_at_ms;
        self.samples += 1;
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(_))
    }

    /// Its samples from the first one on.
    pub(super) fn read(&self, directory: &Path) -> io::Result<Option<Decoder<Vec<u8>>>> {
        let bytes = match &self.place {
            Place::File => fs::read(path(directory, self.number))?,
            Place::Memory(bytes) => bytes.clone(),
        };
        Ok(Decoder::new(bytes))
    }

    /// Removes its file. What cannot be removed is found again by the next run, and sent again.
    pub(super) fn remove(self, directory: &Path) {
        if !self.is_in_memory() {
            let _ = fs::remove_file(path(directory, self.number));
        }
    }

    /// Puts the bytes that are in memory into the file, whole or not at all.
    pub(super) fn settle(&mut self, directory: &Path) -> io::Result<()> {
        if let Place::Memory(bytes) = &self.place {
            write_whole(directory, self.number, bytes)?;
            self.place = Place::File;
        }
        Ok(())
    }
}

/// The file of segment `number`.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.seg"))
}

/// The numbers of the segments in `directory`, in order. Files left by an interrupted rewrite go.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            let _ = fs::remove_file(&path);
        }
    }
    numbers(directory)
}

/// The numbers of the segments in `directory`, in order.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "seg") {
            numbers.extend(stem.parse::<u64>());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes a new file for this user alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a segment's file: after a crash it is there whole, or not (or as it was before).
pub(super) fn write_whole(directory: &Path, number: u64, bytes: &[u8]) -> io::Result<()> {
    write_file(&path(directory, number), bytes)
}

/// Writes a file, whole or not at all.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let scratch = path.with_extension("tmp");
    let written = create(&scratch).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&scratch, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&scratch);
    }
    written
}

/// The newest segment, while it is written.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) segment: Segment,
    encoder: Encoder,
    /// Without one the segment is in memory.
    file: Option<File>,
    dirty: bool,
}

impl Writer {
    /// Begins a segment in a file.
    pub(super) fn in_file(directory: &Path, number: u64, boot_id: &Arc<str>) -> io::Result<Self> {
        let path = path(directory, number);
        let mut file = create(&path)?;
        let mut writer = Self::begin(Segment::new(number, Place::File, 0, boot_id));
        let header = writer.header();
        if let Err(error) = file.write_all(&header) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        writer.file = Some(file);
        writer.segment.bytes = header.len() as u64;
        Ok(writer)
    }

    /// Begins a segment in memory.
    pub(super) fn in_memory(number: u64, step_ms: i64, boot_id: &Arc<str>) -> Self {
        let place = Place::Memory(Vec::new());
        let mut writer = Self::begin(Segment::new(number, place, step_ms, boot_id));
        let header = writer.header();
        writer.segment.bytes = header.len() as u64;
        writer.segment.place = Place::Memory(header);
        writer
    }

    fn begin(segment: Segment) -> Self {
        Self {
            segment,
            encoder: Encoder::default(),
            file: None,
            dirty: false,
        }
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = Header {
            step_ms: self.segment.step_ms,
            boot_id: self.segment.boot_id.to_string(),
        };
        Encoder::header(&header, &mut bytes);
        bytes
    }

    /// Adds a sample. After an error nothing more may be added: what was written before stands.
    pub(super) fn add(&mut self, sample: &Sample) -> io::Result<()> {
        let mut frame = Vec::new();
        self.encoder
            .sample(sample, &mut frame)
            .map_err(io::Error::other)?;
        match (&mut self.file, &mut self.segment.place) {
            (Some(file), _) => {
                if let Err(error) = file.write_all(&frame) {
                    // Half a frame would only be skipped, but the space is wanted elsewhere.
                    let _ = file.set_len(self.segment.bytes);
                    return Err(error);
                }
                self.dirty = true;
            }
            (None, Place::Memory(bytes)) => bytes.extend_from_slice(&frame),
            (None, Place::File) => return Err(io::ErrorKind::NotConnected.into()),
        }
        self.segment.bytes += frame.len() as u64;
        self.segment.note(sample.taken_at_ms);
        Ok(())
    }

    pub(super) fn is_full(&self, limit: u64) -> bool {
        self.segment.bytes >= limit || self.encoder.is_full()
    }

    /// Sees that what was added survives a power cut.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let (true, Some(file)) = (self.dirty, &self.file) {
            file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}
