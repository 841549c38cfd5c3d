//! Many samples to one: what is made of the old ones when the spool is full.
//!
//! Of all samples in a step of 10 or 60 seconds one is left. It stands where the last one stood and
//! has the newest of everything, except where that would lose what happened between: CPU shares and
//! rates become their mean, and errors and drops are added up.

use std::collections::HashMap;

use gander_probe::{
    Snapshot,
    snapshot::{Cpu, DiskRates, InterfaceRates},
};

use crate::Sample;

/// Gathers samples in the order of their time.
#[derive(Debug)]
pub(super) struct Thinner {
    step_ms: i64,
    gathered: Vec<Sample>,
}

impl Thinner {
    pub(super) fn new(step_ms: i64) -> Self {
        Self {
            step_ms,
            gathered: Vec::new(),
        }
    }

    /// Takes the next sample; answers that of the step before when it is complete.
    pub(super) fn push(&mut self, sample: Sample) -> Option<Sample> {
        let step = |sample: &Sample| sample.taken_at_ms.div_euclid(self.step_ms);
        let complete = self
            .gathered
            .first()
            .is_some_and(|first| step(first) != step(&sample));
        let done = if complete { self.finish() } else { None };
        self.gathered.push(sample);
        done
    }

    /// The last step's sample.
    pub(super) fn finish(&mut self) -> Option<Sample> {
        let mut gathered = std::mem::take(&mut self.gathered);
        if gathered.len() < 2 {
            return gathered.pop();
        }
        let mut whole = Snapshot::default();
        let mut newest = Sample::default();
        let mut means = Means::default();
        for sample in gathered {
            means.add(&sample.snapshot);
            newest = sample;
            whole.merge(std::mem::take(&mut newest.snapshot));
        }
        means.put_into(&mut whole);
        newest.snapshot = whole;
        Some(newest)
    }
}

/// Sums of what becomes a mean, and of what is added up.
#[derive(Default)]
struct Means {
    cpu: Sum,
    cores: Sum,
    disks: HashMap<String, Sum>,
    interfaces: HashMap<String, Sum>,
}

#[derive(Default)]
struct Sum {
    count: u64,
    values: Vec<u64>,
    /// How often each had a value.
    present: Vec<u64>,
}

impl Sum {
    /// Another length (a core came or went) begins anew.
    fn add(&mut self, values: &[Option<u64>]) {
        if self.values.len() != values.len() {
            self.count = 0;
            self.values = vec![0; values.len()];
            self.present = vec![0; values.len()];
        }
        self.count += 1;
        for ((sum, present), value) in self.values.iter_mut().zip(&mut self.present).zip(values) {
            if let Some(value) = value {
                *sum = sum.saturating_add(*value);
                *present += 1;
            }
        }
    }

    fn sum(&self, index: usize) -> u64 {
        self.values.get(index).copied().unwrap_or_default()
    }

    fn mean(&self, index: usize) -> Option<u64> {
        let count = self.present.get(index).copied().filter(|count| *count > 0)?;
        Some((self.sum(index).saturating_add(count / 2)) / count)
    }

    fn share(&self, index: usize) -> u16 {
        self.share_if_told(index).unwrap_or_default()
    }

    fn share_if_told(&self, index: usize) -> Option<u16> {
        self.mean(index)
            .map(|mean| u16::try_from(mean).unwrap_or(u16::MAX))
    }
}

fn cpu_values(cpu: &Cpu) -> [Option<u64>; 5] {
    [
        Some(cpu.user_permille),
        Some(cpu.system_permille),
        cpu.iowait_permille,
        cpu.steal_permille,
        cpu.throttled_permille,
    ]
    .map(|value| value.map(u64::from))
}

fn disk_values(rates: &DiskRates) -> [Option<u64>; 6] {
    [
        Some(rates.read_bytes_per_second),
        Some(rates.write_bytes_per_second),
        Some(rates.reads_per_second),
        Some(rates.writes_per_second),
        Some(u64::from(rates.utilisation_permille)),
        rates.await_us,
    ]
}

fn interface_values(rates: &InterfaceRates) -> [Option<u64>; 6] {
    [
        rates.receive_bytes_per_second,
        rates.transmit_bytes_per_second,
        rates.receive_packets_per_second,
        rates.transmit_packets_per_second,
        rates.errors,
        rates.drops,
    ]
    .map(Some)
}

