//! `make screenshots`: docs/screenshots/*.png from a real hub, real sshds and a real browser.
//!
//! The servers are real SSH servers in network and host-name namespaces of their own, so each has
//! an address, a name and traffic that are its own; everything else of them is this machine. All of
//! it lives in one more network namespace: nothing outside is touched, and nothing of it is shown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for the developer's terminal"
)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, ExitCode, Stdio},
};

use gander_e2e::{hub::hub_program, script::run_script, sshd::RealSshd};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";
/// Set for the second start, inside the namespaces.
const INSIDE: &str = "GANDER_SCREENSHOTS_INSIDE";

/// Name, group and tags of each server; its address is 10.20.0.11 and on.
const FLEET: &[(&str, &str, &[&str])] = &[
    ("web-1", "Frankfurt", &["web", "production"]),
    ("web-2", "Frankfurt", &["web", "production"]),
    ("db-1", "Frankfurt", &["database", "production"]),
    ("cache-1", "Frankfurt", &["cache", "production"]),
    ("build-1", "Shanghai", &["ci"]),
    ("staging-1", "Shanghai", &["web", "staging"]),
    ("backup-1", "Shanghai", &["storage"]),
    // Not enrolled: the form's picture asks for its key.
    ("web-3", "Frankfurt", &["web"]),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, name, address] = arguments.as_slice()
        && mode == "server"
    {
        serve(name, address);
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(INSIDE).is_none() {
        let program = std::env::current_exe().expect("a path to this program");
        let status = Command::new("unshare")
            .args(["--net", "--uts"])
            .arg(program)
            .env("GANDER_HUB_BIN", hub_program())
            .env(INSIDE, "1")
            .status()
            .expect("unshare(1) runs");
        return if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }

    run("hostname monitor");
    run("ip link set lo up");
    run("ip link add br0 type bridge");
    run("ip addr add 10.20.0.1/24 dev br0");
    run("ip link set br0 up");
    let servers: Vec<Server> = FLEET
        .iter()
        .enumerate()
        .map(|(index, (name, group, tags))| Server::start(index, name, group, tags))
        .collect();
    let fleet: Vec<&Value> = servers.iter().map(|server| &server.about).collect();
    run_script(
        "screenshots.mjs",
        &[(
            "GANDER_BROWSER_FLEET",
            serde_json::to_string(&fleet).unwrap().into(),
        )],
    )
}

fn run(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{line}: {status:?}"
    );
}

/// The part of a server's own process: an sshd at `address`, until standard input ends.
fn serve(name: &str, address: &str) {
    let mut told = std::io::stdin().lines();
    println!("inside");
    told.next();
    run(&format!("hostname {name}"));
    run("ip link set lo up");
    run(&format!("ip addr add {address}/24 dev eth0"));
    run("ip link set eth0 up");
    let sshd = RealSshd::start_with(&[&format!("ListenAddress {address}:22")])
        .with_password_user("deploy", PASSWORD);
    println!("{}", sshd.login_name("deploy"));
    while told.next().is_some() {}
}

/// A server in namespaces of its own. Dropping it ends it.
struct Server {
    about: Value,
    process: Child,
}

impl Server {
    fn start(index: usize, name: &str, group: &str, tags: &[&str]) -> Self {
        let address = format!("10.20.0.{}", 11 + index);
        let mut process = Command::new("unshare")
            .args(["--net", "--uts"])
            .arg(std::env::current_exe().expect("a path to this program"))
            .args(["server", name, &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) runs");
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || said.next().expect("the server's process runs").unwrap();
        next();
        // unshare(1) became the server's process: its id names the namespace.
        run(&format!(
            "ip link add v{index} type veth peer name eth0 netns {}",
            process.id()
        ));
        run(&format!("ip link set v{index} master br0 up"));
        writeln!(process.stdin.as_ref().unwrap()).unwrap();
        let user = next();
        Self {
            about: json!({
                "name": name, "group": group, "tags": tags,
                "ip": address, "user": user, "password": PASSWORD,
            }),
            process,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
