//! Shared credentials and host authorities: entering, using, rotating, removing.

use super::*;

const AUTHORITY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOg2tI8O8IO6a7OdVZV7OPYYp5HK7K5EbxWq2pkaz63l";
/// Certificates of one key by one authority, for deploy and root.
const FOREVER: &str = include_str!("certificates/forever.pub");
const EXPIRED: &str = include_str!("certificates/expired.pub");
const CERTIFIED: &str = "SHA256:xyONdupmyxguxUXfQwIQVwF+l2ZmxA8NJ8FSwsKtWpA";

fn private_key() -> (String, String) {
    let (key, text) = HubKey::generate().unwrap();
    (text.expose().to_owned(), key.info().fingerprint.clone())
}

fn using(name: &str, credential: &Value) -> Value {
    json!({"name": name, "ip": "192.0.2.10", "credential_id": credential})
}

#[tokio::test]
async fn a_credential_is_made_used_rotated_and_kept_while_it_is_used() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (key, fingerprint) = private_key();
    let made = admin
        .post(
            "/api/credentials",
            json!({"name": "fleet", "kind": "key", "ssh_user": "deploy", "private_key": key}),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let (made, id) = (made.json(), made.json()["id"].clone());
    assert_eq!(made["key"]["fingerprint"], fingerprint.as_str());
    assert!(
        made["authorise_command"]
            .as_str()
            .unwrap()
            .contains("authorized_keys")
    );

    let server = admin.post("/api/servers", using("web-1", &id)).await;
    assert_eq!(server.status, StatusCode::CREATED, "{}", server.text());
    assert_eq!(
        server.json()["credential"],
        json!({"id": id, "name": "fleet", "kind": "key", "ssh_user": "deploy"})
    );
    let access = admin.get("/api/servers/1/ssh").await.json();
    assert_eq!(
        (&access["key_owner"], &access["fingerprint"]),
        (&json!("credential"), &json!(fingerprint))
    );
    let path = format!("/api/credentials/{id}");
    let used = admin.get(&path).await.json();
    assert_eq!(
        (&used["server_count"], &used["server_ids"]),
        (&json!(1), &json!([1]))
    );
    let refused = admin.delete(&path).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::CONFLICT, "credential_in_use")
    );
    assert!(refused.text().contains("web-1"), "{}", refused.text());
    let nameless = admin.patch(&path, json!({"ssh_user": null})).await;
    assert!(
        nameless.field("ssh_user")["message"]
            .as_str()
            .unwrap()
            .contains("web-1")
    );

    let (next, next_fingerprint) = private_key();
    let rotated = admin.patch(&path, json!({"private_key": next})).await.json();
    assert_eq!(rotated["key"]["fingerprint"], next_fingerprint.as_str());
    assert_eq!(rotated["name"], "fleet");
    let list = admin.get("/api/credentials").await;
    assert_eq!(list.json().as_array().unwrap().len(), 1);
    for secret in [&key, &next] {
        let body = secret.lines().nth(1).unwrap();
        for path in [
            "/api/credentials",
            "/api/servers",
            "/api/events",
            "/api/servers/1/ssh",
        ] {
            assert!(!admin.get(path).await.text().contains(body), "{path}");
        }
    }
    assert_eq!(
        admin.delete("/api/servers/1").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(admin.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(admin.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_server_has_its_own_login_or_a_shared_one_whichever_was_chosen_last() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let made = admin
        .post(
            "/api/credentials",
            json!({"name": "pw", "kind": "password", "password": "hunter2"}),
        )
        .await;
    let id = made.json()["id"].clone();
    let nobody = admin.post("/api/servers", using("web-1", &id)).await;
    assert_eq!(
        nobody.field("ssh_user")["code"],
        "required",
        "neither brings a name"
    );
    let mut both = using("web-1", &id);
    both["ssh_password"] = json!("own");
    assert_eq!(
        admin.post("/api/servers", both).await.field("ssh_password")["code"],
        "not_together"
    );
    let nowhere = admin.post("/api/servers", using("web-1", &json!(99))).await;
    assert_eq!(nowhere.field("credential_id")["code"], "no_such_credential");

    let mut body = using("web-1", &id);
    body["ssh_user"] = json!("monitor");
    let server = admin.post("/api/servers", body.clone()).await.json();
    assert_eq!(
        (&server["credential"]["name"], &server["has_password"]),
        (&json!("pw"), &json!(false))
    );
    // PUT keeps the log-in like any secret; a password of its own takes the place of the shared one.
    let mut put = body.clone();
    put.as_object_mut().unwrap().remove("credential_id");
    assert_eq!(
        admin.put("/api/servers/1", put).await.json()["credential"]["name"],
        "pw"
    );
    let own = admin
        .patch("/api/servers/1", json!({"ssh_password": "own"}))
        .await
        .json();
    assert_eq!(
        (&own["credential"], &own["has_password"]),
        (&Value::Null, &json!(true))
    );
    let back = admin
        .patch("/api/servers/1", json!({"credential_id": id}))
        .await
        .json();
    assert_eq!(
        (&back["credential"]["name"], &back["has_password"]),
        (&json!("pw"), &json!(false))
    );
    let hub = admin
        .patch("/api/servers/1", json!({"hub_key": true}))
        .await
        .json();
    assert_eq!(
        (&hub["credential"], &hub["has_password"]),
        (&Value::Null, &json!(false))
    );
}

#[tokio::test]
async fn each_kind_takes_what_it_needs_and_nothing_else() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (key, _) = private_key();
    for (body, field, code) in [
        (json!({"kind": "key"}), "name", "required"),
        (json!({"name": "a"}), "kind", "required"),
        (json!({"name": "a", "kind": "magic"}), "kind", "not_allowed"),
        (json!({"name": "a", "kind": "password"}), "password", "required"),
        (json!({"name": "a", "kind": "key"}), "private_key", "required"),
        (
            json!({"name": "a", "kind": "key", "private_key": "nonsense"}),
            "private_key",
            "private_key",
        ),
        (
            json!({"name": "a", "kind": "hub_key", "private_key": key}),
            "private_key",
            "not_together",
        ),
        (
            json!({"name": "a", "kind": "agent", "passphrase": "x"}),
            "passphrase",
            "not_together",
        ),
        (
            json!({"name": "a", "kind": "agent", "agent_key": "MD5:aa"}),
            "agent_key",
            "fingerprint",
        ),
        (
            json!({"name": "a", "kind": "hub_key", "agent_key": CERTIFIED}),
            "agent_key",
            "not_together",
        ),
        (
            json!({"name": "a", "kind": "password", "password": "x", "certificate": FOREVER}),
            "certificate",
            "not_together",
        ),
        (
            json!({"name": "a", "kind": "hub_key", "certificate": FOREVER}),
            "certificate",
            "certificate",
        ),
        (
            json!({"name": "a", "kind": "agent", "certificate": EXPIRED}),
            "certificate",
            "certificate",
        ),
        (
            json!({"name": "a", "kind": "agent", "certificate": AUTHORITY}),
            "certificate",
            "certificate",
        ),
    ] {
        let answer = admin.post("/api/credentials", body.clone()).await;
        assert_eq!(answer.field(field)["code"], code, "{body}");
        assert!(!answer.text().contains("PRIVATE KEY-----\n"), "{body}");
    }
    let expired = admin
        .post(
            "/api/credentials",
            json!({"name": "a", "kind": "agent", "certificate": EXPIRED}),
        )
        .await;
    let said = expired.field("certificate")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        said.contains("fleet-2020 expired on 2020-01-31")
            || said.contains("fleet-2020 expired on 2020-02-01"),
        "{said}"
    );
    assert!(said.contains("sign a new one"), "{said}");
}

