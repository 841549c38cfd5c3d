//! Throwaway accounts: made and removed one at a time over all tests.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    process::Command,
};

use super::{missing, processes::field};

pub(super) fn require_root() {
    let root = fs::read_to_string("/proc/self/status").is_ok_and(|status| field(&status, "Uid:") == Some(0));
    assert!(
        root,
        "these tests make throwaway accounts for a real sshd: run them as root"
    );
}

pub(super) fn set_password(login: &str, password: &str) {
    // Few rounds: the hash guards a user of a few seconds.
    let input = tempfile::tempfile().unwrap();
    (&input)
        .write_all(format!("{login}:{password}\n").as_bytes())
        .unwrap();
    (&input).seek(SeekFrom::Start(0)).unwrap();
    accounts(
        Command::new("chpasswd")
            .args(["-c", "SHA256", "-s", "1000"])
            .stdin(input),
    );
}

/// Runs a program that changes `/etc/passwd`: one at a time over all tests.
pub(super) fn accounts(command: &mut Command) {
    let outcome = locked(command);
    assert!(
        outcome.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&outcome.stderr)
    );
}

pub(super) fn locked(command: &mut Command) -> std::process::Output {
    let lock = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open("/run/gander-e2e-accounts.lock")
        .unwrap();
    lock.lock().unwrap();
    command
        .output()
        .unwrap_or_else(|error| missing(&format!("{command:?}"), "passwd", &error))
}
