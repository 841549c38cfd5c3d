//! How many servers one hub polls over SSH: the real hub with a real database, against a fleet of
//! simulated servers in another process (`gander_e2e::fleet`), and against real sshds.
//!
//! `make bench ONLY=fleet`, or `cargo bench -p gander-e2e --bench fleet -- PART...`; parts are `NODES@SECONDS`
//! (5000@10 and 1000@1: CPU, memory and pace, then a restart and a cut of all lines), `link` (round trips over
//! a line of 100 ms), `sshd` (hundreds of sessions with real sshds as they are installed) and `rival`. All
//! by default. The simulator takes CPU of the same machine that real servers would not; what the hub takes is
//! measured apart. Nothing is asserted. As root, for the real sshds.

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
    path::Path,
    time::{Duration, Instant},
};

use gander_e2e::{
    TestHub,
    collecting::{Collecting, target},
    fleet::{Figures, Fleet, FleetSpec, process::FleetProcess},
    measure::{allow_many_files, cpu_of, machine, memory_of, percentile},
    rival,
    sshd::RealSshd,
};
use gander_hub::{
    model::{
        Actor, Timestamp, Transport,
        server::{ServerSpec, SshCredential},
    },
    store::{MasterKey, Store},
};

const PARTS: [&str; 5] = ["5000@10", "1000@1", "link", "sshd", "rival"];
/// After the last server came online, before anything is measured: at least so long, and two intervals.
const SETTLE: Duration = Duration::from_secs(20);
/// Measured for so long, and at least three intervals.
const MEASURE: Duration = Duration::from_secs(60);
/// Whatever has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long all lines stay cut.
const CUT: Duration = Duration::from_secs(30);
/// The line whose round trips are counted.
const LINK: Duration = Duration::from_millis(100);
/// Polls over it.
const LINK_POLLS: usize = 20;
/// Real sshds, and the servers that are spread over them.
const SSHDS: usize = 5;
const SESSIONS: usize = 300;
/// Polls of the rival.
const RIVAL_POLLS: usize = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this too, to see whether it starts.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let asked: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let parts = if asked.is_empty() { PARTS.to_vec() } else { asked };
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    println!("\n## A fleet over SSH: {}", machine());
    for part in parts {
        match part.split_once('@') {
            Some((nodes, seconds)) => {
                let interval = Duration::from_secs(seconds.parse().expect("NODES@SECONDS"));
                runtime.block_on(polled(nodes.parse().expect("NODES@SECONDS"), interval));
            }
            None if part == "link" => runtime.block_on(link()),
            None if part == "sshd" => runtime.block_on(real_sshds()),
            None if part == "rival" => measure_rival(),
            None => panic!("there is no part \"{part}\": {PARTS:?}"),
        }
    }
}

