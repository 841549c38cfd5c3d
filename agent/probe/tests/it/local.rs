//! What `local` reads in this process and what the script reads in a shell is the same.

use gander_probe::snapshot::Filesystem;
use gander_probe::{RawSample, Sections, local};

use crate::support::{Probe, shells};

/// What does not move.
fn still(sample: &RawSample) -> impl PartialEq + std::fmt::Debug {
    let filesystems: Vec<_> = sample
        .filesystems
        .iter()
        .flatten()
        .map(|filesystem: &Filesystem| {
            (
                filesystem.mount_point.clone(),
                filesystem.device.clone(),
                filesystem.kind.clone(),
                filesystem.total_bytes,
                filesystem.inodes_total,
            )
        })
        .collect();
    let devices: Vec<_> = sample
        .disks
        .iter()
        .flatten()
        .map(|disk| disk.device.clone())
        .collect();
    let interfaces: Vec<_> = sample
        .interfaces
        .iter()
        .flatten()
        .map(|interface| interface.name.clone())
        .collect();
    let sensors: Vec<_> = sample
        .temperatures
        .iter()
        .flatten()
        .map(|temperature| temperature.sensor.clone())
        .collect();
    let cores: Vec<_> = sample
        .stat
        .iter()
        .flat_map(|stat| &stat.cores)
        .map(|core| core.0)
        .collect();
    (
        (
            sample.system.clone(),
            sample.boot_id.clone(),
            sample.faults.clone(),
        ),
        (filesystems, devices, interfaces, sensors),
        (
            cores,
            sample.memory.as_ref().map(|memory| memory.total_bytes),
            sample.swap.as_ref().map(|swap| swap.total_bytes),
            sample.pressure.is_some(),
            sample.sockets.is_some(),
        ),
    )
}

/// What only grows, so that a reading between two others lies between them.
fn growing(sample: &RawSample) -> Vec<u64> {
    let mut out = vec![sample.uptime_ms.unwrap()];
    let times = &sample.stat.as_ref().unwrap().total;
    out.extend([times.user, times.system, times.softirq]);
    for disk in sample.disks.iter().flatten() {
        out.extend([disk.reads, disk.read_sectors, disk.writes, disk.write_sectors]);
    }
    for interface in sample.interfaces.iter().flatten() {
        out.extend([interface.receive_bytes, interface.transmit_bytes]);
    }
    out
}

#[test]
fn the_script_and_the_local_reader_agree() {
    for shell in shells() {
        let mut probe = Probe::in_shell(&shell);
        let before = RawSample::parse(&local::read(Sections::ALL));
        let script = RawSample::parse(&probe.ask(Sections::ALL));
        let after = RawSample::parse(&local::read(Sections::ALL));
        assert_eq!(before.faults, []);
        assert_eq!(
            format!("{:#?}", still(&script)),
            format!("{:#?}", still(&after)),
            "{shell:?}"
        );
        let (low, middle, high) = (growing(&before), growing(&script), growing(&after));
        assert_eq!((low.len(), high.len()), (middle.len(), middle.len()), "{shell:?}");
        for ((low, middle), high) in low.iter().zip(&middle).zip(&high) {
            assert!(
                low <= middle && middle <= high,
                "{shell:?}: {low} {middle} {high}"
            );
        }
    }
}

#[test]
fn usage_is_what_df_shows() {
    let sample = RawSample::parse(&local::read(Sections::SLOW));
    let filesystems = sample.filesystems.unwrap();
    assert!(!filesystems.is_empty());
    for filesystem in filesystems {
        // Between two looks at the same, so that a write in between does not matter.
        let agreed = (0..100).any(|_| {
            let now = RawSample::parse(&local::read(Sections::SLOW))
                .filesystems
                .unwrap();
            let ours = now
                .iter()
                .find(|other| other.mount_point == filesystem.mount_point)
                .unwrap();
            let output = std::process::Command::new("df")
                .args(["-kP", &filesystem.mount_point])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let shown: u16 = text
                .split_ascii_whitespace()
                .find_map(|word| word.strip_suffix('%')?.parse().ok())
                .unwrap();
            ours.usage_permille.div_ceil(10) == shown
        });
        assert!(agreed, "{filesystem:?}");
    }
}
