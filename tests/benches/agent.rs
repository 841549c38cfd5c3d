//! What the agent costs the machine it runs on, beside node_exporter (scraped each second), netdata and
//! glances, all from Debian, all at a step of one second, in one run. Before that, with nothing else
//! running: how long a change on the node takes to a WebSocket, by the agent and over SSH.
//!
//! `make bench ONLY=agent`; `AGENT_SECONDS` (120) is how long they are watched, `AGENT_CHANGES` (200) how
//! many changes are made. The agent is the one
//! that is installed (`make agent`): static, small, streaming to a hub on the same machine. CPU time is
//! that of a process, its threads and its children; memory is resident, the same sum.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a measuring program: it prints, and whatever fails ends it"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use gander_e2e::{
    LiveClient, TestHub,
    agent::{TestAgent, agent_program, free_port, hub_for_agents, server_that},
    dice::Dice,
    eventually,
    measure::{machine, memory_of, percentile},
    sshd::RealSshd,
};
use serde_json::json;
use tokio::process::{Child, Command};

/// What they do at their start is not counted.
const SETTLE: Duration = Duration::from_secs(15);

/// What a change takes of memory and gives back, in bytes.
const CHANGE: usize = 256 << 20;

/// One of the programs compared.
struct Rival {
    name: &'static str,
    pid: u32,
    program: PathBuf,
}

/// A process and all that came of it.
fn family(pid: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let child: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((child, parent))
        })
        .collect();
    let mut family = BTreeSet::from([pid]);
    loop {
        let before = family.len();
        let children = parents.iter().filter(|(_, parent)| family.contains(parent));
        let children: Vec<u32> = children.map(|(child, _)| *child).collect();
        family.extend(children);
        if family.len() == before {
            return family;
        }
    }
}

/// CPU time of a process so far, all threads, to the nanosecond; of its ended children, to 10 ms.
fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let of_threads: u64 = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ended: u64 = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(of_threads) + Duration::from_millis(ended * 10)
}

impl Rival {
    fn cpu(&self) -> Duration {
        family(self.pid).into_iter().map(cpu).sum()
    }

    fn resident(&self) -> u64 {
        family(self.pid)
            .into_iter()
            .map(|pid| memory_of(&pid.to_string(), "VmRSS"))
            .sum()
    }
}