#[tokio::test]
async fn a_certificate_is_shown_with_whom_it_is_for_and_goes_with_its_key() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let made = admin
        .post(
            "/api/credentials",
            json!({"name": "ca", "kind": "agent", "agent_key": CERTIFIED, "certificate": FOREVER}),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let shown = made.json()["certificate"].clone();
    assert_eq!(shown["principals"], json!(["deploy", "root"]));
    assert_eq!(
        (&shown["key_id"], &shown["valid_before"]),
        (&json!("fleet-2026"), &Value::Null)
    );
    assert_eq!(shown["key"]["fingerprint"], CERTIFIED);
    assert_eq!(
        shown["authority"]["fingerprint"],
        "SHA256:mtAqI9z75StH72vjEtaLwnZcL4UNgW95ii/bFvIjqfg"
    );
    let path = format!("/api/credentials/{}", made.json()["id"]);
    let renamed = admin.patch(&path, json!({"name": "ca-2"})).await.json();
    assert_eq!(renamed["certificate"]["key_id"], "fleet-2026");
    let other = admin
        .patch(&path, json!({"agent_key": format!("SHA256:{}", "A".repeat(43))}))
        .await
        .json();
    assert_eq!(other["certificate"], Value::Null, "of another key");
}

#[tokio::test]
async fn host_authorities_are_entered_by_fields_or_as_known_hosts_has_them() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let known_hosts =
        format!("# mine\nweb-1 {AUTHORITY}\n@cert-authority *.Example.org {AUTHORITY} fleet CA\n");
    let made = admin
        .post("/api/host-authorities", json!({"known_hosts": known_hosts}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made = made.json()[0].clone();
    assert_eq!(
        made["known_hosts"],
        format!("@cert-authority *.example.org {AUTHORITY} fleet CA")
    );
    let again = admin
        .post("/api/host-authorities", json!({"public_key": AUTHORITY}))
        .await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (StatusCode::CONFLICT, "authority_taken")
    );
    for (body, field) in [
        (json!({}), "public_key"),
        (json!({"known_hosts": "web-1 ssh-ed25519 AAAA"}), "known_hosts"),
        (json!({"known_hosts": "@cert-authority *"}), "known_hosts"),
        (json!({"public_key": AUTHORITY, "patterns": "!a"}), "patterns"),
        (
            json!({"public_key": AUTHORITY, "known_hosts": known_hosts}),
            "public_key",
        ),
    ] {
        let answer = admin.post("/api/host-authorities", body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        answer.field(field);
    }
    let path = format!("/api/host-authorities/{}", made["id"]);
    let revoked = admin
        .patch(&path, json!({"revoked": true, "patterns": "*"}))
        .await
        .json();
    assert_eq!(
        (&revoked["revoked"], &revoked["patterns"], &revoked["comment"]),
        (&json!(true), &json!("*"), &json!("fleet CA"))
    );
    assert_eq!(admin.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(admin.delete(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_an_answer() {
    let app = TestApp::start().await;
    let agent = app.admin().await.get("/api/ssh-agent").await;
    assert_eq!(agent.status, StatusCode::OK, "{}", agent.text());
    assert_eq!(agent.json()["error"]["code"], "ssh_agent");
    assert_eq!(agent.json()["keys"], json!([]));
}
