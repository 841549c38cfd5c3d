//! Enrolment tokens, agents and what machines install, through the page's interface.

use super::*;
use crate::{
    api::install::AgentSettings,
    model::agent::{Admission, Applicant, Machine},
};

fn settings(directory: &std::path::Path) -> ApiSettings {
    ApiSettings {
        agents: AgentSettings {
            authority_sha256: "ab".repeat(32),
            authority: vec![1, 2, 3],
            address: None,
            port: 8001,
            directory: Some(directory.to_owned()),
        },
        ..ApiSettings::default()
    }
}

/// A machine that enrols with a token.
async fn enrol(app: &TestApp, token: &str, number: u8) -> Admission {
    let applicant = Applicant {
        key_hash: [number; 32],
        machine: Machine {
            machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
            hostname: "web".to_owned(),
            ..Machine::default()
        },
        address: "192.0.2.9".to_owned(),
    };
    let now = Timestamp::now();
    app.store
        .enrol(TokenHash::of(token), &applicant, now.plus_millis(1_000_000), now)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_token_comes_with_the_line_to_run_and_is_shown_once() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("gander-agent-riscv64"), "an agent").unwrap();
    let app = TestApp::with(settings(directory.path())).await;
    let admin = app.admin().await.with("host", "hub.example.org:8000");
    let made = admin
        .post(
            "/api/agent-tokens",
            json!({"name": "shop", "uses": 3, "tags": ["web"], "transport": "auto"}),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json();
    let token = made["token"].as_str().unwrap();
    let command = made["command"].as_str().unwrap();
    assert!(
        command.contains("http://hub.example.org:8000/install.sh"),
        "{command}"
    );
    let ca = "ab".repeat(32);
    assert!(
        command.contains(&format!("--hub hub.example.org:8001 --ca {ca} --token {token}")),
        "{command}"
    );
    assert_eq!(made["architectures"], json!(["riscv64"]));
    assert_eq!(made["info"]["uses"], 3);

    // The line checks the very script that the hub serves.
    let script = admin.get("/install.sh").await;
    assert_eq!(script.status, StatusCode::OK);
    let sum = |bytes: &[u8]| {
        use sha2::{Digest as _, Sha256};
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert!(command.contains(&sum(script.text().as_bytes())), "{command}");
    assert!(script.text().contains(&format!("riscv64 {}", sum(b"an agent"))));
    let agent = app.anonymous().get("/agent/riscv64").await;
    assert_eq!(
        (agent.status, agent.text().as_str()),
        (StatusCode::OK, "an agent")
    );

    let listed = admin.get("/api/agent-tokens").await;
    assert!(!listed.text().contains(token), "shown once only");
    assert_eq!(listed.json()[0]["name"], "shop");
    let id = &listed.json()[0]["id"];
    let removed = admin.delete(&format!("/api/agent-tokens/{id}")).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert!(matches!(enrol(&app, token, 1).await, Admission::Refused(_)));
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let app = TestApp::with(settings(directory.path())).await;
    let answer = app.anonymous().get("/agent/pdp11").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::NOT_FOUND, "no_agent")
    );
    for path in ["/agent/..%2f..%2fetc%2fpasswd", "/agent/%00"] {
        assert_eq!(
            app.anonymous().get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_host_that_would_write_into_the_line_is_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await.with("host", "x;reboot");
    let answer = admin.post("/api/agent-tokens", json!({})).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
}

#[tokio::test]
async fn every_wrong_field_of_a_token_is_named() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let answer = admin
        .post(
            "/api/agent-tokens",
            json!({"uses": 0, "expires_at": "2020-01-01T00:00:00Z", "transport": "ssh"}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    for field in ["uses", "expires_at", "transport"] {
        assert!(
            answer.text().contains(&format!("\"{field}\"")),
            "{field}: {}",
            answer.text()
        );
    }
    let answer = admin.post("/api/agent-tokens", json!({"server_id": 4711})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
}

#[tokio::test]
async fn agents_are_listed_waited_for_and_revoked() {
    let app = TestApp::start().await;
    let admin = app.admin().await.with("host", "hub");
    let made = admin.post("/api/agent-tokens", json!({"uses": 2})).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    assert!(matches!(enrol(&app, &token, 1).await, Admission::Enrolled(..)));
    let agents = admin.get("/api/agents").await.json();
    assert_eq!(agents[0]["machine"]["hostname"], "web");
    assert_eq!(agents[0]["stream"], Value::Null);

    assert!(matches!(enrol(&app, &token, 2).await, Admission::Waiting(_)));
    let pending = admin.get("/api/agents/pending").await.json();
    assert_eq!(pending[0]["likeness"], "same_machine");
    assert_eq!(pending[0]["server_id"], agents[0]["server_id"]);
    let path = format!("/api/agents/pending/{}/merge", pending[0]["id"]);
    assert_eq!(admin.post(&path, json!({})).await.status, StatusCode::NO_CONTENT);
    assert!(matches!(enrol(&app, &token, 2).await, Admission::Enrolled(..)));
    assert_eq!(admin.post(&path, json!({})).await.status, StatusCode::NOT_FOUND);

    let now = admin.get("/api/agents").await.json();
    assert_eq!(now.as_array().unwrap().len(), 1, "the old agent is out");
    assert_ne!(now[0]["id"], agents[0]["id"]);
    let path = format!("/api/agents/{}/revoke", now[0]["id"]);
    assert_eq!(admin.post(&path, json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(admin.get("/api/agents").await.json(), json!([]));
    assert_eq!(admin.post(&path, json!({})).await.status, StatusCode::NOT_FOUND);
    let kinds: Vec<String> = admin
        .get("/api/events")
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect();
    for kind in [
        "agent_enrolled",
        "agent_waits",
        "agent_revoked",
        "agent_token_changed",
    ] {
        assert!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
    }
}
