//! Servers that misbehave, wrong credentials, and a disk that fills up: each is told in words, is
//! told of its own server only, and ends by itself when its cause does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::fs;

use gander_e2e::{
    TestHub,
    api::enrolment,
    eventually,
    fake_ssh::{FakeSsh, Misbehaviour},
    mount::Tmpfs,
    sshd::{KeyPair, RealSshd},
};
use gander_hub::collect::ConnectSpec;
use serde_json::{Value, json};

async fn hub_without_servers() -> TestHub {
    TestHub::builder().without_local_server().start().await
}

/// What the connection test in the form says of a node that is not enrolled.
async fn tested(hub: &TestHub, spec: &ConnectSpec) -> Value {
    let mut body = enrolment(spec);
    body.as_object_mut().unwrap().remove("name");
    let answer = hub.api().post("/api/servers/test", &body).await;
    assert_eq!(answer["ok"], false, "the test passed: {answer}");
    answer["error"].clone()
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_hammered() {
    let hub = hub_without_servers().await;
    let sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    let mut body = enrolment(&sshd.spec("web-1", "deploy"));
    body["ssh_password"] = json!("wrong horse");
    let id = hub.api().enrol(&body).await;
    let server = hub
        .api()
        .server_when(id, "refused", |server| {
            server["error"]["code"] == "password_refused"
        })
        .await;
    assert!(message(&server["error"]).contains("web-1"), "{server}");
    assert!(
        message(&server["error"]).contains(sshd.login_name("deploy")),
        "{server}"
    );
    assert!(!hub.log().text().contains("wrong horse"));

    // A refusal that only a person can mend pages at once, and stops the trying at the hub's pace.
    let mut live = hub.live().await;
    live.until("the alert fires", |live| {
        live.open_alert(id, "unreachable").is_some()
    })
    .await;
    let tries = sshd.log().matches("Failed password").count();
    assert!(tries <= 2, "{tries} tries within seconds:\n{}", sshd.log());

    hub.api()
        .patch(
            &format!("/api/servers/{id}"),
            &json!({"ssh_password": "correct horse"}),
        )
        .await;
    hub.api().server_is(id, "online").await;
    live.until("the alert resolves", |live| {
        live.open_alert(id, "unreachable").is_none()
    })
    .await;
}

#[tokio::test]
async fn a_refused_key_is_told_with_its_fingerprint_and_where_it_belongs() {
    let hub = hub_without_servers().await;
    let (known, other) = (KeyPair::generate("ed25519"), KeyPair::generate("ed25519"));
    let sshd = RealSshd::start().with_key_user("deploy", &known);
    let mut spec = sshd.spec("web-1", "deploy");
    spec.credential = other.credential();
    let error = tested(&hub, &spec).await;
    assert_eq!(error["code"], "key_refused");
    assert!(
        message(&error).contains("SHA256:") && message(&error).contains("authorized_keys"),
        "{error}"
    );
}

#[tokio::test]
async fn a_wrong_passphrase_is_told_before_anything_is_stored() {
    let hub = hub_without_servers().await;
    let key = KeyPair::generate_locked("ed25519", "open sesame");
    let sshd = RealSshd::start().with_key_user("deploy", &key);
    let mut body = enrolment(&sshd.spec("web-1", "deploy"));
    body["ssh_key_passphrase"] = json!("open barley");
    let refusal = hub.api().try_post("/api/servers", &body).await.refused(422);
    assert!(refusal.message().contains("passphrase"), "{}", refusal.message());
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_are_told_apart() {
    let hub = hub_without_servers().await;
    let sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();

    let mut spec = sshd.spec("web-1", "deploy");
    spec.host = "no-such-host.invalid".to_owned();
    let error = tested(&hub, &spec).await;
    assert_eq!(error["code"], "unknown_host");
    assert!(message(&error).contains("no-such-host.invalid"), "{error}");

    let mut spec = sshd.spec("web-1", "deploy");
    spec.port = closed;
    let error = tested(&hub, &spec).await;
    assert_eq!(error["code"], "connection_refused");
    assert!(message(&error).contains(&closed.to_string()), "{error}");
}

#[tokio::test]
async fn whoever_does_not_speak_as_a_server_should_is_told_what_he_did() {
    let hub = hub_without_servers().await;
    for (misbehaviour, codes) in [
        (Misbehaviour::SilentAfterConnect, &["timeout"][..]),
        (Misbehaviour::SilentAfterLogin, &["timeout"]),
        (Misbehaviour::SpeaksHttp, &["protocol"]),
        (Misbehaviour::HangsUpInKeyExchange, &["disconnected", "protocol"]),
        (
            Misbehaviour::FloodsBeforeGreeting,
            &["probe_failed", "too_much_output"],
        ),
        (Misbehaviour::OtherSystem("FreeBSD"), &["not_linux"]),
    ] {
        let fake = FakeSsh::start(misbehaviour.clone()).await;
        let error = tested(&hub, &fake.spec("web-1")).await;
        assert!(
            codes.iter().any(|code| error["code"] == *code),
            "{misbehaviour:?}: {error}"
        );
        assert!(message(&error).contains("127.0.0.1"), "{misbehaviour:?}: {error}");
    }
}

#[tokio::test]
async fn a_noisy_login_shell_does_no_harm() {
    let hub = hub_without_servers().await;
    let noise = "Welcome!\n\x1b[31mLast login: never\x1b[0m\n"
        .repeat(40)
        .into_bytes();
    let fake = FakeSsh::start(Misbehaviour::Noisy(noise)).await;
    let id = hub.api().enrol_node(&fake.spec("noisy")).await;
    hub.api()
        .server_when(id, "online with CPU", |server| {
            server["latest"]["cpu_usage"].is_number()
        })
        .await;
}

#[tokio::test]
async fn a_hundred_megabytes_and_a_cut_answer_hurt_nobody_else() {
    let hub = TestHub::start().await;
    let flood = FakeSsh::start(Misbehaviour::Floods).await;
    let cut = FakeSsh::start(Misbehaviour::HangsUpInAnswer).await;
    let flooding = hub.api().enrol_node(&flood.spec("flood")).await;
    let cutting = hub.api().enrol_node(&cut.spec("cut")).await;
    let server = hub
        .api()
        .server_when(flooding, "too much", |server| {
            server["error"]["code"] == "too_much_output"
        })
        .await;
    assert!(message(&server["error"]).contains("flood"), "{server}");
    hub.api()
        .server_when(cutting, "cut off", |server| {
            server["error"]["code"] == "disconnected"
        })
        .await;

    let peak = peak_memory_bytes(hub.pid());
    assert!(peak < 256 << 20, "the hub took {} MiB in", peak >> 20);
    let mut live = hub.live().await;
    let deltas = live.counts.get("delta").copied().unwrap_or_default();
    live.until("the hub's own machine goes on", |live| {
        live.counts.get("delta") >= Some(&(deltas + 3))
    })
    .await;
    assert_eq!(hub.api().get("/api/health").await["status"], "ok");

    // And when it behaves again, it is read again.
    flood.become_like(Misbehaviour::None);
    hub.api().server_is(flooding, "online").await;
}

fn peak_memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn a_full_disk_stops_ingest_visibly_and_it_goes_on_by_itself_when_there_is_room() {
    let settings = TestHub::builder();
    let disk = Tmpfs::mount(&settings.directory().join("disk"), "8m").await;
    let hub = settings.database(&disk.path().join("gander.db")).start().await;
    let servers = hub.api().get("/api/servers").await;
    let id = servers[0]["id"].as_i64().unwrap();
    hub.api().server_is(id, "online").await;

    let ballast = disk.path().join("ballast");
    fill(&ballast);
    let sick = eventually("the hub says that it is not well", || async {
        let answer = hub.api().anonymous().try_get("/api/health").await;
        (answer.status == 503).then(|| answer.json())
    })
    .await;
    assert_ne!(sick["status"], "ok", "{sick}");
    assert!(sick.to_string().contains("full"), "{sick}");
    let before = newest(&hub, id).await;

    fs::remove_file(&ballast).unwrap();
    eventually("the hub is well again by itself", || async {
        (hub.api().anonymous().try_get("/api/health").await.status == 200).then_some(())
    })
    .await;
    eventually("samples go on", || async {
        (newest(&hub, id).await > before).then_some(())
    })
    .await;
    assert!(hub.stop().await.status.success());
}

/// Writes until the disk holds no byte more.
fn fill(path: &std::path::Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [64 << 10, 4 << 10, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

async fn newest(hub: &TestHub, id: i64) -> String {
    let rows = hub
        .api()
        .get(&format!("/api/metrics?server_id={id}&hours=1"))
        .await;
    let last = rows.as_array().unwrap().last().cloned().unwrap_or_default();
    last["timestamp"].as_str().unwrap_or_default().to_owned()
}
