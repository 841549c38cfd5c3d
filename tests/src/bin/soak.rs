//! `make soak ONLY=sessions`: one hub and many real SSH sessions for a while, with a line of figures a minute.
//!
//! `SOAK_MINUTES` (10), `SOAK_SERVERS` (50) and `SOAK_INTERVAL` (1s) set its size. It ends with
//! code 1 when a server went offline, when the hub said that it is not well, or when it ended.
//! Whether memory grows is for a person to read off the table: a short run proves nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for the developer's terminal"
)]

use std::{fs, process::ExitCode, time::Duration};

use gander_e2e::{TestHub, sshd::RealSshd};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[tokio::main]
async fn main() -> ExitCode {
    let minutes: u64 = setting("SOAK_MINUTES", 10);
    let servers: usize = setting("SOAK_SERVERS", 50);
    let interval: String = setting("SOAK_INTERVAL", "1s".to_owned());

    println!("{servers} SSH sessions polled every {interval} for {minutes} minutes");
    let hub = TestHub::builder().env("GANDER_INTERVAL", &interval).start().await;
    let sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    for number in 1..=servers {
        hub.api()
            .enrol_node(&sshd.spec(&format!("soak-{number}"), "deploy"))
            .await;
    }
    println!("minute  online  hub RSS MiB  peak MiB  CPU %  threads  files  database MiB  samples");

    let started = Instant::now();
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cpu_before = cpu_ticks(hub.pid());
    let mut unwell = 0;
    minute.tick().await;
    for passed in 1..=minutes {
        minute.tick().await;
        let stats = hub.api().get("/api/stats").await;
        let storage = hub.api().get("/api/storage").await;
        let healthy = hub.api().try_get("/api/health").await.status == 200;
        let online = stats["online"].as_u64().unwrap_or_default();
        let cpu = cpu_ticks(hub.pid());
        println!(
            "{passed:6}  {online:6}  {:11.1}  {:8.1}  {:5.1}  {:7}  {:5}  {:12.1}  {:7}{}",
            kib(hub.pid(), "VmRSS:") / 1024.0,
            kib(hub.pid(), "VmHWM:") / 1024.0,
            // A tick is a hundredth of a second, so ticks in a minute over 60 are percent.
            (cpu - cpu_before) / 60.0,
            kib(hub.pid(), "Threads:"),
            fs::read_dir(format!("/proc/{}/fd", hub.pid())).map_or(0, Iterator::count),
            mib(&storage["database_bytes"]),
            storage["samples"],
            if healthy { "" } else { "  NOT WELL" },
        );
        cpu_before = cpu;
        let offline = stats["offline"].as_u64().unwrap_or_default();
        if !healthy || offline > 0 {
            unwell += 1;
        }
    }
    println!(
        "{:.1} minutes, {unwell} of them unwell",
        started.elapsed().as_secs_f64() / 60.0
    );
    let stopped = hub.stop().await;
    if unwell == 0 && stopped.status.success() {
        return ExitCode::SUCCESS;
    }
    println!("{}", stopped.log.tail(30));
    ExitCode::FAILURE
}

/// A figure of `/proc/PID/status`.
fn kib(pid: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the hub runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("a line of it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// CPU time used so far, in hundredths of a second: fields 14 and 15 of `/proc/PID/stat`.
fn cpu_ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the hub runs");
    let after_name = stat.rsplit_once(')').expect("the name ends").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "for a table")]
fn mib(bytes: &Value) -> f64 {
    bytes.as_u64().unwrap_or_default() as f64 / f64::from(1 << 20)
}
