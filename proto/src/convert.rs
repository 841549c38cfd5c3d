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
                    snapshot: Some(self.snapshot(snapshot)),
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

    fn snapshot(&mut self, from: &probe::Snapshot) -> pb::Snapshot {
        pb::Snapshot {
            cpu: from.cpu.as_ref().map(|cpu| pb::Cpu {
                usage_permille: cpu.usage_permille.into(),
                user_permille: cpu.user_permille.into(),
                system_permille: cpu.system_permille.into(),
                iowait_permille: cpu.iowait_permille.into(),
                steal_permille: cpu.steal_permille.into(),
                cores_permille: cpu.cores_permille.iter().map(|core| (*core).into()).collect(),
            }),
            memory: from.memory.as_ref().map(|memory| pb::Memory {
                total_bytes: memory.total_bytes,
                used_bytes: memory.used_bytes,
                available_bytes: memory.available_bytes,
                free_bytes: memory.free_bytes,
                buffers_bytes: memory.buffers_bytes,
                cached_bytes: memory.cached_bytes,
            }),
            swap: from.swap.as_ref().map(|swap| pb::Swap {
                total_bytes: swap.total_bytes,
                used_bytes: swap.used_bytes,
            }),
            load: from.load.as_ref().map(|load| pb::Load {
                one_hundredths: load.one_hundredths,
                five_hundredths: load.five_hundredths,
                fifteen_hundredths: load.fifteen_hundredths,
            }),
            uptime_seconds: from.uptime_seconds,
            boot_id: from.boot_id.as_deref().map(|id| self.word(id)),
            processes: from.processes.as_ref().map(|processes| pb::Processes {
                total: processes.total,
                threads: processes.threads,
                running: processes.running,
                blocked: processes.blocked,
            }),
            pressure: from.pressure.as_ref().map(|pressure| pb::Pressure {
                cpu_some_permille: pressure.cpu_some_permille.map(u32::from),
                memory_some_permille: pressure.memory_some_permille.map(u32::from),
                memory_full_permille: pressure.memory_full_permille.map(u32::from),
                io_some_permille: pressure.io_some_permille.map(u32::from),
                io_full_permille: pressure.io_full_permille.map(u32::from),
            }),
            sockets: from.sockets.as_ref().map(|sockets| pb::Sockets {
                tcp_in_use: sockets.tcp_in_use,
                tcp_time_wait: sockets.tcp_time_wait,
                udp_in_use: sockets.udp_in_use,
            }),
            filesystems: from.filesystems.as_ref().map(|list| pb::Filesystems {
                list: list.iter().map(|entry| self.filesystem(entry)).collect(),
            }),
            disks: from.disks.as_ref().map(|list| pb::Disks {
                list: list.iter().map(|entry| self.disk(entry)).collect(),
            }),
            interfaces: from.interfaces.as_ref().map(|list| pb::Interfaces {
                list: list.iter().map(|entry| self.interface(entry)).collect(),
            }),
            temperatures: from.temperatures.as_ref().map(|list| pb::Temperatures {
                list: list
                    .iter()
                    .map(|entry| pb::Temperature {
                        sensor: self.word(&entry.sensor),
                        millicelsius: entry.millicelsius,
                    })
                    .collect(),
            }),
            system: from.system.as_ref().map(|system| pb::System {
                hostname: system.hostname.clone(),
                os: system.os.clone(),
                os_id: system.os_id.clone(),
                kernel: system.kernel.clone(),
                architecture: system.architecture.clone(),
                cpu_model: system.cpu_model.clone(),
                cpu_cores: system.cpu_cores,
            }),
            faults: from
                .faults
                .iter()
                .map(|fault| pb::SectionFault {
                    section: fault.section.clone(),
                    reason: fault.reason.clone(),
                })
                .collect(),
        }
    }

    fn filesystem(&mut self, from: &probe::Filesystem) -> pb::Filesystem {
        pb::Filesystem {
            mount_point: self.word(&from.mount_point),
            device: self.word(&from.device),
            kind: from.kind.as_deref().map(|kind| self.word(kind)),
            total_bytes: from.total_bytes,
            used_bytes: from.used_bytes,
            available_bytes: from.available_bytes,
            usage_permille: from.usage_permille.into(),
            inodes_total: from.inodes_total,
            inodes_used: from.inodes_used,
        }
    }

    fn disk(&mut self, from: &probe::Disk) -> pb::Disk {
        pb::Disk {
            device: self.word(&from.device),
            rates: from.rates.as_ref().map(|rates| pb::DiskRates {
                read_bytes_per_second: rates.read_bytes_per_second,
                write_bytes_per_second: rates.write_bytes_per_second,
                reads_per_second: rates.reads_per_second,
                writes_per_second: rates.writes_per_second,
                utilisation_permille: rates.utilisation_permille.into(),
                await_us: rates.await_us,
            }),
        }
    }

    fn interface(&mut self, from: &probe::Interface) -> pb::Interface {
        pb::Interface {
            name: self.word(&from.name),
            rates: from.rates.as_ref().map(|rates| pb::InterfaceRates {
                receive_bytes_per_second: rates.receive_bytes_per_second,
                transmit_bytes_per_second: rates.transmit_bytes_per_second,
                receive_packets_per_second: rates.receive_packets_per_second,
                transmit_packets_per_second: rates.transmit_packets_per_second,
                errors: rates.errors,
                drops: rates.drops,
            }),
        }
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
                snapshot: self.snapshot(sample.snapshot.ok_or(ConvertError::NoSnapshot)?)?,
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

    fn snapshot(&self, from: pb::Snapshot) -> Result<probe::Snapshot, ConvertError> {
        at_most("faults", from.faults.len(), limits::FAULTS)?;
        Ok(probe::Snapshot {
            cpu: from.cpu.map(|cpu| read_cpu(&cpu)).transpose()?,
            memory: from.memory.map(|memory| probe::Memory {
                total_bytes: memory.total_bytes,
                used_bytes: memory.used_bytes,
                available_bytes: memory.available_bytes,
                free_bytes: memory.free_bytes,
                buffers_bytes: memory.buffers_bytes,
                cached_bytes: memory.cached_bytes,
            }),
            swap: from.swap.map(|swap| probe::Swap {
                total_bytes: swap.total_bytes,
                used_bytes: swap.used_bytes,
            }),
            load: from.load.map(|load| probe::Load {
                one_hundredths: load.one_hundredths,
                five_hundredths: load.five_hundredths,
                fifteen_hundredths: load.fifteen_hundredths,
            }),
            uptime_seconds: from.uptime_seconds,
            boot_id: from
                .boot_id
                .map(|index| self.word("boot_id", index))
                .transpose()?,
            processes: from.processes.map(|processes| probe::Processes {
                total: processes.total,
                threads: processes.threads,
                running: processes.running,
                blocked: processes.blocked,
            }),
            pressure: from
                .pressure
                .map(|pressure| read_pressure(&pressure))
                .transpose()?,
            sockets: from.sockets.map(|sockets| probe::Sockets {
                tcp_in_use: sockets.tcp_in_use,
                tcp_time_wait: sockets.tcp_time_wait,
                udp_in_use: sockets.udp_in_use,
            }),
            filesystems: items("filesystems", from.filesystems.map(|all| all.list), |entry| {
                self.filesystem(&entry)
            })?,
            disks: items("disks", from.disks.map(|all| all.list), |entry| self.disk(&entry))?,
            interfaces: items("interfaces", from.interfaces.map(|all| all.list), |entry| {
                self.interface(&entry)
            })?,
            temperatures: items("temperatures", from.temperatures.map(|all| all.list), |entry| {
                Ok(probe::Temperature {
                    sensor: self.word("sensor", entry.sensor)?,
                    millicelsius: entry.millicelsius,
                })
            })?,
            system: from.system.map(read_system).transpose()?,
            faults: from
                .faults
                .into_iter()
                .map(|fault| {
                    Ok(probe::SectionFault {
                        section: text(Some(fault.section))?.unwrap_or_default(),
                        reason: text(Some(fault.reason))?.unwrap_or_default(),
                    })
                })
                .collect::<Result<_, ConvertError>>()?,
        })
    }

    fn filesystem(&self, from: &pb::Filesystem) -> Result<probe::Filesystem, ConvertError> {
        Ok(probe::Filesystem {
            mount_point: self.word("mount_point", from.mount_point)?,
            device: self.word("device", from.device)?,
            kind: from.kind.map(|index| self.word("kind", index)).transpose()?,
            total_bytes: from.total_bytes,
            used_bytes: from.used_bytes,
            available_bytes: from.available_bytes,
            usage_permille: permille("usage_permille", from.usage_permille)?,
            inodes_total: from.inodes_total,
            inodes_used: from.inodes_used,
        })
    }

    fn disk(&self, from: &pb::Disk) -> Result<probe::Disk, ConvertError> {
        let rates = from.rates.as_ref().map(|rates| {
            Ok(probe::DiskRates {
                read_bytes_per_second: rates.read_bytes_per_second,
                write_bytes_per_second: rates.write_bytes_per_second,
                reads_per_second: rates.reads_per_second,
                writes_per_second: rates.writes_per_second,
                utilisation_permille: permille("utilisation_permille", rates.utilisation_permille)?,
                await_us: rates.await_us,
            })
        });
        Ok(probe::Disk {
            device: self.word("device", from.device)?,
            rates: rates.transpose()?,
        })
    }

    fn interface(&self, from: &pb::Interface) -> Result<probe::Interface, ConvertError> {
        Ok(probe::Interface {
            name: self.word("name", from.name)?,
            rates: from.rates.as_ref().map(|rates| probe::InterfaceRates {
                receive_bytes_per_second: rates.receive_bytes_per_second,
                transmit_bytes_per_second: rates.transmit_bytes_per_second,
                receive_packets_per_second: rates.receive_packets_per_second,
                transmit_packets_per_second: rates.transmit_packets_per_second,
                errors: rates.errors,
                drops: rates.drops,
            }),
        })
    }
}

