//! The example of `MonitorService` in Rust reads a real hub. (That in Python: `hub/tests/grpc/python.rs`.)

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use gander_e2e::{
    agent::{TestAgent, hub_for_agents, server_that},
    eventually,
};
use tokio::process::Command;

#[tokio::test]
async fn the_example_in_rust_reads_the_hub() {
    let hub = hub_for_agents("1s").start().await;
    let _agent = TestAgent::enrolled(&hub).await;
    let name = server_that(&hub, "online").await["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("ca.pem");
    let pem = hub.api().get("/api/agents/authority").await;
    std::fs::write(&authority, pem["certificate_pem"].as_str().unwrap()).unwrap();
    // The first look has no CPU use yet.
    eventually("the example tells the server's CPU use", || async {
        let output = Command::new(env!("CARGO_BIN_EXE_watch"))
            .arg(hub.settings().setting("GANDER_GRPC_LISTEN"))
            .arg(&authority)
            .arg("--once")
            .env("TOKEN", hub.api().token().unwrap())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && said.contains("1 servers\n"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let line = said
            .lines()
            .find(|line| line.starts_with(&format!("{name}: status 2, cpu ")))?;
        line.ends_with(" %").then_some(())
    })
    .await;
}
