//! `make soak ONLY=ssh`: one hub and real sshds and dropbears on machines of their own (network namespaces),
//! while packets are lost, lines are cut, and machines fall silent; and beside it servers that are polled so
//! rarely that their sessions are idle while keys are exchanged anew.
//!
//! `SSH_SOAK_PHASE` (600) is how many seconds each of loss, cut and silence lasts, `SSH_SOAK_IDLE` (4500) how
//! long the idle sessions must live, `SSH_SOAK_MACHINES` (8) and `SSH_SOAK_SERVERS` (4, on each) its size.
//! Two minutes: `SSH_SOAK_PHASE=20 SSH_SOAK_IDLE=60`. It ends with a panic when a server is lost, when one
//! whose line is well goes offline, or when something is left behind: a session on a node, an open file or
//! memory in the hub. To be started in a network namespace of its own: `unshare --net`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program for the developer's terminal"
)]

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use gander_e2e::{TestHub, measure::memory_of, network::Network, sshd::RealSshd};
use gander_hub::model::ServerId;
use serde_json::Value;

/// The pace of those that are not idle.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long something that is to happen may take: a kernel repeats itself every two minutes at last.
const PATIENCE: Duration = Duration::from_secs(200);
/// Packets lost of a hundred.
const LOSS: u32 = 5;
/// What a hub may grow by over all phases: buffers, caches, the newest history.
const GROWTH_BYTES: u64 = 24 << 20;

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Soak {
    hub: TestHub,
    network: Network,
    /// One on each machine; the last one's servers are idle.
    nodes: Vec<Node>,
    phase: Duration,
    began: Instant,
}

struct Node {
    sshd: RealSshd,
    servers: Vec<ServerId>,
    /// Processes of the log-in while every server of it has one session.
    at_rest: usize,
}

#[tokio::main]
async fn main() {
    let machines: usize = setting("SSH_SOAK_MACHINES", 8).max(3);
    let servers: usize = setting("SSH_SOAK_SERVERS", 4);
    let phase = Duration::from_secs(setting("SSH_SOAK_PHASE", 600));
    let idle = Duration::from_secs(setting("SSH_SOAK_IDLE", 4500));
    let network = Network::with_machines(machines);
    // A cut of ten minutes outlasts the kernel's patience with an orphan; a short one must do so, too.
    network.orphans_repeat(1);
    let mut soak = Soak::start(network, servers, phase, idle).await;
    soak.say("all online; resting").await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    soak.rest().await;
    let files = soak.files();
    let memory = soak.memory();

    soak.packets_are_lost().await;
    soak.lines_are_cut().await;
    soak.machines_are_silent().await;
    soak.idle_sessions_live(idle).await;

    eventually("the hub has no more files open than before", async || {
        (soak.files() <= files).then_some(())
    })
    .await;
    let grown = soak.memory().saturating_sub(memory);
    println!(
        "memory: {} KiB at rest, {} KiB more now; files: {files} and {}",
        memory / 1024,
        grown / 1024,
        soak.files()
    );
    assert!(grown <= GROWTH_BYTES, "the hub has grown by {grown} bytes");
    soak.stop().await;
}

impl Soak {
    async fn start(network: Network, servers: usize, phase: Duration, idle: Duration) -> Self {
        let hub = TestHub::builder()
            .without_local_server()
            .env("GANDER_INTERVAL", &format!("{}s", INTERVAL.as_secs()))
            .start()
            .await;
        let last = network.machines() - 1;
        let mut nodes = Vec::new();
        for machine in 0..network.machines() {
            let (namespace, address) = (network.namespace(machine), network.address(machine));
            let sshd = match machine {
                // Keys are exchanged anew some times while it is idle; its log tells.
                _ if machine == last => {
                    let rekey = format!("RekeyLimit default {}", (idle.as_secs() / 4).clamp(10, 1500));
                    RealSshd::start_in(namespace, &address, &[&rekey, "LogLevel DEBUG1"])
                }
                _ if machine % 3 == 1 => RealSshd::start_dropbear_in(namespace, &address),
                _ => RealSshd::start_in(namespace, &address, &["MaxStartups 10:30:100"]),
            }
            .with_password_user("deploy", "secret");
            let mut ids = Vec::new();
            for number in 0..servers {
                let name = format!("soak-{machine}-{number}");
                let id = hub.api().enrol_node(&sshd.spec(&name, "deploy")).await;
                if machine == last {
                    let hours = serde_json::json!({ "interval_seconds": 6 * 3600 });
                    hub.api().patch(&format!("/api/servers/{id}"), &hours).await;
                }
                ids.push(ServerId(id));
            }
            nodes.push(Node {
                sshd,
                servers: ids,
                at_rest: 0,
            });
        }
        let soak = Self {
            hub,
            network,
            nodes,
            phase,
            began: Instant::now(),
        };
        soak.all_online().await;
        soak
    }

    /// Counts what is there while all is well.
    async fn rest(&mut self) {
        for node in &mut self.nodes {
            let sshd = &node.sshd;
            let servers = node.servers.len();
            // The slow sections come and go; what stays is a multiple of the servers.
            node.at_rest = eventually("one session for each server", async || {
                let counts: Vec<usize> = (0..5).map(|_| sshd.processes_of("deploy").len()).collect();
                let least = counts.into_iter().min().unwrap_or_default();
                (least >= servers && least.is_multiple_of(servers)).then_some(least)
            })
            .await;
        }
    }

