//! A collector over time: servers come, change and go; links break and return.

use std::collections::HashSet;

use gander_e2e::{
    collecting::{Collecting, target},
    eventually,
    fake_ssh::{FakeSsh, Misbehaviour},
    sshd::RealSshd,
};
use gander_hub::model::{CollectErrorCode as Code, Origin, Reading, Secret, ServerId, Transport};

fn connections(sshd: &RealSshd) -> usize {
    sshd.log().matches("Accepted password").count()
}

#[tokio::test]
async fn one_connection_serves_all_polls_and_leaves_nothing_behind() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut collecting = Collecting::from(vec![target(1, &sshd.spec("web-1", "deploy"))]);
    let first = collecting.success(1).await;
    assert_eq!(
        first.contact.unwrap().host_key.map(|(key, _)| key),
        Some(sshd.host_key("ed25519"))
    );
    assert_eq!(first.origin, Origin::Ssh);
    for _ in 0..5 {
        assert!(
            collecting.success(1).await.contact.is_none(),
            "only the first reading of a connection has a contact"
        );
    }
    assert_eq!(connections(&sshd), 1, "{}", sshd.log());
    assert!(!sshd.processes_of("deploy").is_empty(), "the probe runs");
    collecting.stop().await;
    eventually("no process of the user is left", async || {
        sshd.processes_of("deploy").is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_node_is_not_written_to() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let before = sshd.files_of("deploy");
    let mut collecting = Collecting::from(vec![target(1, &sshd.spec("web-1", "deploy"))]);
    collecting.success(1).await;
    collecting.success(1).await;
    collecting.stop().await;
    assert_eq!(sshd.files_of("deploy"), before);
}

#[tokio::test]
async fn an_sshd_that_comes_back_is_collected_again() {
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut collecting = Collecting::from(vec![target(1, &sshd.spec("web-1", "deploy"))]);
    collecting.success(1).await;
    sshd.stop();
    let down = collecting.failure(1, Code::ConnectionRefused).await;
    assert!(down.outcome.unwrap_err().message.contains("nothing listens"));
    sshd.start_again();
    assert!(
        collecting.success(1).await.contact.is_some(),
        "over a new connection"
    );
    collecting.stop().await;
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_within_the_same_poll() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut slow = target(1, &sshd.spec("web-1", "deploy"));
    slow.server.spec.interval_seconds = Some(3600);
    let mut collecting = Collecting::from(vec![slow]);
    collecting.success(1).await;
    // The second look of a connection, so that the rest is ours alone.
    collecting.success(1).await;
    sshd.end_sessions();
    eventually("the sessions are gone", async || {
        sshd.processes_of("deploy").is_empty().then_some(())
    })
    .await;
    collecting.refresh(1).await;
    let reading = collecting.next().await;
    assert!(reading.outcome.is_ok(), "{:?}", reading.outcome);
    assert!(reading.contact.is_some());
    collecting.stop().await;
}

#[tokio::test]
async fn targets_come_change_pause_and_go_while_others_stay_connected() {
    let sshd = RealSshd::start()
        .with_password_user("deploy", "secret")
        .with_password_user("other", "secret");
    let one = target(1, &sshd.spec("one", "deploy"));
    let mut collecting = Collecting::from(vec![one.clone()]);
    collecting.success(1).await;

    let mut two = target(2, &sshd.spec("two", "other"));
    collecting.set_targets(vec![one.clone(), two.clone()]);
    collecting.success(2).await;

    two.credential.password = Some(Secret::new("wrong".into()));
    collecting.set_targets(vec![one.clone(), two.clone()]);
    collecting.failure(2, Code::PasswordRefused).await;
    // Corrected: tried at once, although a refused password is otherwise left alone for a minute.
    two.credential.password = Some(Secret::new("secret".into()));
    collecting.set_targets(vec![one.clone(), two.clone()]);
    collecting.success(2).await;

    two.server.spec.enabled = false;
    collecting.set_targets(vec![one.clone(), two]);
    eventually("a paused server's session ends", async || {
        sshd.processes_of("other").is_empty().then_some(())
    })
    .await;
    collecting.set_targets(vec![one.clone()]);

    collecting.drain();
    let reading = collecting.success(1).await;
    assert!(
        reading.contact.is_none(),
        "server 1 kept its connection all the while"
    );
    collecting.set_targets(Vec::new());
    eventually("a removed server's session ends", async || {
        sshd.processes_of("deploy").is_empty().then_some(())
    })
    .await;
    collecting.stop().await;
}

#[tokio::test]
async fn pinning_the_key_a_connection_proved_does_not_break_it() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut server = target(1, &sshd.spec("web-1", "deploy"));
    let mut collecting = Collecting::from(vec![server.clone()]);
    let contact = collecting.success(1).await.contact.unwrap();
    server.server.host_key = contact.host_key.map(|(key, _)| key);
    server.server.has_password = true;
    collecting.set_targets(vec![server.clone()]);
    for _ in 0..3 {
        assert!(collecting.success(1).await.contact.is_none());
    }
    // Another key is pinned: that is a different matter.
    server.server.host_key = Some(sshd.host_key("rsa"));
    collecting.set_targets(vec![server]);
    let again = collecting
        .until("a new connection", |reading| reading.contact.is_some())
        .await;
    assert_eq!(
        again.contact.unwrap().host_key.map(|(key, _)| key),
        Some(sshd.host_key("rsa"))
    );
    collecting.stop().await;
}

