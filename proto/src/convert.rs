//! Snapshots to messages and back, without loss.
//!
//! Words that repeat are sent once for each stream or file: [`SampleWriter`] numbers them,
//! [`SampleReader`] keeps the numbered table. One writer belongs to one stream (or file), and
//! so does one reader.

use std::collections::HashMap;

use gander_probe::snapshot as probe;

use crate::{limits, v1 as pb};

/// A snapshot and when it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenSample {
    /// Milliseconds since 1970 by the machine's clock, uncorrected.
    pub taken_at_ms: i64,
    /// The values.
    pub snapshot: probe::Snapshot,
}

/// A message holds what no writer makes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A word that the table does not have.
    #[error("{field} names word {index}, and the table has {words}")]
    UnknownWord {
        /// The field.
        field: &'static str,
        /// The index sent.
        index: u32,
        /// How many words the table has.
        words: usize,
    },
    /// A number that does not fit.
    #[error("{field} is {value}, more than {most}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The value sent.
        value: u64,
        /// The most it may be.
        most: u64,
    },
    /// More entries, words or bytes than one message or stream may have.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most there may be.
        most: usize,
    },
    /// A sample without a snapshot.
    #[error("a sample without a snapshot")]
    NoSnapshot,
    /// A time that no clock shows.
    #[error("a time beyond the calendar")]
    Time,
}

/// Writes samples of one stream or file.
#[derive(Debug, Default)]
pub struct SampleWriter {
    words: HashMap<String, u32>,
    bytes: usize,
    fresh: Vec<String>,
}

impl SampleWriter {
    /// A writer at the beginning of a stream or file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The message for samples, in the order given; each with its time in milliseconds since 1970.
    /// It must be sent, and in the order of the calls: the next ones build on its words.
    pub fn write<'a>(
        &mut self,
        samples: impl IntoIterator<Item = (i64, &'a probe::Snapshot)>,
        clock_ahead_ms: Option<i64>,
    ) -> pb::Samples {
        let is_full = self.words.len() >= limits::WORDS_REFILL || self.bytes >= limits::WORD_BYTES_REFILL;
        if is_full {
            self.words.clear();
            self.bytes = 0;
        }
        let mut base_ms = None;
        let samples = samples
            .into_iter()
            .map(|(taken_at_ms, snapshot)| {
                let base = *base_ms.get_or_insert(taken_at_ms);
                pb::Sample {
                    after_base_ms: taken_at_ms.wrapping_sub(base),
                    snapshot: Some(snapshot.write(self)),
                }
            })
            .collect();
        pb::Samples {
            forget_words: is_full,
            words: std::mem::take(&mut self.fresh),
            base_ms: base_ms.unwrap_or_default(),
            clock_ahead_ms,
            samples,
        }
    }

    fn word(&mut self, word: &str) -> u32 {
        if let Some(index) = self.words.get(word) {
            return *index;
        }
        let index = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
        self.words.insert(word.to_owned(), index);
        self.bytes += word.len();
        self.fresh.push(word.to_owned());
        index
    }
}

/// Reads samples of one stream or file. What it reads is hostile: an error leaves the reader
/// unusable, the stream or file ends there.
#[derive(Debug, Default)]
pub struct SampleReader {
    words: Vec<Box<str>>,
    bytes: usize,
}

impl SampleReader {
    /// A reader at the beginning of a stream or file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The samples of the next message.
    ///
    /// # Errors
    /// The message is not one that a [`SampleWriter`] wrote next, or breaks [`limits`].
    pub fn read(&mut self, message: pb::Samples) -> Result<Vec<TakenSample>, ConvertError> {
        at_most("samples in a batch", message.samples.len(), limits::BATCH_SAMPLES)?;
        if message.forget_words {
            self.words.clear();
            self.bytes = 0;
        }
        at_most("words", self.words.len() + message.words.len(), limits::WORDS)?;
        for word in message.words {
            at_most("bytes in a word", word.len(), limits::TEXT_BYTES)?;
            self.bytes += word.len();
            at_most("bytes of words", self.bytes, limits::WORD_BYTES)?;
            self.words.push(word.into_boxed_str());
        }
        let base_ms = message.base_ms;
        let samples = message.samples.into_iter().map(|sample| {
            Ok(TakenSample {
                taken_at_ms: base_ms
                    .checked_add(sample.after_base_ms)
                    .ok_or(ConvertError::Time)?,
                snapshot: probe::Snapshot::read(
                    sample.snapshot.ok_or(ConvertError::NoSnapshot)?,
                    "snapshot",
                    self,
                )?,
            })
        });
        samples.collect()
    }

