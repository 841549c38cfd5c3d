//! What may befall agents and their hub, each with a comparison at the end of what the agent looked at
//! with what the hub holds: nothing lost, nothing twice, no other value. Short in `make test`
//! (`tests/agent_faults.rs`), long in `make soak ONLY=agents`.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    TestHub,
    agent::{TestAgent, hub_for_agents, one_line, server_that, stored},
    dice::Dice,
    eventually,
    line::Line,
    mount::Tmpfs,
};

/// Debian's libfaketime, for programs with threads.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

async fn agent_online(hub: &TestHub) -> (TestAgent, i64) {
    let agent = TestAgent::keeping_a_ledger(hub).await;
    (agent, online(hub).await)
}

async fn online(hub: &TestHub) -> i64 {
    server_that(hub, "online").await["id"].as_i64().expect("an id")
}

/// The hub is killed so many times, at any moment, and comes back. Answers how many looks there were.
pub async fn the_hub_is_killed(times: usize, seed: u64) -> usize {
    let mut dice = Dice::new(seed);
    let mut hub = hub_for_agents("1s").start().await;
    let (agent, id) = agent_online(&hub).await;
    for _ in 0..times {
        // Any instant of a look, its way, its commit and its acknowledgement.
        tokio::time::sleep(Duration::from_millis(dice.below(2_500) as u64)).await;
        let stopped = hub.kill().await;
        tokio::time::sleep(Duration::from_millis(dice.below(1_500) as u64)).await;
        hub = stopped.start().await;
        // Only a hub that has acknowledged something has something to lose.
        if dice.below(2) == 0 {
            agent.is_all_at(&hub, id).await;
        }
    }
    agent.looks_again(1).await;
    agent.is_all_at(&hub, id).await
}

/// The network swallows everything for so many looks, while the connection seems to stand.
pub async fn the_network_is_cut(looks: usize) -> usize {
    let hub = hub_for_agents("1s");
    let far = hub.setting("GANDER_GRPC_LISTEN").parse().expect("an address");
    let line = Line::to(far).await;
    let hub = hub
        .env("GANDER_GRPC_ADDRESS", &line.address().to_string())
        .start()
        .await;
    let (agent, id) = agent_online(&hub).await;
    line.fall_silent();
    agent.looks_again(looks).await;
    let held = stored(&hub, id).await.len();
    assert!(
        held + looks / 2 < agent.looked().len(),
        "{held} are at the hub: the line was not cut"
    );
    line.renew();
    agent.is_all_at(&hub, id).await
}

/// The disk of the agent is full: while the hub is away, at the agent's own start, and until there is
/// room again.
pub async fn the_agents_disk_is_full(looks: usize) -> usize {
    let home = TempDir::with_prefix("gander-full-").expect("a temporary directory");
    let disk = Tmpfs::mount(&home.path().join("disk"), "512k").await;
    let ballast = disk.path().join("ballast");
    let hub = hub_for_agents("1s").start().await;
    let mut agent = TestAgent::new().env("GANDER_LOG", "debug").state_in(disk.path());
    agent.enrol_with(&hub).await;
    fill(&ballast);
    agent.start();
    let id = online(&hub).await;
    let stopped = hub.kill().await;
    agent.says("cannot be written").await;
    agent.looks_again(looks).await;
    let hub = stopped.start().await;
    // From memory, for the disk is as full as before.
    agent.is_all_at(&hub, id).await;
    let stopped = hub.kill().await;
    agent.looks_again(looks).await;
    std::fs::remove_file(&ballast).expect("the ballast is there");
    agent.says("can be written again").await;
    // What is on the disk now survives the agent.
    let on_disk = agent.looked();
    eventually("everything on the agent's disk", || async {
        (agent.spooled() >= looks as u64).then_some(())
    })
    .await;
    let hub = stopped.start().await;
    agent.has_at(&hub, id, &on_disk).await;
    agent.looks_again(1).await;
    agent.is_all_at(&hub, id).await
}

fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file");
    let block = [0_u8; 4096];
    while file.write_all(&block).is_ok() {}
}

