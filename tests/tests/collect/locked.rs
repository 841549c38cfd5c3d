//! The hub's own key, and keys locked to the probe: what they can do, and what they cannot.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use gander_e2e::{
    collecting::{Collecting, target},
    sshd::RealSshd,
};
use gander_hub::{
    collect::{CollectConfig, HubKey, lock, test},
    model::{CollectErrorCode as Code, reading::SshSession},
};
use tempfile::TempDir;

const USER: &str = "deploy";

/// The hub's key, and the same key in a file, as a thief would have it.
struct Key {
    config: CollectConfig,
    public: String,
    directory: TempDir,
}

impl Key {
    fn new() -> Self {
        let (key, text) = HubKey::generate().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, text.expose()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            public: key.info().public_key.clone(),
            config: CollectConfig {
                hub_key: Some(key),
                ..CollectConfig::default()
            },
            directory,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("key")
    }

    /// OpenSSH's own client with this key, against what is running at `sshd`.
    fn client(&self, program: &str, sshd: &RealSshd) -> Command {
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .arg("-i")
            .arg(self.file())
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args(["-o", "LogLevel=INFO", "-o", &format!("Port={}", sshd.port())]);
        command
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The first look at a server, and what its session is made of.
async fn session(key: &Key, sshd: &RealSshd) -> SshSession {
    let targets = vec![target(1, &sshd.spec("web-1", USER))];
    let mut collecting = Collecting::with_config(key.config.clone(), targets);
    let reading = collecting.next().await;
    if let Err(error) = &reading.outcome {
        panic!("{error}\n{}", sshd.log());
    }
    let contact = reading.contact.expect("a new connection");
    // Everything there is comes through: two looks for CPU use, one for the slow sections.
    collecting
        .until("everything", |reading| {
            reading
                .outcome
                .as_ref()
                .is_ok_and(|snapshot| snapshot.cpu.is_some())
        })
        .await;
    collecting.stop().await;
    *contact.session.expect("a session over SSH")
}

#[tokio::test]
async fn the_hubs_own_key_gets_in_where_it_was_let_in() {
    let key = Key::new();
    for sshd in [RealSshd::start(), RealSshd::start_dropbear()] {
        let sshd = sshd.with_user(USER);
        let error = test(&key.config, &sshd.spec("web-1", USER)).await.unwrap_err();
        assert_eq!(error.code, Code::KeyRefused, "{error}");
        assert!(error.message.contains("authorized_keys"), "{error}");

        for _ in 0..2 {
            sshd.run_as(USER, &lock::authorise_command(&key.public));
        }
        assert_eq!(sshd.home_file(USER, ".ssh/authorized_keys").lines().count(), 1);
        let session = session(&key, &sshd).await;
        assert!(!session.locked);
        assert_eq!(session.seen_from.as_deref(), Some("127.0.0.1"));
        assert!(session.software.starts_with("SSH-2.0-"), "{session:?}");
        assert!(session.strict_key_exchange && !session.terrapin, "{session:?}");
        if session.software.contains("OpenSSH") {
            assert_eq!(session.cipher, "aes256-gcm@openssh.com", "{session:?}");
            assert_eq!(session.mac, None, "{session:?}");
        }
    }
}

#[tokio::test]
async fn a_locked_key_reads_values_and_can_do_nothing_else() {
    let key = Key::new();
    for sshd in [RealSshd::start(), RealSshd::start_dropbear()] {
        let sshd = sshd.with_user(USER);
        // Open before, with another key beside it that must stay as it is.
        let others = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada\n";
        let sshd = sshd.with_home_file(USER, ".ssh/authorized_keys", others);
        sshd.run_as(USER, &lock::authorise_command(&key.public));
        let software = session(&key, &sshd).await.software;

        let line = lock::locked_line(&key.public, "127.0.0.1".parse().ok(), &software);
        for _ in 0..2 {
            sshd.run_as(USER, &lock::lock_script(&key.public, &line));
        }
        let written = sshd.home_file(USER, ".ssh/authorized_keys");
        assert_eq!(written, format!("{others}{line}\n"));
        let session = session(&key, &sshd).await;
        assert!(session.locked, "{session:?}");

        let place = format!("{}@127.0.0.1", sshd.login_name(USER));
        // A command: the probe runs instead, and ends with its input.
        let evil = sshd.home_path(USER).join("evil");
        let mut command = key.client("ssh", &sshd);
        let output = command
            .arg(&place)
            .arg(format!("touch {}", evil.display()))
            .output()
            .unwrap();
        assert!(said(&output).contains("@gander hello"), "{}", said(&output));
        // A shell, with a terminal.
        let output = key.client("ssh", &sshd).args(["-tt", &place]).output().unwrap();
        assert!(
            said(&output).contains("PTY allocation request failed"),
            "{}",
            said(&output)
        );
        // Forwarding, both ways.
        let inside = format!("127.0.0.1:{}", sshd.port());
        let output = key
            .client("ssh", &sshd)
            .args(["-W", &inside, &place])
            .output()
            .unwrap();
        assert!(
            !output.status.success() && !said(&output).contains("SSH-2.0"),
            "{}",
            said(&output)
        );
        let mut command = key.client("ssh", &sshd);
        command.args(["-o", "ExitOnForwardFailure=yes", "-N", "-R"]);
        let output = command.args([&format!("0:{inside}"), &place]).output().unwrap();
        assert!(
            said(&output).contains("remote port forwarding failed"),
            "{}",
            said(&output)
        );
        // Files.
        let loot = key.directory.path().join("loot");
        let output = key
            .client("scp", &sshd)
            .arg(format!("{place}:/etc/passwd"))
            .arg(&loot)
            .output()
            .unwrap();
        assert!(!output.status.success() && !loot.exists(), "{}", said(&output));
        let mut command = key.client("scp", &sshd);
        let output = command
            .arg("/etc/passwd")
            .arg(format!("{place}:{}", evil.display()))
            .output()
            .unwrap();
        assert!(!output.status.success(), "{}", said(&output));
        assert!(!Path::exists(&evil), "nothing was written");
        // From elsewhere; dropbear knows no such limit.
        if software.contains("OpenSSH") {
            let output = key
                .client("ssh", &sshd)
                .args(["-b", "127.0.0.2", &place])
                .output()
                .unwrap();
            assert!(said(&output).contains("Permission denied"), "{}", said(&output));
        }
    }
}
