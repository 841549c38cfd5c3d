//! Samples to bytes and back, each as its difference to the one before of the same skeleton.
//!
//! ```text
//! segment = header frame*                      the header is a frame too
//! frame   = length crc32 payload               length a varint, the checksum of the payload
//! header  = version step boot-id               step: the samples are at least so far apart, in ms
//! sample  = texts skeleton times cells
//! texts   = count (length bytes)*              texts this segment has not had yet
//! skeleton= 0 length bytes | number            a new one, or the n-th of this segment
//! times   = taken-at uptime clock              differences to the sample before, zigzag; clock: 0
//!                                              for none, or n+1: the clock's lead, zigzag
//! cells   = code*                              per cell: 0 n: n+1 cells as before; 1: absent; 2 and
//!                                              8 bytes: the value; n: difference n-3, zigzag
//! ```
//!
//! A text is a number in its cell, its place in the list of the segment's texts, and every segment
//! starts without any memory: one that is lost takes no other with it.

use std::collections::HashMap;

use gander_probe::{
    Snapshot,
    varint::{self, Damaged},
};

use super::cells::{self, Cell};
use crate::Sample;

const VERSION: u64 = 1;
/// Past so many texts or skeletons a segment is closed: they are kept in memory while it is written.
const MAX_NAMES: usize = 2048;
/// No sample is larger; a length above was not written by us.
const MAX_FRAME: usize = 1024 * 1024;

const SAME: u64 = 0;
const ABSENT: u64 = 1;
const LITERAL: u64 = 2;
const DIFFERENCE: u64 = 3;

/// The first words of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Samples were thinned to this step, in milliseconds; 0: they are as they came.
    pub(super) step_ms: i64,
    /// The boot in which the samples were taken; empty where the system has no such id.
    pub(super) boot_id: String,
}

/// What a cell held last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Before {
    value: i64,
    present: bool,
}

/// Writes the frames of one segment.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    texts: HashMap<String, i64>,
    skeletons: HashMap<Vec<u8>, usize>,
    before: Vec<Vec<Before>>,
    taken_at_ms: i64,
    uptime_ms: i64,
}

impl Encoder {
    /// Appends the header's frame.
    pub(super) fn header(header: &Header, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        varint::put(&mut payload, VERSION);
        varint::put_signed(&mut payload, header.step_ms);
        varint::put_bytes(&mut payload, header.boot_id.as_bytes());
        frame(&payload, out);
    }

    /// Whether a new segment should be begun.
    pub(super) fn is_full(&self) -> bool {
        self.texts.len() >= MAX_NAMES || self.before.len() >= MAX_NAMES
    }

    /// Appends the frame of one sample. The error is a fault of this program's, for a log.
    pub(super) fn sample(&mut self, sample: &Sample, out: &mut Vec<u8>) -> Result<(), String> {
        let (skeleton, cells) = cells::flatten(&sample.snapshot).map_err(|error| error.to_string())?;
        let mut payload = Vec::with_capacity(256);
        let (values, new_texts) = self.numbers(&cells);
        varint::put(&mut payload, new_texts.len() as u64);
        for text in new_texts {
            varint::put_bytes(&mut payload, text.as_bytes());
        }
        let known = self.skeletons.len();
        let index = match self.skeletons.get(&skeleton) {
            Some(index) => {
                varint::put(&mut payload, *index as u64 + 1);
                *index
            }
            None => {
                varint::put(&mut payload, 0);
                varint::put_bytes(&mut payload, &skeleton);
                self.skeletons.insert(skeleton, known);
                self.before.push(vec![Before::default(); values.len()]);
                known
            }
        };
        varint::put_signed(&mut payload, sample.taken_at_ms.wrapping_sub(self.taken_at_ms));
        varint::put_signed(&mut payload, sample.uptime_ms.wrapping_sub(self.uptime_ms));
        // A clock that is 300 million years ahead is not told from one that is right.
        let lead = sample
            .clock_ahead_ms
            .map_or(0, |lead| varint::zigzag(lead).saturating_add(1));
        varint::put(&mut payload, lead);
        self.taken_at_ms = sample.taken_at_ms;
        self.uptime_ms = sample.uptime_ms;
        put_cells(&mut payload, &values, &mut self.before[index]);
        frame(&payload, out);
        Ok(())
    }

