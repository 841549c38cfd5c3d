//! `/proc/net/sockstat` and `sockstat6`, their lines together.

use super::{ParseError, number};
use crate::snapshot::Sockets;

/// Parses the lines. `tw` counts both address families already, `inuse` does not.
///
/// # Errors
/// Where a value is no number.
pub fn parse(text: &str) -> Result<Sockets, ParseError> {
    let mut sockets = Sockets::default();
    for line in text.lines() {
        let Some((protocol, rest)) = line.split_once(':') else {
            continue;
        };
        let value = |name: &str| -> Result<Option<u32>, ParseError> {
            let mut words = rest.split_ascii_whitespace();
            while let Some(word) = words.next() {
                let value = words.next();
                if word == name {
                    let value = value
                        .and_then(number)
                        .ok_or_else(|| ParseError::at("not a count", line))?;
                    return Ok(Some(u32::try_from(value).unwrap_or(u32::MAX)));
                }
            }
            Ok(None)
        };
        match protocol.trim() {
            "TCP" => {
                add(&mut sockets.tcp_in_use, value("inuse")?);
                sockets.tcp_time_wait = value("tw")?;
            }
            "TCP6" => add(&mut sockets.tcp_in_use, value("inuse")?),
            "UDP" | "UDP6" => add(&mut sockets.udp_in_use, value("inuse")?),
            _ => {}
        }
    }
    Ok(sockets)
}

fn add(sum: &mut Option<u32>, value: Option<u32>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0).saturating_add(value));
    }
}
