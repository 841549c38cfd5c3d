//! A real `ssh-agent`, ended when the value is dropped.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{eventually::PATIENCE, sshd::KeyPair};

/// A running agent.
pub struct RealAgent {
    dir: TempDir,
    process: Child,
}

impl RealAgent {
    /// An agent that holds nothing yet.
    ///
    /// # Panics
    /// `ssh-agent` is not installed.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let process = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(dir.path().join("socket"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent cannot be run: apt-get install openssh-client");
        let agent = Self { dir, process };
        let started = Instant::now();
        while UnixStream::connect(agent.socket()).is_err() {
            assert!(started.elapsed() < PATIENCE, "waited in vain for the ssh-agent");
            std::thread::sleep(Duration::from_millis(10));
        }
        agent
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Adds a key, and a certificate of it.
    pub fn add(&self, key: &KeyPair, certificate: Option<&str>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = key.write_into(dir.path());
        if let Some(certificate) = certificate {
            fs::write(dir.path().join("private-cert.pub"), certificate).unwrap();
        }
        self.ssh_add(&file);
    }

    /// Forgets every key.
    pub fn forget(&self) {
        self.ssh_add(Path::new("-D"));
    }

    fn ssh_add(&self, argument: &Path) {
        let outcome = Command::new("ssh-add")
            .arg("-q")
            .arg(argument)
            .env("SSH_AUTH_SOCK", self.socket())
            .stdin(Stdio::null())
            .output()
            .expect("ssh-add cannot be run: apt-get install openssh-client");
        assert!(
            outcome.status.success(),
            "ssh-add: {}",
            String::from_utf8_lossy(&outcome.stderr)
        );
    }
}

impl Drop for RealAgent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
