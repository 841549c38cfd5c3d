//! What a host may be called where the hub connects to it.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 or IPv6 address, or a host name (RFC 1123, with underscores, which occur), as it is stored;
/// `None`: it is none of these.
#[must_use]
pub fn host_of(text: &str) -> Option<String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    // A link-local address may carry its interface: fe80::1%eth0.
    if let Some((address, zone)) = bare.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
        && !zone.is_empty()
        && zone
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "._-".contains(character))
    {
        return Some(bare.to_owned());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let trimmed = text.strip_suffix('.').unwrap_or(text);
    let looks_like_an_address = trimmed.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (text.len() <= 253 && trimmed.split('.').all(is_label) && !looks_like_an_address)
        .then(|| text.to_ascii_lowercase())
}
