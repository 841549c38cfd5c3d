//! Backups over HTTP.

use super::*;
use crate::store::check;

#[tokio::test]
async fn a_backup_is_made_on_request_and_listed_with_its_hash() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let server = app.enrol("web-1").await;
    app.read(healthy(server, Timestamp::now(), 500)).await;

    let before = admin.get("/api/backups").await.json();
    assert_eq!(before["backups"], json!([]));
    assert_eq!(before["interval_seconds"], Value::Null);

    for number in 1..=3_usize {
        let begun = admin.post("/api/backups", json!({})).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.text());
        assert!(begun.json()["running_since"].is_string());
        let list = made(&admin).await;
        assert_eq!(list["last_error"], Value::Null);
        // Two are kept.
        assert_eq!(list["backups"].as_array().unwrap().len(), number.min(2));
        let newest = &list["backups"][0];
        assert_eq!(newest["verified"], true);
        assert_eq!(list["last_success"], newest["taken_at"]);
        let path = app
            ._directory
            .path()
            .join("backups")
            .join(newest["name"].as_str().unwrap());
        let (bytes, sha256) = crate::backup::hash(&path).unwrap();
        assert_eq!(newest["bytes"], bytes);
        assert_eq!(newest["sha256"], sha256);
        let report = check(&path, None).await.unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
        assert_eq!((report.servers, report.samples), (1, 1));
    }
    let events = admin.get("/api/events?kind=backup_made").await.json();
    assert_eq!(events.as_array().unwrap().len(), 3);
    assert_eq!(events[0]["actor"], "token:admin");
}

#[tokio::test]
async fn a_backup_that_fails_is_told_everywhere_and_the_hub_stays_well() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    // A file where the directory should be.
    std::fs::write(app._directory.path().join("backups"), "").unwrap();
    admin.post("/api/backups", json!({})).await;
    let list = made(&admin).await;
    let message = list["last_error"]["message"].as_str().unwrap();
    assert!(message.contains("backups cannot be "), "{message}");
    let health = app.anonymous().get("/api/health").await;
    assert_eq!(health.status, StatusCode::OK);
    let warning = health.json()["warnings"]["backup"].as_str().unwrap().to_owned();
    assert!(
        warning.contains("failed") && !warning.contains("/backups:"),
        "{warning}"
    );
    let events = admin.get("/api/events?kind=backup_failed").await.json();
    assert!(
        events[0]["details"]["reason"]
            .as_str()
            .unwrap()
            .contains("backups")
    );

    // The next one that is made takes it back.
    std::fs::remove_file(app._directory.path().join("backups")).unwrap();
    admin.post("/api/backups", json!({})).await;
    assert_eq!(made(&admin).await["last_error"], Value::Null);
    let health = app.anonymous().get("/api/health").await.json();
    assert_eq!(health["warnings"], json!({}));
}

/// The list once no backup is being made.
async fn made(admin: &Visitor<'_>) -> Value {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        let list = admin.get("/api/backups").await.json();
        if list["running_since"].is_null() {
            return list;
        }
        assert!(tokio::time::Instant::now() < give_up, "it never ended: {list}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
