//! What goes over the channel between the hub and the probe script: request lines one way,
//! framed answers the other. The peer is not trusted: everything is bounded, nothing panics.
//!
//! ```text
//! hub  → node   17 tick slow␊
//! node → hub    …login banners, motd, rc noise, skipped up to a limit…
//!               @gander hello 1 Linux from=ADDR locked more␊   once; the words behind ADDR where they
//!                                                     are so; "more": script::second_line() is awaited
//!               @gander answer 17 1432␊               number of the request, length of the body
//!               =stat␊cpu  1 2 3…␊=meminfo␊…          body: sections, in any order
//!               ?filesystems gave up after 2 s␊       …and sections that could not be read
//!               @gander end 17␊                       right behind the body, or it was cut or mixed up
//! ```
//!
//! A line of a section never starts with `=` or `?`: the script puts a space before every line
//! whose beginning it does not control.

use std::{collections::VecDeque, net::IpAddr};

use crate::snapshot::SectionFault;

/// The version of the protocol this crate speaks.
pub const PROTOCOL: u32 = 1;

/// A set of section groups a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sections(u8);

impl Sections {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// What every poll asks: CPU, memory, load, uptime, disk I/O, network, pressure, sockets. No fork on the node.
    pub const TICK: Self = Self(1);
    /// What costs a process or may hang: filesystems, temperatures, process count. Ask every minute or so.
    pub const SLOW: Self = Self(2);
    /// What hardly changes: operating system, kernel, host name, CPU model, boot id. Ask on connect and hourly.
    pub const FACTS: Self = Self(4);
    /// What costs more processes, or asks programs that may hang: TCP states, failed units, updates,
    /// containers, GPUs, the owner's own files. Ask every minute.
    pub const RARE: Self = Self(8);
    /// All processes, of which the differ finds the top ones. Ask while somebody looks.
    pub const TOP: Self = Self(16);
    /// Everything.
    pub const ALL: Self = Self(31);

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in this set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitAnd for Sections {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl std::ops::BitOr for Sections {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

/// The request line, newline included, that asks for `sections`; the answer carries `seq` back.
#[must_use]
pub fn request(seq: u32, sections: Sections) -> String {
    let mut line = seq.to_string();
    for (set, word) in [
        (Sections::TICK, " tick"),
        (Sections::SLOW, " slow"),
        (Sections::FACTS, " facts"),
        (Sections::RARE, " rare"),
        (Sections::TOP, " top"),
    ] {
        if sections.contains(set) {
            line.push_str(word);
        }
    }
    line.push('\n');
    line
}

/// How much a peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest body of one answer, and of all answers not yet taken together.
    pub max_poll_bytes: usize,
    /// The most that is skipped before the hello, and between two answers.
    pub max_noise_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_poll_bytes: 512 * 1024,
            max_noise_bytes: 64 * 1024,
        }
    }
}

/// Something the peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The script runs.
    Hello(Hello),
    /// One answer to one request.
    Answer(Answer),
}

/// The script's first word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its protocol version; a forced command may be older or newer than the hub.
    pub protocol: u32,
    /// As `uname -s`: `Linux`. Empty if the node could not tell.
    pub os: String,
    /// Whether it waits for [`second_line`](crate::script::second_line); a script in a file does not.
    pub wants_more: bool,
    /// The address the node sees the hub at; `None` where its sshd does not say.
    pub seen_from: Option<IpAddr>,
    /// Whether the log-in may run nothing but the script (a forced command).
    pub is_locked: bool,
}

/// One answer: named texts, not yet parsed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The number of the request.
    pub seq: u32,
    /// The sections that were read.
    pub sections: Vec<Section>,
    /// The sections that could not be read.
    pub faults: Vec<SectionFault>,
}

impl Answer {
    /// The text of the section called `name`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.sections
            .iter()
            .find(|section| section.name == name)
            .map(|section| section.text.as_str())
    }
}

/// One named text of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// The section's name in the protocol: `stat`, `meminfo`.
    pub name: String,
    /// Its lines.
    pub text: String,
}

/// Why the stream of a peer cannot be read on. The connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// An answer (or answers nobody asked for) longer than allowed.
    #[error("the node sent more than {limit} bytes for one poll")]
    TooMuchOutput {
        /// The limit in bytes.
        limit: usize,
    },
    /// No hello among the first bytes: no shell, a forced command of something else, or a very long banner.
    #[error("the node sent {limit} bytes without the probe's greeting; they begin: {excerpt}")]
    TooMuchNoise {
        /// The limit in bytes.
        limit: usize,
        /// The beginning of what came instead, control characters removed.
        excerpt: String,
    },
    /// The framing is broken: output of something else was mixed in, or cut out.
    #[error("the node's answer is garbled: {what}")]
    Malformed {
        /// What was wrong.
        what: String,
    },
}

