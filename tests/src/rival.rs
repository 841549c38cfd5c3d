//! The way gander replaces: a program of asyncssh that connects for each poll and runs five commands.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What `bench/rival_asyncssh.py` found.
#[derive(Debug, Clone, Copy)]
pub struct Polls {
    /// Median time of a poll in microseconds.
    pub round_trip_us: f64,
    /// CPU time of the program for one poll in microseconds.
    pub cpu_us: f64,
}

/// Lets it poll an SSH server on loopback so many times, and once before to warm up.
///
/// `scratch` is where its Python is made once.
///
/// # Panics
/// It cannot be installed, or a poll fails.
#[must_use]
pub fn asyncssh(scratch: &Path, port: u16, user: &str, password: &str, polls: usize) -> Polls {
    let output = Command::new(python(scratch))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/bench/rival_asyncssh.py"))
        .args(["127.0.0.1", &port.to_string(), user, password, &polls.to_string()])
        .output()
        .expect("its Python runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("figures in JSON");
    Polls {
        round_trip_us: figures["wall_ms"].as_f64().expect("wall_ms") * 1000.0,
        cpu_us: figures["cpu_us"].as_f64().expect("cpu_us"),
    }
}

/// A Python of our own with asyncssh.
fn python(scratch: &Path) -> PathBuf {
    let venv = scratch.join("rival");
    let python = venv.join("bin/python");
    let is_ready = Command::new(&python)
        .args(["-c", "import asyncssh"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_ready {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "python3 -m venv failed: apt-get install python3-venv"
        );
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "asyncssh==2.24.1"])
            .status();
        assert!(
            installed.is_ok_and(|status| status.success()),
            "asyncssh 2.24.1 could not be installed from PyPI"
        );
    }
    python
}
