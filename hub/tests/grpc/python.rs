//! The example in Python reads a real hub, with Debian's grpcio.

use std::process::Command;

use gander_hub::model::{Role, Timestamp};

use super::monitor::token;
use crate::{
    agent::Hub,
    support::{reading, values},
};

/// Debian's own, which has Debian's grpcio.
const PYTHON: &str = "/usr/bin/python3";

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_python_reads_the_hub() {
    let hub = Hub::start().await;
    let server = hub.pipeline.enrol("one").await;
    hub.pipeline
        .send(reading(server, Timestamp::now(), values(420, 970)))
        .await;
    hub.pipeline.committed(1).await;
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, hub.authority_pem()).unwrap();
    let token = token(&hub, Role::Viewer).await;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/watch.py");
    let address = hub.address.to_string();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(PYTHON)
            .arg(example)
            .args(["--once", "--hub", &address, "--ca"])
            .arg(&ca)
            .env("TOKEN", token)
            .output()
    });
    let output = output.await.unwrap().expect(PYTHON);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 servers\n"), "{said}");
    assert!(said.contains("one: status 2, cpu 42.0 %\n"), "{said}");
    assert!(said.contains("alert: one: / is 97.0"), "{said}");
    hub.stop().await;
}