    /// The cells as integers, and the texts this segment has not had.
    fn numbers<'a>(&mut self, cells: &'a [Cell]) -> (Vec<Option<i64>>, Vec<&'a str>) {
        let mut new = Vec::new();
        let values = cells
            .iter()
            .map(|cell| match cell {
                Cell::Absent => None,
                Cell::Integer(value) => Some(*value),
                Cell::Text(text) => Some(match self.texts.get(text) {
                    Some(number) => *number,
                    None => {
                        let number = self.texts.len() as i64;
                        self.texts.insert(text.clone(), number);
                        new.push(text.as_str());
                        number
                    }
                }),
            })
            .collect();
        (values, new)
    }
}

fn put_cells(out: &mut Vec<u8>, values: &[Option<i64>], before: &mut [Before]) {
    let mut same = 0_u64;
    for (value, before) in values.iter().zip(before) {
        let unchanged = match value {
            Some(value) => before.present && before.value == *value,
            None => !before.present,
        };
        if unchanged {
            same += 1;
            continue;
        }
        put_run(out, &mut same);
        match value {
            None => {
                varint::put(out, ABSENT);
                before.present = false;
            }
            Some(value) => {
                let difference = varint::zigzag(value.wrapping_sub(before.value));
                match difference.checked_add(DIFFERENCE) {
                    Some(code) => varint::put(out, code),
                    None => {
                        varint::put(out, LITERAL);
                        out.extend_from_slice(&value.to_le_bytes());
                    }
                }
                *before = Before {
                    value: *value,
                    present: true,
                };
            }
        }
    }
    put_run(out, &mut same);
}

fn put_run(out: &mut Vec<u8>, same: &mut u64) {
    if *same > 0 {
        varint::put(out, SAME);
        varint::put(out, *same - 1);
        *same = 0;
    }
}

fn take_cells(mut bytes: &[u8], before: &mut [Before]) -> Result<(), Damaged> {
    let mut cells = before.iter_mut();
    while !bytes.is_empty() {
        match varint::take(&mut bytes)? {
            SAME => {
                let more = usize::try_from(varint::take(&mut bytes)?).map_err(|_| Damaged)?;
                cells.nth(more).ok_or(Damaged)?;
            }
            code => {
                let cell = cells.next().ok_or(Damaged)?;
                match code {
                    ABSENT => cell.present = false,
                    LITERAL => {
                        let (value, rest) = bytes.split_first_chunk::<8>().ok_or(Damaged)?;
                        bytes = rest;
                        *cell = Before {
                            value: i64::from_le_bytes(*value),
                            present: true,
                        };
                    }
                    code => {
                        let difference = varint::unzigzag(code - DIFFERENCE);
                        cell.value = cell.value.wrapping_add(difference);
                        cell.present = true;
                    }
                }
            }
        }
    }
    if cells.next().is_some() {
        return Err(Damaged);
    }
    Ok(())
}

fn frame(payload: &[u8], out: &mut Vec<u8>) {
    varint::put(out, payload.len() as u64);
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Takes one frame off the front. `None`: the bytes end here, or in the middle of a frame, or what
/// follows is damaged; there is nothing to be read behind it.
fn take_frame<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let length = usize::try_from(varint::take(&mut rest).ok()?).ok()?;
    if length > MAX_FRAME {
        return None;
    }
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return None;
    }
    *bytes = rest;
    Some(payload)
}

/// Reads a segment's bytes. Ends at its end, or before the first frame that is torn or damaged.
#[derive(Debug)]
pub(super) struct Decoder<B> {
    bytes: B,
    at: usize,
    pub(super) header: Header,
    texts: Vec<String>,
    skeletons: Vec<Vec<u8>>,
    before: Vec<Vec<Before>>,
    times: Times,
}

/// The times of a sample.
#[derive(Debug, Default)]
struct Times {
    taken_at_ms: i64,
    uptime_ms: i64,
    clock_ahead_ms: Option<i64>,
}