    async fn packets_are_lost(&self) {
        self.say(&format!("{LOSS} of 100 packets are lost")).await;
        self.network.lose(LOSS);
        let worst = self.watch(self.phase).await;
        self.network.lose_nothing();
        println!(
            "  at the worst moment {worst} of {} were not online",
            self.servers()
        );
        self.all_well().await;
    }

    async fn lines_are_cut(&self) {
        let cut = self.nodes.len() / 2;
        self.say(&format!("the lines to {cut} machines are cut")).await;
        for machine in 0..cut {
            self.network.cut(machine);
        }
        self.others_stay_online(cut).await;
        for machine in 0..cut {
            self.network.heal(machine);
        }
        self.all_well().await;
    }

    async fn machines_are_silent(&self) {
        let silent = self.nodes.len() / 2;
        self.say(&format!("{silent} machines are silent")).await;
        self.signal(silent, "STOP");
        self.others_stay_online(silent).await;
        self.signal(silent, "CONT");
        self.all_well().await;
    }

    /// Until the idle sessions are old enough; then they must be the ones they were.
    async fn idle_sessions_live(&self, idle: Duration) {
        let node = self.nodes.last().expect("an idle machine");
        self.say("the idle sessions go on").await;
        tokio::time::sleep(idle.saturating_sub(self.began.elapsed())).await;
        for id in &node.servers {
            let before = self.server(*id).await["last_success"].clone();
            self.hub
                .api()
                .post(&format!("/api/servers/{id}/refresh"), &Value::Null)
                .await;
            eventually("a poll over the idle session", async || {
                let server = self.server(*id).await;
                (server["status"] == "online" && server["last_success"] != before).then_some(())
            })
            .await;
        }
        let log = node.sshd.log();
        let (logins, exchanges) = (
            log.matches("Accepted password").count(),
            log.matches("SSH2_MSG_NEWKEYS received").count(),
        );
        println!("  {logins} log-ins, {exchanges} key exchanges on the idle machine");
        assert_eq!(logins, node.servers.len(), "an idle session was lost");
        assert!(
            exchanges >= 2 * node.servers.len(),
            "keys were not exchanged anew: nothing was tried"
        );
    }

    /// Ends the hub; nothing may be left on any machine.
    async fn stop(self) {
        let stopped = self.hub.stop().await;
        assert!(stopped.status.success(), "{}", stopped.log.tail(30));
        for node in &self.nodes {
            eventually("no process is left on a node", async || {
                node.sshd.processes_of("deploy").is_empty().then_some(())
            })
            .await;
        }
        println!("stopped: nothing is left on any machine");
    }

    /// Everything is as it was at rest: all online, one session for each server and no more.
    async fn all_well(&self) {
        let healed = Instant::now();
        self.all_online().await;
        let online = healed.elapsed();
        for node in &self.nodes {
            eventually("the dead sessions on a node have ended", async || {
                let count = node.sshd.processes_of("deploy").len();
                (count == node.at_rest).then_some(())
            })
            .await;
        }
        println!(
            "  all online {:.0} s after, no session too many {:.0} s after",
            online.as_secs_f64(),
            healed.elapsed().as_secs_f64()
        );
    }

    async fn all_online(&self) {
        let all = self.servers();
        eventually("all are online", async || {
            (self.online().await == all).then_some(())
        })
        .await;
    }

    /// For one phase: whoever is not on the first machines stays online throughout; the others do not.
    async fn others_stay_online(&self, machines: usize) {
        let (until, mut were_offline) = (Instant::now() + self.phase, false);
        while Instant::now() < until {
            for (machine, node) in self.nodes.iter().enumerate() {
                for id in &node.servers {
                    let server = self.server(*id).await;
                    if machine >= machines {
                        assert_eq!(server["status"], "online", "its line is well: {server}");
                    } else {
                        were_offline |= server["status"] != "online";
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert!(were_offline, "nobody noticed");
    }

    /// For so long; answers how many were not online at the worst moment.
    async fn watch(&self, time: Duration) -> usize {
        let (until, mut least) = (Instant::now() + time, usize::MAX);
        while Instant::now() < until {
            least = least.min(self.online().await);
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        self.servers().saturating_sub(least)
    }

    /// Stops everything of the first machines' sshds, or lets it go on.
    fn signal(&self, machines: usize, signal: &str) {
        for node in self.nodes.iter().take(machines) {
            let mut pids = gander_e2e::sshd::children_of(node.sshd.process_id());
            pids.push(node.sshd.process_id());
            for pid in pids {
                let _ = Command::new("kill")
                    .args([format!("-{signal}"), pid.to_string()])
                    .status();
            }
        }
    }

    async fn online(&self) -> usize {
        let stats = self.hub.api().get("/api/stats").await;
        usize::try_from(stats["online"].as_u64().unwrap_or_default()).unwrap_or_default()
    }

    async fn server(&self, id: ServerId) -> Value {
        self.hub.api().get(&format!("/api/servers/{id}")).await
    }

    fn servers(&self) -> usize {
        self.nodes.iter().map(|node| node.servers.len()).sum()
    }

    fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.hub.pid())).map_or(0, Iterator::count)
    }

    fn memory(&self) -> u64 {
        memory_of(&self.hub.pid().to_string(), "VmRSS")
    }

    async fn say(&self, what: &str) {
        println!(
            "{:5.0} s  {what}; {} of {} online, {} files, {:.1} MiB",
            self.began.elapsed().as_secs_f64(),
            self.online().await,
            self.servers(),
            self.files(),
            self.memory() as f64 / 1_048_576.0
        );
    }
}

/// Asks until there is an answer, for longer than a test would.
async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
