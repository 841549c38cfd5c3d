//! Snapshots survive the way through messages and bytes, and what no writer makes is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use gander_probe::snapshot::{
    Container, Cpu, Custom, Disk, DiskRates, Filesystem, Gpu, Interface, InterfaceRates, Load, Memory,
    Pressure, Processes, SectionFault, Snapshot, Sockets, Swap, System, TcpState, Temperature, TopProcess,
    Units, Updates,
};
use gander_proto::{ConvertError, SampleReader, SampleWriter, TakenSample, limits, v1};
use proptest::{collection::vec, option::of, prelude::*};
use prost::Message as _;

prop_compose! {
    fn cpu()(
        shares in any::<[u16; 3]>(),
        some in any::<[Option<u16>; 3]>(),
        limit_millicores in any::<Option<u32>>(),
        cores_permille in vec(any::<u16>(), 0..9),
    ) -> Cpu {
        let [usage_permille, user_permille, system_permille] = shares;
        let [iowait_permille, steal_permille, throttled_permille] = some;
        Cpu {
            usage_permille,
            user_permille,
            system_permille,
            iowait_permille,
            steal_permille,
            throttled_permille,
            limit_millicores,
            cores_permille,
        }
    }
}

prop_compose! {
    fn memory()(values in any::<[u64; 4]>(), some in any::<[Option<u64>; 2]>()) -> Memory {
        let [total_bytes, used_bytes, available_bytes, free_bytes] = values;
        let [buffers_bytes, cached_bytes] = some;
        Memory { total_bytes, used_bytes, available_bytes, free_bytes, buffers_bytes, cached_bytes }
    }
}

prop_compose! {
    fn small_sections()(
        swap in of(any::<[u64; 2]>()),
        load in of(any::<[u32; 3]>()),
        processes in of(any::<[Option<u32>; 4]>()),
        pressure in of(any::<[Option<u16>; 5]>()),
        sockets in of(any::<[Option<u32>; 3]>()),
        uptime_seconds in any::<Option<u64>>(),
        boot_id in of("[0-9a-f]{4}"),
    ) -> Snapshot {
        Snapshot {
            swap: swap.map(|[total_bytes, used_bytes]| Swap { total_bytes, used_bytes }),
            load: load.map(|[one_hundredths, five_hundredths, fifteen_hundredths]| {
                Load { one_hundredths, five_hundredths, fifteen_hundredths }
            }),
            processes: processes.map(|[total, threads, running, blocked]| {
                Processes { total, threads, running, blocked }
            }),
            pressure: pressure.map(
                |[cpu_some_permille, memory_some_permille, memory_full_permille, io_some_permille, io_full_permille]| {
                    Pressure {
                        cpu_some_permille,
                        memory_some_permille,
                        memory_full_permille,
                        io_some_permille,
                        io_full_permille,
                    }
                },
            ),
            sockets: sockets.map(|[tcp_in_use, tcp_time_wait, udp_in_use]| {
                Sockets { tcp_in_use, tcp_time_wait, udp_in_use }
            }),
            uptime_seconds,
            boot_id,
            ..Snapshot::default()
        }
    }
}

prop_compose! {
    fn filesystem()(
        mount_point in "/[a-z]{0,3}",
        device in ".{0,5}",
        kind in of("(ext4|xfs|)"),
        sizes in any::<[u64; 3]>(),
        usage_permille in any::<u16>(),
        inodes in any::<[Option<u64>; 2]>(),
    ) -> Filesystem {
        let [total_bytes, used_bytes, available_bytes] = sizes;
        let [inodes_total, inodes_used] = inodes;
        Filesystem {
            mount_point,
            device,
            kind,
            total_bytes,
            used_bytes,
            available_bytes,
            usage_permille,
            inodes_total,
            inodes_used,
        }
    }
}

prop_compose! {
    fn disk()(
        device in "[a-z]{1,3}",
        rates in of((any::<[u64; 4]>(), any::<u16>(), any::<Option<u64>>())),
    ) -> Disk {
        let rates = rates.map(|(values, utilisation_permille, await_us)| DiskRates {
            read_bytes_per_second: values[0],
            write_bytes_per_second: values[1],
            reads_per_second: values[2],
            writes_per_second: values[3],
            utilisation_permille,
            await_us,
        });
        Disk { device, rates }
    }
}

