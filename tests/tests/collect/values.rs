//! What is collected is what the machine itself says.

use std::process::Command;

use gander_e2e::{
    collecting::{Collecting, target},
    sshd::RealSshd,
};
use gander_probe::Snapshot;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn meminfo(name: &str) -> u64 {
    let text = read("/proc/meminfo");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// `a` and `b` within `tolerance` of each other.
#[track_caller]
fn assert_near(what: &str, a: u64, b: u64, tolerance: u64) {
    assert!(
        a.abs_diff(b) <= tolerance,
        "{what}: {a} and {b} differ by more than {tolerance}"
    );
}

/// Everything a new connection learns in its first two polls.
async fn collected() -> Snapshot {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut collecting = Collecting::from(vec![target(1, &sshd.spec("web-1", "deploy"))]);
    let mut all = Snapshot::default();
    while all.cpu.is_none() {
        all.merge(*collecting.success(1).await.outcome.unwrap());
    }
    collecting.stop().await;
    all
}

#[tokio::test]
async fn values_agree_with_the_machines_own_tools() {
    let snapshot = collected().await;
    assert_eq!(snapshot.faults, [], "every section was read");

    let memory = snapshot.memory.unwrap();
    let total = meminfo("MemTotal");
    assert_eq!(memory.total_bytes, total);
    assert_eq!(memory.used_bytes, memory.total_bytes - memory.available_bytes);
    // Other programs go on while we look: a twentieth of the machine is the noise allowed.
    assert_near(
        "available memory",
        memory.available_bytes,
        meminfo("MemAvailable"),
        total / 20,
    );
    let swap = snapshot.swap.unwrap();
    assert_eq!(swap.total_bytes, meminfo("SwapTotal"));

    let uptime = read("/proc/uptime").split('.').next().unwrap().parse().unwrap();
    assert_near("uptime", snapshot.uptime_seconds.unwrap(), uptime, 120);
    assert_eq!(
        snapshot.boot_id.unwrap(),
        read("/proc/sys/kernel/random/boot_id").trim()
    );

    let cores = read("/proc/stat")
        .lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .count();
    let cpu = snapshot.cpu.unwrap();
    assert_eq!(cpu.cores_permille.len(), cores);
    assert!(cpu.usage_permille <= 1000);

    let system = snapshot.system.unwrap();
    assert_eq!(system.kernel.unwrap(), read("/proc/sys/kernel/osrelease").trim());
    assert_eq!(system.hostname.unwrap(), read("/proc/sys/kernel/hostname").trim());
    assert_eq!(system.cpu_cores.unwrap() as usize, cores);
}

#[tokio::test]
async fn the_root_filesystem_is_what_df_says() {
    let snapshot = collected().await;
    let root = snapshot.root_filesystem().expect("a root filesystem").clone();
    let df = Command::new("df").args(["-kP", "/"]).output().unwrap();
    let text = String::from_utf8(df.stdout).unwrap();
    let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    let kilobytes = |index: usize| words[index].parse::<u64>().unwrap() * 1024;
    assert_eq!(root.total_bytes, kilobytes(1));
    let noise = kilobytes(1) / 50;
    assert_near("used", root.used_bytes, kilobytes(2), noise);
    assert_near("available", root.available_bytes, kilobytes(3), noise);
    let percent: u64 = words[4].trim_end_matches('%').parse().unwrap();
    assert_near(
        "use in percent",
        u64::from(root.usage_permille).div_ceil(10),
        percent,
        2,
    );
}