/// Longest line that can be a marker (hello, answer, end).
const MAX_MARKER: usize = 128;
/// Sections of one answer, more is not ours.
const MAX_SECTIONS: usize = 64;
/// Bytes of noise kept for an error message.
const EXCERPT: usize = 300;
/// The most that is set aside for an answer on the strength of its heading.
const ROOM: usize = 8 * 1024;
const MARK: &[u8] = b"@gander ";

/// Cuts a node's output into [`Frame`]s, whatever pieces it comes in.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// Bytes not yet understood, from `start`.
    buffer: Vec<u8>,
    start: usize,
    /// How far behind `start` a newline was looked for in vain.
    scanned: usize,
    state: State,
    noise: usize,
    excerpt: Vec<u8>,
    greeted: bool,
    ready: VecDeque<Frame>,
    ready_bytes: usize,
    broken: Option<WireError>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// At the start of a line that may be a marker.
    Line,
    /// Inside a line of noise too long to be kept.
    Skip,
    /// Inside the body of an answer.
    Body { seq: u32, length: usize },
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            state: State::Line,
            noise: 0,
            excerpt: Vec::new(),
            greeted: false,
            ready: VecDeque::new(),
            ready_bytes: 0,
            broken: None,
        }
    }

    /// Takes the next bytes of the stream, in pieces of any size.
    ///
    /// # Errors
    /// See [`WireError`]. After an error every further push answers the same error.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let outcome = self.take(bytes);
        if let Err(error) = &outcome {
            self.broken = Some(error.clone());
            self.buffer = Vec::new();
            self.start = 0;
        }
        outcome
    }

    /// The next complete frame, if there is one. Take all of them after every push.
    #[expect(
        clippy::should_implement_trait,
        reason = "a None is not the end: more bytes may bring more frames"
    )]
    pub fn next(&mut self) -> Option<Frame> {
        let frame = self.ready.pop_front()?;
        if self.ready.is_empty() {
            self.ready_bytes = 0;
        }
        Some(frame)
    }

    /// Whether the greeting was seen.
    #[must_use]
    pub fn greeted(&self) -> bool {
        self.greeted
    }

    /// The beginning of what came before the greeting or between answers, fit for an error
    /// message: one line, no control characters, at most 300 bytes. Empty if there was nothing.
    #[must_use]
    pub fn noise_excerpt(&self) -> String {
        let mut text = self.excerpt.clone();
        if !self.greeted && text.len() < EXCERPT {
            // A last line without newline ("This account is not available.") is noise as well.
            let rest = &self.buffer[self.start..];
            text.extend_from_slice(&rest[..rest.len().min(EXCERPT - text.len())]);
        }
        sanitise(&text)
    }

    /// Whether the stream may end here: not in the middle of an answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.broken.is_none() && matches!(self.state, State::Line | State::Skip)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.buffer.extend_from_slice(bytes);
        loop {
            let pending = &self.buffer[self.start..];
            match self.state {
                State::Line => {
                    let Some(newline) = pending[self.scanned..].iter().position(|&byte| byte == b'\n') else {
                        if pending.len() > MAX_MARKER {
                            let length = pending.len();
                            self.note_noise(length)?;
                            self.state = State::Skip;
                            continue;
                        }
                        self.scanned = pending.len();
                        break;
                    };
                    let end = self.scanned + newline;
                    self.scanned = 0;
                    let line = &pending[..end];
                    if let Some(marker) = line.strip_prefix(MARK).filter(|_| end <= MAX_MARKER) {
                        let marker = String::from_utf8_lossy(marker).into_owned();
                        self.start += end + 1;
                        self.marker(marker.trim_end())?;
                    } else {
                        self.note_noise(end + 1)?;
                    }
                }
                State::Skip => {
                    let Some(newline) = pending.iter().position(|&byte| byte == b'\n') else {
                        let length = pending.len();
                        self.note_noise(length)?;
                        break;
                    };
                    self.note_noise(newline + 1)?;
                    self.state = State::Line;
                }
                State::Body { seq, length } => {
                    let trailer = format!("@gander end {seq}\n");
                    let whole = length + trailer.len();
                    if pending.len() < whole {
                        break;
                    }
                    if &pending[length..whole] != trailer.as_bytes() {
                        return Err(malformed(format!(
                            "answer {seq} does not end after {length} bytes but goes on: {}",
                            sanitise(&pending[length..whole])
                        )));
                    }
                    let answer = parse_body(seq, &pending[..length])?;
                    self.start += whole;
                    self.state = State::Line;
                    self.noise = 0;
                    self.ready_bytes += length + MAX_MARKER;
                    if self.ready_bytes > self.limits.max_poll_bytes + 2 * MAX_MARKER {
                        return Err(WireError::TooMuchOutput {
                            limit: self.limits.max_poll_bytes,
                        });
                    }
                    self.ready.push_back(Frame::Answer(answer));
                }
            }
        }
        // Moving the rest down costs at most its own length for every byte thrown away.
        if self.start >= self.buffer.len() - self.start {
            self.buffer.drain(..self.start);
            self.start = 0;
            // Thousands of decoders wait for their next answer, and need no memory for that.
            if self.buffer.is_empty() {
                self.buffer = Vec::new();
            }
        }
        Ok(())
    }

    /// Throws `length` bytes away as noise, within the limit.
    fn note_noise(&mut self, length: usize) -> Result<(), WireError> {
        let noise = &self.buffer[self.start..self.start + length];
        if self.excerpt.len() < EXCERPT {
            let room = EXCERPT - self.excerpt.len();
            self.excerpt.extend_from_slice(&noise[..noise.len().min(room)]);
        }
        self.start += length;
        self.scanned = 0;
        self.noise += length;
        if self.noise > self.limits.max_noise_bytes {
            return Err(WireError::TooMuchNoise {
                limit: self.limits.max_noise_bytes,
                excerpt: sanitise(&self.excerpt),
            });
        }
        Ok(())
    }

    fn marker(&mut self, marker: &str) -> Result<(), WireError> {
        let mut words = marker.split(' ');
        match words.next() {
            Some("hello") if !self.greeted => {
                let protocol = words
                    .next()
                    .and_then(|word| word.parse().ok())
                    .ok_or_else(|| malformed(format!("greeting \"{}\"", sanitise(marker.as_bytes()))))?;
                let os = sanitise(words.next().unwrap_or_default().as_bytes());
                let (mut seen_from, mut is_locked, mut wants_more) = (None, false, false);
                for word in words {
                    match word.strip_prefix("from=") {
                        Some(address) => seen_from = address.parse().ok(),
                        None => {
                            is_locked |= word == "locked";
                            wants_more |= word == "more";
                        }
                    }
                }
                self.greeted = true;
                self.noise = 0;
                self.excerpt.clear();
                self.ready.push_back(Frame::Hello(Hello {
                    protocol,
                    os,
                    wants_more,
                    seen_from,
                    is_locked,
                }));
                Ok(())
            }
            Some("answer") if self.greeted => {
                let numbers = (
                    words.next().and_then(|word| word.parse::<u32>().ok()),
                    words.next().and_then(|word| word.parse::<usize>().ok()),
                    words.next(),
                );
                let (Some(seq), Some(length), None) = numbers else {
                    return Err(malformed(format!("heading \"{}\"", sanitise(marker.as_bytes()))));
                };
                if length > self.limits.max_poll_bytes {
                    return Err(WireError::TooMuchOutput {
                        limit: self.limits.max_poll_bytes,
                    });
                }
                self.state = State::Body { seq, length };
                // At once, not by doubling: most answers are of one size.
                let pending = self.buffer.len() - self.start;
                self.buffer
                    .reserve_exact((length + MAX_MARKER).min(ROOM).saturating_sub(pending));
                Ok(())
            }
            _ => Err(malformed(format!(
                "unexpected \"{}\"",
                sanitise(marker.as_bytes())
            ))),
        }
    }
}

