//! Bad input through the hub's doors: every one is refused in words that name what to mend, and
//! leaves the hub as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::{fs, os::unix::fs::PermissionsExt};

use gander_e2e::{Api, TestHub, hub};
use reqwest::Method;
use serde_json::{Value, json};

async fn quiet_hub() -> TestHub {
    TestHub::builder().without_local_server().start().await
}

fn a_server() -> Value {
    json!({"name": "web-1", "ip": "127.0.0.1", "ssh_user": "monitor", "ssh_password": "secret", "ssh_port": 1})
}

/// `a_server()` with one field changed.
fn a_server_with(field: &str, value: impl Into<Value>) -> Value {
    let mut server = a_server();
    server[field] = value.into();
    server
}

async fn count_servers(api: &Api) -> usize {
    api.get("/api/servers").await.as_array().unwrap().len()
}

#[tokio::test]
async fn a_wrong_field_is_named_with_its_value_and_its_range() {
    let hub = quiet_hub().await;
    let cases = [
        (
            "ssh_port",
            json!(70000),
            "is 70000; it must be a whole number from 1 to 65535",
        ),
        (
            "ssh_port",
            json!(0),
            "is 0; it must be a whole number from 1 to 65535",
        ),
        (
            "cpu_threshold",
            json!(900),
            "is 900; it must be a whole number from 1 to 100",
        ),
        (
            "disk_threshold",
            json!(-1),
            "is -1; it must be a whole number from 1 to 100",
        ),
        (
            "memory_threshold",
            json!("high"),
            "it must be a whole number from 1 to 100",
        ),
        (
            "interval_seconds",
            json!(0),
            "is 0; it must be a whole number from 1 to 86400",
        ),
        ("name", json!("  "), "must not be empty"),
        (
            "name",
            json!("x".repeat(101)),
            "has 101 characters; it must have 1 to 100",
        ),
        (
            "transport",
            json!("telnet"),
            "it must be one of: auto, ssh, agent",
        ),
        ("jump_server_id", json!(4711), "does not exist"),
        ("colour", json!("blue"), ""),
    ];
    for (field, value, said) in cases {
        let refusal = hub
            .api()
            .try_post("/api/servers", &a_server_with(field, value.clone()))
            .await
            .refused(422);
        assert_eq!(refusal.code(), "validation_failed", "{field} = {value}");
        assert!(
            refusal.field(field).contains(said),
            "{field} = {value}: {}",
            refusal.field(field)
        );
    }
    assert_eq!(count_servers(hub.api()).await, 0, "nothing of it was stored");
}

