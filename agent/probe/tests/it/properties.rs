//! What must hold for any input: of the decoder, the parsers and the differ.

use gander_probe::parse::diskstats::DiskCounters;
use gander_probe::parse::netdev::InterfaceCounters;
use gander_probe::parse::stat::{CpuTimes, Stat};
use gander_probe::wire::request;
use gander_probe::{
    Answer, Decoder, Differ, Frame, Limits, RawSample, Section, Sections, Snapshot, WireError,
};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    max_poll_bytes: 4096,
    max_noise_bytes: 1024,
};

/// Everything a decoder makes of a stream that comes in the given pieces.
fn decode(pieces: &[&[u8]]) -> (Vec<Frame>, Option<WireError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut frames = Vec::new();
    for piece in pieces {
        let outcome = decoder.push(piece);
        while let Some(frame) = decoder.next() {
            frames.push(frame);
        }
        if let Err(error) = outcome {
            assert_eq!(decoder.push(b"more"), Err(error.clone()), "an error is final");
            return (frames, Some(error));
        }
    }
    (frames, None)
}

fn cut(stream: &[u8], mut places: Vec<usize>) -> Vec<&[u8]> {
    places.iter_mut().for_each(|place| *place %= stream.len() + 1);
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut rest = stream;
    let mut start = 0;
    for place in places {
        let (piece, tail) = rest.split_at(place - start);
        pieces.push(piece);
        rest = tail;
        start = place;
    }
    pieces.push(rest);
    pieces
}

/// Words that the protocol and the kernel use, and some they do not.
fn wordy() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("@gander hello 1 Linux\n".to_owned()),
        Just("@gander hello 1 Linux from=192.0.2.1 locked\n".to_owned()),
        Just("@gander answer 1 8\n".to_owned()),
        Just("@gander answer 1 99999999999999999999\n".to_owned()),
        Just("@gander end 1\n".to_owned()),
        Just("=stat\n".to_owned()),
        Just("=netdev\n".to_owned()),
        Just("=\n".to_owned()),
        Just("?df no\n".to_owned()),
        Just("cpu 1 2 3 4\n".to_owned()),
        Just("cpu4294967295 ".to_owned()),
        Just("MemTotal: 18446744073709551615 kB\n".to_owned()),
        Just("MemFree: ".to_owned()),
        Just(
            "Active(file): 18446744073709551615\nInactive(file): 1\nSReclaimable: 18446744073709551615\n"
                .to_owned()
        ),
        Just("SwapTotal: 3 kB\nSwapFree: 4 kB\n".to_owned()),
        Just("/dev/sda1 ".to_owned()),
        Just("\\040 \\777 \\".to_owned()),
        Just(" ext4\n".to_owned()),
        Just("100% ".to_owned()),
        Just(" -9223372036854775808 ".to_owned()),
        Just(": ".to_owned()),
        Just("total=".to_owned()),
        Just("avg10=".to_owned()),
        any::<u64>().prop_map(|number| format!("{number} ")),
        any::<i64>().prop_map(|number| format!("{number}\n")),
        prop::collection::vec(any::<char>(), 0..8).prop_map(|characters| characters.into_iter().collect()),
        Just("\n".to_owned()),
    ];
    prop::collection::vec(word, 0..30).prop_map(|words| words.concat())
}

const NAMES: &[&str] = &[
    "stat",
    "meminfo",
    "loadavg",
    "uptime",
    "blockstat",
    "diskstats",
    "netdev",
    "pressure",
    "sockstat",
    "processes",
    "mounts",
    "statfs",
    "df",
    "dfi",
    "thermal",
    "hwmon",
    "kernel",
    "os_release",
    "cpuinfo",
    "cgroup1",
    "cgroup2",
    "tcp",
    "units",
    "updates",
    "containers",
    "amdgpu",
    "nvidia",
    "prom",
    "top",
];

