//! `/proc/meminfo`: physical memory and swap.
//!
//! `used = total - available`. Kernels before 3.14 have no `MemAvailable`; it is estimated there
//! as the kernel does since (commit 34e431b0ae39): free memory, plus the file caches and the
//! reclaimable slab less what must stay (half of each, or the low watermark if that is smaller),
//! less the watermark. The watermark is 5/4 of `min_free_kbytes`, whose default is
//! `4 × sqrt(total in KiB)` between 128 and 65536.

use super::{ParseError, number};
use crate::snapshot::{Memory, Swap};

/// Parses the lines; swap is absent where the kernel has none built in.
///
/// # Errors
/// Where `MemTotal` or `MemFree` are missing, or a needed value is no number.
pub fn parse(text: &str) -> Result<(Memory, Option<Swap>), ParseError> {
    let mut fields = Fields::default();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let Some(field) = fields.by_name(name.trim()) else {
            continue;
        };
        let kibibytes = rest
            .split_ascii_whitespace()
            .next()
            .and_then(number)
            .ok_or_else(|| ParseError::at("not a size", line))?;
        *field = Some(kibibytes);
    }
    let (Some(total), Some(free)) = (fields.total, fields.free) else {
        return Err(ParseError::new("MemTotal or MemFree is missing"));
    };
    let available = fields
        .available
        .unwrap_or_else(|| fields.estimate(total, free))
        // Huge page accounting of some containers lets it exceed the total.
        .min(total);
    let cached = fields
        .cached
        .map(|cached| cached.saturating_add(fields.reclaimable.unwrap_or(0)));
    let memory = Memory {
        total_bytes: bytes(total),
        used_bytes: bytes(total - available),
        available_bytes: bytes(available),
        free_bytes: bytes(free),
        buffers_bytes: fields.buffers.map(bytes),
        cached_bytes: cached.map(bytes),
    };
    let swap = match (fields.swap_total, fields.swap_free) {
        (Some(total), Some(free)) => Some(Swap {
            total_bytes: bytes(total),
            used_bytes: bytes(total.saturating_sub(free)),
        }),
        _ => None,
    };
    Ok((memory, swap))
}

/// The needed lines in KiB.
#[derive(Default)]
struct Fields {
    total: Option<u64>,
    free: Option<u64>,
    available: Option<u64>,
    buffers: Option<u64>,
    cached: Option<u64>,
    active_file: Option<u64>,
    inactive_file: Option<u64>,
    reclaimable: Option<u64>,
    swap_total: Option<u64>,
    swap_free: Option<u64>,
}

impl Fields {
    fn by_name(&mut self, name: &str) -> Option<&mut Option<u64>> {
        Some(match name {
            "MemTotal" => &mut self.total,
            "MemFree" => &mut self.free,
            "MemAvailable" => &mut self.available,
            "Buffers" => &mut self.buffers,
            "Cached" => &mut self.cached,
            "Active(file)" => &mut self.active_file,
            "Inactive(file)" => &mut self.inactive_file,
            "SReclaimable" => &mut self.reclaimable,
            "SwapTotal" => &mut self.swap_total,
            "SwapFree" => &mut self.swap_free,
            _ => return None,
        })
    }

    fn estimate(&self, total: u64, free: u64) -> u64 {
        let watermark = (4 * total.isqrt()).clamp(128, 65_536) * 5 / 4;
        let reclaimable = self.reclaimable.unwrap_or(0);
        let files = match (self.active_file, self.inactive_file) {
            (Some(active), Some(inactive)) => active.saturating_add(inactive),
            // Before 2.6.28 the lists were not apart.
            _ => self.cached.unwrap_or(0).saturating_add(self.buffers.unwrap_or(0)),
        };
        free.saturating_add(files - (files / 2).min(watermark))
            .saturating_add(reclaimable - (reclaimable / 2).min(watermark))
            .saturating_sub(watermark)
    }
}

fn bytes(kibibytes: u64) -> u64 {
    kibibytes.saturating_mul(1024)
}