#[tokio::test]
async fn after_a_first_contact_that_was_refused_nobody_else_gets_the_password() {
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut server = target(1, &sshd.spec("web-1", "deploy"));
    server.credential.password = Some(Secret::new("wrong".into()));
    let mut collecting = Collecting::from(vec![server.clone()]);
    let refused = collecting.failure(1, Code::PasswordRefused).await;
    assert_eq!(refused.contact, None, "no key is pinned by a log-in that failed");
    let first_key = sshd.host_key("ed25519");
    sshd.change_host_key();

    // The person corrects the password; what answers is not what answered before.
    server.credential.password = Some(Secret::new("secret".into()));
    collecting.set_targets(vec![server.clone()]);
    let error = collecting
        .failure(1, Code::HostKeyChanged)
        .await
        .outcome
        .unwrap_err();
    assert!(error.message.contains("no credential was sent"), "{error}");
    assert_eq!(error.params["expected_fingerprint"], first_key.fingerprint);
    assert_eq!(connections(&sshd), 0, "{}", sshd.log());

    // Accepted by a person, it is pinned and logged in to.
    server.server.host_key = Some(sshd.host_key("ed25519"));
    collecting.set_targets(vec![server]);
    collecting.success(1).await;
    collecting.stop().await;
}

#[tokio::test]
async fn a_changed_host_key_is_reported_and_accepted_by_pinning_the_new_one() {
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut server = target(1, &sshd.spec("web-1", "deploy"));
    server.server.host_key = Some(sshd.host_key("ed25519"));
    let mut collecting = Collecting::from(vec![server.clone()]);
    collecting.success(1).await;
    sshd.change_host_key();
    let changed = collecting
        .failure(1, Code::HostKeyChanged)
        .await
        .outcome
        .unwrap_err();
    let offered = sshd.host_key("ed25519");
    assert_eq!(changed.params["fingerprint"], offered.fingerprint);
    assert_eq!(changed.params["public_key"], offered.public_key);
    server.server.host_key = Some(offered);
    collecting.set_targets(vec![server]);
    collecting.success(1).await;
    collecting.stop().await;
}

