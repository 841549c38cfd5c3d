//! Every route lets in whom the table says, and nobody else.

use std::collections::BTreeSet;

use super::*;
use crate::api::{
    openapi, routes,
    table::{Access, Entry},
};

fn entries() -> Vec<Entry> {
    let (_, _, entries) = routes::table().split();
    entries
}

/// A path that matches the pattern and names nothing that is there.
fn concrete(pattern: &str) -> String {
    pattern
        .replace("{id}", "987654")
        .replace("{target}", "pdp11")
        .replace("{*file}", "index.css")
}

async fn call(visitor: &Visitor<'_>, entry: &Entry) -> Answer {
    // An empty object is refused by every route that wants fields, after the guard.
    let content_type = (entry.method != Method::GET).then_some("application/json");
    let path = concrete(&entry.path);
    visitor
        .send(entry.method.clone(), &path, content_type, Body::from("{}"))
        .await
}

#[tokio::test]
async fn the_table_and_the_document_list_the_same_routes() {
    let documented: BTreeSet<(String, String)> = entries()
        .into_iter()
        .filter(|entry| entry.documented)
        .map(|entry| (entry.path, entry.method.to_string()))
        .collect();
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((path.clone(), method.to_uppercase()));
            assert!(
                operation["x-access"].is_string(),
                "{method} {path} does not say who may call it"
            );
        }
    }
    assert_eq!(documented, described);
    assert!(
        documented.len() > 35,
        "the walk below would prove little: {}",
        documented.len()
    );
}

#[tokio::test]
async fn nobody_gets_in_without_logging_in_but_where_it_is_open() {
    let app = TestApp::start().await;
    for entry in entries() {
        let answer = call(&app.anonymous(), &entry).await;
        let is_locked = answer.status == StatusCode::UNAUTHORIZED;
        let expected = entry.access != Access::Open;
        // The log-in itself answers 401 to a wrong password, but an empty one is a wrong request.
        assert_eq!(
            is_locked, expected,
            "{} {}: {}",
            entry.method, entry.path, answer.status
        );
        if is_locked {
            assert_eq!(answer.code(), "login_required", "{} {}", entry.method, entry.path);
        }
    }
}

#[tokio::test]
async fn a_viewer_gets_in_where_only_looking_is_possible() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    for entry in entries() {
        let answer = call(&viewer, &entry).await;
        let refused = answer.status == StatusCode::FORBIDDEN && answer.code() == "admin_required";
        assert_eq!(
            refused,
            entry.access == Access::Admin,
            "{} {}: {}",
            entry.method,
            entry.path,
            answer.text()
        );
        assert_ne!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{} {}",
            entry.method,
            entry.path
        );
    }
}

#[tokio::test]
async fn an_admin_gets_in_everywhere() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for entry in entries() {
        let answer = call(&admin, &entry).await;
        assert_ne!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{} {}",
            entry.method,
            entry.path
        );
        if answer.status == StatusCode::FORBIDDEN {
            // A token has no session to end.
            assert_eq!(
                answer.code(),
                "session_required",
                "{} {}",
                entry.method,
                entry.path
            );
        }
        assert!(
            answer.status != StatusCode::INTERNAL_SERVER_ERROR,
            "{} {}",
            entry.method,
            entry.path
        );
    }
}

#[tokio::test]
async fn only_looking_is_for_viewers() {
    // What changes something is for admins; the exceptions are one's own session and the front door.
    let own = ["/api/logout", "/api/session/password", "/api/login", "/api/setup"];
    for entry in entries() {
        if entry.method != Method::GET && !own.contains(&entry.path.as_str()) {
            assert_eq!(entry.access, Access::Admin, "{} {}", entry.method, entry.path);
        }
    }
}

#[tokio::test]
async fn a_token_that_is_unknown_malformed_or_removed_is_refused() {
    let app = TestApp::start().await;
    for value in ["Bearer gdr_unknown", "Bearer", "Bearer ", "Basic Z2RyOng="] {
        let answer = app
            .anonymous()
            .with("authorization", value)
            .get("/api/stats")
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value}");
    }
    let admin = app.admin().await;
    let made = admin.post("/api/tokens", json!({"name": "grafana"})).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let text = made.json()["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("gdr_") && text.len() >= 36, "{text}");
    let program = app.anonymous().with("authorization", &format!("bearer {text}"));
    assert_eq!(program.get("/api/stats").await.status, StatusCode::OK);
    assert_eq!(program.get("/api/session").await.json()["via"], "token");
    assert!(
        !admin.get("/api/tokens").await.text().contains(&text),
        "shown once only"
    );

    let id = &made.json()["info"]["id"];
    assert_eq!(
        admin.delete(&format!("/api/tokens/{id}")).await.status,
        StatusCode::NO_CONTENT
    );
    let answer = program.get("/api/stats").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::UNAUTHORIZED, "invalid_token")
    );
}
