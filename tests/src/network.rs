//! Machines on a network of our own: namespaces on a bridge, whose links can be cut and lose packets.
//!
//! The program itself must have been started in a namespace of its own (`unshare --net`): its end of the
//! bridge is the hub's side. Nothing here touches the machine's own network. Needs root, iproute2, iptables.

use std::{fs, process::Command};

/// Namespaces `gander-PID-N`, each a machine at 10.77.0.(11 + N). They go when dropped.
pub struct Network {
    names: Vec<String>,
}

impl Network {
    /// Makes so many machines.
    ///
    /// # Panics
    /// The program is in the namespace of the machine, or a command fails.
    #[must_use]
    pub fn with_machines(count: usize) -> Self {
        let ours = fs::read_link("/proc/self/ns/net").expect("a network namespace");
        let theirs = fs::read_link("/proc/1/ns/net").ok();
        assert!(
            theirs.as_ref() != Some(&ours),
            "this changes the network: start it in a namespace of its own (unshare --net PROGRAM)"
        );
        let network = Self {
            names: (0..count)
                .map(|number| format!("gander-{}-{number}", std::process::id()))
                .collect(),
        };
        run("ip link set lo up");
        run("ip link add br0 type bridge");
        run("ip addr add 10.77.0.1/24 dev br0");
        run("ip link set br0 up");
        for (number, name) in network.names.iter().enumerate() {
            run(&format!("ip netns add {name}"));
            run(&format!("ip -n {name} link set lo up"));
            run(&format!(
                "ip link add v{number} type veth peer name eth0 netns {name}"
            ));
            run(&format!("ip link set v{number} master br0 up"));
            run(&format!(
                "ip -n {name} addr add {}/24 dev eth0",
                network.address(number)
            ));
            run(&format!("ip -n {name} link set eth0 up"));
        }
        network
    }

    /// How many there are.
    #[must_use]
    pub fn machines(&self) -> usize {
        self.names.len()
    }

    /// The name of a machine's namespace.
    #[must_use]
    pub fn namespace(&self, machine: usize) -> &str {
        &self.names[machine]
    }

    /// The address of a machine.
    #[must_use]
    pub fn address(&self, machine: usize) -> String {
        format!("10.77.0.{}", 11 + machine)
    }

    /// The machine vanishes: packets are swallowed, nobody is told.
    pub fn cut(&self, machine: usize) {
        run(&format!("ip link set v{machine} down"));
    }

    /// It is back.
    pub fn heal(&self, machine: usize) {
        run(&format!("ip link set v{machine} up"));
    }

    /// So many of a hundred packets that come to the hub, from whomever, are lost.
    pub fn lose(&self, percent: u32) {
        self.lose_nothing();
        if percent > 0 {
            run(&format!(
                "iptables -A INPUT -i br0 -m statistic --mode random --probability {} -j DROP",
                f64::from(percent) / 100.0
            ));
        }
    }

    /// None is lost any more.
    pub fn lose_nothing(&self) {
        run("iptables -F INPUT");
    }

    /// How often the kernel on the hub's side repeats itself for a socket that nobody holds any more.
    ///
    /// # Panics
    /// There is no such setting.
    pub fn orphans_repeat(&self, times: u32) {
        fs::write("/proc/sys/net/ipv4/tcp_orphan_retries", times.to_string()).expect("tcp_orphan_retries");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn run(line: &str) {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program)
        .args(words)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program} cannot be run ({error}): apt-get install iproute2 iptables")
        });
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