/// One hub, so many simulated servers at one interval: a first start, the steady state, a restart, a cut.
async fn polled(nodes: usize, interval: Duration) {
    println!(
        "\n### {nodes} servers, each polled every {} s\n",
        interval.as_secs()
    );
    let empty = empty_hub(interval).await;
    let mut fleet = FleetProcess::start(FleetSpec::of(nodes)).await.unwrap();
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = home.path().join("gander.db");
    enrol(&database, &fleet, nodes).await;

    let pace = format!("measure {}", interval.as_millis());
    let before = fleet.tell(&pace).await.unwrap();
    let started = Instant::now();
    let hub = hub(&database, interval).await;
    let listening = started.elapsed();
    all_polled(&mut fleet, nodes).await;
    tell_start(
        "first start",
        listening,
        started.elapsed(),
        &before,
        &fleet.figures().await.unwrap(),
    );
    all_online(&hub, nodes).await;

    tokio::time::sleep(SETTLE.max(interval * 2)).await;
    steady(&hub, &mut fleet, nodes, interval, empty).await;

    let stopping = Instant::now();
    let hub = hub.stop().await;
    let left = fleet.figures().await.unwrap().open;
    println!(
        "- stopped in {:.1} s ({}), {left} connections left open",
        stopping.elapsed().as_secs_f64(),
        hub.status
    );
    let before = fleet.tell(&pace).await.unwrap();
    let started = Instant::now();
    let hub = hub.start().await;
    let listening = started.elapsed();
    all_polled(&mut fleet, nodes).await;
    tell_start(
        "restart",
        listening,
        started.elapsed(),
        &before,
        &fleet.figures().await.unwrap(),
    );
    all_online(&hub, nodes).await;

    let cpu = cpu_of(&hub.pid().to_string());
    fleet.tell("cut").await.unwrap();
    tokio::time::sleep(CUT).await;
    let offline = hub.api().get("/api/stats").await["offline"].clone();
    let in_cut = cpu_of(&hub.pid().to_string()) - cpu;
    println!(
        "- all lines cut: {offline} offline after {} s, in which the hub took {:.1} s of CPU",
        CUT.as_secs(),
        in_cut.as_secs_f64()
    );
    fleet.tell("restore").await.unwrap();
    let before = fleet.tell(&pace).await.unwrap();
    let (started, cpu) = (Instant::now(), cpu_of(&hub.pid().to_string()));
    all_polled(&mut fleet, nodes).await;
    let took = started.elapsed();
    let cpu = cpu_of(&hub.pid().to_string()) - cpu;
    tell_start(
        "back after the cut",
        Duration::ZERO,
        took,
        &before,
        &fleet.figures().await.unwrap(),
    );
    println!("  - CPU of the hub for it: {:.1} s", cpu.as_secs_f64());
    all_online(&hub, nodes).await;
    println!(
        "  - shown online: all, {:.1} s after the lines were back",
        started.elapsed().as_secs_f64()
    );
    hub.stop().await;
}

/// Resident memory of a hub without servers.
async fn empty_hub(interval: Duration) -> u64 {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let hub = hub(&home.path().join("gander.db"), interval).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let empty = memory_of(&hub.pid().to_string(), "VmRSS");
    hub.stop().await;
    empty
}

async fn hub(database: &Path, interval: Duration) -> TestHub {
    TestHub::builder()
        .database(database)
        .without_local_server()
        .env("GANDER_INTERVAL", &format!("{}s", interval.as_secs()))
        .start()
        .await
}

/// Puts every node into a new database. They are logged in to with the hub's own key; their host keys are
/// pinned at the first contact.
async fn enrol(database: &Path, fleet: &FleetProcess, nodes: usize) {
    let key = MasterKey::load_or_create(&database.with_file_name("master.key")).unwrap();
    let store = Store::open(database, key).await.unwrap();
    for (number, address) in fleet.greeting.addresses.iter().take(nodes).enumerate() {
        let spec = ServerSpec {
            ssh_port: fleet.greeting.port,
            ..ServerSpec::new(
                format!("sim-{number:05}"),
                address.clone(),
                "gander",
                Transport::Ssh,
            )
        };
        let credential = SshCredential::default();
        let actor = Actor::hub();
        let made = store.create_server(&spec, &credential, None, &actor, Timestamp::now());
        made.await.unwrap();
    }
    store.close().await;
}