fn check(snapshot: &Snapshot) {
    if let Some(cpu) = &snapshot.cpu {
        assert_eq!(
            cpu.usage_permille,
            cpu.user_permille + cpu.system_permille + cpu.steal_permille.unwrap_or(0)
        );
        assert!(
            cpu.usage_permille + cpu.iowait_permille.unwrap_or(0) <= 1000,
            "{cpu:?}"
        );
        assert!(cpu.cores_permille.iter().all(|&core| core <= 1000));
    }
    if let Some(memory) = &snapshot.memory {
        assert!(memory.used_bytes <= memory.total_bytes && memory.available_bytes <= memory.total_bytes);
    }
    for disk in snapshot.disks.iter().flatten() {
        assert!(
            disk.rates
                .as_ref()
                .is_none_or(|rates| rates.utilisation_permille <= 1000)
        );
    }
    for filesystem in snapshot.filesystems.iter().flatten() {
        assert!(filesystem.usage_permille <= 1000);
        assert!(filesystem.mount_point.len() <= gander_probe::parse::MAX_LABEL);
    }
    for fault in &snapshot.faults {
        assert!(fault.reason.len() < 1000 && !fault.reason.contains(char::is_control));
    }
}

fn times() -> impl Strategy<Value = CpuTimes> {
    // Small ones, so that differences are, and any.
    let field = prop_oneof![0..1000u64, any::<u64>()];
    prop::array::uniform8(field).prop_map(|[user, nice, system, idle, iowait, irq, softirq, steal]| {
        CpuTimes {
            user,
            nice,
            system,
            idle,
            iowait,
            irq,
            softirq,
            steal,
        }
    })
}

fn counter() -> impl Strategy<Value = u64> {
    prop_oneof![0..5000u64, (1u64 << 32) - 5000..(1 << 32) + 5000, any::<u64>()]
}

prop_compose! {
    fn sample()(
        total in times(),
        cores in prop::collection::vec((0..4u32, times()), 0..4),
        uptime_ms in prop::option::of(0..100_000u64),
        boot_id in prop::option::of("[ab]"),
        disks in prop::option::of(prop::collection::vec(("[ab]", prop::array::uniform7(counter())), 0..3)),
        interfaces in prop::option::of(prop::collection::vec(("[ab]", prop::array::uniform8(counter())), 0..3)),
    ) -> RawSample {
        RawSample {
            stat: Some(Stat { total, cores, ..Stat::default() }),
            uptime_ms,
            boot_id,
            disks: disks.map(|disks| disks.into_iter().map(|(device, c)| DiskCounters {
                device, reads: c[0], read_sectors: c[1], read_ms: c[2], writes: c[3], write_sectors: c[4],
                write_ms: c[5], io_ms: c[6],
            }).collect()),
            interfaces: interfaces.map(|interfaces| interfaces.into_iter().map(|(name, c)| InterfaceCounters {
                name, receive_bytes: c[0], receive_packets: c[1], receive_errors: c[2], receive_drops: c[3],
                transmit_bytes: c[4], transmit_packets: c[5], transmit_errors: c[6], transmit_drops: c[7],
            }).collect()),
            ..RawSample::default()
        }
    }
}