fn start(program: &Path, arguments: &[&str]) -> Child {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: deploy/install-packages.sh bench", program.display()))
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Memory in use, in the next full snapshot of a server.
async fn memory_shown(live: &mut LiveClient, server: i64) -> u64 {
    loop {
        let message = live.next().await.expect("the WebSocket stays open");
        if message["type"] == "snapshot" && message["server_id"] == server {
            return message["snapshot"]["memory"]["used_bytes"].as_u64().unwrap();
        }
    }
}

/// Takes memory and gives it back at any moment, and waits each time until a WebSocket that watches the
/// server shows it.
async fn changes(hub: &TestHub, what: &str, server: i64, count: u64) {
    let mut live = hub.live().await;
    live.watch(&[server]).await;
    let mut dice = Dice::new(7);
    let mut taken = Vec::new();
    let mut lags = Vec::new();
    // The step of a second has begun.
    for _ in 0..5 {
        memory_shown(&mut live, server).await;
    }
    for _ in 0..count {
        let before = memory_shown(&mut live, server).await;
        tokio::time::sleep(Duration::from_millis(dice.below(1_000) as u64)).await;
        let takes = taken.is_empty();
        taken = if takes { vec![1_u8; CHANGE] } else { Vec::new() };
        std::hint::black_box(&taken);
        let changed = Instant::now();
        loop {
            let now = memory_shown(&mut live, server).await;
            let moved = if takes {
                now.saturating_sub(before)
            } else {
                before.saturating_sub(now)
            };
            if moved > CHANGE as u64 / 2 {
                break;
            }
        }
        lags.push(changed.elapsed());
    }
    println!(
        "| {what} | {} ms | {} ms | {} ms |",
        percentile(&mut lags, 50).as_millis(),
        percentile(&mut lags, 99).as_millis(),
        lags.last().unwrap().as_millis(),
    );
}

async fn from_change_to_page() {
    let count = setting("AGENT_CHANGES", 200);
    println!(
        "\n## From a change on the node to a WebSocket that watches it, {count} changes: {}\n",
        machine()
    );
    println!("| | median | 99th percentile | longest |");
    println!("|---|---:|---:|---:|");
    let hub = hub_for_agents("30s").start().await;
    let agent = TestAgent::enrolled(&hub).await;
    let server = server_that(&hub, "online").await["id"].as_i64().unwrap();
    changes(&hub, "agent", server, count).await;
    drop(agent);
    hub.kill().await;

    let hub = hub_for_agents("30s").start().await;
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let server = json!({
        "name": "over ssh", "ip": "127.0.0.1", "ssh_port": sshd.port(),
        "ssh_user": sshd.login_name("deploy"), "ssh_password": "secret",
    });
    hub.api().post("/api/servers", &server).await;
    let server = server_that(&hub, "online").await["id"].as_i64().unwrap();
    changes(&hub, "SSH", server, count).await;
    hub.kill().await;
}

fn main() {
    // `cargo test --benches` starts this too, to see whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run());
}

async fn run() {
    let seconds = setting("AGENT_SECONDS", 120);
    from_change_to_page().await;
    let home = tempfile::tempdir().unwrap();
    let hub = hub_for_agents("1s").start().await;
    let agent = TestAgent::enrolled(&hub).await;
    server_that(&hub, "online").await;

    let exporter = PathBuf::from("/usr/bin/prometheus-node-exporter");
    let scraped = format!("127.0.0.1:{}", free_port());
    let node_exporter = start(
        &exporter,
        &[&format!("--web.listen-address={scraped}"), "--log.level=error"],
    );
    let metrics = format!("http://{scraped}/metrics");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let scrape = async |metrics: &str| {
        let answer = client.get(metrics).send().await.ok()?;
        answer.bytes().await.ok()
    };
    eventually("node_exporter answers", || scrape(&metrics)).await;

    // Its own defaults, but for where it listens and what it writes.
    let netdata_program = PathBuf::from("/usr/sbin/netdata");
    for name in ["cache", "lib", "log"] {
        fs::create_dir(home.path().join(name)).unwrap();
    }
    let config = home.path().join("netdata.conf");
    let place = home.path().display();
    fs::write(
        &config,
        format!(
            "[global]\nrun as user = root\n[db]\nupdate every = 1\n[directories]\ncache = {place}/cache\n\
             lib = {place}/lib\nlog = {place}/log\n[web]\nbind to = 127.0.0.1:{}\n",
            free_port()
        ),
    )
    .unwrap();
    let netdata = start(
        &netdata_program,
        &[
            "-D",
            "-c",
            config.to_str().unwrap(),
            "-P",
            &format!("{place}/pid"),
        ],
    );

    let glances_program = PathBuf::from("/usr/bin/glances");
    let glances = start(
        &glances_program,
        &[
            "--quiet",
            "--time",
            "1",
            "--disable-check-update",
            "--export",
            "csv",
            "--export-csv-file",
            home.path().join("glances.csv").to_str().unwrap(),
        ],
    );

    let rivals = [
        Rival {
            name: "gander-agent",
            pid: agent.pid(),
            program: agent_program(),
        },
        Rival {
            name: "node_exporter, scraped",
            pid: node_exporter.id().unwrap(),
            program: exporter,
        },
        Rival {
            name: "netdata",
            pid: netdata.id().unwrap(),
            program: netdata_program,
        },
        Rival {
            name: "glances",
            pid: glances.id().unwrap(),
            program: glances_program,
        },
    ];
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            if let Ok(answer) = client.get(&metrics).send().await {
                let _ = answer.bytes().await;
            }
        }
    });
    tokio::time::sleep(SETTLE).await;
    println!(
        "\n## An agent at 1 s beside others, for {seconds} s: {}\n",
        machine()
    );
    println!("| | CPU of one core | beside the agent's | resident | after | program |");
    println!("|---|---:|---:|---:|---:|---:|");
    let before: Vec<_> = rivals
        .iter()
        .map(|rival| (rival.cpu(), rival.resident()))
        .collect();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let passed = began.elapsed().as_secs_f64();
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut own = None;
    for (rival, (cpu, resident)) in rivals.iter().zip(before) {
        let used = (rival.cpu().saturating_sub(cpu)).as_secs_f64() / passed * 100.0;
        let own = *own.get_or_insert(used);
        println!(
            "| {} | {used:.3} % | {:.1}× | {:.1} MiB | {:.1} MiB | {:.1} MB |",
            rival.name,
            used / own,
            mebibytes(resident),
            mebibytes(rival.resident()),
            fs::metadata(&rival.program).map_or(0, |file| file.len()) as f64 / 1e6,
        );
    }
    drop((node_exporter, netdata, glances, agent));
    hub.kill().await;
}