fn read_cpu(from: &pb::Cpu) -> Result<probe::Cpu, ConvertError> {
    at_most("cores", from.cores_permille.len(), limits::CORES)?;
    let cores = from.cores_permille.iter();
    Ok(probe::Cpu {
        usage_permille: permille("usage_permille", from.usage_permille)?,
        user_permille: permille("user_permille", from.user_permille)?,
        system_permille: permille("system_permille", from.system_permille)?,
        iowait_permille: permille("iowait_permille", from.iowait_permille)?,
        steal_permille: permille("steal_permille", from.steal_permille)?,
        cores_permille: cores
            .map(|core| permille("cores_permille", *core))
            .collect::<Result<_, _>>()?,
    })
}

fn read_pressure(from: &pb::Pressure) -> Result<probe::Pressure, ConvertError> {
    let share = |field, value: Option<u32>| value.map(|value| permille(field, value)).transpose();
    Ok(probe::Pressure {
        cpu_some_permille: share("cpu_some_permille", from.cpu_some_permille)?,
        memory_some_permille: share("memory_some_permille", from.memory_some_permille)?,
        memory_full_permille: share("memory_full_permille", from.memory_full_permille)?,
        io_some_permille: share("io_some_permille", from.io_some_permille)?,
        io_full_permille: share("io_full_permille", from.io_full_permille)?,
    })
}

