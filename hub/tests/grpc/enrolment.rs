//! Becoming an agent: tokens, guessing, and machines that look like ones that are there.

use gander_hub::model::{
    Origin, Reading, ServerId, Timestamp, Transport,
    agent::{Decision, Likeness},
};
use gander_proto::v1::{self, enroll_response::Outcome, refused};
use rcgen::KeyPair;
use tonic::Code;

use crate::{
    agent::{Agent, Hub, Identity, machine},
    support::{eventually, reading, values},
};

fn code(outcome: &Outcome) -> refused::Code {
    match outcome {
        Outcome::Refused(refused) => refused.code(),
        other => panic!("not refused: {other:?}"),
    }
}

fn enrolled(outcome: Outcome) -> v1::Enrolled {
    match outcome {
        Outcome::Enrolled(enrolled) => enrolled,
        other => panic!("not enrolled: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_makes_a_server_with_what_it_says() {
    let hub = Hub::start().await;
    let token = hub
        .token_as(|spec| {
            spec.group = Some("shop".to_owned());
            spec.transport = Transport::Auto;
        })
        .await;
    let (_, enrolled) = hub.enrol(&token, machine(7)).await;
    let server = hub
        .pipeline
        .store
        .server(ServerId(enrolled.server_id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(server.spec.name, "machine-7");
    assert_eq!(server.spec.ip, "127.0.0.1");
    assert_eq!(server.spec.tags, ["tested"]);
    assert_eq!(server.spec.group.as_deref(), Some("shop"));
    assert_eq!(server.spec.transport, Transport::Auto);
    hub.stop().await;
}

#[tokio::test]
async fn two_machines_of_one_name_are_two_servers() {
    let hub = Hub::start().await;
    let token = hub.token(2).await;
    let same_name = v1::Machine {
        hostname: "machine-1".to_owned(),
        ..machine(2)
    };
    let (_, first) = hub.enrol(&token, machine(1)).await;
    let (_, second) = hub.enrol(&token, same_name).await;
    assert_eq!(
        (first.server_name.as_str(), second.server_name.as_str()),
        ("machine-1", "machine-1-2")
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_token_works_as_often_and_as_long_as_it_says() {
    let hub = Hub::start().await;
    let token = hub.token(1).await;
    let key = KeyPair::generate().unwrap();
    let first = enrolled(hub.ask(&token, &key, machine(1)).await.unwrap());
    // The answer was lost: the same key asks again and is the same agent.
    let again = enrolled(hub.ask(&token, &key, machine(1)).await.unwrap());
    assert_eq!(first.server_id, again.server_id);
    assert_eq!(hub.pipeline.store.servers().await.unwrap().len(), 1);
    assert_eq!(hub.pipeline.store.agents().await.unwrap().len(), 1);
    let identity = Identity::new(&again.certificate_chain_der, key);
    let _ = Agent::start(&hub, &identity).await;

    let other = KeyPair::generate().unwrap();
    let outcome = hub.ask(&token, &other, machine(2)).await.unwrap();
    assert_eq!(code(&outcome), refused::Code::TokenUsedUp);
    let late = hub
        .token_as(|spec| spec.expires_at = Timestamp::now().plus_millis(-1))
        .await;
    let outcome = hub.ask(&late, &other, machine(2)).await.unwrap();
    assert_eq!(code(&outcome), refused::Code::TokenExpired);
    let tokens = hub.pipeline.store.agent_tokens().await.unwrap();
    assert_eq!(tokens.iter().map(|token| token.used).collect::<Vec<_>>(), [0, 1]);
    hub.stop().await;
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down() {
    let hub = Hub::start().await;
    let token = hub.token(1).await;
    let key = KeyPair::generate().unwrap();
    for guess in 0..10 {
        let outcome = hub.ask(&format!("gde_{guess}"), &key, machine(1)).await.unwrap();
        assert_eq!(code(&outcome), refused::Code::TokenUnknown);
    }
    // Now even the right one is not listened to from there.
    let refused = hub.ask(&token, &key, machine(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(hub.pipeline.store.agent_tokens().await.unwrap()[0].used, 0);
    hub.stop().await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused() {
    let hub = Hub::start().await;
    let channel = hub.connect(None).await.unwrap();
    let request = v1::EnrollRequest {
        token: hub.token(1).await,
        csr_der: b"no request".to_vec(),
        machine: None,
    };
    let mut client = v1::agent_service_client::AgentServiceClient::new(channel);
    assert_eq!(
        client.enroll(request).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_reinstalled_machine_waits_for_a_person_and_is_merged() {
    let hub = Hub::start().await;
    let token = hub.token(2).await;
    let (identity, first) = hub.enrol(&token, machine(1)).await;
    let (mut old, _) = Agent::start(&hub, &identity).await;

    let key = KeyPair::generate().unwrap();
    for _ in 0..3 {
        let outcome = hub.ask(&token, &key, machine(1)).await.unwrap();
        assert!(matches!(outcome, Outcome::Waiting(_)), "{outcome:?}");
    }
    let pending = hub.pipeline.store.pending_agents().await.unwrap();
    assert_eq!(pending.len(), 1, "asking again is the same question");
    assert_eq!(pending[0].likeness, Likeness::SameMachine);
    assert_eq!(pending[0].server_id, ServerId(first.server_id));
    assert_eq!(
        hub.pipeline.store.servers().await.unwrap().len(),
        1,
        "nothing is doubled"
    );

    let store = &hub.pipeline.store;
    assert!(
        store
            .decide_pending_agent(pending[0].id, Decision::Merge)
            .await
            .unwrap()
    );
    let merged = enrolled(hub.ask(&token, &key, machine(1)).await.unwrap());
    assert_eq!(merged.server_id, first.server_id);
    assert_eq!(
        old.end().await.code(),
        Code::PermissionDenied,
        "the old agent is out"
    );
    let identity = Identity::new(&merged.certificate_chain_der, key);
    let (_new, welcome) = Agent::start(&hub, &identity).await;
    assert_eq!(welcome.server_id, first.server_id);
    assert!(store.pending_agents().await.unwrap().is_empty());
    hub.stop().await;
}

#[tokio::test]
async fn a_cloned_machine_is_separated_and_an_unwanted_one_rejected() {
    let hub = Hub::start().await;
    let token = hub.token(3).await;
    let (_, first) = hub.enrol(&token, machine(1)).await;
    let store = &hub.pipeline.store;
    let mut answers = Vec::new();
    for decision in [Decision::Separate, Decision::Reject] {
        let key = KeyPair::generate().unwrap();
        hub.ask(&token, &key, machine(1)).await.unwrap();
        let pending = store.pending_agents().await.unwrap();
        assert!(store.decide_pending_agent(pending[0].id, decision).await.unwrap());
        answers.push(hub.ask(&token, &key, machine(1)).await.unwrap());
    }
    assert_eq!(code(&answers.pop().unwrap()), refused::Code::Rejected);
    let second = enrolled(answers.pop().unwrap());
    assert_ne!(second.server_id, first.server_id);
    assert_eq!(store.agents().await.unwrap().len(), 2);
    hub.stop().await;
}

#[tokio::test]
async fn an_agent_on_a_server_read_over_ssh_is_offered_to_be_merged() {
    let hub = Hub::start().await;
    let boot_id = "9d2f6d1e-6d3a-4f0c-9b53-1f6f6f1b2b3c";
    let ssh = hub.pipeline.enrol("over-ssh").await;
    let mut seen = values(100, 500);
    seen.boot_id = Some(boot_id.to_owned());
    let seen: Reading = reading(ssh, Timestamp::now(), seen);
    assert_eq!(seen.origin, Origin::Ssh);
    hub.pipeline.send(seen).await;
    hub.pipeline.committed(1).await;

    let token = hub.token(2).await;
    let key = KeyPair::generate().unwrap();
    let same_boot = v1::Machine {
        boot_id: boot_id.to_owned(),
        ..machine(1)
    };
    let outcome = hub.ask(&token, &key, same_boot.clone()).await.unwrap();
    assert!(matches!(outcome, Outcome::Waiting(_)), "{outcome:?}");
    let store = &hub.pipeline.store;
    let pending = store.pending_agents().await.unwrap();
    assert_eq!(
        (pending[0].server_id, pending[0].likeness),
        (ssh, Likeness::SameBoot)
    );
    assert!(
        store
            .decide_pending_agent(pending[0].id, Decision::Merge)
            .await
            .unwrap()
    );
    let merged = enrolled(hub.ask(&token, &key, same_boot).await.unwrap());
    assert_eq!(merged.server_id, ssh.0);
    let server = store.server(ssh).await.unwrap().unwrap();
    assert_ne!(server.spec.transport, Transport::Ssh, "it has both ways now");
    hub.stop().await;
}

#[tokio::test]
async fn a_token_for_a_server_adds_the_agent_to_it() {
    let hub = Hub::start().await;
    let ssh = hub.pipeline.enrol("over-ssh").await;
    let token = hub.token_as(|spec| spec.server_id = Some(ssh)).await;
    let (identity, enrolled) = hub.enrol(&token, machine(1)).await;
    assert_eq!(
        (enrolled.server_id, enrolled.server_name.as_str()),
        (ssh.0, "over-ssh")
    );
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    agent.send(&[(agent.now_ms(), values(100, 500))], None).await;
    agent.acknowledged().await;
    eventually("the server is online by its agent", async || {
        hub.pipeline.live.server(ssh).unwrap().origin == Some(Origin::Agent)
    })
    .await;
    hub.stop().await;
}
