//! Graphics processors: NVIDIA's as `nvidia-smi --query-gpu=… --format=csv,noheader,nounits` tells
//! them, AMD's as their driver's files do.

use super::{Listed, ParseError, hundredths, label, number};
use crate::snapshot::Gpu;

/// GPUs after the first 64 are left out.
const MAX_GPUS: usize = 64;

/// Parses lines `index, name, use in percent, MiB used, MiB in all, °C, W`. A driver that cannot tell
/// a value has words in brackets there.
#[must_use]
pub fn parse_nvidia(text: &str) -> Listed<Gpu> {
    let mut listed = Listed::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split(',').map(str::trim).collect();
        let [index, name, usage, used, total, degrees, watts] = words[..] else {
            listed.note(ParseError::at("not a line of nvidia-smi", line));
            continue;
        };
        let mebibytes = |word| number(word).map(|count| count.saturating_mul(1 << 20));
        listed.add(
            MAX_GPUS,
            Ok(Gpu {
                name: label(&format!("{index} {name}")),
                usage_permille: percent(usage),
                memory_total_bytes: mebibytes(total),
                memory_used_bytes: mebibytes(used),
                millicelsius: number(degrees)
                    .and_then(|degrees| i64::try_from(degrees).ok())
                    .and_then(|degrees| degrees.checked_mul(1000)),
                milliwatts: hundredths(watts).and_then(|watts| u32::try_from(watts.checked_mul(10)?).ok()),
            }),
        );
    }
    listed
}

/// Parses lines `CARD USE_IN_PERCENT BYTES_USED BYTES_IN_ALL`. Temperatures are among the sensors.
#[must_use]
pub fn parse_amd(text: &str) -> Listed<Gpu> {
    let mut listed = Listed::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [card, usage, used, total] = words[..] else {
            listed.note(ParseError::at("not a card", line));
            continue;
        };
        listed.add(
            MAX_GPUS,
            Ok(Gpu {
                name: label(card),
                usage_permille: percent(usage),
                memory_total_bytes: number(total),
                memory_used_bytes: number(used),
                ..Gpu::default()
            }),
        );
    }
    listed
}

fn percent(word: &str) -> Option<u16> {
    number(word).and_then(|percent| u16::try_from(percent.min(100) * 10).ok())
}