#[tokio::test]
async fn a_refused_credential_is_reported_each_interval_but_shown_only_once() {
    let fake = FakeSsh::start(Misbehaviour::RefusesEverything).await;
    let mut collecting = Collecting::from(vec![target(1, &fake.spec("web-1"))]);
    for _ in 0..5 {
        collecting.failure(1, Code::PasswordRefused).await;
    }
    assert_eq!((fake.connections(), fake.credentials_seen()), (1, 1));
    // A person asks: tried at once.
    collecting.refresh(1).await;
    eventually("a second try", async || {
        (fake.credentials_seen() == 2).then_some(())
    })
    .await;
    // The server lets us in now, but nobody knows before the next try.
    fake.become_like(Misbehaviour::None);
    collecting.drain();
    collecting.failure(1, Code::PasswordRefused).await;
    assert_eq!(fake.connections(), 2);
    collecting.refresh(1).await;
    collecting.success(1).await;
    collecting.stop().await;
}

#[tokio::test]
async fn a_watched_server_goes_to_steps_of_a_second_and_back() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut server = target(1, &sshd.spec("web-1", "deploy"));
    server.server.spec.interval_seconds = Some(3600);
    let mut collecting = Collecting::from(vec![server]);
    collecting.success(1).await;
    collecting.success(1).await;
    collecting.watch(&[1]);
    let mut moments = vec![collecting.success(1).await.taken_at.as_millis()];
    for _ in 0..4 {
        moments.push(collecting.success(1).await.taken_at.as_millis());
    }
    // Four steps of a second, whatever the machine's mood: nothing near the hour of the interval.
    let steps = moments.windows(2).all(|pair| pair[1] > pair[0]);
    assert!(steps, "{moments:?}");
    collecting
        .until("the top processes, while somebody looks", |reading| {
            let top = reading
                .outcome
                .as_ref()
                .ok()
                .and_then(|seen| seen.top_processes.as_ref());
            top.is_some_and(|list| list.iter().any(|process| process.memory_bytes > 0))
        })
        .await;
    collecting.watch(&[]);
    collecting.refresh(1).await;
    collecting.success(1).await;
    let more = tokio::time::timeout(std::time::Duration::from_secs(3), collecting.success(1)).await;
    assert!(more.is_err(), "nobody watches: the next look is due in an hour");
    collecting.stop().await;
}

#[tokio::test]
async fn ssh_stands_in_for_an_agent_that_is_silent_and_for_no_other() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let mut server = target(1, &sshd.spec("web-1", "deploy"));
    server.server.spec.transport = Transport::Auto;
    server.server.spec.interval_seconds = Some(6);
    let mut collecting = Collecting::from(vec![server]);
    assert_eq!(
        collecting.success(1).await.origin,
        Origin::Ssh,
        "no agent was ever heard"
    );
    assert!(!sshd.processes_of("deploy").is_empty());

    // A batch of an agent is committed: SSH lets go for as long as more come.
    let stream = collecting.agents.stream(ServerId(1));
    let streaming = tokio::spawn(async move {
        loop {
            stream.heard();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    });
    eventually("the connection is closed", async || {
        sshd.processes_of("deploy").is_empty().then_some(())
    })
    .await;
    collecting.drain();
    let before = connections(&sshd);
    collecting.refresh(1).await;
    let more = tokio::time::timeout(std::time::Duration::from_secs(3), collecting.next()).await;
    assert!(more.is_err(), "its agent reads it: {more:?}");
    assert_eq!(connections(&sshd), before);

    // The stream breaks: a connection of its own, whose first look has no rates to tell.
    streaming.abort();
    let first = collecting.success(1).await;
    assert!(first.contact.is_some());
    assert!(
        first.outcome.unwrap().cpu.is_none(),
        "what the agent told of that time is not told again"
    );
    assert!(collecting.success(1).await.outcome.unwrap().cpu.is_some());
    collecting.stop().await;
}

#[tokio::test]
async fn a_server_of_an_agent_alone_is_listened_for_and_its_silence_told() {
    let mut server = target(1, &FakeSsh::start(Misbehaviour::None).await.spec("web-1"));
    server.server.spec.transport = Transport::Agent;
    let mut collecting = Collecting::from(vec![server]);
    let stream = collecting.agents.stream(ServerId(1));
    stream.heard();
    let silent = collecting.failure(1, Code::AgentSilent).await;
    assert_eq!(silent.origin, Origin::Agent);
    let error = silent.outcome.unwrap_err();
    assert!(
        error.message.contains("web-1: its agent has sent nothing for "),
        "{error}"
    );
    collecting.failure(1, Code::AgentSilent).await;
    collecting.stop().await;
}