prop_compose! {
    fn interface()(name in "[a-z]{1,3}", rates in of(any::<[u64; 6]>())) -> Interface {
        let rates = rates.map(|values| InterfaceRates {
            receive_bytes_per_second: values[0],
            transmit_bytes_per_second: values[1],
            receive_packets_per_second: values[2],
            transmit_packets_per_second: values[3],
            errors: values[4],
            drops: values[5],
        });
        Interface { name, rates }
    }
}

prop_compose! {
    fn system()(texts in any::<[Option<String>; 7]>(), cpu_cores in any::<Option<u32>>()) -> System {
        let [hostname, os, os_id, kernel, architecture, cpu_model, container] = texts;
        System { hostname, os, os_id, kernel, architecture, cpu_model, cpu_cores, container }
    }
}

prop_compose! {
    fn container()(name in ".{0,4}", cpu_millicores in any::<Option<u32>>(), memory_bytes in any::<Option<u64>>()) -> Container {
        Container { name, cpu_millicores, memory_bytes }
    }
}

prop_compose! {
    fn gpu()(
        name in ".{0,4}",
        usage_permille in any::<Option<u16>>(),
        memory in any::<[Option<u64>; 2]>(),
        millicelsius in any::<Option<i64>>(),
        milliwatts in any::<Option<u32>>(),
    ) -> Gpu {
        let [memory_total_bytes, memory_used_bytes] = memory;
        Gpu { name, usage_permille, memory_total_bytes, memory_used_bytes, millicelsius, milliwatts }
    }
}

prop_compose! {
    fn top_process()(
        pid in any::<u32>(),
        name in ".{0,4}",
        user in ".{0,4}",
        cpu_millicores in any::<Option<u32>>(),
        memory_bytes in any::<u64>(),
    ) -> TopProcess {
        TopProcess { pid, name, user, cpu_millicores, memory_bytes }
    }
}

prop_compose! {
    fn rare_sections()(
        tcp_states in of(vec((".{0,4}", any::<u32>()), 0..3)),
        units in of((any::<u32>(), vec(".{0,4}", 0..3))),
        updates in of((any::<[Option<u32>; 2]>(), any::<Option<u16>>())),
        containers in of(vec(container(), 0..3)),
        gpus in of(vec(gpu(), 0..3)),
        custom in of(vec((".{0,4}", any::<i64>()), 0..3)),
        top_processes in of(vec(top_process(), 0..3)),
    ) -> Snapshot {
        Snapshot {
            tcp_states: tcp_states
                .map(|list| list.into_iter().map(|(state, count)| TcpState { state, count }).collect()),
            units: units.map(|(failed, failed_names)| Units { failed, failed_names }),
            updates: updates.map(|([pending, security], reboot_required)| {
                Updates { pending, security, reboot_required }
            }),
            containers,
            gpus,
            custom: custom.map(|list| {
                list.into_iter()
                    .map(|(series, value_thousandths)| Custom { series, value_thousandths })
                    .collect()
            }),
            top_processes,
            ..Snapshot::default()
        }
    }
}

