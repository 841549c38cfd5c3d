//! One column of integers: the smallest of a few encodings.

use gander_probe::varint::{self, unzigzag, zigzag};
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, ModeSpec, PagingSpec};

use super::Damaged;

/// Compression level of pco while a block will soon be merged.
const LEVEL: usize = 4;
/// … and of columns so long that they are there to stay: a few percent smaller, and twice as slow.
const LAST_LEVEL: usize = 8;
const LONG: usize = 4_096;
/// Numbers of more significant bits than this are taken as they are.
const SHORT_BITS: u32 = 12;
/// What pco's header says (format version 4.1): the same for every column, so it is not stored.
const PCO_HEADER: [u8; 2] = [4, 1];

/// A column as the directory has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Constant {
        value: i64,
    },
    Linear {
        first: i64,
        step: i64,
    },
    /// The same column of an earlier series, `by` added; `minus`: taken from `by`.
    Mirror {
        series: usize,
        by: i64,
        minus: bool,
    },
    Runs,
    Packed {
        bits: Bits,
        base: i64,
        scale: u64,
    },
    /// Numbers of at most so many significant bits, none negative, as their [`short`] forms.
    Short {
        bits: Bits,
        base: u64,
        significant: u32,
    },
}

/// Width of the numbers given to pco: its tables of bins cost in proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bits {
    B8,
    B16,
    B32,
    B64,
}

impl Bits {
    /// As the directory has it.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::B8 => 0,
            Self::B16 => 1,
            Self::B32 => 2,
            Self::B64 => 3,
        }
    }

    /// Of its code; of another number the widest.
    pub(super) fn of(code: u8) -> Self {
        match code {
            0 => Self::B8,
            1 => Self::B16,
            2 => Self::B32,
            _ => Self::B64,
        }
    }

    fn for_range(range: u64) -> Self {
        match range {
            0..=0xff => Self::B8,
            0x100..=0xffff => Self::B16,
            0x1_0000..=0xffff_ffff => Self::B32,
            _ => Self::B64,
        }
    }
}

/// Encodes a column that mirrors no other; `data` gets its bytes, if it needs any.
pub(super) fn encode(values: &[i64], data: &mut Vec<u8>) -> Result<Encoding, Damaged> {
    let Some(&first) = values.first() else {
        return Ok(Encoding::Constant { value: 0 });
    };
    let facts = Facts::of(values);
    if facts.min == facts.max {
        return Ok(Encoding::Constant { value: first });
    }
    if let Some(step) = facts.step {
        return Ok(Encoding::Linear { first, step });
    }
    let start = data.len();
    let mut runs = None;
    if facts.runs <= values.len() / 8 + 2 {
        put_runs(values, data);
        runs = Some(data.len() - start);
    }
    // A handful of bytes cannot be beaten: pco's own tables take more.
    if runs.is_some_and(|bytes| bytes <= 16) {
        return Ok(Encoding::Runs);
    }
    let (encoding, packed) = match facts.significant() {
        Some(significant) => {
            let base = short(facts.min as u64, significant);
            let bits = Bits::for_range(short(facts.max as u64, significant) - base);
            let numbers = values
                .iter()
                .map(|value| short(*value as u64, significant) - base);
            let encoding = Encoding::Short {
                bits,
                base,
                significant,
            };
            (encoding, pack_as(bits, numbers)?)
        }
        None => {
            let (base, scale) = (facts.min, facts.scale);
            let bits = Bits::for_range(facts.range());
            let numbers = values.iter().map(|value| value.wrapping_sub(base) as u64 / scale);
            (Encoding::Packed { bits, base, scale }, pack_as(bits, numbers)?)
        }
    };
    if runs.is_some_and(|bytes| bytes <= packed.len()) {
        return Ok(Encoding::Runs);
    }
    data.truncate(start);
    data.extend_from_slice(&packed);
    Ok(encoding)
}

/// The values of a column with `count` of them. A mirror is resolved by the caller.
pub(super) fn decode(encoding: Encoding, bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    match encoding {
        Encoding::Constant { value } => Ok(vec![value; count]),
        Encoding::Linear { first, step } => {
            let values = std::iter::successors(Some(first), |value| Some(value.wrapping_add(step)));
            Ok(values.take(count).collect())
        }
        Encoding::Mirror { .. } => Err(Damaged("a mirror of a mirror")),
        Encoding::Runs => take_runs(bytes, count),
        Encoding::Packed { bits, base, scale } => {
            let value = |number: u64| base.wrapping_add(number.wrapping_mul(scale) as i64);
            unpack_as(bits, bytes, count, value)
        }
        Encoding::Short {
            bits,
            base,
            significant,
        } => {
            let value = |number: u64| long(base.wrapping_add(number), significant) as i64;
            unpack_as(bits, bytes, count, value)
        }
    }
}