#[tokio::test]
async fn dead_servers_cost_the_others_nothing() {
    let sshd = RealSshd::start().with_password_user("deploy", "secret");
    let silent = FakeSsh::start(Misbehaviour::SilentInKeyExchange).await;
    let mut targets: Vec<_> = (100..250)
        .map(|id| target(id, &silent.spec(&format!("dead-{id}"))))
        .collect();
    targets.extend((1..=5).map(|id| target(id, &sshd.spec(&format!("web-{id}"), "deploy"))));
    let config = gander_hub::collect::CollectConfig {
        // As if the dead had addresses of their own: none is held back by the limit of one address.
        max_handshakes_per_address: 1000,
        // Fewer than the dead.
        max_handshakes: 64,
        ..gander_hub::collect::CollectConfig::default()
    };
    let mut collecting = Collecting::with_config(config, targets);
    let alive = |reading: &Reading| reading.server_id.0 <= 5;
    let mut seen = HashSet::new();
    while seen.len() < 5 {
        let reading = collecting.until("a living server", alive).await;
        assert!(reading.outcome.is_ok(), "{:?}", reading.outcome);
        seen.insert(reading.server_id);
    }
    // By now all dead ones wait for an answer; the living go on at their pace.
    for id in 1..=5 {
        for _ in 0..3 {
            collecting.success(id).await;
        }
    }
    collecting.stop().await;
}

#[tokio::test]
async fn servers_behind_a_jump_host_are_collected_and_a_circle_is_explained() {
    let bastion = RealSshd::start().with_password_user("jump", "hop");
    let inner = RealSshd::start().with_password_user("deploy", "secret");
    let jump = target(1, &bastion.spec("bastion", "jump"));
    let mut behind = target(2, &inner.spec("db-1", "deploy"));
    behind.server.spec.jump_server_id = Some(ServerId(1));
    let mut collecting = Collecting::from(vec![jump.clone(), behind.clone()]);
    let reading = collecting.success(2).await;
    assert_eq!(
        reading.contact.unwrap().host_key.map(|(key, _)| key),
        Some(inner.host_key("ed25519"))
    );

    let mut round = jump;
    round.server.spec.jump_server_id = Some(ServerId(2));
    collecting.set_targets(vec![round, behind]);
    let circle = collecting.failure(2, Code::JumpHost).await.outcome.unwrap_err();
    assert!(circle.message.contains("db-1 → bastion → db-1"), "{circle}");
    collecting.stop().await;
    eventually("nothing is left on the jump host", async || {
        bastion.processes_of("jump").is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_taking_readings_is_an_error_of_the_collector() {
    let collecting = Collecting::from(Vec::new());
    assert!(collecting.run_without_reader().await.is_err());
}

#[tokio::test]
async fn the_hubs_own_machine_is_read_in_process() {
    let fake = FakeSsh::start(Misbehaviour::None).await;
    let mut local = target(1, &fake.spec("hub"));
    local.server.spec.transport = Transport::Local;
    let mut collecting = Collecting::from(vec![local]);
    let first = collecting.success(1).await;
    assert_eq!(first.origin, Origin::Local);
    assert_eq!(first.contact.unwrap().host_key, None);
    let second = collecting
        .until("CPU use", |reading| {
            reading
                .outcome
                .as_ref()
                .is_ok_and(|snapshot| snapshot.cpu.is_some())
        })
        .await;
    assert!(second.outcome.unwrap().memory.is_some());
    assert!(
        first.outcome.unwrap().root_filesystem().is_some(),
        "the first reading has everything"
    );
    assert_eq!(fake.connections(), 0);
    collecting.stop().await;
}