impl<B: AsRef<[u8]>> Decoder<B> {
    /// `None` when the bytes do not begin with a whole header of a version this program knows.
    pub(super) fn new(bytes: B) -> Option<Self> {
        let mut rest = bytes.as_ref();
        let mut payload = take_frame(&mut rest)?;
        let at = bytes.as_ref().len() - rest.len();
        if varint::take(&mut payload).ok()? != VERSION {
            return None;
        }
        let step_ms = varint::take_signed(&mut payload).ok()?;
        let boot_id = String::from_utf8(varint::take_bytes(&mut payload).ok()?.to_vec()).ok()?;
        Some(Self {
            bytes,
            at,
            header: Header { step_ms, boot_id },
            texts: Vec::new(),
            skeletons: Vec::new(),
            before: Vec::new(),
            times: Times::default(),
        })
    }

    /// The next sample; `None` at the end.
    pub(super) fn next_sample(&mut self) -> Option<Sample> {
        let index = self.advance()?;
        let cells: Vec<Cell> = self.before[index].iter().map(|cell| self.cell(*cell)).collect();
        // Texts and numbers share the form of a cell: the skeleton tells them apart.
        let cells = restore_texts(&self.skeletons[index], cells, &self.texts).ok()?;
        let snapshot: Snapshot = cells::build(&self.skeletons[index], &cells).ok()?;
        Some(Sample {
            taken_at_ms: self.times.taken_at_ms,
            uptime_ms: self.times.uptime_ms,
            clock_ahead_ms: self.times.clock_ahead_ms,
            snapshot,
        })
    }

    /// Steps over the next sample and answers when it was taken; `None` at the end.
    pub(super) fn skip(&mut self) -> Option<i64> {
        self.advance()?;
        Some(self.times.taken_at_ms)
    }

    fn advance(&mut self) -> Option<usize> {
        let whole = self.bytes.as_ref();
        let mut rest = whole.get(self.at..)?;
        let payload = take_frame(&mut rest)?;
        let next = whole.len() - rest.len();
        // A frame is whole or it is not there: a sample that does not decode is the end.
        let index = read_sample(
            payload,
            &mut self.texts,
            &mut self.skeletons,
            &mut self.before,
            &mut self.times,
        );
        self.at = if index.is_ok() { next } else { whole.len() };
        index.ok()
    }

    fn cell(&self, cell: Before) -> Cell {
        if cell.present {
            Cell::Integer(cell.value)
        } else {
            Cell::Absent
        }
    }
}

fn read_sample(
    mut payload: &[u8],
    texts: &mut Vec<String>,
    skeletons: &mut Vec<Vec<u8>>,
    before: &mut Vec<Vec<Before>>,
    times: &mut Times,
) -> Result<usize, Damaged> {
    for _ in 0..varint::take(&mut payload)? {
        let text = varint::take_bytes(&mut payload)?;
        texts.push(String::from_utf8(text.to_vec()).map_err(|_| Damaged)?);
    }
    let index = match usize::try_from(varint::take(&mut payload)?).map_err(|_| Damaged)? {
        0 => {
            let skeleton = varint::take_bytes(&mut payload)?.to_vec();
            before.push(vec![Before::default(); cells::leaves(&skeleton)?]);
            skeletons.push(skeleton);
            skeletons.len() - 1
        }
        number => number - 1,
    };
    let cells = before.get_mut(index).ok_or(Damaged)?;
    let (after, up) = (
        varint::take_signed(&mut payload)?,
        varint::take_signed(&mut payload)?,
    );
    times.taken_at_ms = times.taken_at_ms.wrapping_add(after);
    times.uptime_ms = times.uptime_ms.wrapping_add(up);
    times.clock_ahead_ms = varint::take(&mut payload)?.checked_sub(1).map(varint::unzigzag);
    take_cells(payload, cells)?;
    Ok(index)
}