/// The clock of the agent's machine is set, forward and back, while the hub listens and while it is away.
pub async fn the_clock_is_set(looks: usize) -> usize {
    assert!(
        Path::new(FAKETIME).exists(),
        "{FAKETIME} is not here: deploy/install-packages.sh test"
    );
    let home = TempDir::with_prefix("gander-clock-").expect("a temporary directory");
    let clock = home.path().join("clock");
    let set = |ahead: i64| std::fs::write(&clock, format!("{ahead:+}\n")).expect("a file");
    set(0);
    let began = now_ms();
    let mut hub = hub_for_agents("1s").start().await;
    let mut agent = TestAgent::new()
        .env("GANDER_LOG", "debug")
        .env("LD_PRELOAD", FAKETIME)
        .env("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("a path"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    agent.enrol_with(&hub).await;
    agent.start();
    let id = online(&hub).await;
    for ahead in [3600, -1800] {
        set(ahead);
        agent.looks_again(looks).await;
        let stopped = hub.kill().await;
        set(0);
        agent.looks_again(looks).await;
        set(ahead * 2);
        agent.looks_again(looks).await;
        hub = stopped.start().await;
        agent.looks_again(looks).await;
    }
    let looked = agent.looked().len();
    let ahead = agent
        .looked()
        .keys()
        .filter(|at| **at > now_ms() + 3_000_000)
        .count();
    assert!(
        ahead >= looks,
        "the agent's clock was not set: libfaketime does nothing"
    );
    // The moments are the true ones, so the agent's own cannot be looked for: their number is.
    let held = eventually("all looks at the hub", || async {
        let stored = stored(&hub, id).await;
        (stored.len() >= looked).then_some(stored)
    })
    .await;
    // A jump is known to two seconds: see the agent's `clock.rs`.
    let wrong: Vec<_> = held
        .keys()
        .filter(|at| **at < began - 3_000 || **at > now_ms() + 3_000)
        .collect();
    assert!(wrong.is_empty(), "not at their true times: {wrong:?}");
    assert!(
        held.len() <= agent.looked().len(),
        "{} looks are {} rows",
        agent.looked().len(),
        held.len()
    );
    held.len()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("a moment")
}

/// Certificates work for `lifetime`: they are renewed while the agent runs, and one that ran out while it
/// did not is said so; enrolled again, the agent delivers what it kept.
pub async fn the_certificate_ends(lifetime: &str, looks: usize) -> usize {
    let hub = hub_for_agents("1s")
        .env("GANDER_AGENT_CERTIFICATES", lifetime)
        .start()
        .await;
    let (mut agent, id) = agent_online(&hub).await;
    let identity =
        |agent: &TestAgent| std::fs::read_to_string(agent.state().join("identity.pem")).expect("an identity");
    let first = identity(&agent);
    eventually("a second certificate", || async {
        (identity(&agent) != first).then_some(())
    })
    .await;
    agent.looks_again(looks).await;
    agent.is_all_at(&hub, id).await;
    agent.kill().await;
    let ends = ends_ms(&identity(&agent));
    eventually("the end of the certificate", || async {
        (now_ms() > ends).then_some(())
    })
    .await;
    agent.start();
    agent.says("certificate ended").await;
    agent.looks_again(looks).await;
    let line = one_line(&hub, &json!({"server_id": id})).await;
    let (code, said) = agent.enrol(&line, true).await;
    assert_eq!(code, 0, "{said}");
    agent.is_all_at(&hub, id).await
}

fn ends_ms(identity: &str) -> i64 {
    let line = identity
        .lines()
        .find_map(|line| line.strip_prefix("not_after_ms = "));
    line.and_then(|text| text.parse().ok()).expect("the end is in it")
}

/// The hub goes back to a backup. What it acknowledged after that is gone with it; all else is there.
pub async fn the_hub_is_restored(looks: usize) -> usize {
    let hub = hub_for_agents("1s").start().await;
    let (agent, id) = agent_online(&hub).await;
    agent.looks_again(looks).await;
    agent.is_all_at(&hub, id).await;
    let backup = hub.settings().directory().join("yesterday.db");
    let backup = backup.to_str().expect("a path");
    let (status, said) = hub.settings().run(&["backup", "--to", backup]).await;
    assert!(status.success(), "{said}");
    let today = now_ms();
    agent.looks_again(looks).await;
    agent.is_all_at(&hub, id).await;
    let stopped = hub.kill().await;
    let gone = now_ms();
    agent.looks_again(looks).await;
    let (status, said) = stopped.settings().run(&["restore", backup]).await;
    assert!(status.success(), "{said}");
    let hub = stopped.start().await;
    agent.says("reporting to").await;
    agent.looks_again(looks).await;
    let looked = agent.looked();
    // A look of the moment of the backup, or of the kill, may be on either side.
    let certain: BTreeMap<_, _> = looked
        .into_iter()
        .filter(|(at, _)| *at < today - 3_000 || *at > gone)
        .collect();
    agent.has_at(&hub, id, &certain).await
}