#[tokio::test]
async fn every_wrong_field_is_reported_at_once_and_no_secret_is_repeated() {
    let hub = quiet_hub().await;
    let mut server = a_server_with("ssh_port", 70000);
    server["cpu_threshold"] = json!(900);
    server["ssh_password"] = json!(["hunter2-in-a-list"]);
    let answer = hub.api().try_post("/api/servers", &server).await;
    let refusal = answer.refused(422);
    for field in ["ssh_port", "cpu_threshold", "ssh_password"] {
        refusal.field(field);
    }
    assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    assert!(!hub.log().text().contains("hunter2"));
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_conflict_that_names_it() {
    let hub = quiet_hub().await;
    hub.api().enrol(&a_server()).await;
    let refusal = hub.api().try_post("/api/servers", &a_server()).await.refused(409);
    assert_eq!(refusal.code(), "name_taken");
    assert!(refusal.message().contains("web-1"), "{}", refusal.message());
    assert_eq!(count_servers(hub.api()).await, 1);
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_line_and_column() {
    let hub = quiet_hub().await;
    let send = |body: &'static str, kind: &'static str| {
        let request = hub.api().request(Method::POST, "/api/servers");
        hub.api().send(request.header("content-type", kind).body(body))
    };
    let refusal = send("{\"name\": \"web-1\",\n \"ip\": \"10.", "application/json")
        .await
        .refused(400);
    assert_eq!(refusal.code(), "invalid_json");
    assert_eq!(refusal.0["details"]["line"], 2, "{}", refusal.0);
    let refusal = send("[1, 2]", "application/json").await.refused(400);
    assert!(
        refusal.message().contains("must be a JSON object"),
        "{}",
        refusal.message()
    );
    send("name=web-1", "application/x-www-form-urlencoded")
        .await
        .refused(415);
    assert_eq!(count_servers(hub.api()).await, 0);
}

#[tokio::test]
async fn a_body_that_is_too_big_is_refused() {
    let hub = quiet_hub().await;
    // Just over the limit, so that all of it is on its way before the hub hangs up.
    let refusal = hub
        .api()
        .try_post("/api/servers", &a_server_with("group", "g".repeat(1 << 20)))
        .await
        .refused(413);
    assert_eq!(refusal.code(), "body_too_large");
    assert_eq!(hub.api().get("/api/health").await["status"], "ok");
}

#[tokio::test]
async fn a_private_key_that_cannot_be_read_is_refused_before_it_is_stored() {
    let hub = quiet_hub().await;
    let server = a_server_with(
        "ssh_key",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nbm9wZQ==\n-----END OPENSSH PRIVATE KEY-----\n",
    );
    let refusal = hub.api().try_post("/api/servers", &server).await.refused(422);
    assert!(!refusal.field("ssh_key").is_empty());
    assert_eq!(count_servers(hub.api()).await, 0);
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let hub = quiet_hub().await;
    for path in ["/api/servers/4711", "/api/servers/4711/snapshot"] {
        let refusal = hub.api().try_get(path).await.refused(404);
        assert!(
            refusal.message().contains("4711"),
            "{path}: {}",
            refusal.message()
        );
    }
    let refusal = hub
        .api()
        .try_post("/api/alerts/4711/resolve", &json!({}))
        .await
        .refused(404);
    assert!(refusal.message().contains("4711"), "{}", refusal.message());
    hub.api().try_get("/api/no-such-thing").await.refused(404);
    hub.api()
        .try_get("/api/alerts?level=loud")
        .await
        .refused(422)
        .field("level");
}

#[tokio::test]
async fn without_a_log_in_nothing_is_told() {
    let hub = quiet_hub().await;
    let anonymous = hub.api().anonymous();
    for path in [
        "/api/servers",
        "/api/stats",
        "/api/alerts",
        "/api/metrics",
        "/api/users",
        "/api/storage",
    ] {
        assert_eq!(
            anonymous.try_get(path).await.refused(401).code(),
            "login_required",
            "{path}"
        );
    }
    let forged = anonymous.with_token("gdr_0000000000000000000000000000000000000000000");
    forged.try_get("/api/servers").await.refused(401);
    assert!(
        gander_e2e::LiveClient::try_connect(&anonymous).await.is_err(),
        "/ws without a log-in"
    );

    let wrong = json!({"username": hub::ADMIN, "password": "not the password"});
    let refusal = anonymous.try_post("/api/login", &wrong).await.refused(401);
    let nobody = json!({"username": "nobody", "password": "not the password"});
    let same = anonymous.try_post("/api/login", &nobody).await.refused(401);
    assert_eq!(
        refusal.message(),
        same.message(),
        "the answer tells which names exist"
    );
}

#[tokio::test]
async fn a_set_up_link_works_once() {
    let hub = quiet_hub().await;
    let token = hub.log().find(hub::setup_token).await.unwrap();
    let again = json!({"token": token, "username": "mallory", "password": "another long password"});
    let answer = hub.api().anonymous().try_post("/api/setup", &again).await;
    assert!(
        (400..500).contains(&answer.status),
        "{} {}",
        answer.status,
        answer.text()
    );
    assert_eq!(hub.api().get("/api/users").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let hub = quiet_hub().await;
    let id = hub.api().enrol(&a_server()).await;
    let viewer = hub.viewer().await;
    let before = viewer.get(&format!("/api/servers/{id}")).await;
    for path in [
        "/api/stats",
        "/api/alerts",
        "/api/metrics",
        "/api/events",
        "/api/storage",
    ] {
        viewer.get(path).await;
    }
    let nothing = json!({});
    let mut tries = vec![
        (
            Method::POST,
            "/api/servers".to_owned(),
            a_server_with("name", "web-2"),
        ),
        (Method::DELETE, "/api/metrics".to_owned(), nothing.clone()),
        (
            Method::POST,
            "/api/alerts/resolve".to_owned(),
            json!({"all": true}),
        ),
        (
            Method::POST,
            "/api/users".to_owned(),
            json!({"username": "x", "password": "a long password", "role": "admin"}),
        ),
        (Method::GET, "/api/users".to_owned(), nothing.clone()),
        (
            Method::POST,
            "/api/tokens".to_owned(),
            json!({"name": "x", "role": "admin"}),
        ),
        (Method::POST, "/api/servers/test".to_owned(), a_server()),
    ];
    for (method, tail, body) in [
        (Method::PATCH, "", json!({"name": "mine"})),
        (Method::PUT, "", a_server_with("name", "mine")),
        (Method::DELETE, "", nothing.clone()),
        (Method::POST, "/test", nothing.clone()),
        (Method::POST, "/refresh", nothing.clone()),
        (
            Method::POST,
            "/host-key",
            json!({"public_key": "ssh-ed25519 AAAA"}),
        ),
    ] {
        tries.push((method, format!("/api/servers/{id}{tail}"), body));
    }
    for (method, path, body) in tries {
        let answer = viewer
            .send(viewer.request(method.clone(), &path).json(&body))
            .await;
        assert_eq!(answer.refused(403).code(), "admin_required", "{method} {path}");
    }
    assert_eq!(
        viewer.get(&format!("/api/servers/{id}")).await["name"],
        before["name"]
    );
}

#[tokio::test]
async fn an_unknown_configuration_key_is_named_with_its_file() {
    let settings = TestHub::builder();
    let file = settings.directory().join("gander-hub.toml");
    fs::write(&file, "[collect]\ninterval = \"10s\"\nintervall = \"10s\"\n").unwrap();
    let file = file.to_str().unwrap();
    for subcommand in ["serve", "check-config"] {
        let (status, said) = settings.run(&[subcommand, "--config", file]).await;
        assert!(!status.success(), "{subcommand}: {said}");
        assert!(
            said.contains("intervall") && said.contains(file),
            "{subcommand}: {said}"
        );
    }
    // A variable may be another program's, so it is no error, but it is not passed over either.
    let (status, said) = settings
        .clone()
        .env("GANDER_INTERVALL", "10s")
        .run(&["check-config"])
        .await;
    assert!(
        status.success() && said.contains("did you mean GANDER_INTERVAL?"),
        "{said}"
    );
}

#[tokio::test]
async fn a_wrong_configuration_value_is_named_with_the_fix() {
    let settings = TestHub::builder();
    for (name, value) in [
        ("GANDER_INTERVAL", "soon"),
        ("GANDER_HTTP_LISTEN", "everywhere"),
        ("GANDER_RETENTION", "-3d"),
        ("GANDER_TRUSTED_PROXIES", "10.0.0.0/99"),
    ] {
        let (status, said) = settings.clone().env(name, value).run(&["check-config"]).await;
        assert!(!status.success(), "{name}={value} was taken: {said}");
        assert!(said.contains(value), "{name}={value}: {said}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_ends_the_start_with_the_fix() {
    let settings = TestHub::builder();
    // Root writes anywhere but to a file system that is mounted read-only.
    let place = settings.directory().join("read-only");
    let mount = gander_e2e::mount::Tmpfs::mount(&place, "1m").await;
    mount.make_read_only().await;
    let settings = settings.database(&place.join("gander.db"));
    let (status, said) = settings.run(&["serve"]).await;
    assert!(!status.success(), "{said}");
    assert!(said.contains(place.to_str().unwrap()), "{said}");
    assert!(said.contains("read-only") || said.contains("cannot"), "{said}");
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_start_with_the_fix() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, said) = TestHub::builder()
        .env("GANDER_HTTP_LISTEN", &address.to_string())
        .run(&["serve"])
        .await;
    assert!(!status.success(), "{said}");
    assert!(
        said.contains(&format!("port {} is already in use", address.port())),
        "{said}"
    );
    assert!(said.contains("--http-listen"), "{said}");
}

#[tokio::test]
async fn a_master_key_that_others_can_read_is_refused() {
    let stopped = quiet_hub().await.stop().await;
    let key = fs::read_dir(stopped.settings().directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "key"))
        .expect("the master key lies beside the database");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (status, said) = stopped.settings().run(&["serve"]).await;
    assert!(!status.success(), "{said}");
    assert!(
        said.contains(key.to_str().unwrap()) && said.contains("600"),
        "{said}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let settings = TestHub::builder();
    let words = "these are the holiday photos, not a database\n".repeat(100);
    fs::write(settings.database_path(), &words).unwrap();
    let (status, said) = settings.run(&["serve"]).await;
    assert!(!status.success(), "{said}");
    assert!(
        said.contains(settings.database_path().to_str().unwrap()),
        "{said}"
    );
    assert_eq!(fs::read_to_string(settings.database_path()).unwrap(), words);
}
