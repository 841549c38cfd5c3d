//! The real agent and the real hub: enrolling, streaming, dying, coming back, being cut off.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::{collections::BTreeSet, path::Path, time::Instant};

use gander_agent::{
    look::Looker,
    spool::{Limits, Spool},
};
use gander_e2e::{
    TestHub,
    agent::{TestAgent, hub_for_agents, one_line, server_that},
    collecting::{Collecting, target},
    eventually,
    sshd::RealSshd,
};
use gander_probe::Snapshot;
use serde_json::{Value, json};

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

async fn hub(interval: &str) -> TestHub {
    hub_for_agents(interval).start().await
}

/// The one server there is.
async fn server(hub: &TestHub) -> Option<Value> {
    hub.api().get("/api/servers").await.as_array()?.first().cloned()
}

/// When each stored row of the server was taken.
async fn times(hub: &TestHub, id: i64) -> Vec<String> {
    let rows = hub
        .api()
        .get(&format!("/api/metrics?server_id={id}&hours=1&limit=10000"))
        .await;
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row["timestamp"].as_str().unwrap().to_owned())
        .collect()
}

async fn rows_at_least(hub: &TestHub, id: i64, count: usize) -> Vec<String> {
    eventually(&format!("{count} rows"), || async {
        let times = times(hub, id).await;
        (times.len() >= count).then_some(times)
    })
    .await
}

/// The moments of all samples that lie in a spool, read from a copy of it.
fn spooled_times(spool: &Path) -> Vec<i64> {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(spool).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let now = Instant::now();
    let mut spool = Spool::open(copy.path(), Limits::default(), "", now);
    std::iter::from_fn(|| spool.read(1000, now))
        .flat_map(|portion| portion.samples)
        .map(|sample| sample.taken_at_ms)
        .collect()
}

fn in_ms(time: &str) -> i64 {
    gander_hub::model::Timestamp::parse(time).unwrap().as_millis()
}

