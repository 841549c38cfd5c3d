//! The spool against a list in memory, and against real kills and a real full disk.

use std::collections::VecDeque;

use gander_probe::{Snapshot, snapshot::Load};
use proptest::prelude::*;

use super::*;

fn sample(index: i64) -> Sample {
    Sample {
        taken_at_ms: 1_700_000_000_000 + index * 1000,
        uptime_ms: index * 1000,
        clock_ahead_ms: Some(index / 100),
        snapshot: Snapshot {
            load: Some(Load {
                one_hundredths: index as u32,
                five_hundredths: (index * 7919 % 1000) as u32,
                fifteen_hundredths: 0,
            }),
            boot_id: (index % 5 == 0).then(|| format!("text {}", index % 3)),
            ..Snapshot::default()
        },
    }
}

/// In memory where there is such a place: forcing to a disk is slow, and costs nothing there.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn small() -> Limits {
    Limits {
        disk_bytes: 1 << 30,
        memory_bytes: 1 << 30,
        segment_bytes: 600,
    }
}

fn drain(spool: &mut Spool, now: Instant) -> Vec<Sample> {
    spool.rewind();
    std::iter::from_fn(|| spool.read(7, now))
        .flat_map(|portion| portion.samples)
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Read(u8),
    Acknowledge(u8),
    Rewind,
    Sync,
    Reopen,
    /// The process dies: nothing is written any more. With a torn tail.
    Kill(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1u8..40).prop_map(Step::Append),
        3 => (1u8..40).prop_map(Step::Read),
        3 => any::<u8>().prop_map(Step::Acknowledge),
        1 => Just(Step::Rewind),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => any::<u8>().prop_map(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// With room enough: everything not acknowledged is handed out, in order; after a restart what
    /// was acknowledged may come again, and nothing else is missing or invented.
    #[test]
    fn nothing_is_lost_and_nothing_invented(steps in proptest::collection::vec(step(), 1..40)) {
        let directory = directory();
        let now = Instant::now();
        let open = || Spool::open(directory.path(), small(), "boot", now);
        let mut spool = open();
        // What was not acknowledged; the acknowledged before it; what was handed out.
        let mut waiting: VecDeque<Sample> = VecDeque::new();
        let mut gone: Vec<Sample> = Vec::new();
        let mut handed: Vec<(Position, usize)> = Vec::new();
        let mut handed_out = 0;
        let mut next = 0;
        for step in steps {
            match step {
                Step::Append(count) => for _ in 0..count {
                    let sample = sample(next);
                    next += 1;
                    spool.append(&sample, now);
                    waiting.push_back(sample);
                },
                Step::Read(most) => match spool.read(usize::from(most), now) {
                    Some(portion) => {
                        let expected: Vec<_> = waiting.iter().skip(handed_out).take(portion.samples.len()).cloned().collect();
                        prop_assert_eq!(&portion.samples, &expected);
                        handed_out += portion.samples.len();
                        handed.push((portion.upto, handed_out));
                    }
                    None => prop_assert_eq!(handed_out, waiting.len()),
                },
                Step::Acknowledge(which) if !handed.is_empty() => {
                    let which = usize::from(which) % handed.len();
                    let (position, count) = handed[which];
                    handed.drain(..=which);
                    spool.acknowledge(position);
                    gone.extend(waiting.drain(..count));
                    handed_out -= count;
                    for (_, left) in &mut handed {
                        *left -= count;
                    }
                    prop_assert_eq!(spool.status().samples, waiting.len() as u64);
                }
                Step::Acknowledge(_) => {}
                Step::Rewind => {
                    spool.rewind();
                    handed.clear();
                    handed_out = 0;
                }
                Step::Sync => spool.sync(now),
                Step::Reopen | Step::Kill(_) => {
                    match step {
                        Step::Kill(garbage) => {
                            // As after kill -9: no destructor runs. Then half a frame lies behind.
                            let newest = spool.writer.as_ref().map(|writer| writer.segment.number);
                            std::mem::forget(spool);
                            if let Some(newest) = newest {
                                let path = segment::path(directory.path(), newest);
                                let mut bytes = fs::read(&path).unwrap();
                                bytes.extend((0..garbage % 16).map(|byte| byte.wrapping_mul(37) | 64));
                                fs::write(path, bytes).unwrap();
                            }
                        }
                        _ => drop(spool),
                    }
                    spool = open();
                    let found = drain(&mut spool, now);
                    // Whole segments leave: of the acknowledged a tail may come again.
                    let again = found.len() - waiting.len();
                    let expected: Vec<_> = gone[gone.len() - again..].iter().chain(&waiting).cloned().collect();
                    prop_assert_eq!(found, expected);
                    prop_assert!(again < 60, "{} came again", again);
                    for sample in gone.drain(gone.len() - again..).rev().collect::<Vec<_>>() {
                        waiting.push_front(sample);
                    }
                    spool.rewind();
                    handed.clear();
                    handed_out = 0;
                }
            }
        }
        prop_assert_eq!(drain(&mut spool, now), Vec::from(waiting));
        prop_assert_eq!(spool.status().dropped, 0);
    }

    /// Without room: bounded, in order, newest kept, and every sample accounted for.
    #[test]
    fn a_full_spool_thins_then_drops_and_counts(
        count in 300i64..4000, disk_bytes in 12_000u64..30_000, memory in any::<bool>(), step_s in 1i64..40,
    ) {
        let directory = directory();
        let place = if memory {
            // A file where the directory should be: nothing can ever be written.
            let place = directory.path().join("file");
            fs::write(&place, "").unwrap();
            place
        } else {
            directory.path().to_owned()
        };
        let limits = Limits { disk_bytes, memory_bytes: disk_bytes, segment_bytes: 1500 };
        let now = Instant::now();
        let mut spool = Spool::open(&place, limits, "boot", now);
        let wide = |index| Sample { taken_at_ms: index * step_s * 1000, ..sample(index) };
        for index in 0..count {
            spool.append(&wide(index), now);
            prop_assert!(spool.status().bytes <= disk_bytes + 200, "{:?}", spool.status());
        }
        prop_assert_eq!(spool.status().trouble.is_some(), memory);
        // To be read the newest segment is closed, and that may need room.
        spool.close_segment(now);
        let left = drain(&mut spool, now);
        let status = spool.status();
        prop_assert_eq!(left.len() as u64, status.samples);
        prop_assert_eq!(left.len() as u64 + status.thinned + status.dropped, count as u64);
        prop_assert_eq!(left.last().unwrap().taken_at_ms, wide(count - 1).taken_at_ms);
        prop_assert!(left.is_sorted_by_key(|sample| sample.taken_at_ms));
        if status.dropped > 0 {
            prop_assert_eq!(spool.segments[0].step_ms, 60_000, "dropped before all was thinned");
            let oldest = &left[..spool.segments[0].samples as usize];
            let span = oldest[oldest.len() - 1].taken_at_ms - oldest[0].taken_at_ms;
            prop_assert!(span >= (oldest.len() as i64 - 1) * 30_000, "{} in {} ms", oldest.len(), span);
        }
    }
}

#[test]
fn counts_outlive_the_agent() {
    let directory = directory();
    let now = Instant::now();
    let limits = Limits {
        disk_bytes: 4000,
        memory_bytes: 4000,
        segment_bytes: 500,
    };
    let open = || Spool::open(directory.path(), limits.clone(), "boot", now);
    let mut spool = open();
    for index in 0..3000 {
        spool.append(&sample(index), now);
    }
    let before = spool.status();
    assert!(before.dropped > 0 && before.thinned > 0, "{before:?}");
    drop(spool);
    let after = open().status();
    assert!(
        after.dropped >= before.dropped && after.thinned >= before.thinned,
        "{after:?}"
    );
    assert_eq!(after.samples + after.dropped + after.thinned, 3000);
}

/// The other half of the next test: adds samples and says so, until it is killed.
#[test]
fn child_that_is_killed() {
    let Some(directory) = std::env::var_os("GANDER_TEST_SPOOL") else {
        return;
    };
    let now = Instant::now();
    let mut spool = Spool::open(Path::new(&directory), small(), "boot", now);
    let begin = spool.status().samples as i64;
    for index in begin.. {
        spool.append(&sample(index), now);
        println!("added {index}");
    }
}

#[test]
fn a_killed_process_loses_no_sample_it_added() {
    use std::io::{BufRead as _, BufReader};
    let directory = directory();
    let mut sure = 0;
    for round in 1..=8 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spool::tests::child_that_is_killed", "--nocapture"])
            .env("GANDER_TEST_SPOOL", directory.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let added: Vec<i64> = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("added ")?.parse().ok())
            .take(100 * round)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            added.first(),
            Some(&sure),
            "it went on where the one before was killed"
        );
        let now = Instant::now();
        let mut spool = Spool::open(directory.path(), small(), "boot", now);
        let found = drain(&mut spool, now);
        assert!(found.len() as i64 > *added.last().unwrap());
        assert_eq!(found, (0..found.len() as i64).map(sample).collect::<Vec<_>>());
        sure = found.len() as i64;
    }
}

