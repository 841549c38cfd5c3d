//! What people do with gander from the first start on, through its doors, with real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod flows {
    mod credentials;
    mod imports;
}

use std::{collections::BTreeSet, process::Command};

use gander_e2e::{
    Api, TestHub, eventually,
    sshd::{KeyPair, RealSshd},
};
use serde_json::{Value, json};

/// The id of the hub's own machine.
async fn local_server(api: &Api) -> i64 {
    let servers = api.get("/api/servers").await;
    let local = servers
        .as_array()
        .unwrap()
        .iter()
        .find(|server| server["transport"] == "local");
    local.expect("the hub's own machine is a server")["id"]
        .as_i64()
        .unwrap()
}

async fn hub_without_servers() -> TestHub {
    TestHub::builder().without_local_server().start().await
}

#[tokio::test]
async fn the_first_start_shows_the_hub_s_own_machine_live() {
    let hub = TestHub::start().await;
    let mut live = hub.live().await;
    let id = local_server(hub.api()).await;
    live.until(
        "the local machine is online with CPU, memory, disk and load",
        |live| {
            let server = &live.servers[&id];
            let latest = &server["latest"];
            server["status"] == "online"
                && [
                    "cpu_usage",
                    "memory_usage",
                    "disk_usage",
                    "load_1",
                    "uptime_seconds",
                    "processes",
                ]
                .iter()
                .all(|value| latest[value].is_number())
        },
    )
    .await;
    let before = live.servers[&id]["latest"]["taken_at"].clone();
    live.until("newer values", |live| {
        live.servers[&id]["latest"]["taken_at"] != before
    })
    .await;
    assert_eq!(live.stats["total"], 1);
    assert_eq!(live.stats["online"], 1);

    let series = format!("/api/servers/{id}/series?metrics=cpu.usage");
    eventually("two points of a chart", || async {
        let answer = hub.api().get(&series).await;
        let points = answer["series"][0]["avg"].as_array()?;
        (points.iter().filter(|point| point.is_number()).count() >= 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_admin_from_the_environment_needs_no_set_up_link() {
    let hub = TestHub::builder()
        .env("GANDER_ADMIN_USER", "root")
        .env("GANDER_ADMIN_PASSWORD", "a password from a secret store")
        .start()
        .await;
    assert_eq!(hub.api().get("/api/setup").await["required"], false);
    let account = json!({"username": "root", "password": "a password from a secret store"});
    hub.api().post("/api/login", &account).await;
    assert!(
        !hub.log().text().contains("a password from a secret store"),
        "the password is in the log"
    );
}

#[tokio::test]
async fn a_token_made_on_the_command_line_works_while_the_hub_runs() {
    let hub = hub_without_servers().await;
    let (status, printed) = hub
        .settings()
        .run(&["token", "create", "--name", "backup-script", "--role", "viewer"])
        .await;
    assert!(status.success(), "{printed}");
    let token = printed
        .lines()
        .find(|line| line.starts_with("gdr_"))
        .expect(&printed);
    let script = hub.api().with_token(token.trim());
    assert_eq!(script.get("/api/session").await["user"]["role"], "viewer");
    script.try_post("/api/servers", &json!({})).await.refused(403);
}

#[tokio::test]
async fn a_server_with_a_password_shows_what_proc_df_and_free_say() {
    let hub = hub_without_servers().await;
    let sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    let spec = sshd.spec("web-1", "deploy");

    let test = hub.api().post("/api/servers/test", &test_request(&spec)).await;
    assert_eq!(test["ok"], true, "{test}");
    assert_eq!(
        test["host_key"]["fingerprint"],
        sshd.host_key("ed25519").fingerprint
    );

    let id = hub.api().enrol_node(&spec).await;
    let what = "online with CPU and what comes rarely";
    let server = hub
        .api()
        .server_when(id, what, |server| {
            let latest = &server["latest"];
            server["status"] == "online"
                && latest["cpu_usage"].is_number()
                && latest["disk_usage"].is_number()
        })
        .await;
    assert_eq!(
        server["host_key"]["fingerprint"],
        sshd.host_key("ed25519").fingerprint
    );
    assert_eq!(server["has_password"], true);
    assert!(server["ssh_password"].is_null(), "a secret comes back: {server}");
    same_as_this_machine(&server["latest"]);
}

/// The server is this very machine, so other programs can be asked for the same values.
fn same_as_this_machine(latest: &Value) {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let near = |what: &str, ours: f64, theirs: f64, tolerance: f64| {
        assert!(
            (ours - theirs).abs() <= tolerance,
            "{what}: gander says {ours}, the machine {theirs}"
        );
    };
    let number = |name: &str| {
        latest[name]
            .as_f64()
            .unwrap_or_else(|| panic!("no {name} in {latest:#}"))
    };

    assert_eq!(latest["kernel"], said("uname", &["-r"]).as_str());
    assert_eq!(latest["hostname"], said("uname", &["-n"]).as_str());
    assert_eq!(latest["architecture"], said("uname", &["-m"]).as_str());
    near(
        "cores",
        number("cpu_cores"),
        said("nproc", &["--all"]).parse().unwrap(),
        0.0,
    );

    let free = said("free", &["-b"]);
    let memory: Vec<f64> = columns(&free, "Mem:");
    near("total memory", number("memory_total_bytes"), memory[0], 0.0);
    // free prints total, used, free, shared, cache, available; other tests run meanwhile.
    near(
        "used memory",
        number("memory_used_bytes"),
        memory[0] - memory[5],
        memory[0] * 0.10,
    );

    let root = said("df", &["-P", "-B1", "/"]);
    let fields: Vec<&str> = root.lines().nth(1).unwrap().split_whitespace().collect();
    let (used, available): (f64, f64) = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
    near(
        "disk",
        number("disk_usage"),
        100.0 * used / (used + available),
        1.0,
    );

    let uptime = said("cat", &["/proc/uptime"]);
    near("uptime", number("uptime_seconds"), first(&uptime), 120.0);
    let load = said("cat", &["/proc/loadavg"]);
    near("load", number("load_1"), first(&load), 10.0);
}

fn columns(text: &str, row: &str) -> Vec<f64> {
    let line = text.lines().find(|line| line.starts_with(row)).unwrap();
    line.split_whitespace()
        .skip(1)
        .map(|word| word.parse().unwrap())
        .collect()
}

fn first(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn test_request(spec: &gander_hub::collect::ConnectSpec) -> Value {
    let mut body = gander_e2e::api::enrolment(spec);
    body.as_object_mut().unwrap().remove("name");
    body
}

#[tokio::test]
async fn a_server_with_a_locked_key_is_enrolled_after_its_host_key_was_seen() {
    let hub = hub_without_servers().await;
    let key = KeyPair::generate_locked("ed25519", "open sesame");
    let sshd = RealSshd::start().with_key_user("deploy", &key);
    let spec = sshd.spec("web-1", "deploy");

    let seen = hub
        .api()
        .post(
            "/api/servers/host-key",
            &json!({"ip": spec.host, "ssh_port": spec.port}),
        )
        .await;
    assert_eq!(
        seen["host_key"]["fingerprint"],
        sshd.host_key("ed25519").fingerprint
    );
    assert!(
        !sshd.log().contains("userauth"),
        "a credential was sent for a look at the key:\n{}",
        sshd.log()
    );

    let mut body = gander_e2e::api::enrolment(&spec);
    body["host_key"] = seen["host_key"]["public_key"].clone();
    let id = hub.api().enrol(&body).await;
    let server = hub.api().server_is(id, "online").await;
    assert_eq!(server["has_key"], true);
    assert_eq!(server["has_password"], false);
}

#[tokio::test]
async fn small_systems_are_read_too() {
    let hub = hub_without_servers().await;
    let dropbear = RealSshd::start_dropbear().with_password_user("deploy", "correct horse");
    let id = hub.api().enrol_node(&dropbear.spec("router", "deploy")).await;
    hub.api()
        .server_when(id, "online with CPU", |server| {
            server["latest"]["cpu_usage"].is_number()
        })
        .await;

    // A login shell that is BusyBox's, as on Alpine.
    let bin = tempfile::TempDir::new().unwrap();
    std::fs::set_permissions(bin.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ash = bin.path().join("ash");
    std::os::unix::fs::symlink("/usr/bin/busybox", &ash).unwrap();
    let sshd = RealSshd::start().with_shell_user("deploy", "correct horse", ash.to_str().unwrap());
    let id = hub.api().enrol_node(&sshd.spec("alpine", "deploy")).await;
    let server = hub
        .api()
        .server_when(id, "online with CPU and disk", |server| {
            server["latest"]["cpu_usage"].is_number() && server["latest"]["disk_usage"].is_number()
        })
        .await;
    same_as_this_machine(&server["latest"]);
}

#[tokio::test]
async fn a_server_behind_a_jump_host_is_read_through_it() {
    let hub = hub_without_servers().await;
    let gate = RealSshd::start().with_password_user("gate", "correct horse");
    let inner = RealSshd::start().with_password_user("deploy", "correct horse");
    let gate_id = hub.api().enrol_node(&gate.spec("gate", "gate")).await;
    let mut body = gander_e2e::api::enrolment(&inner.spec("inner", "deploy"));
    body["jump_server_id"] = json!(gate_id);
    let id = hub.api().enrol(&body).await;
    hub.api().server_is(id, "online").await;

    let refusal = hub
        .api()
        .send(
            hub.api()
                .request(reqwest::Method::DELETE, &format!("/api/servers/{gate_id}")),
        )
        .await
        .refused(409);
    assert!(refusal.message().contains("inner"), "{}", refusal.message());
}

#[tokio::test]
async fn a_server_that_goes_down_is_offline_in_words_pages_once_and_comes_back_by_itself() {
    let hub = hub_without_servers().await;
    let mut sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    let id = hub.api().enrol_node(&sshd.spec("web-1", "deploy")).await;
    hub.api().server_is(id, "online").await;
    let mut live = hub.live().await;

    sshd.stop();
    live.until("the server is offline", |live| {
        live.servers[&id]["status"] == "offline"
    })
    .await;
    let down = hub
        .api()
        .server_when(id, "offline because nothing listens", |server| {
            server["error"]["code"] == "connection_refused"
        })
        .await;
    let said = down["error"]["message"].as_str().unwrap();
    assert!(
        said.contains("web-1") && said.contains(&sshd.port().to_string()),
        "{said}"
    );
    assert!(down["failure_count"].as_u64() >= Some(1));
    live.until("the alert fires", |live| {
        live.open_alert(id, "unreachable").is_some()
    })
    .await;
    let alert = live.open_alert(id, "unreachable").unwrap().clone();
    assert!(alert["message"].as_str().unwrap().contains("web-1"), "{alert}");

    sshd.start_again();
    live.until("the server is online again", |live| {
        live.servers[&id]["status"] == "online"
    })
    .await;
    live.until("the alert resolves", |live| {
        live.open_alert(id, "unreachable").is_none()
    })
    .await;
    let history = hub.api().alerts(format!("server_id={id}")).await;
    assert_eq!(history.len(), 1, "one outage, one alert: {history:#?}");
    assert_eq!(history[0]["resolved"], true);
    assert!(history[0]["resolved_at"].is_string() && history[0]["resolved_by"].is_null());
    let kinds = event_kinds(hub.api(), id).await;
    for kind in [
        "server_offline",
        "server_online",
        "host_key_pinned",
        "server_added",
    ] {
        assert!(kinds.contains(kind), "{kind} in {kinds:?}");
    }
}

async fn event_kinds(api: &Api, server_id: i64) -> BTreeSet<String> {
    let events = api.get(&format!("/api/events?server_id={server_id}")).await;
    let kinds = events.as_array().unwrap().iter();
    kinds
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_changed_host_key_stops_everything_until_a_person_accepts_it() {
    let hub = hub_without_servers().await;
    let mut sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    let id = hub.api().enrol_node(&sshd.spec("web-1", "deploy")).await;
    hub.api().server_is(id, "online").await;
    let old = sshd.host_key("ed25519");
    let logged_in = sshd.log().matches("Accepted password").count();
    let mut live = hub.live().await;

    sshd.change_host_key();
    let server = hub
        .api()
        .server_when(id, "stopped for its host key", |server| {
            server["error"]["code"] == "host_key_changed"
        })
        .await;
    let new = sshd.host_key("ed25519");
    let said = server["error"]["message"].as_str().unwrap();
    assert!(
        said.contains(&old.fingerprint) && said.contains(&new.fingerprint),
        "{said}"
    );
    assert_eq!(server["status"], "offline");
    live.until("the alert fires", |live| {
        live.open_alert(id, "unreachable").is_some()
    })
    .await;
    assert!(event_kinds(hub.api(), id).await.contains("host_key_changed"));
    assert_eq!(
        sshd.log().matches("Accepted password").count(),
        logged_in,
        "the password was sent to a host nobody vouches for"
    );

    let seen = server["error"]["params"]["public_key"].clone();
    hub.api()
        .post(
            &format!("/api/servers/{id}/host-key"),
            &json!({"public_key": seen}),
        )
        .await;
    let server = hub.api().server_is(id, "online").await;
    assert_eq!(server["host_key"]["fingerprint"], new.fingerprint);
    live.until("the alert resolves", |live| {
        live.open_alert(id, "unreachable").is_none()
    })
    .await;
}

#[tokio::test]
async fn an_alert_fires_live_when_a_threshold_is_crossed_and_resolves_when_it_clears() {
    let hub = TestHub::start().await;
    let id = local_server(hub.api()).await;
    let path = format!("/api/servers/{id}");
    let mut live = hub.live().await;
    live.until("values", |live| {
        live.servers[&id]["latest"]["disk_usage"].is_number()
    })
    .await;
    assert!(live.alerts.is_empty(), "{:?}", live.alerts);

    hub.api()
        .patch(
            &path,
            &json!({"disk_threshold": 1, "disk_critical_threshold": 100}),
        )
        .await;
    live.until("the disk alert fires", |live| {
        live.open_alert(id, "disk").is_some()
    })
    .await;
    let alert = live.open_alert(id, "disk").unwrap().clone();
    assert_eq!(alert["level"], "warning");
    assert!(
        alert["label"].as_str().unwrap().starts_with('/'),
        "a mount point: {alert}"
    );
    live.until("the server shows it", |live| {
        live.servers[&id]["active_alerts"]["warning"] != 0
    })
    .await;
    live.until("the fleet shows it", |live| live.stats["active_alerts"] != 0)
        .await;

    hub.api().patch(&path, &json!({"disk_threshold": 99})).await;
    live.until("it resolves by itself", |live| {
        live.open_alert(id, "disk").is_none()
    })
    .await;
    live.until("the server shows that", |live| {
        live.servers[&id]["active_alerts"]["warning"] == 0
    })
    .await;
    let history = hub.api().alerts(format!("server_id={id}&resolved=true")).await;
    assert!(
        history.iter().all(|alert| alert["resolved_by"].is_null()),
        "{history:#?}"
    );
}

#[tokio::test]
async fn an_alert_closed_by_a_person_stays_closed_while_nothing_gets_worse() {
    let hub = TestHub::start().await;
    let id = local_server(hub.api()).await;
    let mut live = hub.live().await;
    hub.api()
        .patch(
            &format!("/api/servers/{id}"),
            &json!({"disk_threshold": 1, "disk_critical_threshold": 100}),
        )
        .await;
    live.until("the disk alert fires", |live| {
        live.open_alert(id, "disk").is_some()
    })
    .await;

    let resolved = hub.api().post("/api/alerts/resolve", &json!({"all": true})).await;
    assert!(resolved["resolved"].as_u64() >= Some(1), "{resolved}");
    live.until("every page hears of it", |live| {
        live.open_alert(id, "disk").is_none()
    })
    .await;
    let seen = live.counts["delta"];
    live.until("five more readings", |live| live.counts["delta"] >= seen + 5)
        .await;
    assert!(
        live.open_alert(id, "disk").is_none(),
        "it came back: {:?}",
        live.alerts
    );
    let history = hub.api().alerts(format!("server_id={id}")).await;
    assert!(
        history
            .iter()
            .all(|alert| alert["resolved_by"] == "token:the tests"),
        "{history:#?}"
    );
    assert!(event_kinds(hub.api(), id).await.contains("alert_resolved"));
}

#[tokio::test]
async fn deleted_samples_are_gone_and_their_space_is_given_back() {
    let hub = TestHub::start().await;
    let id = local_server(hub.api()).await;
    eventually("some samples", || async {
        let rows = hub
            .api()
            .get(&format!("/api/metrics?server_id={id}&hours=1"))
            .await;
        (rows.as_array()?.len() >= 5).then_some(())
    })
    .await;
    // Nothing new comes while the server is paused.
    hub.api()
        .patch(&format!("/api/servers/{id}"), &json!({"enabled": false}))
        .await;
    hub.api().server_is(id, "paused").await;
    let count = |api: Api| async move { api.get("/api/metrics/count").await["count"].as_u64().unwrap() };
    let mut before = count(hub.api().clone()).await;
    // A reading that was under way when the server was paused may still come in.
    before = eventually("no more samples", || {
        let counting = count(hub.api().clone());
        let last = std::mem::replace(&mut before, u64::MAX);
        async move { (counting.await == last).then_some(last) }
    })
    .await;

    let deleted = hub.api().delete(&format!("/api/metrics?server_id={id}")).await;
    assert_eq!(deleted["deleted"].as_u64(), Some(before));
    assert_eq!(count(hub.api().clone()).await, 0);
    let rows = hub
        .api()
        .get(&format!("/api/metrics?server_id={id}&hours=1"))
        .await;
    assert_eq!(rows, json!([]));
    let storage = hub.api().get("/api/storage").await;
    assert_eq!(storage["samples"], 0, "{storage}");
    assert_eq!(
        storage["free_bytes"], 0,
        "free pages are kept in the file: {storage}"
    );
    assert!(event_kinds(hub.api(), id).await.contains("samples_deleted"));
}

#[tokio::test]
async fn a_deleted_server_leaves_with_all_its_data_and_its_connection() {
    let hub = hub_without_servers().await;
    let sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    let id = hub.api().enrol_node(&sshd.spec("web-1", "deploy")).await;
    hub.api().server_is(id, "online").await;
    let mut live = hub.live().await;
    hub.api().delete(&format!("/api/servers/{id}")).await;
    live.until("every page hears of it", |live| !live.servers.contains_key(&id))
        .await;
    hub.api()
        .try_get(&format!("/api/servers/{id}"))
        .await
        .refused(404);
    eventually("the hub leaves the node", || async {
        sshd.processes_of("deploy").is_empty().then_some(())
    })
    .await;
    assert_eq!(hub.api().get("/api/metrics/count").await["count"], 0);
    // The name is free again.
    hub.api().enrol_node(&sshd.spec("web-1", "deploy")).await;
}

#[tokio::test]
async fn a_refresh_or_a_look_brings_values_long_before_the_interval_ends() {
    let hub = TestHub::builder().env("GANDER_INTERVAL", "1h").start().await;
    let id = local_server(hub.api()).await;
    let mut live = hub.live().await;
    live.until("the first values", |live| {
        live.servers[&id]["latest"]["cpu_usage"].is_number()
    })
    .await;

    let before = live.servers[&id]["latest"]["taken_at"].clone();
    live.say("refresh").await;
    live.until("newer values", |live| {
        live.servers[&id]["latest"]["taken_at"] != before
    })
    .await;

    live.watch(&[id]).await;
    live.until("three full snapshots", |live| {
        live.counts.get("snapshot") >= Some(&3)
    })
    .await;
    let snapshot = &live.snapshots[&id]["snapshot"];
    assert!(
        snapshot["filesystems"]
            .as_array()
            .is_some_and(|all| !all.is_empty()),
        "{snapshot:#}"
    );
}

#[tokio::test]
async fn a_stop_loses_nothing_and_leaves_nobody_behind() {
    let hub = TestHub::start().await;
    let sshd = RealSshd::start().with_password_user("deploy", "correct horse");
    let id = hub.api().enrol_node(&sshd.spec("web-1", "deploy")).await;
    let (mut live, seen) = ten_readings(&hub, id).await;
    let stopped = hub.stop().await;
    assert!(
        stopped.status.success(),
        "{:?}\n{}",
        stopped.status,
        stopped.log.tail(30)
    );
    live.until_closed().await;
    eventually("the probe is gone from the node", || async {
        sshd.processes_of("deploy").is_empty().then_some(())
    })
    .await;
    let hub = stopped.start().await;
    has_all(&hub, id, &seen).await;
    hub.api().server_is(id, "online").await;
}

#[tokio::test]
async fn a_kill_loses_no_value_that_was_shown() {
    let hub = TestHub::start().await;
    let id = local_server(hub.api()).await;
    let (_, seen) = ten_readings(&hub, id).await;
    let hub = hub.kill().await.start().await;
    has_all(&hub, id, &seen).await;
    assert_eq!(hub.api().get("/api/health").await["status"], "ok");
}

/// Watches a server until ten of its readings were shown, and returns when they were taken.
async fn ten_readings(hub: &TestHub, id: i64) -> (gander_e2e::LiveClient, BTreeSet<String>) {
    let mut live = hub.live().await;
    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        assert!(
            live.next().await.is_some(),
            "the WebSocket closed:\n{}",
            hub.log().tail(20)
        );
        let server = live.servers.get(&id).map(|server| &server["latest"]["taken_at"]);
        if let Some(taken_at) = server.and_then(Value::as_str) {
            seen.insert(taken_at.to_owned());
        }
    }
    (live, seen)
}

async fn has_all(hub: &TestHub, id: i64, seen: &BTreeSet<String>) {
    let rows = hub
        .api()
        .get(&format!("/api/metrics?server_id={id}&hours=1"))
        .await;
    let rows = rows.as_array().unwrap().iter();
    let stored: BTreeSet<String> = rows
        .map(|row| row["timestamp"].as_str().unwrap().to_owned())
        .collect();
    let lost: Vec<_> = seen.difference(&stored).collect();
    assert!(lost.is_empty(), "shown but not stored: {lost:?}");
}

#[tokio::test]
async fn the_documentation_is_served_without_the_internet() {
    let hub = hub_without_servers().await;
    let document = hub.api().anonymous().get("/api/openapi.json").await;
    for path in ["/api/servers", "/api/metrics", "/api/alerts/{id}/resolve", "/ws"] {
        assert!(document["paths"].get(path).is_some(), "{path} is not described");
    }
    let page = hub.api().anonymous().try_get("/api/docs/").await;
    page.succeeded();
    assert!(
        !page.text().contains("https://"),
        "the page loads from elsewhere: {}",
        page.text()
    );
}
