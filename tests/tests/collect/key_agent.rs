//! Logging in with keys of a real `ssh-agent`.

use gander_e2e::{
    ssh_agent::RealAgent,
    sshd::{KeyPair, RealSshd},
};
use gander_hub::{
    collect::{CollectConfig, ConnectSpec, TestReport, agent_keys, parse_private_key, test},
    model::{CollectError, CollectErrorCode as Code, credential::KeySource, server::SshCredential},
};

fn config(agent: &RealAgent) -> CollectConfig {
    CollectConfig {
        agent_socket: Some(agent.socket()),
        ..CollectConfig::default()
    }
}

/// A log-in with a key of the agent: a chosen one, or any.
fn by_agent(sshd: &RealSshd, fingerprint: Option<&str>) -> ConnectSpec {
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential = SshCredential {
        key_source: KeySource::Agent {
            fingerprint: fingerprint.map(str::to_owned),
        },
        ..SshCredential::default()
    };
    spec
}

fn fingerprint(key: &KeyPair) -> String {
    parse_private_key(&key.private, None).unwrap().fingerprint
}

#[track_caller]
fn assert_refused(outcome: Result<TestReport, CollectError>, code: Code, needles: &[&str]) {
    let error = outcome.expect_err("a refusal");
    assert_eq!(error.code, code, "{error}");
    for needle in needles {
        assert!(
            error.message.contains(needle),
            "{needle:?} is not in {:?}",
            error.message
        );
    }
}

#[tokio::test]
async fn the_agent_signs_with_keys_of_every_kind_chosen_or_not() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let (key, other) = (KeyPair::generate(kind), KeyPair::generate("ed25519"));
        let sshd = RealSshd::start().with_key_user("deploy", &key);
        let agent = RealAgent::start();
        agent.add(&other, None);
        agent.add(&key, None);
        let held = agent_keys(&config(&agent)).await.unwrap();
        assert_eq!(held.len(), 2);
        assert!(
            held.iter().any(|held| held.key.public_key == key.public),
            "{held:?}"
        );
        for chosen in [Some(fingerprint(&key)), None] {
            let spec = by_agent(&sshd, chosen.as_deref());
            let outcome = test(&config(&agent), &spec).await;
            outcome.unwrap_or_else(|error| panic!("{kind} {chosen:?}: {error}"));
        }
        // The chosen one alone is shown: the other one failed once, where none was chosen.
        assert_eq!(
            sshd.log().matches("Failed publickey").count(),
            1,
            "{}",
            sshd.log()
        );
    }
}

#[tokio::test]
async fn an_agents_certificate_goes_before_its_keys_and_one_stored_beside_it_serves_too() {
    let authority = KeyPair::generate("ed25519");
    let sshd = RealSshd::start_trusting(&authority).with_user("deploy");
    let login = sshd.login_name("deploy").to_owned();
    for kind in ["ed25519", "rsa"] {
        let key = KeyPair::generate(kind);
        let certificate = key.certify(&authority, &["-n", &login]);
        let agent = RealAgent::start();
        agent.add(&key, Some(&certificate));
        let held = agent_keys(&config(&agent)).await.unwrap();
        assert!(held.len() == 1 && held[0].has_certificate, "{held:?}");
        test(&config(&agent), &by_agent(&sshd, None)).await.unwrap();

        agent.forget();
        agent.add(&key, None);
        assert_refused(
            test(&config(&agent), &by_agent(&sshd, None)).await,
            Code::KeyRefused,
            &[&fingerprint(&key)],
        );
        let mut stored = by_agent(&sshd, Some(&fingerprint(&key)));
        stored.credential.certificate = Some(certificate);
        test(&config(&agent), &stored).await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_cannot_help_is_told_apart_from_a_server_that_refuses() {
    let (key, other) = (KeyPair::generate("ed25519"), KeyPair::generate("ed25519"));
    let sshd = RealSshd::start().with_key_user("deploy", &key);
    let agent = RealAgent::start();
    let wanted = fingerprint(&key);
    let spec = by_agent(&sshd, Some(&wanted));

    let without = test(&CollectConfig::default(), &spec).await;
    assert_refused(without, Code::SshAgent, &["web-1", "ssh.agent_socket"]);
    assert_refused(test(&config(&agent), &spec).await, Code::SshAgent, &["ssh-add"]);
    agent.add(&other, None);
    assert_refused(
        test(&config(&agent), &spec).await,
        Code::SshAgent,
        &[&wanted, &fingerprint(&other), "ssh-add"],
    );
    assert!(
        !sshd.log().contains(sshd.login_name("deploy")),
        "nobody was bothered: {}",
        sshd.log()
    );
    let outcome = test(&config(&agent), &by_agent(&sshd, None)).await;
    assert_refused(
        outcome,
        Code::KeyRefused,
        &[&fingerprint(&other), "authorized_keys"],
    );

    let gone = config(&agent);
    drop(agent);
    let socket = gone.agent_socket.clone().unwrap();
    assert_refused(
        test(&gone, &spec).await,
        Code::SshAgent,
        &[&socket.display().to_string(), "check that it runs"],
    );
}
