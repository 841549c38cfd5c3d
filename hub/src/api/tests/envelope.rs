//! Everything that goes wrong comes in the one envelope, with the headers that belong there.

use super::*;

#[tokio::test]
async fn broken_json_is_located() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let body = Body::from("{\n  \"name\": \"web-1\",\n  \"ip\": ");
    let answer = admin
        .send(Method::POST, "/api/servers", Some("application/json"), body)
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::BAD_REQUEST, "invalid_json")
    );
    assert_eq!(answer.json()["error"]["details"], json!({"line": 3, "column": 8}));
    for text in ["", "[]", "\"text\"", "nul", "\u{0}"] {
        let answer = admin
            .send(
                Method::POST,
                "/api/servers",
                Some("application/json"),
                Body::from(text),
            )
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::BAD_REQUEST, "invalid_json"),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn another_content_type_is_refused_by_name() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for sent in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonp"),
    ] {
        let answer = admin
            .send(Method::POST, "/api/servers", sent, Body::from("{}"))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
        );
        assert!(answer.text().contains(sent.unwrap_or("there is none")));
    }
    let answer = admin
        .send(
            Method::POST,
            "/api/servers",
            Some("application/json; charset=utf-8"),
            Body::from("{}"),
        )
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_body_may_only_be_so_large() {
    let app = TestApp::start().await;
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(2 * 1024 * 1024));
    let answer = app
        .admin()
        .await
        .send(
            Method::POST,
            "/api/servers",
            Some("application/json"),
            Body::from(large),
        )
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
    );
    let long = json!({"username": "x".repeat(500_000), "password": "y"});
    let answer = app.anonymous().post("/api/login", long).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        answer.body.len() < 1000,
        "what was sent is not sent back: {} bytes",
        answer.body.len()
    );
}

#[tokio::test]
async fn unknown_paths_methods_and_ids_are_told_in_json() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for path in [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/servers/1/nothing",
        "/api/v2/servers",
    ] {
        let answer = app.anonymous().get(path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::NOT_FOUND, "not_found"),
            "{path}"
        );
    }
    for (method, path) in [
        (Method::PUT, "/api/servers"),
        (Method::POST, "/api/stats"),
        (Method::DELETE, "/"),
        (Method::POST, "/login"),
    ] {
        let answer = admin.json(method.clone(), path, json!({})).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            "{method} {path}"
        );
    }
    for id in ["abc", "1.5", "99999999999999999999", "%ff"] {
        let answer = admin.get(&format!("/api/servers/{id}")).await;
        assert!(answer.status.is_client_error(), "{id}: {}", answer.status);
        answer.code();
    }
    assert_eq!(
        admin.get("/api/servers/7").await.json()["error"]["message"],
        "there is no server 7"
    );
}

#[tokio::test]
async fn answers_carry_the_headers_that_keep_browsers_honest() {
    let app = TestApp::start().await;
    for path in ["/api/health", "/api/nothing", "/"] {
        let answer = app.anonymous().get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("x-request-id").len(), 16, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    assert_eq!(
        app.anonymous().get("/api/health").await.header("cache-control"),
        "no-store"
    );
    let named = app
        .anonymous()
        .with("x-request-id", "from-the-proxy")
        .get("/api/health")
        .await;
    assert_eq!(named.header("x-request-id"), "from-the-proxy");
}

#[tokio::test]
async fn cors_is_closed_but_for_configured_origins() {
    let settings = ApiSettings {
        cors_origins: vec!["https://grafana.example".into()],
        ..ApiSettings::default()
    };
    let app = TestApp::with(settings).await;
    let allowed = app
        .anonymous()
        .with("origin", "https://grafana.example")
        .get("/api/health")
        .await;
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://grafana.example"
    );
    assert_eq!(
        allowed.header("access-control-allow-credentials"),
        "",
        "cookies stay at home"
    );
    let other = app
        .anonymous()
        .with("origin", "https://evil.example")
        .get("/api/health")
        .await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let asked = app
        .anonymous()
        .with("origin", "https://grafana.example")
        .with("access-control-request-method", "DELETE")
        .send(Method::OPTIONS, "/api/servers/1", None, Body::empty())
        .await;
    assert!(asked.header("access-control-allow-methods").contains("DELETE"));
}

#[tokio::test]
async fn long_answers_are_compressed() {
    let app = TestApp::start().await;
    for (accepted, sent) in [("gzip", "gzip"), ("br, gzip", "br"), ("identity", "")] {
        let answer = app
            .anonymous()
            .with("accept-encoding", accepted)
            .get("/api/openapi.json")
            .await;
        assert_eq!(answer.header("content-encoding"), sent);
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_hub_goes_on() {
    let app = TestApp::start().await;
    let panicking = Router::new().route(
        "/api/panic",
        axum::routing::get(|| async {
            if std::env::args().count() > 0 {
                panic!("a secret in a panic")
            }
        }),
    );
    let router = crate::api::middleware::wrap(panicking, app.state.clone());
    let request = Request::builder().uri("/api/panic").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.headers().contains_key("x-request-id"));
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], "internal_error");
    assert!(!body.to_string().contains("secret"));
}
