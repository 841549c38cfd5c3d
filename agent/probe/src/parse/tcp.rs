//! How many TCP sockets are in each state: lines `STATE COUNT` with the state as `/proc/net/tcp` has
//! it, in hexadecimal (`include/net/tcp_states.h`), and a last line that says that it is whole.

use super::{COMPLETE, ParseError, number};
use crate::snapshot::TcpState;

/// The names of the states, from 1.
const STATES: [&str; 12] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    // A request that has not become a socket; counted with those the handshake is under way for.
    "syn_recv",
];

/// Parses the lines. Of a whole list a state without sockets has 0; of a list that was cut short
/// nothing is believed.
///
/// # Errors
/// Where a line is not of this form.
pub fn parse(text: &str) -> Result<Option<Vec<TcpState>>, ParseError> {
    if text.lines().next_back() != Some(COMPLETE) {
        return Ok(None);
    }
    let mut states: Vec<TcpState> = STATES[..11]
        .iter()
        .map(|state| TcpState {
            state: (*state).to_owned(),
            count: 0,
        })
        .collect();
    for line in text.lines().filter(|line| *line != COMPLETE) {
        let (code, count) = line
            .split_once(' ')
            .ok_or_else(|| ParseError::at("not a state and a count", line))?;
        let count = number(count.trim()).ok_or_else(|| ParseError::at("not a count", line))?;
        let name = usize::from_str_radix(code, 16)
            .ok()
            .and_then(|code| STATES.get(code.checked_sub(1)?))
            .ok_or_else(|| ParseError::at("not a state of TCP", line))?;
        if let Some(state) = states.iter_mut().find(|state| state.state == *name) {
            state.count = state
                .count
                .saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
    Ok(Some(states))
}