/// A number of at most `significant` bits (after which there are zeros) in few digits: the bits and,
/// above them, how many zeros follow. Larger numbers have larger forms, without holes in between.
fn short(value: u64, significant: u32) -> u64 {
    let zeros = (u64::BITS - value.leading_zeros()).saturating_sub(significant);
    (u64::from(zeros) << (significant - 1)) + (value >> zeros)
}

/// The number of a short form; of one that no encoder wrote, any number.
fn long(short: u64, significant: u32) -> u64 {
    let zeros = (short >> (significant - 1)).saturating_sub(1);
    let bits = short.wrapping_sub(zeros << (significant - 1));
    bits.unbounded_shl(u32::try_from(zeros).unwrap_or(u32::MAX))
}

/// What one pass over the values tells.
struct Facts {
    min: i64,
    max: i64,
    /// The common difference of neighbours, if there is one.
    step: Option<i64>,
    /// Times the value changes, plus one.
    runs: usize,
    /// Greatest common divisor of the distances from the smallest value, at least 1.
    scale: u64,
    /// Significant bits of the value that has the most.
    significant: u32,
}

impl Facts {
    fn of(values: &[i64]) -> Self {
        let min = values.iter().copied().min().unwrap_or(0);
        let max = values.iter().copied().max().unwrap_or(0);
        let step = match values {
            [first, second, ..] => Some(second.wrapping_sub(*first)),
            _ => None,
        };
        let step = step.filter(|step| {
            values
                .windows(2)
                .all(|pair| pair[1].wrapping_sub(pair[0]) == *step)
        });
        let runs = 1 + values.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let mut scale = 0;
        for value in values {
            scale = greatest_common_divisor(value.wrapping_sub(min) as u64, scale);
            if scale == 1 {
                break;
            }
        }
        let significant =
            |value: &i64| (i64::BITS - value.leading_zeros()).saturating_sub(value.trailing_zeros());
        Self {
            min,
            max,
            step,
            runs,
            scale: scale.max(1),
            significant: values.iter().map(significant).max().unwrap_or(0).max(1),
        }
    }

    fn range(&self) -> u64 {
        self.max.wrapping_sub(self.min) as u64 / self.scale
    }

