//! Enrolling, changing and removing servers; reaching out to nodes.

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

fn web_1() -> Value {
    json!({"name": "web-1", "ip": "192.0.2.10", "ssh_user": "monitor", "ssh_password": "hunter2"})
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test]
async fn four_fields_are_enough_and_secrets_stay_inside() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let made = admin.post("/api/servers", web_1()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    insta::assert_json_snapshot!(steady(made.json()));
    for path in [
        "/api/servers",
        "/api/servers/1",
        "/api/servers/1/snapshot",
        "/api/events",
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(!answer.text().contains("hunter2"), "{path}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let app = TestApp::start().await;
    let answer = app
        .admin()
        .await
        .post(
            "/api/servers",
            json!({
                "name": "  ", "ip": "not an address", "ssh_user": "a b", "ssh_port": 70000,
                "cpu_threshold": 900, "memory_threshold": 90, "memory_critical_threshold": 80,
                "interval_seconds": 0, "transport": "carrier pigeon", "tags": "web", "enabled": "yes",
                "sshpassword": "hunter2", "host_key": "ssh-ed25519 AAAA"
            }),
        )
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.field("ssh_port")["value"], 70000);
    assert_eq!(
        answer.field("ssh_port")["message"],
        "is 70000; it must be a whole number from 1 to 65535"
    );
    assert!(
        !answer.text().contains("hunter2"),
        "a misspelt secret is not repeated"
    );
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn numbers_must_be_whole_and_in_range() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (field, values) in [
        (
            "ssh_port",
            [json!(0), json!(-1), json!(22.5), json!("22"), json!(1e300)],
        ),
        (
            "cpu_threshold",
            [json!(0), json!(101), json!(-5), json!("80"), json!(null)],
        ),
        (
            "interval_seconds",
            [json!(0), json!(86401), json!(1.5), json!("30"), json!(true)],
        ),
    ] {
        for value in values {
            let answer = admin
                .post("/api/servers", with(web_1(), field, value.clone()))
                .await;
            assert_eq!(
                answer.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{field} = {value}"
            );
            answer.field(field);
        }
    }
}

#[tokio::test]
async fn a_name_in_use_is_refused_by_name() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    admin.post("/api/servers", web_1()).await;
    let answer = admin
        .post("/api/servers", with(web_1(), "name", json!(" web-1 ")))
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::CONFLICT, "name_taken")
    );
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("\"web-1\"")
    );
    assert_eq!(answer.field("name")["value"], "web-1");
}

#[tokio::test]
async fn a_script_that_knows_only_the_warning_can_set_it_high() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let made = admin
        .post("/api/servers", with(web_1(), "cpu_threshold", json!(95)))
        .await;
    assert_eq!(
        (
            &made.json()["cpu_threshold"],
            &made.json()["cpu_critical_threshold"]
        ),
        (&json!(95), &json!(95))
    );
    let answer = admin
        .patch("/api/servers/1", json!({"cpu_critical_threshold": 50}))
        .await;
    assert!(
        answer.field("cpu_critical_threshold")["message"]
            .as_str()
            .unwrap()
            .contains("below cpu_threshold (95)")
    );
}

#[tokio::test]
async fn patch_keeps_and_put_resets_but_secrets_stay() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let full = json!({
        "name": "web-1", "ip": "192.0.2.10", "ssh_user": "monitor", "ssh_password": "hunter2", "ssh_port": 2222,
        "tags": ["web", "eu", "web"], "group": "shop", "interval_seconds": 5, "cpu_threshold": 70, "host_key": KEY
    });
    let made = admin.post("/api/servers", full).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    assert_eq!(made.json()["tags"], json!(["web", "eu"]));
    assert_eq!(
        made.json()["host_key"]["fingerprint"],
        "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    );

    let patched = admin
        .patch("/api/servers/1", json!({"group": null, "name": "web-2"}))
        .await
        .json();
    assert_eq!(
        (&patched["name"], &patched["group"], &patched["ssh_port"]),
        (&json!("web-2"), &json!(null), &json!(2222))
    );
    assert_eq!(
        (&patched["cpu_threshold"], &patched["has_password"]),
        (&json!(70), &json!(true))
    );
    assert_eq!(patched["host_key"]["public_key"], KEY);

    let put = admin
        .put(
            "/api/servers/1",
            json!({"name": "web-3", "ip": "192.0.2.10", "ssh_user": "monitor", "ssh_port": 2222}),
        )
        .await
        .json();
    assert_eq!(
        (&put["tags"], &put["interval_seconds"], &put["cpu_threshold"]),
        (&json!([]), &json!(null), &json!(80))
    );
    assert_eq!(
        (&put["has_password"], &put["effective_interval_seconds"]),
        (&json!(true), &json!(30))
    );
    assert_eq!(put["host_key"]["public_key"], KEY, "the same machine");

    let moved = admin
        .patch("/api/servers/1", json!({"ip": "192.0.2.11"}))
        .await
        .json();
    assert_eq!(moved["host_key"], json!(null), "another machine has another key");
    let cleared = admin
        .patch("/api/servers/1", json!({"ssh_password": null}))
        .await
        .json();
    assert_eq!(cleared["has_password"], false);
    assert_eq!(
        admin.put("/api/servers/1", json!({"name": "web-3"})).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        admin.patch("/api/servers/99", json!({})).await.code(),
        "not_found"
    );
}