/// A busy machine: 16 cores, 4 disks, 6 interfaces, 12 filesystems, 10 sensors; nothing stands still.
struct BusyMachine {
    chance: u64,
    snapshot: Snapshot,
}

impl BusyMachine {
    fn new() -> Self {
        use gander_probe::snapshot::*;
        let names =
            |prefix: &'static str, count: usize| (0..count).map(move |index| format!("{prefix}{index}"));
        let snapshot = Snapshot {
            cpu: Some(Cpu {
                cores_permille: vec![500; 16],
                ..Cpu::default()
            }),
            memory: Some(Memory {
                total_bytes: 128 << 30,
                ..Memory::default()
            }),
            swap: Some(Swap::default()),
            load: Some(Load::default()),
            uptime_seconds: Some(0),
            boot_id: None,
            processes: Some(Processes {
                total: None,
                threads: Some(2000),
                running: Some(3),
                blocked: Some(0),
            }),
            pressure: Some(Pressure {
                cpu_some_permille: Some(0),
                memory_some_permille: Some(0),
                memory_full_permille: Some(0),
                io_some_permille: Some(0),
                io_full_permille: Some(0),
            }),
            sockets: Some(Sockets {
                tcp_in_use: Some(300),
                tcp_time_wait: Some(40),
                udp_in_use: Some(9),
            }),
            filesystems: Some(
                names("/srv/volume", 12)
                    .map(|mount_point| Filesystem {
                        mount_point,
                        device: "/dev/mapper/volume".into(),
                        kind: Some("ext4".into()),
                        total_bytes: 4 << 40,
                        inodes_total: Some(1 << 28),
                        inodes_used: Some(1 << 20),
                        ..Filesystem::default()
                    })
                    .collect(),
            ),
            disks: Some(
                names("nvme0n", 4)
                    .map(|device| Disk {
                        device,
                        rates: Some(DiskRates::default()),
                    })
                    .collect(),
            ),
            interfaces: Some(
                names("eth", 6)
                    .map(|name| Interface {
                        name,
                        rates: Some(InterfaceRates::default()),
                    })
                    .collect(),
            ),
            temperatures: Some(
                names("sensor ", 10)
                    .map(|sensor| Temperature {
                        sensor,
                        millicelsius: 45_000,
                    })
                    .collect(),
            ),
            system: None,
            ..Snapshot::default()
        };
        Self { chance: 1, snapshot }
    }