impl Means {
    fn add(&mut self, snapshot: &Snapshot) {
        if let Some(cpu) = &snapshot.cpu {
            self.cpu.add(&cpu_values(cpu));
            if !cpu.cores_permille.is_empty() {
                let cores: Vec<_> = cpu
                    .cores_permille
                    .iter()
                    .map(|core| Some(u64::from(*core)))
                    .collect();
                self.cores.add(&cores);
            }
        }
        for disk in snapshot.disks.iter().flatten() {
            if let Some(rates) = &disk.rates {
                let sum = self.disks.entry(disk.device.clone()).or_default();
                sum.add(&disk_values(rates));
            }
        }
        for interface in snapshot.interfaces.iter().flatten() {
            if let Some(rates) = &interface.rates {
                let sum = self.interfaces.entry(interface.name.clone()).or_default();
                sum.add(&interface_values(rates));
            }
        }
    }

    /// Only where the newest sample has the section.
    fn put_into(&self, snapshot: &mut Snapshot) {
        if let Some(cpu) = &mut snapshot.cpu {
            cpu.user_permille = self.cpu.share(0);
            cpu.system_permille = self.cpu.share(1);
            cpu.iowait_permille = self.cpu.share_if_told(2);
            cpu.steal_permille = self.cpu.share_if_told(3);
            cpu.throttled_permille = self.cpu.share_if_told(4);
            let usage = cpu.user_permille + cpu.system_permille + cpu.steal_permille.unwrap_or(0);
            cpu.usage_permille = usage.min(1000);
            for (index, core) in cpu.cores_permille.iter_mut().enumerate() {
                *core = self.cores.share(index);
            }
        }
        for disk in snapshot.disks.iter_mut().flatten() {
            if let Some(sum) = self.disks.get(&disk.device) {
                disk.rates = Some(DiskRates {
                    read_bytes_per_second: sum.mean(0).unwrap_or_default(),
                    write_bytes_per_second: sum.mean(1).unwrap_or_default(),
                    reads_per_second: sum.mean(2).unwrap_or_default(),
                    writes_per_second: sum.mean(3).unwrap_or_default(),
                    utilisation_permille: sum.share(4),
                    await_us: sum.mean(5),
                });
            }
        }
        for interface in snapshot.interfaces.iter_mut().flatten() {
            if let Some(sum) = self.interfaces.get(&interface.name) {
                interface.rates = Some(InterfaceRates {
                    receive_bytes_per_second: sum.mean(0).unwrap_or_default(),
                    transmit_bytes_per_second: sum.mean(1).unwrap_or_default(),
                    receive_packets_per_second: sum.mean(2).unwrap_or_default(),
                    transmit_packets_per_second: sum.mean(3).unwrap_or_default(),
                    errors: sum.sum(4),
                    drops: sum.sum(5),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gander_probe::snapshot::{Interface, Load};

    use super::*;

    fn sample(taken_at_ms: i64, usage: u16, bytes: u64, errors: u64) -> Sample {
        Sample {
            taken_at_ms,
            uptime_ms: taken_at_ms / 2,
            clock_ahead_ms: None,
            snapshot: Snapshot {
                cpu: Some(Cpu {
                    usage_permille: usage,
                    user_permille: usage,
                    cores_permille: vec![usage, 0],
                    ..Cpu::default()
                }),
                interfaces: Some(vec![Interface {
                    name: "eth0".into(),
                    rates: Some(InterfaceRates {
                        receive_bytes_per_second: bytes,
                        errors,
                        ..InterfaceRates::default()
                    }),
                }]),
                ..Snapshot::default()
            },
        }
    }

    #[test]
    fn one_sample_is_left_of_a_step_with_means_and_sums() {
        let mut thinner = Thinner::new(10_000);
        let mut first = sample(20_000, 100, 1000, 1);
        first.snapshot.load = Some(Load {
            one_hundredths: 7,
            ..Load::default()
        });
        assert_eq!(thinner.push(first), None);
        assert_eq!(thinner.push(sample(21_000, 200, 2000, 0)), None);
        assert_eq!(thinner.push(sample(29_999, 600, 6000, 2)), None);
        let done = thinner.push(sample(30_000, 5, 5, 5)).unwrap();
        assert_eq!((done.taken_at_ms, done.uptime_ms), (29_999, 14_999));
        let cpu = done.snapshot.cpu.unwrap();
        assert_eq!((cpu.usage_permille, cpu.user_permille), (300, 300));
        assert_eq!(cpu.cores_permille, [300, 0]);
        let rates = done.snapshot.interfaces.unwrap().remove(0).rates.unwrap();
        assert_eq!((rates.receive_bytes_per_second, rates.errors), (3000, 3));
        assert_eq!(done.snapshot.load.unwrap().one_hundredths, 7, "read once is kept");
        assert_eq!(
            thinner.finish(),
            Some(sample(30_000, 5, 5, 5)),
            "alone is untouched"
        );
        assert_eq!(thinner.finish(), None);
    }
}