#[tokio::test]
async fn an_unreadable_private_key_is_refused_while_the_person_is_here() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let body =
        json!({"name": "web-1", "ip": "192.0.2.10", "ssh_user": "monitor", "ssh_key": "-----BEGIN nonsense"});
    let answer = admin.post("/api/servers", body).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        answer.text()
    );
    answer.field("ssh_key");
    assert!(!answer.text().contains("BEGIN nonsense"));
    let answer = admin
        .post(
            "/api/servers",
            json!({"name": "web-1", "ip": "192.0.2.10", "ssh_user": "monitor"}),
        )
        .await;
    assert_eq!(
        answer.field("ssh_password")["message"],
        "is required, unless there is an ssh_key or a credential_id, or hub_key is true"
    );
}

#[tokio::test]
async fn the_hubs_own_key_takes_the_place_of_secrets() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let key = admin.get("/api/hub-key").await.json();
    let public_key = key["public_key"].as_str().unwrap();
    assert!(public_key.starts_with("ssh-ed25519 "), "{key}");
    assert!(key["authorise_command"].as_str().unwrap().contains(public_key));

    let both = admin
        .post("/api/servers", with(web_1(), "hub_key", json!(true)))
        .await;
    assert_eq!(both.field("ssh_password")["code"], "not_together");
    assert!(!both.text().contains("hunter2"));
    assert_eq!(
        admin.post("/api/servers", web_1()).await.status,
        StatusCode::CREATED
    );
    let access = admin.get("/api/servers/1/ssh").await.json();
    assert_eq!(
        (&access["key_owner"], &access["key_in_use"]),
        (&json!("hub"), &json!(false))
    );

    let changed = admin
        .patch("/api/servers/1", json!({"hub_key": true}))
        .await
        .json();
    assert_eq!(
        (&changed["has_password"], &changed["has_key"]),
        (&json!(false), &json!(false))
    );
    let access = admin.get("/api/servers/1/ssh").await.json();
    assert_eq!(
        (&access["key_owner"], &access["key_in_use"]),
        (&json!("hub"), &json!(true))
    );
    assert_eq!(access["session"], Value::Null);
    let line = access["locked_line"].as_str().unwrap();
    assert!(
        line.starts_with("restrict,command=") && line.contains(public_key),
        "{line}"
    );
    assert!(access["lock_script"].as_str().unwrap().contains(line));
}

#[tokio::test]
async fn jump_hosts_must_exist_and_lead_somewhere() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let answer = admin
        .post("/api/servers", with(web_1(), "jump_server_id", json!(99)))
        .await;
    answer.field("jump_server_id");
    let gate = app.enrol("gate").await;
    let inner = admin
        .post("/api/servers", with(web_1(), "jump_server_id", json!(gate)))
        .await
        .json()["id"]
        .clone();
    let answer = admin
        .patch(&format!("/api/servers/{gate}"), json!({"jump_server_id": inner}))
        .await;
    answer.field("jump_server_id");
    let answer = admin.delete(&format!("/api/servers/{gate}")).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::CONFLICT, "jump_host_in_use")
    );
}

