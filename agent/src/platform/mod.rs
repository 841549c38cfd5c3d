//! All that differs between systems: how the machine is read, what it says of itself, and what its
//! service manager is told.
//!
//! On Linux it is the probe crate, the same code as the hub's SSH collection and its own machine; on
//! every other system it is sysinfo, as far as that carries. What is known of Linux is in `linux.rs`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
pub mod portable;
pub mod systemd;

#[cfg(target_os = "linux")]
pub use linux::{HeavyPart, Machine, boot_id, machine_id, read_heavy, uptime_ms};
#[cfg(not(target_os = "linux"))]
pub use portable::{HeavyPart, Machine, boot_id, machine_id, read_heavy, uptime_ms};

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// What only Linux has, or only this module may ask.
    const OF_LINUX: [&str; 9] = [
        "target_os",
        "sd_notify",
        "rustix",
        "local::read",
        "std::os::linux",
        "\"/proc",
        "\"/sys",
        "/etc/machine-id",
        "/dev/",
    ];

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// The agent is built for Linux. So that it stays possible to build it for others, what is Linux's is
    /// here, and what is Unix's says so.
    #[test]
    fn no_other_module_knows_on_which_system_it_runs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        sources(&root, &mut found);
        let mut wrong = Vec::new();
        let mut of_linux = 0;
        for path in found {
            let name = path.strip_prefix(&root).unwrap();
            if name.ends_with("tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().take_while(|line| *line != "#[cfg(test)]").collect();
            for (index, line) in lines.iter().enumerate() {
                let line = line.split("//").next().unwrap();
                let linux = OF_LINUX.iter().any(|word| line.contains(word));
                if linux && name.starts_with("platform") {
                    of_linux += 1;
                } else if linux {
                    wrong.push(format!("{}:{}: {line}", name.display(), index + 1));
                }
                let says_so = lines[index.saturating_sub(8)..index]
                    .iter()
                    .any(|line| line.trim() == "#[cfg(unix)]");
                if line.contains("::unix::") && !says_so {
                    wrong.push(format!("{}:{}: without cfg(unix)", name.display(), index + 1));
                }
            }
        }
        assert!(of_linux > 5, "the rule checks nothing");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
