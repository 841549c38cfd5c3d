//! What one SSH poll costs: the hub's CPU, the round trip, bytes on the wire, memory of a
//! connection, the node's CPU; beside the usual way (connect, five commands) in the same run.
//!
//! Against a real sshd on this machine; needs root. `cargo bench -p gander-e2e --bench poll`.
//! Figures depend on the machine; nothing is asserted. Prints a table in Markdown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a measuring program: it prints, and whatever fails ends it"
)]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gander_e2e::{
    collecting::{Collecting, target},
    rival,
    sshd::{RealSshd, children_of},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Connections of the measurement of memory and of the hub's CPU.
const CONNECTIONS: i64 = 500;
/// Polls of each of them that are measured.
const ROUNDS: usize = 20;
/// Polls one after the other, for round trip, bytes and the node's CPU.
const POLLS: usize = 1000;
/// Polls of the rival, each with a connection of its own.
const RIVAL_POLLS: usize = 30;

struct Ours {
    round_trip_us: f64,
    wire_bytes: f64,
    node_us: f64,
    node_shell_us: f64,
    hub_us: f64,
    connection_bytes: f64,
    connect_bytes: f64,
}

struct Rival {
    round_trip_us: f64,
    wire_bytes: f64,
    node_us: f64,
    hub_us: f64,
}

fn main() {
    // `cargo test --benches` starts this too, to see whether it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let sshd = RealSshd::start_with(&["LogLevel ERROR"]).with_shell_user("deploy", "secret", "/bin/bash");
    let rival = runtime.block_on(measure_rival(&sshd));
    let ours = runtime.block_on(measure_ours(&sshd));
    print(&ours, &rival);
}

fn print(ours: &Ours, rival: &Rival) {
    let row = |what: &str, ours: String, rival: String, ratio: f64| {
        println!("| {what} | {ours} | {rival} | {ratio:.0}× |");
    };
    println!("\n| one poll | gander | asyncssh, connect + 5 commands | ratio |");
    println!("|---|---:|---:|---:|");
    row(
        "CPU in the hub",
        us(ours.hub_us),
        us(rival.hub_us),
        rival.hub_us / ours.hub_us,
    );
    row(
        "CPU on the node",
        us(ours.node_us),
        us(rival.node_us),
        rival.node_us / ours.node_us,
    );
    row(
        "round trip, median",
        us(ours.round_trip_us),
        us(rival.round_trip_us),
        rival.round_trip_us / ours.round_trip_us,
    );
    row(
        "bytes on the wire (TCP payload, both ways)",
        format!("{:.0}", ours.wire_bytes),
        format!("{:.0}", rival.wire_bytes),
        rival.wire_bytes / ours.wire_bytes,
    );
    println!(
        "\n- of the node's CPU, the shell that runs the probe: {}",
        us(ours.node_shell_us)
    );
    println!(
        "- a new connection, with its first poll of all sections: {:.0} bytes on the wire",
        ours.connect_bytes
    );
    println!(
        "- resident memory of a connection in the hub: {:.1} KiB (mean of {CONNECTIONS})",
        ours.connection_bytes / 1024.0
    );
}

fn us(microseconds: f64) -> String {
    if microseconds >= 10_000.0 {
        format!("{:.1} ms", microseconds / 1000.0)
    } else {
        format!("{microseconds:.0} µs")
    }
}

async fn measure_ours(sshd: &RealSshd) -> Ours {
    // One server through a proxy that counts: polls one after the other.
    let proxy = Proxy::to(sshd.port()).await;
    let mut spec = sshd.spec("web-1", "deploy");
    spec.port = proxy.port;
    let mut server = target(1, &spec);
    server.server.spec.interval_seconds = Some(3600);
    let mut collecting = Collecting::from(vec![server]);
    collecting.success(1).await;
    let connect_bytes = proxy.bytes() as f64;
    collecting.success(1).await;
    let sessions = children_of(sshd.process_id());
    let shells: Vec<u32> = sessions
        .iter()
        .copied()
        .filter(|pid| name_of(*pid) == "sh")
        .collect();
    let (node, shell, bytes) = (cpu_of(&sessions), cpu_of(&shells), proxy.bytes());
    let mut trips = Vec::with_capacity(POLLS);
    for _ in 0..POLLS {
        let started = Instant::now();
        collecting.refresh(1).await;
        assert!(collecting.next().await.outcome.is_ok());
        trips.push(started.elapsed());
    }
    trips.sort();
    let per_poll = |total: f64| total / POLLS as f64;
    let node_us = per_poll((cpu_of(&sessions) - node).as_secs_f64() * 1e6);
    let node_shell_us = per_poll((cpu_of(&shells) - shell).as_secs_f64() * 1e6);
    let wire_bytes = per_poll((proxy.bytes() - bytes) as f64);
    collecting.stop().await;

    // Many servers, each at a step of a second.
    let before = resident_bytes();
    let targets = (1..=CONNECTIONS)
        .map(|id| target(id, &sshd.spec(&format!("web-{id}"), "deploy")))
        .collect();
    let mut collecting = Collecting::from(targets);
    let mut connected = 0;
    while connected < CONNECTIONS {
        let reading = collecting.next().await;
        assert!(reading.outcome.is_ok(), "{:?}", reading.outcome);
        connected += i64::from(reading.contact.is_some());
    }
    for _ in 0..CONNECTIONS * 3 {
        collecting.next().await;
    }
    let cpu = own_cpu();
    let polls = CONNECTIONS as usize * ROUNDS;
    for _ in 0..polls {
        assert!(collecting.next().await.outcome.is_ok());
    }
    let hub_us = (own_cpu() - cpu).as_secs_f64() * 1e6 / polls as f64;
    let connection_bytes = (resident_bytes() - before) as f64 / CONNECTIONS as f64;
    collecting.stop().await;
    Ours {
        round_trip_us: trips[POLLS / 2].as_secs_f64() * 1e6,
        wire_bytes,
        node_us,
        node_shell_us,
        hub_us,
        connection_bytes,
        connect_bytes,
    }
}

async fn measure_rival(sshd: &RealSshd) -> Rival {
    let proxy = Proxy::to(sshd.port()).await;
    let (node, bytes) = (cpu_of_ended_children(sshd.process_id()), proxy.bytes());
    let (port, user) = (proxy.port, sshd.login_name("deploy").to_owned());
    let rival = tokio::task::spawn_blocking(move || {
        rival::asyncssh(
            Path::new(env!("CARGO_TARGET_TMPDIR")),
            port,
            &user,
            "secret",
            RIVAL_POLLS,
        )
    })
    .await
    .unwrap();
    // The sessions' processes are accounted to sshd when it has taken note of their end.
    gander_e2e::eventually("the rival's sessions end", async || {
        children_of(sshd.process_id()).is_empty().then_some(())
    })
    .await;
    // It polls once more than it measures, to warm up.
    let polls = (RIVAL_POLLS + 1) as f64;
    Rival {
        round_trip_us: rival.round_trip_us,
        hub_us: rival.cpu_us,
        node_us: (cpu_of_ended_children(sshd.process_id()) - node).as_secs_f64() * 1e6 / polls,
        wire_bytes: (proxy.bytes() - bytes) as f64 / polls,
    }
}

/// A TCP proxy that counts what goes through it.
struct Proxy {
    port: u16,
    bytes: Arc<AtomicU64>,
}

impl Proxy {
    async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (client_in, client_out) = client.into_split();
                let (server_in, server_out) = server.into_split();
                tokio::spawn(pass(client_in, server_out, Arc::clone(&counter)));
                tokio::spawn(pass(server_in, client_out, Arc::clone(&counter)));
            }
        });
        Self { port, bytes }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    bytes: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 || to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
        bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown().await;
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// CPU time of living processes, to the nanosecond.
fn cpu_of(pids: &[u32]) -> Duration {
    pids.iter()
        .filter_map(|pid| {
            let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
            text.split_whitespace()
                .next()?
                .parse()
                .ok()
                .map(Duration::from_nanos)
        })
        .sum()
}

/// Fields `first` and the one after it of `/proc/PID/stat`, counted as in proc(5), as a time.
fn stat_times(pid: &str, first: usize) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in field 2 may hold spaces; what follows it does not.
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[first - 3..=first - 2]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

fn own_cpu() -> Duration {
    stat_times("self", 14)
}

fn cpu_of_ended_children(pid: u32) -> Duration {
    stat_times(&pid.to_string(), 16)
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