#[tokio::test]
async fn an_agent_enrols_and_streams_every_section() {
    let hub = hub("1s").await;
    let agent = TestAgent::enrolled(&hub).await;
    agent.says("reporting to").await;
    let server = server_that(&hub, "online").await;
    let id = server["id"].as_i64().unwrap();
    rows_at_least(&hub, id, 4).await;
    let (code, said) = agent.run(&["check"]).await;
    assert_eq!(code, 0, "{said}");
    for what in [
        "enrolled with",
        "proved that it is the hub",
        "takes this agent's certificate",
        "clocks agree",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    let (code, said) = agent.run(&["status"]).await;
    assert_eq!((code, said.contains("reporting to")), (0, true), "{said}");
    // A second enrolment must be wanted.
    let line = one_line(&hub, &json!({})).await;
    let (code, said) = agent.enrol(&line, false).await;
    assert_eq!((code, said.contains("--again")), (1, true), "{said}");
}

#[tokio::test]
async fn nothing_is_lost_when_hub_and_agent_are_killed() {
    let hub = hub("1s").await;
    let mut agent = TestAgent::enrolled(&hub).await;
    let id = server_that(&hub, "online").await["id"].as_i64().unwrap();
    rows_at_least(&hub, id, 3).await;
    let stopped = hub.kill().await;
    let wait_for = |count: u64| {
        let agent = &agent;
        eventually("samples on the agent's disk", move || async move {
            (agent.spooled() >= count).then_some(())
        })
    };
    wait_for(4).await;
    agent.kill().await;
    let before = spooled_times(&agent.state().join("spool"));
    assert!(before.len() >= 4, "{before:?}");
    agent.start();
    let count = before.len() as u64 + 3;
    eventually("more samples on the agent's disk", || async {
        (agent.spooled() >= count).then_some(())
    })
    .await;
    let on_disk = spooled_times(&agent.state().join("spool"));
    assert!(
        on_disk.starts_with(&before),
        "a kill lost samples: {before:?} {on_disk:?}"
    );
    let hub = stopped.start().await;
    eventually("an empty spool", || async {
        (agent.spooled() == 0).then_some(())
    })
    .await;
    let stored: Vec<i64> = times(&hub, id).await.iter().map(|time| in_ms(time)).collect();
    let unique: BTreeSet<i64> = stored.iter().copied().collect();
    assert_eq!(unique.len(), stored.len(), "a sample is stored twice");
    for at in &on_disk {
        assert!(
            unique.contains(at),
            "the sample of {at} is lost, or not at its true time"
        );
    }
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_and_knows_it() {
    let hub = hub("1s").await;
    let agent = TestAgent::enrolled(&hub).await;
    server_that(&hub, "online").await;
    let id = hub.api().get("/api/agents").await[0]["id"].as_i64().unwrap();
    hub.api()
        .post(&format!("/api/agents/{id}/revoke"), &json!({}))
        .await;
    agent.says("Only a new token helps").await;
    let (code, said) = agent.run(&["check"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("BAD") && said.contains("--again"), "{said}");
    // A new token, and all is well: the running agent takes its new identity by itself.
    let line = one_line(&hub, &json!({"server_id": server(&hub).await.unwrap()["id"]})).await;
    let (code, said) = agent.enrol(&line, true).await;
    assert_eq!(code, 0, "{said}");
    eventually("the agent's stream is back", || async {
        let agents = hub.api().get("/api/agents").await;
        let back = agents.as_array()?.iter().any(|agent| !agent["stream"].is_null());
        back.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_watched_server_is_looked_at_every_second() {
    let hub = hub("60s").await;
    let _agent = TestAgent::enrolled(&hub).await;
    let id = server_that(&hub, "online").await["id"].as_i64().unwrap();
    let mut live = hub.live().await;
    live.watch(&[id]).await;
    // At 60 s a look a minute: only at the short step do so many come within the patience of this test
    // and so close to each other.
    let times = rows_at_least(&hub, id, 6).await;
    let close = times
        .windows(2)
        .filter(|pair| in_ms(&pair[1]) - in_ms(&pair[0]) < 5000)
        .count();
    assert!(close >= 3, "{times:?}");
}

#[tokio::test]
async fn another_hub_at_the_same_address_is_not_believed() {
    let hub = hub("1s").await;
    let agent = TestAgent::enrolled(&hub).await;
    server_that(&hub, "online").await;
    let line = one_line(&hub, &json!({})).await;
    let ca = line
        .split_whitespace()
        .skip_while(|word| *word != "--ca")
        .nth(1)
        .unwrap();
    let (code, said) = agent.enrol(&line.replace(ca, &"ab".repeat(32)), true).await;
    assert_eq!(code, 1);
    assert!(said.contains("another authority"), "{said}");
}

/// What does not move between two looks, as text.
fn still(snapshot: &Snapshot) -> String {
    let mut still = snapshot.clone();
    still.uptime_seconds = None;
    still.load = None;
    still.pressure = still.pressure.map(|_| Default::default());
    still.sockets = still.sockets.map(|_| Default::default());
    if let Some(cpu) = &mut still.cpu {
        let cores = cpu.cores_permille.len();
        *cpu = Default::default();
        cpu.cores_permille = vec![0; cores];
    }
    if let Some(memory) = &mut still.memory {
        let total_bytes = memory.total_bytes;
        *memory = Default::default();
        memory.total_bytes = total_bytes;
    }
    if let Some(swap) = &mut still.swap {
        swap.used_bytes = 0;
    }
    if let Some(processes) = &mut still.processes {
        for count in [
            &mut processes.total,
            &mut processes.threads,
            &mut processes.running,
            &mut processes.blocked,
        ] {
            *count = count.map(|_| 0);
        }
    }
    for filesystem in still.filesystems.iter_mut().flatten() {
        (
            filesystem.used_bytes,
            filesystem.available_bytes,
            filesystem.usage_permille,
        ) = (0, 0, 0);
        filesystem.inodes_used = filesystem.inodes_used.map(|_| 0);
    }
    for disk in still.disks.iter_mut().flatten() {
        disk.rates = None;
    }
    for interface in still.interfaces.iter_mut().flatten() {
        interface.rates = None;
    }
    for temperature in still.temperatures.iter_mut().flatten() {
        temperature.millicelsius = 0;
    }
    format!("{still:#?}")
}

#[tokio::test]
async fn agent_and_ssh_tell_the_same() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut collecting = Collecting::from(vec![target(1, &sshd.spec("web-1", "deploy"))]);
    let (mut over_ssh, mut by_agent) = (Snapshot::default(), Snapshot::default());
    let mut looker = Looker::new();
    while over_ssh.cpu.is_none() || by_agent.cpu.is_none() || by_agent.filesystems.is_none() {
        over_ssh.merge(*collecting.success(1).await.outcome.unwrap());
        by_agent.merge(looker.look(SECOND, None, false).await.snapshot);
    }
    collecting.stop().await;
    // Every field that stands still is the same, and every other is there on both sides or on none.
    assert_eq!(still(&by_agent), still(&over_ssh));
    assert_eq!((&by_agent.faults, &over_ssh.faults), (&vec![], &vec![]));
    assert_eq!(by_agent.load.is_some(), over_ssh.load.is_some());
    let near = |a: u64, b: u64, of: u64| assert!(a.abs_diff(b) <= of / 10, "{a} and {b} of {of}");
    let (a, b) = (by_agent.memory.unwrap(), over_ssh.memory.unwrap());
    near(a.used_bytes, b.used_bytes, a.total_bytes);
    near(a.cached_bytes.unwrap(), b.cached_bytes.unwrap(), a.total_bytes);
    near(
        by_agent.uptime_seconds.unwrap(),
        over_ssh.uptime_seconds.unwrap(),
        1200,
    );
    for (a, b) in by_agent
        .filesystems
        .unwrap()
        .iter()
        .zip(&over_ssh.filesystems.unwrap())
    {
        near(a.used_bytes, b.used_bytes, a.total_bytes);
        near(a.available_bytes, b.available_bytes, a.total_bytes);
    }
}
