//! What the hub has not yet acknowledged, on disk: bounded, in the order it was taken, and still there
//! after a `kill -9` or a reboot.
//!
//! Segments of some 128 KiB, oldest first; samples are added to the newest and read, sent and, once
//! acknowledged, removed from the oldest. Every sample is written at once, so a killed agent loses
//! none; every [`SYNC_EVERY`] and at the end of a segment it is forced to the disk, so a power cut
//! costs at most that much. A torn tail is recognised by its checksum and left out.
//!
//! When the spool is full, the oldest samples are thinned to one in 10 seconds, then to one in 60,
//! and only when all of it is thinned the oldest are dropped; both are counted. While the disk takes
//! nothing (full, broken, read-only), samples stay in memory, with a bound of their own and the same
//! rule, and move to the disk when it takes them again.

mod cells;
pub mod keeper;
mod record;
mod room;
mod segment;
#[cfg(test)]
mod tests;
mod thin;

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

pub use keeper::Keeper;
use record::Decoder;
use segment::{Segment, Writer};

use crate::Sample;

/// How long a sample may be in the page cache only.
pub const SYNC_EVERY: Duration = Duration::from_secs(30);
/// How often a disk that takes nothing is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// How much a spool may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// On disk, in bytes.
    pub disk_bytes: u64,
    /// In memory while the disk takes nothing, in bytes.
    pub memory_bytes: u64,
    /// Size of a segment, in bytes.
    pub segment_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            disk_bytes: 50_000_000,
            memory_bytes: 512 * 1024,
            segment_bytes: 128 * 1024,
        }
    }
}

/// What a spool holds, and what it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Samples waiting.
    pub samples: u64,
    /// Their bytes, on disk and in memory.
    pub bytes: u64,
    /// When the oldest was taken, by this machine's clock, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// Samples that went into a thinner step, since the directory was made.
    pub thinned: u64,
    /// Samples lost because there was no room, since the directory was made.
    pub dropped: u64,
    /// Why nothing can be written to the disk, for a person; `None` while all is well.
    pub trouble: Option<String>,
}

/// Where reading has got to: all samples before it were handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    segment: u64,
    sample: u64,
}

/// Samples handed out together. They stay in the spool until they are acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portion {
    /// The samples, in the order they were added.
    pub samples: Vec<Sample>,
    /// The boot they were taken in; empty where the system has no such id.
    pub boot_id: Arc<str>,
    /// What to acknowledge them with.
    pub upto: Position,
}

/// The spool.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limits: Limits,
    boot_id: Arc<str>,
    /// Closed segments, in order.
    segments: VecDeque<Segment>,
    writer: Option<Writer>,
    reader: Option<Reader>,
    /// All before it is acknowledged.
    acknowledged: Position,
    next_number: u64,
    thinned: u64,
    dropped: u64,
    /// The two as the directory has them.
    noted: (u64, u64),
    trouble: Option<Trouble>,
    /// Whether the directory's segments of earlier runs are known.
    loaded: bool,
    last_sync: Instant,
}

#[derive(Debug)]
struct Reader {
    decoder: Decoder<Vec<u8>>,
    at: Position,
}

#[derive(Debug)]
struct Trouble {
    reason: String,
    retry_at: Instant,
}

/// What the spool in `directory` holds, without touching it: another agent may be writing there.
///
/// # Errors
/// The directory is not there or cannot be read.
pub fn peek(directory: &Path) -> io::Result<Status> {
    let mut status = Status::default();
    for number in segment::numbers(directory)? {
        // It may be gone by now.
        let Ok(Some(segment)) = Segment::of_file(directory, number) else {
            continue;
        };
        status.samples += segment.samples;
        status.bytes += segment.bytes;
        status.oldest_ms.get_or_insert(segment.first_ms);
    }
    (status.thinned, status.dropped) = read_counts(directory).unwrap_or_default();
    Ok(status)
}

fn counts_path(directory: &Path) -> PathBuf {
    directory.join("thinned-dropped")
}

fn read_counts(directory: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(counts_path(directory)).ok()?;
    let (thinned, dropped) = text.trim().split_once(' ')?;
    Some((thinned.parse().ok()?, dropped.parse().ok()?))
}

impl Spool {
    /// Opens the spool in `directory`, made if need be, for samples of the boot `boot_id`. Never
    /// fails: without a usable directory it begins in memory, and says so in its status.
    #[must_use]
    pub fn open(directory: &Path, limits: Limits, boot_id: &str, now: Instant) -> Self {
        let mut spool = Self {
            directory: directory.to_owned(),
            limits,
            boot_id: Arc::from(boot_id),
            segments: VecDeque::new(),
            writer: None,
            reader: None,
            acknowledged: Position {
                segment: 0,
                sample: 0,
            },
            next_number: 1,
            thinned: 0,
            dropped: 0,
            noted: (0, 0),
            trouble: None,
            loaded: false,
            last_sync: now,
        };
        if let Err(error) = spool.load() {
            spool.note_trouble(&error, now);
        }
        spool
    }

