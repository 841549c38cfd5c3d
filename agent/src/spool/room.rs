//! Making room: small segments are joined, old ones thinned, and only then the oldest dropped.

use std::{io, sync::Arc, time::Instant};

use super::{
    Position, Spool,
    segment::{Segment, Writer},
    thin::Thinner,
};

/// The steps samples are thinned to, in milliseconds.
const STEPS: [i64; 2] = [10_000, 60_000];
/// Segments thinned into one at a time.
const THIN_AT_ONCE: usize = 4;

impl Spool {
    /// Thins, and at last drops, until there is room for one more segment on the disk, or in memory.
    pub(super) fn make_room(&mut self, memory: bool, now: Instant) {
        let limit = if memory {
            self.limits.memory_bytes
        } else {
            self.limits.disk_bytes
        };
        let room = limit.saturating_sub(self.segment_limit(memory));
        loop {
            let ours = |segment: &&Segment| segment.is_in_memory() == memory;
            let bytes: u64 = self
                .segments
                .iter()
                .filter(ours)
                .map(|segment| segment.bytes)
                .sum();
            if bytes <= room {
                return;
            }
            if self.join(memory, now) || STEPS.iter().any(|step| self.thin(memory, *step, now)) {
                continue;
            }
            match self.segments.iter().position(|segment| ours(&segment)) {
                Some(oldest) => self.drop_segment(oldest),
                None => return,
            }
        }
    }

    pub(super) fn drop_segment(&mut self, index: usize) {
        let gone = if index == 0 {
            self.acknowledged_in_front()
        } else {
            0
        };
        let Some(segment) = self.segments.remove(index) else {
            return;
        };
        self.dropped += segment.samples.saturating_sub(gone);
        if self
            .reader
            .as_ref()
            .is_some_and(|reader| reader.at.segment == segment.number)
        {
            self.reader = None;
            self.acknowledged = self.acknowledged.max(Position {
                segment: segment.number + 1,
                sample: 0,
            });
        }
        tracing::warn!(
            samples = segment.samples,
            "the spool is full: the oldest samples are dropped"
        );
        segment.remove(&self.directory);
    }

    /// Segments up to this one are being sent: they keep their form, as samples are named by place.
    fn pinned(&self) -> u64 {
        let reading = self.reader.as_ref().map(|reader| reader.at.segment);
        reading.unwrap_or(self.acknowledged.segment)
    }

    /// Joins the oldest small neighbours (of short runs, or thinned ones): each segment begins with
    /// all its names. `false`: there are none.
    fn join(&mut self, memory: bool, now: Instant) -> bool {
        let (pinned, limit) = (self.pinned(), self.segment_limit(memory));
        for first in 0..self.segments.len() {
            let Some(begin) = self.segments.get(first) else {
                return false;
            };
            if begin.is_in_memory() != memory || begin.number <= pinned {
                continue;
            }
            let mut bytes = 0;
            let count = self
                .segments
                .iter()
                .skip(first)
                .take_while(|next| {
                    bytes += next.bytes;
                    bytes <= limit
                        && next.is_in_memory() == memory
                        && next.step_ms == begin.step_ms
                        && next.boot_id == begin.boot_id
                })
                .count();
            let step = begin.step_ms;
            if count > 1 {
                return self.try_rewrite(first, count, step, now);
            }
        }
        false
    }

    /// Thins the oldest segments that can be to `step`. `false`: there are none.
    fn thin(&mut self, memory: bool, step: i64, now: Instant) -> bool {
        let pinned = self.pinned();
        let fits = |segment: &Segment| {
            segment.is_in_memory() == memory && segment.step_ms < step && segment.number > pinned
        };
        let Some(first) = self.segments.iter().position(fits) else {
            return false;
        };
        let boot_id = Arc::clone(&self.segments[first].boot_id);
        let old: Vec<&Segment> = self
            .segments
            .iter()
            .skip(first)
            .take(THIN_AT_ONCE)
            .take_while(|segment| fits(segment) && segment.boot_id == boot_id)
            .collect();
        // Nothing to gain where the steps are as wide already: marked, not rewritten.
        let samples: u64 = old.iter().map(|segment| segment.samples).sum();
        let span: i64 = old.iter().map(|segment| segment.last_ms - segment.first_ms).sum();
        let count = old.len();
        if i64::try_from(samples).unwrap_or(i64::MAX).saturating_mul(step) <= span.saturating_mul(5) / 4 {
            for segment in self.segments.iter_mut().skip(first).take(count) {
                segment.step_ms = step;
            }
            return true;
        }
        self.try_rewrite(first, count, step, now)
    }

    fn try_rewrite(&mut self, first: usize, count: usize, step: i64, now: Instant) -> bool {
        let rewritten = self.rewrite(first, count, step);
        if let Err(error) = &rewritten {
            self.note_trouble(error, now);
        }
        rewritten.is_ok()
    }

    /// Replaces `count` segments from `first` on by one, thinned to `step` (0: as they are).
    fn rewrite(&mut self, first: usize, count: usize, step: i64) -> io::Result<()> {
        let old: Vec<&Segment> = self.segments.iter().skip(first).take(count).collect();
        let Some(number) = old.first().map(|segment| segment.number) else {
            return Ok(());
        };
        let had: u64 = old.iter().map(|segment| segment.samples).sum();
        let memory = old[0].is_in_memory();
        let mut writer = Writer::in_memory(number, step, &old[0].boot_id);
        let mut thinner = Thinner::new(step);
        for segment in &old {
            let Some(mut decoder) = segment.read(&self.directory)? else {
                continue;
            };
            while let Some(sample) = decoder.next_sample() {
                let done = if step > 0 {
                    thinner.push(sample)
                } else {
                    Some(sample)
                };
                if let Some(done) = done {
                    writer.add(&done)?;
                }
            }
        }
        if let Some(done) = thinner.finish() {
            writer.add(&done)?;
        }
        let mut new = writer.segment;
        if !memory {
            new.settle(&self.directory)?;
        }
        self.thinned += had.saturating_sub(new.samples);
        // The first one's file is the new one's by now.
        for index in (0..count).rev() {
            if let Some(segment) = self.segments.remove(first + index)
                && index > 0
            {
                segment.remove(&self.directory);
            }
        }
        self.segments.insert(first, new);
        Ok(())
    }
}