fn read_system(from: pb::System) -> Result<probe::System, ConvertError> {
    Ok(probe::System {
        hostname: text(from.hostname)?,
        os: text(from.os)?,
        os_id: text(from.os_id)?,
        kernel: text(from.kernel)?,
        architecture: text(from.architecture)?,
        cpu_model: text(from.cpu_model)?,
        cpu_cores: from.cpu_cores,
    })
}

fn items<From, To>(
    what: &'static str,
    list: Option<Vec<From>>,
    read: impl FnMut(From) -> Result<To, ConvertError>,
) -> Result<Option<Vec<To>>, ConvertError> {
    let Some(list) = list else { return Ok(None) };
    at_most(what, list.len(), limits::ITEMS)?;
    list.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), ConvertError> {
    if count > most {
        return Err(ConvertError::TooMany { what, most });
    }
    Ok(())
}

fn text(text: Option<String>) -> Result<Option<String>, ConvertError> {
    at_most(
        "bytes in a text",
        text.as_ref().map_or(0, String::len),
        limits::TEXT_BYTES,
    )?;
    Ok(text)
}

fn permille(field: &'static str, value: u32) -> Result<u16, ConvertError> {
    u16::try_from(value).map_err(|_| ConvertError::OutOfRange {
        field,
        value: value.into(),
        most: u16::MAX.into(),
    })
}