fn parse_body(seq: u32, body: &[u8]) -> Result<Answer, WireError> {
    let text = String::from_utf8_lossy(body);
    let mut answer = Answer {
        seq,
        ..Answer::default()
    };
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.strip_prefix('=') {
            answer.sections.push(Section {
                name: section_name(name.trim_end())?,
                text: String::new(),
            });
        } else if let Some(fault) = line.strip_prefix('?') {
            let (name, reason) = fault.split_once(' ').unwrap_or((fault, ""));
            answer.faults.push(SectionFault {
                section: section_name(name.trim_end())?,
                reason: sanitise(reason.as_bytes()),
            });
        } else {
            let section = answer
                .sections
                .last_mut()
                .ok_or_else(|| malformed(format!("answer {seq} begins without a section")))?;
            section.text.push_str(line);
        }
        if answer.sections.len() + answer.faults.len() > MAX_SECTIONS {
            return Err(malformed(format!(
                "answer {seq} has more than {MAX_SECTIONS} sections"
            )));
        }
    }
    Ok(answer)
}

fn section_name(name: &str) -> Result<String, WireError> {
    let fits = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if fits {
        Ok(name.to_owned())
    } else {
        Err(malformed(format!(
            "a section called \"{}\"",
            sanitise(name.as_bytes())
        )))
    }
}

fn malformed(what: String) -> WireError {
    WireError::Malformed { what }
}

/// One line of a foreign text, fit for an error message: control characters become single
/// spaces, at most 300 bytes.
#[must_use]
pub fn sanitise(bytes: &[u8]) -> String {
    let mut out = String::new();
    for character in String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT)]).chars() {
        // Bidirectional overrides could turn a message around on the screen.
        let hidden = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if !hidden {
            out.push(character);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out.trim().to_owned()
}
