//! Log-ins that servers share, and authorities that vouch for hosts, through a whole hub.

use gander_e2e::{
    TestHub, eventually,
    sshd::{KeyPair, RealSshd},
};
use gander_hub::collect::parse_private_key;
use serde_json::{Value, json};

/// How often an SSH server let a key in.
fn let_in(sshd: &RealSshd, fingerprint: &str) -> usize {
    sshd.log()
        .lines()
        .filter(|line| line.contains("Accepted publickey") && line.contains(fingerprint))
        .count()
}

#[tokio::test]
async fn a_shared_key_is_rotated_in_one_place_over_the_interface_and_from_the_shell() {
    let hub = TestHub::builder().without_local_server().start().await;
    let keys = [(); 3].map(|()| KeyPair::generate("ed25519"));
    let fingerprints = keys
        .clone()
        .map(|key| parse_private_key(&key.private, None).unwrap().fingerprint);
    let sshds = [(); 2].map(|()| {
        let all = keys.each_ref().map(|key| format!("{}\n", key.public)).concat();
        RealSshd::start()
            .with_user("deploy")
            .with_home_file("deploy", ".ssh/authorized_keys", &all)
    });
    let made = hub
        .api()
        .post(
            "/api/credentials",
            &json!({"name": "fleet", "kind": "key", "private_key": keys[0].private}),
        )
        .await;
    for (name, sshd) in ["web-1", "web-2"].iter().zip(&sshds) {
        let id = hub
            .api()
            .enrol(&json!({
                "name": name, "ip": "127.0.0.1", "ssh_port": sshd.port(),
                "ssh_user": sshd.login_name("deploy"), "credential_id": made["id"],
            }))
            .await;
        hub.api().server_is(id, "online").await;
    }
    let rotated = |number: usize| {
        let (sshds, fingerprint) = (&sshds, &fingerprints[number]);
        eventually(
            "both servers are logged in to with the new key",
            move || async move {
                sshds
                    .iter()
                    .all(|sshd| let_in(sshd, fingerprint) > 0)
                    .then_some(())
            },
        )
    };
    let path = format!("/api/credentials/{}", made["id"]);
    hub.api()
        .patch(&path, &json!({"private_key": keys[1].private}))
        .await;
    rotated(1).await;

    let file = hub.settings().directory().join("next");
    std::fs::write(&file, &keys[2].private).unwrap();
    let (status, said) = hub
        .settings()
        .run(&["credential", "set", "fleet", "--key", file.to_str().unwrap()])
        .await;
    assert!(status.success(), "{said}");
    rotated(2).await;
    let (_, listed) = hub.settings().run(&["credential", "list"]).await;
    assert!(
        listed.contains("fleet") && listed.contains(&fingerprints[2]),
        "{listed}"
    );
    let (status, said) = hub.settings().run(&["credential", "remove", "fleet"]).await;
    assert!(!status.success() && said.contains("web-1, web-2"), "{said}");
    assert!(!hub.log().text().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_host_authority_vouches_until_it_is_removed() {
    let hub = TestHub::builder().without_local_server().start().await;
    let authority = KeyPair::generate("ed25519");
    let mut sshd = RealSshd::start().with_password_user("deploy", "secret");
    sshd.certify_host_key(&authority, &["-n", "127.0.0.1"]);
    let line = format!("@cert-authority 127.0.* {} test", authority.public);
    let entered = hub
        .api()
        .post("/api/host-authorities", &json!({"known_hosts": line}))
        .await;
    let id = hub.api().enrol_node(&sshd.spec("web-1", "deploy")).await;
    let server = hub.api().server_is(id, "online").await;
    assert_eq!(server["host_key"], Value::Null, "vouched for, not pinned");
    let access = hub.api().get(&format!("/api/servers/{id}/ssh")).await;
    let vouched = &access["session"]["host_certificate"];
    assert_eq!(vouched["principals"], json!(["127.0.0.1"]), "{access}");
    assert_eq!(vouched["authority"], entered[0]["public_key"]);

    hub.api()
        .delete(&format!("/api/host-authorities/{}", entered[0]["id"]))
        .await;
    let server = hub
        .api()
        .server_when(id, "connected anew and pinned", |server| {
            !server["host_key"].is_null()
        })
        .await;
    assert_eq!(
        server["host_key"]["fingerprint"],
        sshd.host_key("ed25519").fingerprint
    );
}
