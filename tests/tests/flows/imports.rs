//! A fleet brought in from an OpenSSH configuration, with real servers, over the interface and from the shell.

use std::collections::BTreeMap;

use gander_e2e::{
    TestHub, eventually,
    sshd::{KeyPair, RealSshd},
};
use serde_json::{Value, json};

/// Three servers that one key opens; the second is reached through the first.
struct Fleet {
    sshds: [RealSshd; 3],
    key: KeyPair,
}

const NAMES: [&str; 3] = ["bastion", "web", "db"];

impl Fleet {
    fn start() -> Self {
        let key = KeyPair::generate("ed25519");
        let sshds = [(); 3].map(|()| RealSshd::start().with_key_user("deploy", &key));
        Self { sshds, key }
    }

    fn config(&self) -> String {
        let mut text = String::new();
        for (name, sshd) in NAMES.iter().zip(&self.sshds) {
            let user = sshd.login_name("deploy");
            text += &format!("Host {name}\n  Port {}\n  User {user}\n", sshd.port());
            if *name == "web" {
                text += "  ProxyJump bastion\n";
            }
        }
        text + "Host *\n  HostName 127.0.0.1\n  IdentityFile ~/.ssh/id_fleet\n"
    }
}

#[tokio::test]
async fn a_fleet_of_an_ssh_config_is_previewed_tested_and_imported_with_one_key() {
    let fleet = Fleet::start();
    let hub = TestHub::builder().without_local_server().start().await;
    let api = hub.api();
    let request = json!({"files": [
        {"name": "config", "text": fleet.config()},
        {"name": "id_fleet", "text": fleet.key.private},
    ]});
    let plan = api.post("/api/servers/import/preview", &request).await;
    assert_eq!((&plan["add"], &plan["skip"]), (&json!(3), &json!(1)), "{plan}");
    let row_of = |name: &str| {
        let rows = plan["rows"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap().clone()
    };
    assert_eq!(row_of("web")["jump_row"], row_of("bastion")["row"]);
    assert_eq!(row_of("db")["key"], "id_fleet");
    assert!(!plan.to_string().contains("PRIVATE KEY"), "a secret comes back");

    let mut agreed = request.clone();
    agreed["plan"] = plan["plan"].clone();
    let answer = api.try_post("/api/servers/import/test", &agreed).await;
    let lines: Vec<Value> = answer
        .text()
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let seen: BTreeMap<u64, &Value> = lines
        .iter()
        .map(|line| (line["row"].as_u64().unwrap(), &line["answer"]))
        .collect();
    for (name, sshd) in NAMES.iter().zip(&fleet.sshds) {
        let found = seen[&row_of(name)["row"].as_u64().unwrap()];
        assert_eq!(found["ok"], true, "{name}: {found}");
        assert_eq!(
            found["host_key"]["fingerprint"],
            sshd.host_key("ed25519").fingerprint,
            "{name}"
        );
    }

    let mut web_alone = agreed.clone();
    web_alone["rows"] = json!([row_of("web")["row"]]);
    let refusal = api.try_post("/api/servers/import", &web_alone).await.refused(422);
    assert!(refusal.message().contains("bastion"), "{}", refusal.message());
    assert_eq!(api.get("/api/servers").await, json!([]), "nothing is half done");

    agreed["host_keys"] = seen
        .iter()
        .map(|(row, found)| format!("{row} {}", found["host_key"]["public_key"].as_str().unwrap()))
        .collect();
    let done = api.post("/api/servers/import", &agreed).await;
    assert_eq!(
        (done["added"].as_array().unwrap().len(), &done["credentials"]),
        (3, &json!(1))
    );
    let servers = api.get("/api/servers").await;
    let mut by_name = BTreeMap::new();
    for server in servers.as_array().unwrap() {
        assert_eq!(server["credential"]["name"], "id_fleet");
        assert!(server["host_key"].is_object(), "{server}");
        api.server_is(server["id"].as_i64().unwrap(), "online").await;
        by_name.insert(server["name"].as_str().unwrap(), server);
    }
    assert_eq!(by_name["web"]["jump_server_id"], by_name["bastion"]["id"]);

    // The plan that was agreed to is another one by now.
    let stale = api.try_post("/api/servers/import", &agreed).await.refused(409);
    assert_eq!(stale.code(), "plan_changed");
    let again = api.post("/api/servers/import/preview", &request).await;
    assert_eq!(
        (&again["add"], &again["change"]),
        (&json!(0), &json!(0)),
        "{again}"
    );
}

#[tokio::test]
async fn a_running_hub_notices_what_the_shell_imports_and_only_what_answers_is_added() {
    let fleet = Fleet::start();
    let hub = TestHub::builder().without_local_server().start().await;
    let directory = hub.settings().directory().join("ssh");
    std::fs::create_dir(&directory).unwrap();
    let config = directory.join("config");
    let key = directory.join("id_fleet");
    std::fs::write(&key, &fleet.key.private).unwrap();
    // A port that nothing listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = fleet.config().replace("~/.ssh/id_fleet", key.to_str().unwrap());
    std::fs::write(&config, format!("Host gone\n  Port {closed}\n  User x\n{text}")).unwrap();
    let file = config.to_str().unwrap();

    let (status, said) = hub.settings().run(&["import", file, "--dry-run"]).await;
    assert!(status.success(), "{said}");
    assert!(said.contains("4 to add, 0 to change, 1 to skip"), "{said}");
    assert_eq!(hub.api().get("/api/servers").await, json!([]));

    let (status, said) = hub
        .settings()
        .run(&["import", file, "--test", "--yes", "--tag", "shell"])
        .await;
    assert!(status.success(), "{said}");
    assert!(
        said.contains("gone  left out") && said.contains("3 added"),
        "{said}"
    );
    let servers = eventually("the hub shows all three", || async {
        let servers = hub.api().get("/api/servers").await;
        (servers.as_array()?.len() == 3).then_some(servers)
    })
    .await;
    for server in servers.as_array().unwrap() {
        assert_eq!(server["tags"], json!(["shell"]));
        hub.api()
            .server_is(server["id"].as_i64().unwrap(), "online")
            .await;
    }
}
