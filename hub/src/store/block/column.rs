//! One column of integers: the smallest of a few encodings.

use gander_probe::varint::{self, unzigzag, zigzag};
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, ModeSpec, PagingSpec};

use super::Damaged;

/// Compression level of pco: 8 is a few percent smaller and up to four times slower.
const LEVEL: usize = 4;
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
    let Some((&first, rest)) = values.split_first() else {
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
    let scale = facts.scale.max(1);
    let range = facts.max.wrapping_sub(facts.min) as u64 / scale;
    let bits = Bits::for_range(range);
    let numbers = std::iter::once(&first)
        .chain(rest)
        .map(|value| value.wrapping_sub(facts.min) as u64 / scale);
    let packed = match bits {
        Bits::B8 => pack(&numbers.map(|number| number as u8).collect::<Vec<_>>()),
        Bits::B16 => pack(&numbers.map(|number| number as u16).collect::<Vec<_>>()),
        Bits::B32 => pack(&numbers.map(|number| number as u32).collect::<Vec<_>>()),
        Bits::B64 => pack(&numbers.collect::<Vec<_>>()),
    }?;
    if runs.is_some_and(|bytes| bytes <= packed.len()) {
        return Ok(Encoding::Runs);
    }
    data.truncate(start);
    data.extend_from_slice(&packed);
    let base = facts.min;
    Ok(Encoding::Packed { bits, base, scale })
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
            Ok(match bits {
                Bits::B8 => unpack::<u8>(bytes, count)?
                    .iter()
                    .map(|n| value(u64::from(*n)))
                    .collect(),
                Bits::B16 => unpack::<u16>(bytes, count)?
                    .iter()
                    .map(|n| value(u64::from(*n)))
                    .collect(),
                Bits::B32 => unpack::<u32>(bytes, count)?
                    .iter()
                    .map(|n| value(u64::from(*n)))
                    .collect(),
                Bits::B64 => unpack::<u64>(bytes, count)?.iter().map(|n| value(*n)).collect(),
            })
        }
    }
}

/// What one pass over the values tells.
struct Facts {
    min: i64,
    max: i64,
    /// The common difference of neighbours, if there is one.
    step: Option<i64>,
    /// Times the value changes, plus one.
    runs: usize,
    /// Greatest common divisor of the distances from the smallest value.
    scale: u64,
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
        Self {
            min,
            max,
            step,
            runs,
            scale,
        }
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn pack<T: pco::data_types::Number>(numbers: &[T]) -> Result<Vec<u8>, Damaged> {
    let failed = |_| Damaged("pco refused the values");
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
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
        encoded(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MIN]);
    }
}