prop_compose! {
    fn snapshot()(
        small in small_sections(),
        rare in rare_sections(),
        cpu in of(cpu()),
        memory in of(memory()),
        filesystems in of(vec(filesystem(), 0..4)),
        disks in of(vec(disk(), 0..4)),
        interfaces in of(vec(interface(), 0..4)),
        temperatures in of(vec((".{0,4}", any::<i64>()), 0..3)),
        system in of(system()),
        faults in vec((".{0,4}", ".{0,20}"), 0..3),
    ) -> Snapshot {
        let temperatures = temperatures.map(|list| {
            list.into_iter()
                .map(|(sensor, millicelsius)| Temperature { sensor, millicelsius })
                .collect()
        });
        let faults = faults.into_iter().map(|(section, reason)| SectionFault { section, reason }).collect();
        let Snapshot { swap, load, processes, pressure, sockets, uptime_seconds, boot_id, .. } = small;
        Snapshot {
            cpu,
            memory,
            swap,
            load,
            uptime_seconds,
            boot_id,
            processes,
            pressure,
            sockets,
            filesystems,
            disks,
            interfaces,
            temperatures,
            system,
            faults,
            ..rare
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Several messages one after the other, each through its bytes: the table of words grows.
    #[test]
    fn what_is_written_is_read(
        messages in vec(vec((0..4_000_000_000_000_i64, snapshot()), 0..3), 1..4),
        clock_ahead_ms in any::<Option<i64>>(),
    ) {
        let mut writer = SampleWriter::new();
        let mut reader = SampleReader::new();
        for samples in messages {
            let message = writer.write(samples.iter().map(|(at, snapshot)| (*at, snapshot)), clock_ahead_ms);
            let message = v1::Samples::decode(message.encode_to_vec().as_slice()).unwrap();
            prop_assert_eq!(message.clock_ahead_ms, clock_ahead_ms);
            let expected: Vec<TakenSample> = samples
                .into_iter()
                .map(|(taken_at_ms, snapshot)| TakenSample { taken_at_ms, snapshot })
                .collect();
            prop_assert_eq!(reader.read(message).unwrap(), expected);
        }
    }

    /// Bytes from a stranger make an error or samples, never a panic.
    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(message) = v1::Samples::decode(bytes.as_slice()) {
            let _ = SampleReader::new().read(message);
        }
    }
}

/// A machine as they are: 4 cores, 3 filesystems, 2 disks, 2 interfaces; slow sections or not.
fn machine(tick: u64, is_slow: bool) -> Snapshot {
    let disk = |device: &str| Disk {
        device: device.into(),
        rates: Some(DiskRates {
            read_bytes_per_second: 12_288 * (tick % 7),
            write_bytes_per_second: 409_600 + tick * 512,
            reads_per_second: tick % 5,
            writes_per_second: 31,
            utilisation_permille: 12,
            await_us: Some(840),
        }),
    };
    let interface = |name: &str| Interface {
        name: name.into(),
        rates: Some(InterfaceRates {
            receive_bytes_per_second: 1_250_000 + tick,
            transmit_bytes_per_second: 830_000,
            receive_packets_per_second: 1_200,
            transmit_packets_per_second: 900,
            errors: 0,
            drops: 0,
        }),
    };
    let filesystem = |mount_point: &str| Filesystem {
        mount_point: mount_point.into(),
        device: format!("/dev/mapper/system-{}", mount_point.len()),
        kind: Some("ext4".into()),
        total_bytes: 500_107_862_016,
        used_bytes: 212_107_862_016 + tick,
        available_bytes: 262_000_000_000,
        usage_permille: 447,
        inodes_total: Some(30_531_584),
        inodes_used: Some(812_345),
    };
    Snapshot {
        cpu: Some(Cpu {
            usage_permille: 231,
            user_permille: 180,
            system_permille: 51,
            iowait_permille: Some(3),
            steal_permille: Some(0),
            throttled_permille: None,
            limit_millicores: None,
            cores_permille: vec![210, 250, 199, 301],
        }),
        memory: Some(Memory {
            total_bytes: 16_384_000_000,
            used_bytes: 9_000_000_000 + tick * 4096,
            available_bytes: 7_384_000_000,
            free_bytes: 812_000_000,
            buffers_bytes: Some(312_000_000),
            cached_bytes: Some(6_000_000_000),
        }),
        swap: Some(Swap::default()),
        load: Some(Load {
            one_hundredths: 142,
            five_hundredths: 130,
            fifteen_hundredths: 90,
        }),
        uptime_seconds: Some(8_812_345 + tick),
        boot_id: Some("9d2f6d1e-6d3a-4f0c-9b53-1f6f6f1b2b3c".into()),
        processes: Some(Processes {
            total: Some(312),
            threads: Some(1_204),
            running: Some(3),
            blocked: Some(0),
        }),
        disks: Some(vec![disk("nvme0n1"), disk("nvme1n1")]),
        interfaces: Some(vec![interface("enp1s0"), interface("wg0")]),
        filesystems: is_slow.then(|| vec![filesystem("/"), filesystem("/home"), filesystem("/var")]),
        ..Snapshot::default()
    }
}

#[test]
fn a_second_of_a_machine_is_small_on_the_wire() {
    let mut writer = SampleWriter::new();
    let mut size = |tick: u64, is_slow: bool| {
        let taken_at = 1_800_000_000_000 + i64::try_from(tick).unwrap() * 1000;
        let samples = writer.write([(taken_at, &machine(tick, is_slow))], Some(0));
        samples.encoded_len()
    };
    let first = size(0, true);
    let fast = size(1, false);
    let slow = size(2, true);
    assert!(first > slow, "the words are sent once: {first} and {slow} bytes");
    assert!(fast < 220, "{fast} bytes for 50 values");
    assert!(slow < 340, "{slow} bytes with filesystems");
}

#[test]
fn a_writer_begins_a_new_table_before_the_reader_has_enough() {
    let mut writer = SampleWriter::new();
    let mut reader = SampleReader::new();
    let mut was_renewed = false;
    for round in 0..20 {
        let interfaces = (0..500).map(|n| Interface {
            name: format!("veth{round}-{n}"),
            rates: None,
        });
        let snapshot = Snapshot {
            interfaces: Some(interfaces.collect()),
            ..Snapshot::default()
        };
        let message = writer.write([(round, &snapshot)], None);
        was_renewed |= message.forget_words;
        assert_eq!(reader.read(message).unwrap()[0].snapshot, snapshot);
    }
    assert!(was_renewed);
}

fn one(snapshot: v1::Snapshot) -> v1::Samples {
    v1::Samples {
        samples: vec![v1::Sample {
            after_base_ms: 0,
            snapshot: Some(snapshot),
        }],
        ..v1::Samples::default()
    }
}

fn refusal(message: v1::Samples) -> ConvertError {
    SampleReader::new().read(message).unwrap_err()
}

#[test]
fn what_no_writer_makes_is_refused() {
    let unknown = one(v1::Snapshot {
        boot_id: Some(7),
        ..v1::Snapshot::default()
    });
    assert_eq!(
        refusal(unknown).to_string(),
        "boot_id names word 7, and the table has 0"
    );

    let too_large = one(v1::Snapshot {
        cpu: Some(v1::Cpu {
            cores_permille: vec![70_000],
            ..v1::Cpu::default()
        }),
        ..v1::Snapshot::default()
    });
    assert_eq!(
        refusal(too_large).to_string(),
        "cores_permille is 70000, more than 65535"
    );

    let too_many = one(v1::Snapshot {
        disks: Some(v1::Disks {
            list: vec![v1::Disk::default(); limits::ITEMS + 1],
        }),
        ..v1::Snapshot::default()
    });
    assert_eq!(refusal(too_many).to_string(), "more than 1024 disks");

    let beyond = v1::Samples {
        base_ms: i64::MAX,
        samples: vec![v1::Sample {
            after_base_ms: 1,
            snapshot: Some(v1::Snapshot::default()),
        }],
        ..v1::Samples::default()
    };
    assert_eq!(refusal(beyond), ConvertError::Time);

    let hollow = v1::Samples {
        samples: vec![v1::Sample::default()],
        ..v1::Samples::default()
    };
    assert_eq!(refusal(hollow), ConvertError::NoSnapshot);

    let words = |words: Vec<String>| v1::Samples {
        words,
        ..v1::Samples::default()
    };
    assert!(matches!(
        refusal(words(vec!["w".repeat(limits::TEXT_BYTES + 1)])),
        ConvertError::TooMany { .. }
    ));
    let mut reader = SampleReader::new();
    let fill = words(vec!["w".repeat(limits::TEXT_BYTES); 64]);
    reader.read(fill.clone()).unwrap();
    reader.read(fill.clone()).unwrap();
    assert_eq!(
        reader.read(fill).unwrap_err().to_string(),
        format!("more than {} bytes of words", limits::WORD_BYTES)
    );
}