    fn below(&mut self, most: u64) -> u64 {
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % most
    }

    fn look(&mut self, index: i64) -> Snapshot {
        let mut now = self.snapshot.clone();
        let cpu = now.cpu.as_mut().unwrap();
        for share in [
            &mut cpu.usage_permille,
            &mut cpu.user_permille,
            &mut cpu.system_permille,
            cpu.iowait_permille.get_or_insert_default(),
        ]
        .into_iter()
        .chain(&mut cpu.cores_permille)
        {
            *share = self.below(1000) as u16;
        }
        let memory = now.memory.as_mut().unwrap();
        for bytes in [
            &mut memory.used_bytes,
            &mut memory.available_bytes,
            &mut memory.free_bytes,
            memory.buffers_bytes.get_or_insert_default(),
            memory.cached_bytes.get_or_insert_default(),
        ] {
            *bytes = (40 << 30) + self.below(1 << 16) * 4096;
        }
        now.load.as_mut().unwrap().one_hundredths = self.below(1600) as u32;
        now.load.as_mut().unwrap().five_hundredths = self.below(1600) as u32;
        now.uptime_seconds = Some(index as u64 * 10);
        now.processes.as_mut().unwrap().threads = Some(2000 + self.below(100) as u32);
        now.pressure.as_mut().unwrap().cpu_some_permille = Some(self.below(300) as u16);
        now.sockets.as_mut().unwrap().tcp_in_use = Some(300 + self.below(60) as u32);
        for disk in now.disks.iter_mut().flatten() {
            let rates = disk.rates.as_mut().unwrap();
            for rate in [
                &mut rates.read_bytes_per_second,
                &mut rates.write_bytes_per_second,
            ] {
                *rate = self.below(1 << 28);
            }
            for rate in [&mut rates.reads_per_second, &mut rates.writes_per_second] {
                *rate = self.below(5000);
            }
            rates.utilisation_permille = self.below(1000) as u16;
            rates.await_us = (self.below(4) > 0).then(|| self.below(9000));
        }
        for interface in now.interfaces.iter_mut().flatten() {
            let rates = interface.rates.as_mut().unwrap();
            for rate in [
                &mut rates.receive_bytes_per_second,
                &mut rates.transmit_bytes_per_second,
            ] {
                *rate = self.below(1 << 27);
            }
            for rate in [
                &mut rates.receive_packets_per_second,
                &mut rates.transmit_packets_per_second,
            ] {
                *rate = self.below(90_000);
            }
        }
        for filesystem in now.filesystems.iter_mut().flatten() {
            filesystem.used_bytes = (1 << 40) + self.below(1 << 22) * 4096;
            filesystem.available_bytes = (3 << 40) - filesystem.used_bytes;
        }
        for temperature in now.temperatures.iter_mut().flatten() {
            temperature.millicelsius += self.below(12) as i64 * 250;
        }
        if index % 3 > 0 {
            (now.filesystems, now.temperatures) = (None, None);
        }
        now
    }
}

/// What a day costs at worst. `cargo test -p gander-agent a_day -- --nocapture` shows the figures.
#[test]
fn a_day_at_ten_seconds_of_a_busy_machine_fits() {
    let directory = directory();
    let now = Instant::now();
    let mut spool = Spool::open(directory.path(), Limits::default(), "boot", now);
    let mut machine = BusyMachine::new();
    let day = 8640;
    for index in 0..day {
        let snapshot = machine.look(index);
        spool.append(
            &Sample {
                taken_at_ms: 1_700_000_000_000 + index * 10_000 + index % 3,
                uptime_ms: index * 10_000,
                clock_ahead_ms: Some(0),
                snapshot,
            },
            now,
        );
    }
    let status = spool.status();
    println!(
        "a day at 10 s of a busy machine: {} bytes, {} a sample",
        status.bytes,
        status.bytes / day as u64
    );
    assert_eq!(
        (status.samples, status.dropped, status.thinned),
        (day as u64, 0, 0)
    );
    assert!(status.bytes < Limits::default().disk_bytes / 4, "{status:?}");
}