    fn word(&self, field: &'static str, index: u32) -> Result<String, ConvertError> {
        let found = usize::try_from(index)
            .ok()
            .and_then(|index| self.words.get(index));
        found
            .map(|word| word.to_string())
            .ok_or(ConvertError::UnknownWord {
                field,
                index,
                words: self.words.len(),
            })
    }
}

/// What is the same on both sides but for its form: a field, or a section made of such.
trait Part: Sized {
    /// Its form in a message.
    type Message;

    fn write(&self, words: &mut SampleWriter) -> Self::Message;

    /// `field` is its name, for the error.
    fn read(message: Self::Message, field: &'static str, words: &SampleReader) -> Result<Self, ConvertError>;
}

macro_rules! numbers {
    ($($number:ty),+) => { $(
        impl Part for $number {
            type Message = Self;
            fn write(&self, _: &mut SampleWriter) -> Self {
                *self
            }
            fn read(message: Self, _: &'static str, _: &SampleReader) -> Result<Self, ConvertError> {
                Ok(message)
            }
        }
    )+ };
}
numbers!(u32, u64, i64);

/// Tenths of a percent; messages have no numbers of 16 bits.
impl Part for u16 {
    type Message = u32;
    fn write(&self, _: &mut SampleWriter) -> u32 {
        (*self).into()
    }
    fn read(message: u32, field: &'static str, _: &SampleReader) -> Result<Self, ConvertError> {
        Self::try_from(message).map_err(|_| ConvertError::OutOfRange {
            field,
            value: message.into(),
            most: Self::MAX.into(),
        })
    }
}

/// A text that does not come again and again.
impl Part for String {
    type Message = Self;
    fn write(&self, _: &mut SampleWriter) -> Self {
        self.clone()
    }
    fn read(message: Self, _: &'static str, _: &SampleReader) -> Result<Self, ConvertError> {
        at_most("bytes in a text", message.len(), limits::TEXT_BYTES)?;
        Ok(message)
    }
}

impl<T: Part> Part for Option<T> {
    type Message = Option<T::Message>;
    fn write(&self, words: &mut SampleWriter) -> Self::Message {
        self.as_ref().map(|value| value.write(words))
    }
    fn read(message: Self::Message, field: &'static str, words: &SampleReader) -> Result<Self, ConvertError> {
        message.map(|value| T::read(value, field, words)).transpose()
    }
}

impl<T: Part> Part for Vec<T> {
    type Message = Vec<T::Message>;
    fn write(&self, words: &mut SampleWriter) -> Self::Message {
        self.iter().map(|item| item.write(words)).collect()
    }
    fn read(message: Self::Message, field: &'static str, words: &SampleReader) -> Result<Self, ConvertError> {
        at_most(field, message.len(), limits::longest(field))?;
        message
            .into_iter()
            .map(|item| T::read(item, field, words))
            .collect()
    }
}

/// A text that is sent once and named by its number afterwards.
trait Word: Sized {
    type Message;
    fn write_word(&self, words: &mut SampleWriter) -> Self::Message;
    fn read_word(
        message: Self::Message,
        field: &'static str,
        words: &SampleReader,
    ) -> Result<Self, ConvertError>;
}

impl Word for String {
    type Message = u32;
    fn write_word(&self, words: &mut SampleWriter) -> u32 {
        words.word(self)
    }
    fn read_word(message: u32, field: &'static str, words: &SampleReader) -> Result<Self, ConvertError> {
        words.word(field, message)
    }
}

impl Word for Option<String> {
    type Message = Option<u32>;
    fn write_word(&self, words: &mut SampleWriter) -> Option<u32> {
        self.as_deref().map(|word| words.word(word))
    }
    fn read_word(
        message: Option<u32>,
        field: &'static str,
        words: &SampleReader,
    ) -> Result<Self, ConvertError> {
        message.map(|index| words.word(field, index)).transpose()
    }
}

/// Both ways of every message that has the fields of the probe's type of that name: words of the
/// table, lists (which are messages of their own, so that an empty one is not an absent one), and all
/// others. A field that is in no line does not compile.
macro_rules! alike {
    ($( $Type:ident
        $( words { $($word:ident),+ } )?
        $( lists { $($list:ident: $List:ident),+ } )?
        fields { $( $field:ident ),* }
    )+) => { $(
        impl Part for probe::$Type {
            type Message = pb::$Type;
            fn write(&self, words: &mut SampleWriter) -> pb::$Type {
                pb::$Type {
                    $( $( $word: self.$word.write_word(words), )+ )?
                    $( $( $list: self.$list.as_ref().map(|list| pb::$List { list: list.write(words) }), )+ )?
                    $( $field: self.$field.write(words), )*
                }
            }
            fn read(message: pb::$Type, _: &'static str, words: &SampleReader) -> Result<Self, ConvertError> {
                Ok(Self {
                    $( $( $word: Word::read_word(message.$word, stringify!($word), words)?, )+ )?
                    $( $( $list: Part::read(message.$list.map(|some| some.list), stringify!($list), words)?, )+ )?
                    $( $field: Part::read(message.$field, stringify!($field), words)?, )*
                })
            }
        }
    )+ };
}

alike! {
    Snapshot
        words { boot_id }
        lists {
            filesystems: Filesystems,
            disks: Disks,
            interfaces: Interfaces,
            temperatures: Temperatures,
            tcp_states: TcpStates,
            containers: Containers,
            gpus: Gpus,
            custom: CustomValues,
            top_processes: TopProcesses
        }
        fields {
            cpu, memory, swap, load, uptime_seconds, processes, pressure, sockets, units, updates, system, faults
        }
    Cpu fields {
        usage_permille, user_permille, system_permille, iowait_permille, steal_permille, throttled_permille, limit_millicores,
        cores_permille
    }
    Memory fields { total_bytes, used_bytes, available_bytes, free_bytes, buffers_bytes, cached_bytes }
    Swap fields { total_bytes, used_bytes }
    Load fields { one_hundredths, five_hundredths, fifteen_hundredths }
    Processes fields { total, threads, running, blocked }
    Pressure fields {
        cpu_some_permille, memory_some_permille, memory_full_permille, io_some_permille, io_full_permille
    }
    Sockets fields { tcp_in_use, tcp_time_wait, udp_in_use }
    Filesystem words { mount_point, device, kind } fields {
        total_bytes, used_bytes, available_bytes, usage_permille, inodes_total, inodes_used
    }
    Disk words { device } fields { rates }
    DiskRates fields {
        read_bytes_per_second, write_bytes_per_second, reads_per_second, writes_per_second,
        utilisation_permille, await_us
    }
    Interface words { name } fields { rates }
    InterfaceRates fields {
        receive_bytes_per_second, transmit_bytes_per_second, receive_packets_per_second,
        transmit_packets_per_second, errors, drops
    }
    Temperature words { sensor } fields { millicelsius }
    TcpState words { state } fields { count }
    Units fields { failed, failed_names }
    Updates fields { pending, security, reboot_required }
    Container words { name } fields { cpu_millicores, memory_bytes }
    Gpu words { name } fields {
        usage_permille, memory_total_bytes, memory_used_bytes, millicelsius, milliwatts
    }
    Custom words { series } fields { value_thousandths }
    TopProcess words { name, user } fields { pid, cpu_millicores, memory_bytes }
    System fields { hostname, os, os_id, kernel, architecture, cpu_model, cpu_cores, container }
    SectionFault fields { section, reason }
}

fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), ConvertError> {
    if count > most {
        return Err(ConvertError::TooMany { what, most });
    }
    Ok(())
}
