//! `make test ONLY=browser`: the dashboard in a real browser, against a real hub and a real sshd.
//!
//! This makes the sshd and its account, and tells `tests/browser/main.mjs` where they are; the
//! script starts the hub and the browser. The exit code is the script's.

use std::process::ExitCode;

use gander_e2e::{script::run_script, sshd::RealSshd};
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
    run_script("main.mjs", &[("GANDER_BROWSER_PEER", peer.to_string().into())])
}