async fn all_polled(fleet: &mut FleetProcess, nodes: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let figures = fleet.figures().await.unwrap();
        if figures.nodes_polled >= nodes {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "only {} of {nodes} servers were polled in {PATIENCE:?}: {figures:?}",
            figures.nodes_polled
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn all_online(hub: &TestHub, nodes: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = hub.api().get("/api/stats").await;
        if stats["online"].as_u64() == Some(nodes as u64) {
            return;
        }
        assert!(Instant::now() < deadline, "not all came online: {stats}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn tell_start(what: &str, listening: Duration, took: Duration, before: &Figures, after: &Figures) {
    let connected = after.logged_in - before.logged_in;
    println!(
        "- {what}: every server polled after {:.1} s (the page answers after {:.1}), {connected} log-ins of \
         {} connections, {:.0} a second; handshakes at once: {} at most, {} at one address",
        took.as_secs_f64(),
        listening.as_secs_f64(),
        after.accepted - before.accepted,
        connected as f64 / took.as_secs_f64(),
        after.most_in_handshake,
        after.most_at_one_address,
    );
}

async fn steady(hub: &TestHub, fleet: &mut FleetProcess, nodes: usize, interval: Duration, empty: u64) {
    let (pid, fleets) = (hub.pid().to_string(), fleet.pid().to_string());
    let stored = hub.api().get("/api/storage").await["samples"].as_u64();
    let before = fleet
        .tell(&format!("measure {}", interval.as_millis()))
        .await
        .unwrap();
    let cpu = (cpu_of(&pid), cpu_of(&fleets));
    let started = Instant::now();
    tokio::time::sleep(MEASURE.max(interval * 3)).await;
    let seconds = started.elapsed().as_secs_f64();
    let (hubs, simulators) = (cpu_of(&pid) - cpu.0, cpu_of(&fleets) - cpu.1);
    let after = fleet.figures().await.unwrap();
    let resident = memory_of(&pid, "VmRSS");
    let stored = hub.api().get("/api/storage").await["samples"]
        .as_u64()
        .zip(stored);
    let polls = (after.polls - before.polls) as f64;
    let due = nodes as f64 * seconds / interval.as_secs_f64();
    let bytes = (after.heard_bytes + after.said_bytes - before.heard_bytes - before.said_bytes) as f64;
    println!("\n| | |\n|---|---:|");
    println!(
        "| CPU of the hub, commits and all | {:.1} % of a core, {:.0} µs a poll |",
        hubs.as_secs_f64() / seconds * 100.0,
        hubs.as_secs_f64() / polls * 1e6
    );
    println!(
        "| CPU of the simulated servers | {:.1} % of a core |",
        simulators.as_secs_f64() / seconds * 100.0
    );
    println!(
        "| resident memory a server | {:.1} KiB ({:.0} MiB, of which {:.0} without servers) |",
        resident.saturating_sub(empty) as f64 / 1024.0 / nodes as f64,
        resident as f64 / 1_048_576.0,
        empty as f64 / 1_048_576.0
    );
    println!(
        "| polls answered, of those due | {polls:.0}, {:.1} % |",
        polls / due * 100.0
    );
    if let Some((now, then)) = stored {
        println!("| samples stored meanwhile | {} |", now.saturating_sub(then));
    }
    println!(
        "| bytes a poll, both ways, as SSH sends them | {:.0} |",
        bytes / polls
    );
    println!(
        "| between two polls of a server, off the interval | {} ms median, {} ms 99th percentile |",
        after.off_pace_ms.0, after.off_pace_ms.1
    );
    println!(
        "| connections made meanwhile | {} |\n",
        after.accepted - before.accepted
    );
}

/// How many round trips a poll, and a new connection, take on a slow line.
async fn link() {
    let spec = FleetSpec {
        round_trip: LINK,
        ..FleetSpec::of(1)
    };
    let fleet = Fleet::start(spec).await.unwrap();
    let mut server = target(1, &fleet.spec(0));
    server.server.spec.interval_seconds = Some(3600);
    let started = Instant::now();
    let mut collecting = Collecting::from(vec![server]);
    collecting.success(1).await;
    let first = started.elapsed();
    collecting.success(1).await;
    let mut polls = Vec::with_capacity(LINK_POLLS);
    for _ in 0..LINK_POLLS {
        let started = Instant::now();
        collecting.refresh(1).await;
        assert!(collecting.next().await.outcome.is_ok());
        polls.push(started.elapsed());
    }
    collecting.stop().await;
    let trips = |time: Duration| time.as_secs_f64() / LINK.as_secs_f64();
    let median = percentile(&mut polls, 50);
    println!("\n### A line with a round trip of {} ms\n", LINK.as_millis());
    println!(
        "- a poll: {:.1} ms (median of {LINK_POLLS}), {:.2} round trips",
        median.as_secs_f64() * 1e3,
        trips(median)
    );
    println!(
        "- a new connection until its first values (the start of the collector, up to 0.1 s, included): \
         {:.0} ms, {:.1} round trips",
        first.as_secs_f64() * 1e3,
        trips(first)
    );
}

/// Hundreds of sessions with a handful of sshds whose limits are as installed.
async fn real_sshds() {
    println!("\n### {SESSIONS} sessions with {SSHDS} real sshds, MaxStartups 10:30:100, every 10 s\n");
    let interval = Duration::from_secs(10);
    let empty = empty_hub(interval).await;
    let sshds: Vec<RealSshd> = (0..SSHDS)
        .map(|_| {
            RealSshd::start_with(&["MaxStartups 10:30:100", "MaxSessions 10"])
                .with_password_user("deploy", "secret")
        })
        .collect();
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = home.path().join("gander.db");
    let key = MasterKey::load_or_create(&database.with_file_name("master.key")).unwrap();
    let store = Store::open(&database, key).await.unwrap();
    for number in 0..SESSIONS {
        let spec = sshds[number % SSHDS].spec(&format!("real-{number:03}"), "deploy");
        let server = target(1, &spec).server.spec;
        let server = ServerSpec {
            interval_seconds: None,
            transport: Transport::Ssh,
            ..server
        };
        let actor = Actor::hub();
        let made = store.create_server(&server, &spec.credential, None, &actor, Timestamp::now());
        made.await.unwrap();
    }
    store.close().await;
    let started = Instant::now();
    let hub = hub(&database, interval).await;
    all_online(&hub, SESSIONS).await;
    println!("- all online after {:.1} s", started.elapsed().as_secs_f64());
    tokio::time::sleep(SETTLE).await;
    let pid = hub.pid().to_string();
    let (cpu, measured) = (cpu_of(&pid), Instant::now());
    tokio::time::sleep(MEASURE).await;
    println!(
        "- CPU of the hub: {:.2} % of a core; memory a server: {:.1} KiB",
        (cpu_of(&pid) - cpu).as_secs_f64() / measured.elapsed().as_secs_f64() * 100.0,
        memory_of(&pid, "VmRSS").saturating_sub(empty) as f64 / 1024.0 / SESSIONS as f64
    );
    let stats = hub.api().get("/api/stats").await;
    println!("- online at the end: {} of {SESSIONS}", stats["online"]);
    let logs: String = sshds.iter().map(RealSshd::log).collect();
    println!(
        "- connections turned away by MaxStartups: {}; log-ins: {}",
        logs.matches("MaxStartups").count(),
        logs.matches("Accepted password").count()
    );
    hub.stop().await;
    let left = || -> usize { sshds.iter().map(|sshd| sshd.processes_of("deploy").len()).sum() };
    let stopped = Instant::now();
    while left() > 0 && stopped.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "- after the hub's goodbye: {} processes left on the nodes, {:.1} s later",
        left(),
        stopped.elapsed().as_secs_f64()
    );
}

/// The way gander replaces, with one server; what it would take for a fleet is a sum.
fn measure_rival() {
    let sshd = RealSshd::start_with(&["LogLevel ERROR"]).with_password_user("deploy", "secret");
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let polls = rival::asyncssh(
        scratch,
        sshd.port(),
        sshd.login_name("deploy"),
        "secret",
        RIVAL_POLLS,
    );
    println!("\n### asyncssh, connect and five commands each poll, one real sshd\n");
    println!(
        "- {:.1} ms of CPU and {:.0} ms a poll (of {RIVAL_POLLS}); 500 polls a second (5,000 servers at 10 s) would \
         take {:.1} cores: calculated, not run",
        polls.cpu_us / 1e3,
        polls.round_trip_us / 1e3,
        polls.cpu_us * 500.0 / 1e6
    );
}
