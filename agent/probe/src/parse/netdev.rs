//! `/proc/net/dev`: traffic of each interface since it appeared.

use super::{Listed, ParseError, label, number};

/// Interfaces after the first 512 are left out.
const MAX_INTERFACES: usize = 512;

/// Counters of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Kernel name: `eth0`.
    pub name: String,
    /// Bytes received.
    pub receive_bytes: u64,
    /// Packets received.
    pub receive_packets: u64,
    /// Receive errors.
    pub receive_errors: u64,
    /// Packets dropped on receipt.
    pub receive_drops: u64,
    /// Bytes sent.
    pub transmit_bytes: u64,
    /// Packets sent.
    pub transmit_packets: u64,
    /// Transmit errors.
    pub transmit_errors: u64,
    /// Packets dropped before they were sent.
    pub transmit_drops: u64,
}

/// Parses the lines; headings are passed over. The loopback, the host's ends of containers'
/// links (their traffic is on the bridge as well, and they come in hundreds) and interfaces that
/// never carried anything are left out.
#[must_use]
pub fn parse(text: &str) -> Listed<InterfaceCounters> {
    let mut listed = Listed::new();
    for line in text.lines() {
        if line.contains('|') || line.trim().is_empty() {
            continue;
        }
        // A name may hold a colon (an alias of old kernels), the counters do not. Before 2.6.33
        // there was no space behind the last one.
        let Some((name, rest)) = line.rsplit_once(':') else {
            listed.note(ParseError::at("no interface", line));
            continue;
        };
        let name = name.trim();
        if is_left_out(name) {
            continue;
        }
        match counters(name, rest, line) {
            Ok(counters) if counters.receive_bytes == 0 && counters.transmit_bytes == 0 => {}
            outcome => listed.add(MAX_INTERFACES, outcome),
        }
    }
    listed
}

fn is_left_out(name: &str) -> bool {
    name == "lo"
        || ["veth", "cali", "lxc"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

fn counters(name: &str, rest: &str, line: &str) -> Result<InterfaceCounters, ParseError> {
    let mut fields = [0; 12];
    let mut count = 0;
    for (field, word) in fields.iter_mut().zip(rest.split_ascii_whitespace()) {
        *field = number(word).ok_or_else(|| ParseError::at("not a counter", line))?;
        count += 1;
    }
    if count < 12 {
        return Err(ParseError::at("too few columns", line));
    }
    let [
        receive_bytes,
        receive_packets,
        receive_errors,
        receive_drops,
        _,
        _,
        _,
        _,
        transmit_bytes,
        transmit_packets,
        transmit_errors,
        transmit_drops,
    ] = fields;
    Ok(InterfaceCounters {
        name: label(name),
        receive_bytes,
        receive_packets,
        receive_errors,
        receive_drops,
        transmit_bytes,
        transmit_packets,
        transmit_errors,
        transmit_drops,
    })
}
