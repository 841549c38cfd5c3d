//! `make fleet-page`: what the fleet page costs a browser while a thousand servers report.
//!
//! A thousand SSH sessions of this machine (a real probe behind each) are polled by a real hub, and a
//! real Chromium shows the page over the real WebSocket. `tests/browser/fleet-page.mjs` prints what a
//! message of the hub costs the page, in script, style and layout; nothing is asserted about it.
//! `FLEET_SERVERS` (1000) and `FLEET_INTERVAL` (5s) change the load.

#![allow(clippy::expect_used, reason = "a program for the developer's terminal")]

use std::process::ExitCode;

use gander_e2e::{
    fake_ssh::{FakeSsh, Misbehaviour},
    script::run_script,
};

#[tokio::main]
async fn main() -> ExitCode {
    let peer = FakeSsh::start(Misbehaviour::None).await;
    let spec = peer.spec("peer");
    let port = spec.port.to_string().into();
    tokio::task::spawn_blocking(|| run_script("fleet-page.mjs", &[("FLEET_PORT", port)]))
        .await
        .expect("the script runs")
}