proptest! {
    #[test]
    fn the_decoder_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..3000), text in wordy(), places in prop::collection::vec(any::<usize>(), 0..6)) {
        let mut stream = text.into_bytes();
        stream.extend(bytes);
        let whole = decode(&[&stream]);
        let pieces = decode(&cut(&stream, places));
        // A decoder that keeps less than it was given may notice a limit a piece earlier or later,
        // but what it understood of a stream without an error is the same.
        if whole.1.is_none() && pieces.1.is_none() {
            prop_assert_eq!(whole.0, pieces.0);
        }
    }

    #[test]
    fn any_cutting_gives_the_same_answers(
        noise in "[^@]{0,200}",
        bodies in prop::collection::vec("[ -<>A-~\n]{0,300}", 0..5),
        places in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut stream = format!("{noise}\n@gander hello 1 Linux\n");
        for (seq, body) in bodies.iter().enumerate() {
            // Printable, and no line of it begins a section.
            let body = format!("=stat\n{}\n", body.replace('\n', "\n "));
            stream += &format!("stray\n@gander answer {seq} {}\n{body}@gander end {seq}\n", body.len());
        }
        let (frames, error) = decode(&cut(stream.as_bytes(), places));
        prop_assert_eq!(error, None);
        prop_assert_eq!(frames.len(), bodies.len() + 1);
        for (frame, body) in frames[1..].iter().zip(&bodies) {
            let Frame::Answer(answer) = frame else { panic!("{frame:?}") };
            let expected = format!("{}\n", body.replace('\n', "\n "));
            prop_assert_eq!(answer.text("stat"), Some(expected.as_str()));
        }
    }

    #[test]
    fn a_cut_answer_is_never_taken_for_a_whole_one(body in "[ -<>A-~]{1,100}", lost in 1..100usize) {
        let body = format!("=stat\n {body}\n");
        let lost = lost.min(body.len());
        let stream = format!("@gander hello 1 Linux\n@gander answer 1 {}\n{}@gander end 1\n", body.len(), &body[lost..]);
        let (frames, _) = decode(&[stream.as_bytes(), b"@gander answer 2 0\n@gander end 2\n"]);
        prop_assert!(!frames.iter().any(|frame| matches!(frame, Frame::Answer(_))), "{:?}", frames);
    }

    #[test]
    fn parsers_survive_any_text(text in wordy(), shuffle in any::<prop::sample::Index>()) {
        // The same text in every section: each parser takes from it what it knows.
        let mut answer = Answer {
            seq: 1,
            sections: NAMES.iter().map(|name| Section { name: (*name).to_owned(), text: text.clone() }).collect(),
            faults: Vec::new(),
        };
        let mut differ = Differ::new();
        check(&differ.advance(RawSample::parse(&answer), 0));
        let cut = shuffle.index(text.len() + 1);
        let cut = (0..=cut).rev().find(|&cut| text.is_char_boundary(cut)).unwrap_or(0);
        for section in &mut answer.sections {
            section.text.truncate(cut);
        }
        check(&differ.advance(RawSample::parse(&answer), 1000));
    }

    #[test]
    fn the_differ_survives_any_history(history in prop::collection::vec((sample(), any::<i64>()), 1..6)) {
        let mut differ = Differ::new();
        for (sample, at) in history {
            check(&differ.advance(sample, at));
        }
    }

    #[test]
    fn a_wrapped_counter_gives_the_same_rate_as_one_that_did_not(start in 0..u64::from(u32::MAX), step in 0..(1u64 << 31), elapsed in 1..100_000i64) {
        let reading = |bytes: u64, packets: u64| RawSample {
            interfaces: Some(vec![InterfaceCounters { name: "eth0".into(), receive_bytes: bytes, receive_packets: packets, ..InterfaceCounters::default() }]),
            ..RawSample::default()
        };
        let rate = |first: u64, second: u64| {
            let mut differ = Differ::new();
            differ.advance(reading(first, 1), 0);
            let snapshot = differ.advance(reading(second, 2), elapsed);
            snapshot.interfaces.unwrap()[0].rates.clone().map(|rates| rates.receive_bytes_per_second)
        };
        let true_rate = rate(start, start + step);
        prop_assert!(true_rate.is_some());
        prop_assert_eq!(rate(start, (start + step) % (1 << 32)), true_rate);
    }
}

#[test]
fn noise_is_bounded_and_quoted() {
    let mut decoder = Decoder::new(LIMITS);
    let refusal = "\x1b[1mThis account is\r\ncurrently not available.\n";
    decoder.push(refusal.as_bytes()).unwrap();
    assert_eq!(
        decoder.noise_excerpt(),
        "[1mThis account is currently not available."
    );
    let error = decoder.push(&[b'x'; 2000]).unwrap_err();
    let WireError::TooMuchNoise { limit: 1024, excerpt } = error else {
        panic!("{error:?}")
    };
    assert!(excerpt.starts_with("[1mThis account") && excerpt.len() <= 300);
}

#[test]
fn answers_nobody_takes_and_answers_too_long_are_refused() {
    let long = format!(
        "@gander hello 1 Linux\n@gander answer 1 {}\n",
        LIMITS.max_poll_bytes + 1
    );
    assert_eq!(
        decode(&[long.as_bytes()]).1,
        Some(WireError::TooMuchOutput { limit: 4096 })
    );
    let flood = "@gander answer 1 0\n@gander end 1\n".repeat(10_000);
    let flood = format!("@gander hello 1 Linux\n{flood}");
    assert_eq!(
        decode(&[flood.as_bytes()]).1,
        Some(WireError::TooMuchOutput { limit: 4096 })
    );
}

#[test]
fn requests_name_their_sections() {
    assert_eq!(request(7, Sections::TICK), "7 tick\n");
    assert_eq!(
        request(u32::MAX, Sections::ALL),
        "4294967295 tick slow facts rare top\n"
    );
    assert!(Sections::ALL.contains(Sections::SLOW | Sections::FACTS));
    assert!(!Sections::TICK.contains(Sections::ALL));
}