/// Turns the numbers in the cells of texts into those texts.
fn restore_texts(skeleton: &[u8], mut cells: Vec<Cell>, texts: &[String]) -> Result<Vec<Cell>, Damaged> {
    let mut place = 0;
    cells::visit_leaves(skeleton, |is_text| {
        let cell = cells.get_mut(place).ok_or(Damaged)?;
        place += 1;
        if let (true, Cell::Integer(number)) = (is_text, &*cell) {
            let text = usize::try_from(*number).ok().and_then(|number| texts.get(number));
            *cell = Cell::Text(text.ok_or(Damaged)?.clone());
        }
        Ok(())
    })?;
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use gander_probe::{Differ, RawSample, Sections, local};
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            step_ms: 10_000,
            boot_id: "b".into(),
        }
    }

    fn write(samples: &[Sample]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::header(&header(), &mut out);
        let mut encoder = Encoder::default();
        for sample in samples {
            encoder.sample(sample, &mut out).unwrap();
        }
        out
    }

    fn read(bytes: &[u8]) -> Vec<Sample> {
        let mut decoder = Decoder::new(bytes).unwrap();
        std::iter::from_fn(|| decoder.next_sample()).collect()
    }

    /// Looks at this machine, with the slow sections and the facts now and then.
    fn looks(count: i64) -> Vec<Sample> {
        let mut differ = Differ::new();
        (0..count)
            .map(|index| {
                let sections = match index % 5 {
                    0 => Sections::TICK | Sections::SLOW | Sections::FACTS | Sections::RARE,
                    3 => Sections::TICK | Sections::SLOW,
                    _ => Sections::TICK,
                };
                Sample {
                    taken_at_ms: 1_700_000_000_000 + index * 1000,
                    uptime_ms: index * 1000,
                    clock_ahead_ms: [None, Some(0), Some(-3_600_000), Some(5000)][index as usize % 4],
                    snapshot: differ.advance(RawSample::parse(&local::read(sections)), index * 1000),
                }
            })
            .collect()
    }

    #[test]
    fn looks_at_this_machine_come_back_whole() {
        let samples = looks(20);
        let bytes = write(&samples);
        assert_eq!(read(&bytes), samples);
        assert_eq!(Decoder::new(bytes.as_slice()).unwrap().header, header());
        let whole: usize = samples
            .iter()
            .map(|sample| serde_json::to_vec(&sample.snapshot).unwrap().len())
            .sum();
        assert!(bytes.len() * 3 < whole, "{} bytes of {whole}", bytes.len());
    }

    #[test]
    fn a_torn_tail_costs_the_torn_sample_alone() {
        let samples = looks(6);
        let whole = write(&samples[..5]).len();
        let bytes = write(&samples);
        for cut in whole..bytes.len() {
            assert_eq!(read(&bytes[..cut]), samples[..5], "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_segment_and_invents_nothing() {
        let samples = looks(6);
        let bytes = write(&samples);
        for position in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            if let Some(mut decoder) = Decoder::new(damaged) {
                let read: Vec<Sample> = std::iter::from_fn(|| decoder.next_sample()).collect();
                assert_eq!(read, samples[..read.len()], "at {position}");
            }
        }
    }

    proptest! {
        #[test]
        fn cells_come_back(rows in proptest::collection::vec(
            proptest::collection::vec(proptest::option::of(any::<i64>()), 5), 1..20,
        )) {
            let (mut writer, mut reader) = ([Before::default(); 5], [Before::default(); 5]);
            for row in rows {
                let mut bytes = Vec::new();
                put_cells(&mut bytes, &row, &mut writer);
                take_cells(&bytes, &mut reader).unwrap();
                let back: Vec<Option<i64>> = reader.iter().map(|cell| cell.present.then_some(cell.value)).collect();
                prop_assert_eq!(back, row);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(payload: Vec<u8>, skeleton: Vec<u8>) {
            let mut bytes = Vec::new();
            Encoder::header(&header(), &mut bytes);
            frame(&payload, &mut bytes);
            read(&bytes);
            let mut bytes = Vec::new();
            Encoder::header(&header(), &mut bytes);
            let mut valid = vec![0, 0];
            varint::put_bytes(&mut valid, &skeleton);
            valid.extend_from_slice(&[0, 0, 0]);
            valid.extend_from_slice(&payload);
            frame(&valid, &mut bytes);
            read(&bytes);
        }
    }
}
