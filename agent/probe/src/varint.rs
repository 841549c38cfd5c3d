//! Integers of variable length (LEB128), and signed ones folded into unsigned: what the store's
//! cells and the agent's spool are written in.

/// Bytes that no encoder wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are damaged")]
pub struct Damaged;

/// Appends an unsigned integer.
#[inline]
pub fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads an unsigned integer off the front.
///
/// # Errors
/// The bytes end within it, or it does not fit.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return Err(Damaged);
        }
        value |= part << (index * 7);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(Damaged)
}

/// Appends a signed integer.
pub fn put_signed(bytes: &mut Vec<u8>, value: i64) {
    put(bytes, zigzag(value));
}

/// Reads a signed integer off the front.
///
/// # Errors
/// As [`take`].
pub fn take_signed(bytes: &mut &[u8]) -> Result<i64, Damaged> {
    take(bytes).map(unzigzag)
}

/// Appends a length and so many bytes.
pub fn put_bytes(bytes: &mut Vec<u8>, text: &[u8]) {
    put(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
}

/// Reads bytes with their length off the front.
///
/// # Errors
/// As [`take`], and fewer bytes than their length says.
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = usize::try_from(take(bytes)?).map_err(|_| Damaged)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(Damaged)?;
    *bytes = rest;
    Ok(text)
}

/// Small magnitudes of either sign as small unsigned integers.
#[must_use]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// What [`zigzag`] folded.
#[must_use]
pub fn unzigzag(code: u64) -> i64 {
    ((code >> 1) as i64) ^ -((code & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(value: i64, text: Vec<u8>) {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            put_bytes(&mut bytes, &text);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(take_signed(&mut rest), Ok(value));
            prop_assert_eq!(take_bytes(&mut rest), Ok(text.as_slice()));
            prop_assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                let mut rest = &bytes[..cut];
                prop_assert!(take_signed(&mut rest).and_then(|_| take_bytes(&mut rest)).is_err());
            }
        }
    }
}