    fn load(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut found = VecDeque::new();
        for number in segment::list(&self.directory)? {
            match Segment::of_file(&self.directory, number)? {
                Some(segment) => found.push_back(segment),
                None => {
                    let path = segment::path(&self.directory, number);
                    tracing::warn!("{} holds nothing that can be read: removed", path.display());
                    fs::remove_file(path)?;
                }
            }
        }
        let above = found.back().map_or(1, |segment| segment.number + 1);
        // What was gathered in memory meanwhile comes behind.
        let shift = above.saturating_sub(self.segments.front().map_or(u64::MAX, |first| first.number));
        if shift > 0 {
            self.reader = None;
            self.acknowledged = Position {
                segment: 0,
                sample: 0,
            };
        }
        for segment in &mut self.segments {
            segment.number += shift;
        }
        self.next_number = self.next_number.saturating_add(shift).max(above);
        found.append(&mut self.segments);
        self.segments = found;
        if let Some(counts) = read_counts(&self.directory) {
            self.noted = counts;
            self.thinned += counts.0;
            self.dropped += counts.1;
        }
        self.loaded = true;
        Ok(())
    }

    /// The counts outlive the agent, as far as the disk takes them.
    fn note_counts(&mut self) {
        let counts = (self.thinned, self.dropped);
        if self.noted != counts && self.loaded {
            let text = format!("{} {}\n", counts.0, counts.1);
            if segment::write_file(&counts_path(&self.directory), text.as_bytes()).is_ok() {
                self.noted = counts;
            }
        }
    }

