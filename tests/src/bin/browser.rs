//! `make test ONLY=browser`: the dashboard in a real browser, against a real hub and a real sshd.
//!
//! This makes the sshd and its account, and tells `tests/browser/main.mjs` where they are; the
//! script starts the hub and the browser. The exit code is the script's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program for the developer's terminal"
)]

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use gander_e2e::{hub::hub_program, sshd::RealSshd};
use serde_json::json;

fn main() -> ExitCode {
    let password = "correct horse battery";
    let sshd = RealSshd::start().with_password_user("deploy", password);
    let keys = ["ed25519", "ecdsa", "rsa"].map(|kind| sshd.host_key(kind));
    let fingerprints: serde_json::Map<_, _> = keys
        .into_iter()
        .map(|key| (key.algorithm, key.fingerprint.into()))
        .collect();
    let peer = json!({
        "host": "127.0.0.1",
        "port": sshd.port(),
        "user": sshd.login_name("deploy"),
        "password": password,
        "fingerprints": fingerprints,
        "log": sshd.log_path(),
    });
    let status = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/main.mjs"))
        .env("GANDER_HUB_BIN", hub_program())
        .env("GANDER_BROWSER_PEER", peer.to_string())
        .status()
        .expect("node runs");
    // Returned, not exited with: the account is removed when `sshd` is dropped.
    if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