#[tokio::test]
async fn a_removed_server_is_gone_everywhere() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrol("web-1").await;
    app.read(healthy(id, Timestamp::now(), 500)).await;
    assert_eq!(
        admin.delete(&format!("/api/servers/{id}")).await.status,
        StatusCode::NO_CONTENT
    );
    for path in ["", "/snapshot", "/series?metrics=cpu.usage"] {
        assert_eq!(
            admin.get(&format!("/api/servers/{id}{path}")).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(
        admin.get(&format!("/api/metrics?server_id={id}")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(admin.get("/api/stats").await.json()["total"], 0);
}

#[tokio::test]
async fn servers_come_in_pages_by_name() {
    let app = TestApp::start().await;
    for name in ["c", "a b&c=d", "b"] {
        app.enrol(name).await;
    }
    let viewer = app.viewer().await;
    let first = viewer.get("/api/servers?limit=1").await;
    let names = |answer: &Answer| -> Vec<String> {
        answer
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|server| server["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first), ["a b&c=d"]);
    let mut seen = names(&first);
    let mut answer = first;
    while let Some(next) = answer
        .header("link")
        .strip_prefix('<')
        .and_then(|link| link.split('>').next())
    {
        assert!(answer.header("link").ends_with(">; rel=\"next\""));
        answer = viewer.get(next).await;
        seen.extend(names(&answer));
    }
    assert_eq!(seen, ["a b&c=d", "b", "c"]);
    assert_eq!(names(&viewer.get("/api/servers").await).len(), 3);
}

#[tokio::test]
async fn a_node_that_refuses_the_connection_is_an_answer() {
    // A port that was free a moment ago, on the loopback: the refusal is real.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let node = json!({"ip": "127.0.0.1", "ssh_user": "monitor", "ssh_port": port, "ssh_password": "hunter2"});
    let answer = admin.post("/api/servers/test", node).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(
        (&answer.json()["ok"], &answer.json()["error"]["code"]),
        (&json!(false), &json!("connection_refused"))
    );
    let answer = admin
        .post(
            "/api/servers/host-key",
            json!({"ip": "127.0.0.1", "ssh_port": port}),
        )
        .await;
    assert_eq!(
        (&answer.json()["host_key"], &answer.json()["error"]["code"]),
        (&json!(null), &json!("connection_refused"))
    );

    let body = json!({"name": "n", "ip": "127.0.0.1", "ssh_user": "monitor", "ssh_port": port, "ssh_password": "hunter2"});
    let id = admin.post("/api/servers", body).await.json()["id"].clone();
    let answer = admin.post(&format!("/api/servers/{id}/test"), json!({})).await;
    assert_eq!(answer.json()["error"]["code"], "connection_refused");
}

#[tokio::test]
async fn a_changed_host_key_is_accepted_by_a_person() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrol("web-1").await;
    let path = format!("/api/servers/{id}/host-key");
    admin.post(&path, json!({})).await.field("public_key");
    admin
        .post(&path, json!({"public_key": "ssh-ed25519 AAAA"}))
        .await
        .field("public_key");
    let answer = admin
        .post(&path, json!({"public_key": format!("{KEY} root@web-1")}))
        .await;
    assert_eq!(answer.json()["host_key"]["public_key"], KEY, "{}", answer.text());
    let events = admin.get("/api/events?kind=host_key_pinned").await.json();
    assert_eq!(
        (&events[0]["server_id"], &events[0]["actor"]),
        (&json!(id), &json!("token:admin"))
    );
}

#[tokio::test]
async fn a_refresh_reaches_collection() {
    let mut app = TestApp::start().await;
    let id = app.enrol("web-1").await;
    let admin = app.admin().await;
    assert_eq!(
        admin
            .post(&format!("/api/servers/{id}/refresh"), json!({}))
            .await
            .status,
        StatusCode::ACCEPTED
    );
    assert_eq!(
        admin.post("/api/refresh", json!({})).await.json(),
        json!({"started": true})
    );
    assert_eq!(
        admin.post("/api/refresh", json!({})).await.status,
        StatusCode::ACCEPTED,
        "joins the one before"
    );
    assert_eq!(app.refreshes.try_recv().unwrap(), Refresh::One(id));
    assert_eq!(app.refreshes.try_recv().unwrap(), Refresh::All);
    assert!(app.refreshes.try_recv().is_err());
}

#[tokio::test]
async fn the_documentation_names_the_fields_that_are_read() {
    // The bodies are read by hand; these hold the documented ones to them.
    let document = serde_json::to_value(crate::api::openapi::document()).unwrap();
    let app = TestApp::start().await;
    app.user("ada", Role::Admin).await;
    let ada = app.logged_in("ada").await;
    let id = app.enrol("web-1").await;
    for (method, path, schema) in [
        (Method::POST, "/api/servers".to_owned(), "ServerRequest"),
        (Method::PUT, format!("/api/servers/{id}"), "ServerRequest"),
        (Method::PATCH, format!("/api/servers/{id}"), "ServerPatchRequest"),
        (Method::POST, "/api/servers/test".to_owned(), "TestRequest"),
        (Method::POST, "/api/servers/host-key".to_owned(), "HostKeyRequest"),
        (
            Method::POST,
            format!("/api/servers/{id}/host-key"),
            "AcceptHostKeyRequest",
        ),
        (Method::POST, "/api/users".to_owned(), "UserRequest"),
        (Method::PATCH, "/api/users/1".to_owned(), "UserPatchRequest"),
        (Method::POST, "/api/tokens".to_owned(), "TokenRequest"),
        (Method::POST, "/api/alerts/resolve".to_owned(), "ResolveRequest"),
        (Method::POST, "/api/setup".to_owned(), "SetupRequest"),
        (Method::POST, "/api/login".to_owned(), "LoginRequest"),
        (Method::PUT, "/api/session/password".to_owned(), "PasswordRequest"),
    ] {
        let properties = document["components"]["schemas"][schema]["properties"]
            .as_object()
            .unwrap();
        let mut documented: Vec<&str> = properties.keys().map(String::as_str).collect();
        documented.sort_unstable();
        let refusal = ada.json(method.clone(), &path, json!({"no_such_field": 1})).await;
        let message = refusal.field("no_such_field")["message"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut read: Vec<&str> = message.split("known are: ").nth(1).unwrap().split(", ").collect();
        read.sort_unstable();
        assert_eq!(documented, read, "{method} {path}");
    }
}