    /// Adds a sample behind all others. Never fails: see [`Status::trouble`] and [`Status::dropped`].
    pub fn append(&mut self, sample: &Sample, now: Instant) {
        self.mend(now);
        if !self.try_append(sample, now) {
            // The second try is in memory, which only a fault of this program can refuse.
            if !self.try_append(sample, now) {
                self.dropped += 1;
            }
        }
        if self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.is_full(self.segment_limit(writer.segment.is_in_memory())))
        {
            self.close_segment(now);
        }
    }

    /// In memory segments are small, so that dropping one drops little.
    fn segment_limit(&self, memory: bool) -> u64 {
        if memory {
            self.limits.segment_bytes.min(self.limits.memory_bytes / 8)
        } else {
            self.limits.segment_bytes.min(self.limits.disk_bytes / 8)
        }
    }

    fn try_append(&mut self, sample: &Sample, now: Instant) -> bool {
        if self.writer.is_none() {
            self.writer = Some(self.begin_segment(now));
        }
        let Some(writer) = &mut self.writer else {
            return false;
        };
        match writer.add(sample) {
            Ok(()) => true,
            Err(error) => {
                self.note_trouble(&error, now);
                self.close_segment(now);
                false
            }
        }
    }

    fn begin_segment(&mut self, now: Instant) -> Writer {
        let number = self.next_number;
        self.next_number += 1;
        if self.trouble.is_none() {
            match Writer::in_file(&self.directory, number, &self.boot_id) {
                Ok(writer) => return writer,
                Err(error) => self.note_trouble(&error, now),
            }
        }
        Writer::in_memory(number, 0, &self.boot_id)
    }

    fn close_segment(&mut self, now: Instant) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        if let Err(error) = writer.sync() {
            self.note_trouble(&error, now);
        }
        if writer.segment.samples > 0 {
            self.segments.push_back(writer.segment);
        } else {
            writer.segment.remove(&self.directory);
        }
        self.make_room(false, now);
        self.make_room(true, now);
    }

    fn note_trouble(&mut self, error: &io::Error, now: Instant) {
        let reason = format!("{} cannot be written: {error}", self.directory.display());
        if self.trouble.is_none() {
            tracing::warn!("{reason}; what the hub has not got is kept in memory until it can");
        }
        self.trouble = Some(Trouble {
            reason,
            retry_at: now + RETRY_EVERY,
        });
    }

    /// After a while of trouble, tries to put what is in memory on the disk.
    fn mend(&mut self, now: Instant) {
        if self.trouble.as_ref().is_none_or(|trouble| now < trouble.retry_at) {
            return;
        }
        let mended = if self.loaded { Ok(()) } else { self.load() }.and_then(|()| {
            self.close_segment(now);
            let directory = &self.directory;
            self.segments
                .iter_mut()
                .try_for_each(|segment| segment.settle(directory))
        });
        match mended {
            Ok(()) => {
                self.trouble = None;
                tracing::info!("{} can be written again", self.directory.display());
                self.make_room(false, now);
            }
            Err(error) => self.note_trouble(&error, now),
        }
    }

    /// Forces what was added to the disk when [`SYNC_EVERY`] has passed, and tries a disk in trouble
    /// again. To be called now and then.
    pub fn tend(&mut self, now: Instant) {
        self.mend(now);
        if now.saturating_duration_since(self.last_sync) >= SYNC_EVERY {
            self.sync(now);
            self.note_counts();
        }
    }

    /// Forces what was added to the disk.
    pub fn sync(&mut self, now: Instant) {
        self.last_sync = now;
        if let Some(Err(error)) = self.writer.as_mut().map(Writer::sync) {
            self.note_trouble(&error, now);
            self.close_segment(now);
        }
    }

    /// Hands out the next samples, at most `most`, that were not handed out since the last
    /// [`Self::rewind`]. `None`: there are no more.
    pub fn read(&mut self, most: usize, now: Instant) -> Option<Portion> {
        loop {
            if self.reader.is_none() {
                self.reader = Some(self.open_next(self.acknowledged, now)?);
            }
            let reader = self.reader.as_mut()?;
            let samples: Vec<Sample> = std::iter::from_fn(|| reader.decoder.next_sample())
                .take(most)
                .collect();
            reader.at.sample += samples.len() as u64;
            if !samples.is_empty() {
                return Some(Portion {
                    samples,
                    boot_id: Arc::from(reader.decoder.header.boot_id.as_str()),
                    upto: reader.at,
                });
            }
            let behind = Position {
                segment: reader.at.segment + 1,
                sample: 0,
            };
            self.reader = Some(self.open_next(behind, now)?);
        }
    }

    /// Opens the first segment at or behind `from`.
    fn open_next(&mut self, from: Position, now: Instant) -> Option<Reader> {
        let unfinished = self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.segment.samples > 0);
        if unfinished && self.segments.back().is_none_or(|last| last.number < from.segment) {
            self.close_segment(now);
        }
        loop {
            let index = self
                .segments
                .iter()
                .position(|segment| segment.number >= from.segment)?;
            let segment = self.segments.get(index)?;
            match segment.read(&self.directory) {
                Ok(Some(mut decoder)) => {
                    let mut at = Position {
                        segment: segment.number,
                        sample: 0,
                    };
                    while at < from && decoder.skip().is_some() {
                        at.sample += 1;
                    }
                    return Some(Reader { decoder, at });
                }
                unreadable => {
                    if let Err(error) = unreadable {
                        tracing::warn!("segment {} of the spool is lost: {error}", segment.number);
                    }
                    self.drop_segment(index);
                }
            }
        }
    }

    /// Removes all samples handed out up to `position`.
    pub fn acknowledge(&mut self, position: Position) {
        self.acknowledged = self.acknowledged.max(position);
        while let Some(first) = self.segments.front() {
            let done = Position {
                segment: first.number,
                sample: first.samples,
            };
            if self.acknowledged < done {
                break;
            }
            if let Some(first) = self.segments.pop_front() {
                first.remove(&self.directory);
            }
        }
    }

    /// What was handed out and not acknowledged is handed out again.
    pub fn rewind(&mut self) {
        self.reader = None;
    }

    /// What is in it.
    #[must_use]
    pub fn status(&self) -> Status {
        let all = || {
            let newest = self.writer.iter().map(|writer| &writer.segment);
            self.segments
                .iter()
                .chain(newest)
                .filter(|segment| segment.samples > 0)
        };
        Status {
            samples: all()
                .map(|segment| segment.samples)
                .sum::<u64>()
                .saturating_sub(self.acknowledged_in_front()),
            bytes: all().map(|segment| segment.bytes).sum(),
            oldest_ms: all().next().map(|segment| segment.first_ms),
            thinned: self.thinned,
            dropped: self.dropped,
            trouble: self.trouble.as_ref().map(|trouble| trouble.reason.clone()),
        }
    }

    fn acknowledged_in_front(&self) -> u64 {
        self.segments.front().map_or(0, |first| {
            if first.number == self.acknowledged.segment {
                self.acknowledged.sample.min(first.samples)
            } else {
                0
            }
        })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // A last try for what the disk would not take.
        let now = Instant::now();
        self.close_segment(now);
        let directory = &self.directory;
        for segment in &mut self.segments {
            if segment.is_in_memory() && segment.settle(directory).is_err() {
                self.dropped += segment.samples;
            }
        }
        self.note_counts();
    }
}