    /// The significant bits to keep, if that is shorter than the numbers as they are.
    fn significant(&self) -> Option<u32> {
        let width = u64::BITS - self.range().leading_zeros();
        let shorter = self.min >= 0 && self.significant <= SHORT_BITS && self.significant + 1 < width;
        shorter.then_some(self.significant)
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn pack_as(bits: Bits, numbers: impl Iterator<Item = u64>) -> Result<Vec<u8>, Damaged> {
    match bits {
        Bits::B8 => pack(&numbers.map(|number| number as u8).collect::<Vec<_>>()),
        Bits::B16 => pack(&numbers.map(|number| number as u16).collect::<Vec<_>>()),
        Bits::B32 => pack(&numbers.map(|number| number as u32).collect::<Vec<_>>()),
        Bits::B64 => pack(&numbers.collect::<Vec<_>>()),
    }
}

fn unpack_as(
    bits: Bits,
    bytes: &[u8],
    count: usize,
    value: impl Fn(u64) -> i64,
) -> Result<Vec<i64>, Damaged> {
    fn all<T: pco::data_types::Number + Default + Copy + Into<u64>>(
        bytes: &[u8],
        count: usize,
        value: impl Fn(u64) -> i64,
    ) -> Result<Vec<i64>, Damaged> {
        let numbers = unpack::<T>(bytes, count)?;
        Ok(numbers.into_iter().map(|number| value(number.into())).collect())
    }
    match bits {
        Bits::B8 => all::<u8>(bytes, count, value),
        Bits::B16 => all::<u16>(bytes, count, value),
        Bits::B32 => all::<u32>(bytes, count, value),
        Bits::B64 => all::<u64>(bytes, count, value),
    }
}

fn pack<T: pco::data_types::Number>(numbers: &[T]) -> Result<Vec<u8>, Damaged> {
    let failed = |_| Damaged("pco refused the values");
    let config = ChunkConfig::default()
        .with_compression_level(if numbers.len() < LONG { LEVEL } else { LAST_LEVEL })
        // The common divisor is taken out already.
        .with_mode_spec(ModeSpec::Classic)
        .with_paging_spec(PagingSpec::EqualPagesUpTo(numbers.len().max(1)))
        .with_enable_8_bit(true);
    let mut chunk = FileCompressor::default()
        .chunk_compressor(numbers, &config)
        .map_err(failed)?;
    let bytes = chunk.write_meta(Vec::new()).map_err(failed)?;
    chunk.write_page(0, bytes).map_err(failed)
}

fn unpack<T: pco::data_types::Number + Default + Copy>(
    bytes: &[u8],
    count: usize,
) -> Result<Vec<T>, Damaged> {
    let failed = |_| Damaged("a column does not decode");
    let (file, _) = FileDecompressor::new(PCO_HEADER.as_slice()).map_err(failed)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(bytes).map_err(failed)?;
    let mut numbers = vec![T::default(); count];
    let progress = chunk
        .page_decompressor(rest, count)
        .and_then(|mut page| page.read(&mut numbers))
        .map_err(failed)?;
    if progress.n_processed == count && progress.finished {
        Ok(numbers)
    } else {
        Err(Damaged("a column is too short"))
    }
}

fn put_runs(values: &[i64], data: &mut Vec<u8>) {
    let mut before = 0_i64;
    for run in values.chunk_by(|a, b| a == b) {
        varint::put(data, zigzag(run[0].wrapping_sub(before)));
        varint::put(data, run.len() as u64);
        before = run[0];
    }
}

fn take_runs(mut bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    let damaged = |_| Damaged("runs do not decode");
    let mut values = Vec::with_capacity(count);
    let mut value = 0_i64;
    while !bytes.is_empty() {
        value = value.wrapping_add(unzigzag(varint::take(&mut bytes).map_err(damaged)?));
        let length = varint::take(&mut bytes).map_err(damaged)?;
        let room = (count - values.len()) as u64;
        if length > room {
            return Err(Damaged("runs are too long"));
        }
        values.resize(values.len() + length as usize, value);
    }
    if values.len() == count {
        Ok(values)
    } else {
        Err(Damaged("runs are too short"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_that_is_left_out_is_the_one_pco_writes() {
        let header = FileCompressor::default().write_header(Vec::new()).unwrap();
        assert_eq!(header, PCO_HEADER);
    }

    #[test]
    fn short_forms_are_in_order_without_holes_and_come_back() {
        for significant in [1, 2, 10, 12] {
            let rounded = |value: u64| {
                let zeros = (u64::BITS - value.leading_zeros()).saturating_sub(significant);
                value >> zeros << zeros
            };
            let mut before = None;
            for code in 0..(1 << significant) * 5 {
                let value = long(code, significant);
                assert_eq!((rounded(value), short(value, significant)), (value, code));
                assert!(before.is_none_or(|before| before < value));
                before = Some(value);
            }
            let largest = rounded(i64::MAX as u64);
            assert_eq!(long(short(largest, significant), significant), largest);
        }
    }

    #[test]
    fn each_kind_of_column_takes_its_encoding() {
        let encoded = |values: &[i64]| {
            let mut data = Vec::new();
            let encoding = encode(values, &mut data).unwrap();
            assert_eq!(decode(encoding, &data, values.len()).unwrap(), values);
            (encoding, data.len())
        };
        assert_eq!(encoded(&[7; 500]), (Encoding::Constant { value: 7 }, 0));
        let regular: Vec<i64> = (0..500).map(|step| 1_767_225_600_000 + step * 10_000).collect();
        assert!(matches!(
            encoded(&regular),
            (Encoding::Linear { step: 10_000, .. }, 0)
        ));
        let mut quiet = vec![0; 500];
        quiet[200] = 3;
        let (encoding, bytes) = encoded(&quiet);
        assert_eq!(encoding, Encoding::Runs);
        assert!(bytes <= 16, "{bytes}");
        let noisy: Vec<i64> = (0..2_000).map(|step: i64| (step * 7_919 % 613) << 12).collect();
        let (encoding, bytes) = encoded(&noisy);
        assert!(
            matches!(
                encoding,
                Encoding::Packed {
                    bits: Bits::B16,
                    scale: 4_096,
                    ..
                }
            ),
            "{encoding:?}"
        );
        assert!(bytes < 2_000 * 5 / 4 + 100, "{bytes}");
        let rates: Vec<i64> = (0..2_000)
            .map(|step: i64| (512 + step * 7_919 % 512) << (step % 13))
            .collect();
        let (encoding, bytes) = encoded(&rates);
        let expected = |encoding| {
            matches!(
                encoding,
                Encoding::Short {
                    significant: 10,
                    bits: Bits::B16,
                    ..
                }
            )
        };
        assert!(expected(encoding), "{encoding:?}");
        assert!(bytes < 2_000 * 15 / 8, "{bytes}");
        encoded(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MIN]);
    }
}
