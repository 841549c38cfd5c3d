//! What was measured: rows, series, snapshots, alerts, events, sheets, health.

use super::*;

/// A moment some minutes ago, on a whole second.
fn minutes_ago(minutes: i64) -> Timestamp {
    Timestamp(Timestamp::now().as_millis() / 1000 * 1000).plus_millis(-minutes * 60_000)
}

#[tokio::test]
async fn a_reading_shows_on_the_server_in_the_stats_and_in_full() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let id = app.enrol("web-1").await;
    app.enrol("web-2").await;
    app.read(healthy(id, Timestamp::now(), 500)).await;
    let server = viewer.get(&format!("/api/servers/{id}")).await.json();
    assert_eq!(server["status"], "online");
    insta::assert_json_snapshot!(steady(server["latest"].clone()));
    insta::assert_json_snapshot!("stats", viewer.get("/api/stats").await.json());
    let snapshot = viewer.get(&format!("/api/servers/{id}/snapshot")).await.json();
    assert_eq!(snapshot["snapshot"]["filesystems"][0]["mount_point"], "/");
    assert_eq!(snapshot["snapshot"]["cpu"]["usage_permille"], 425);
}

#[tokio::test]
async fn rows_are_the_originals_oldest_first_and_paged() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let (id, other) = (app.enrol("web-1").await, app.enrol("web-2").await);
    for minutes in [5, 4, 3] {
        app.read(healthy(id, minutes_ago(minutes), 500)).await;
    }
    app.read(healthy(other, minutes_ago(4), 500)).await;
    let rows = viewer
        .get(&format!("/api/metrics?server_id={id}&hours=1"))
        .await
        .json();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    insta::assert_json_snapshot!(steady(rows[0].clone()));
    assert!(rows[0]["timestamp"].as_str() < rows[2]["timestamp"].as_str());

    let mut path = "/api/metrics?hours=1&limit=3".to_owned();
    let mut pages = Vec::new();
    loop {
        let answer = viewer.get(&path).await;
        pages.push(answer.json().as_array().unwrap().len());
        match answer
            .header("link")
            .strip_prefix('<')
            .and_then(|link| link.split('>').next())
        {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages.iter().sum::<usize>(), 4, "{pages:?}");
    assert_eq!(pages[0], 3);
    let none = viewer
        .get("/api/metrics?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00%2B01:00")
        .await;
    assert_eq!(none.json(), json!([]));
}

#[tokio::test]
async fn a_span_that_makes_no_sense_is_refused() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    for (query, field) in [
        ("hours=0", "hours"),
        ("hours=-1", "hours"),
        ("hours=NaN", "hours"),
        ("hours=soon", "hours"),
        ("hours=1&from=2026-01-01T00:00:00Z", "hours"),
        ("from=yesterday", "from"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("limit=0", "limit"),
        ("limit=1000000", "limit"),
        ("cursor=nonsense", "cursor"),
        ("server=1", "server"),
        ("hours=1&hours=2", "hours"),
    ] {
        let answer = viewer.get(&format!("/api/metrics?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        answer.field(field);
    }
}

#[tokio::test]
async fn series_are_columns_in_units_people_use() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let id = app.enrol("web-1").await;
    let at = minutes_ago(10);
    app.read(healthy(id, at, 500)).await;
    let answer = viewer
        .get(&format!(
            "/api/servers/{id}/series?metrics=cpu.usage,load.1,filesystem.usage&hours=1&points=60"
        ))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    let steps = body["times"].as_array().unwrap().len();
    assert!((1..=61).contains(&steps), "{steps}");
    let column = |metric: &str| {
        let series = body["series"].as_array().unwrap();
        series
            .iter()
            .find(|series| series["metric"] == metric)
            .unwrap()
            .clone()
    };
    let value = |column: &Value, kind: &str| {
        let values = column[kind].as_array().unwrap();
        assert_eq!(values.len(), steps);
        values.iter().find_map(Value::as_f64)
    };
    let cpu = column("cpu.usage");
    assert_eq!(
        (cpu["unit"].as_str(), value(&cpu, "avg"), value(&cpu, "max")),
        (Some("percent"), Some(42.5), Some(42.5))
    );
    assert_eq!(
        (column("load.1")["unit"].as_str(), value(&column("load.1"), "min")),
        (Some("load"), Some(1.42))
    );
    assert_eq!(
        (
            column("filesystem.usage")["label"].as_str(),
            value(&column("filesystem.usage"), "avg")
        ),
        (Some("/"), Some(50.0))
    );

    let refused = viewer
        .get(&format!("/api/servers/{id}/series?metrics=cpu.usage,cpu.wattage"))
        .await;
    assert!(
        refused.field("metrics")["message"]
            .as_str()
            .unwrap()
            .contains("cpu.wattage")
    );
    viewer
        .get(&format!("/api/servers/{id}/series"))
        .await
        .field("metrics");
}

#[tokio::test]
async fn one_metric_of_the_fleet_is_a_line_a_server_the_busiest_first() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let (calm, silent) = (app.enrol("web-1").await, app.enrol("web-2").await);
    app.read(healthy(calm, minutes_ago(10), 500)).await;
    let ask = async |query: &str| viewer.get(&format!("/api/fleet/series?{query}")).await;
    let answer = ask("metric=cpu.usage&hours=1&points=60&group_by=tag").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    let steps = body["times"].as_array().unwrap().len();
    let values = |list: &Value| -> Vec<f64> {
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), steps);
        list.iter().filter_map(Value::as_f64).collect()
    };
    assert_eq!(
        (body["metric"].as_str(), body["unit"].as_str()),
        (Some("cpu.usage"), Some("percent"))
    );
    let [line] = body["servers"].as_array().unwrap().as_slice() else {
        panic!("{silent} has no values and no line: {body}");
    };
    assert_eq!((&line["server_id"], &line["mean"]), (&json!(calm), &json!(42.5)));
    for kind in ["min", "avg", "max"] {
        assert_eq!(values(&line[kind]), [42.5], "{kind}");
    }
    let whole = &body["groups"][0];
    assert_eq!((&whole["name"], &whole["servers"]), (&Value::Null, &json!(1)));
    assert_eq!(values(&whole["p95"]), [42.5]);

    let means = ask("metric=cpu.usage&hours=1&values=mean").await.json();
    assert_eq!(means["servers"][0]["min"], Value::Null);
    assert_eq!(
        ask("metric=cpu.usage&hours=1&tag=none").await.json()["servers"],
        json!([])
    );
    let none = ask("metric=cpu.usage&hours=1&top=0").await.json();
    assert_eq!(
        (&none["servers"], &none["groups"][0]["servers"]),
        (&json!([]), &json!(1))
    );
    for (query, field) in [
        ("hours=1", "metric"),
        ("metric=cpu.wattage", "metric"),
        ("metric=cpu.usage&points=0", "points"),
        ("metric=cpu.usage&group_by=size", "group_by"),
        ("metric=cpu.usage&hours=1&servers=1", "servers"),
    ] {
        let answer = ask(query).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        answer.field(field);
    }
    assert_eq!(
        app.anonymous()
            .get("/api/fleet/series?metric=cpu.usage")
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn samples_are_counted_then_deleted() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = app.enrol("web-1").await;
    for minutes in [30, 20, 10] {
        app.read(healthy(id, minutes_ago(minutes), 500)).await;
    }
    let range = format!("server_id={id}&before={}", minutes_ago(15));
    assert_eq!(
        admin.get(&format!("/api/metrics/count?{range}")).await.json(),
        json!({"count": 2})
    );
    assert_eq!(
        admin.delete(&format!("/api/metrics?{range}")).await.json(),
        json!({"deleted": 2})
    );
    assert_eq!(admin.get("/api/storage").await.json()["samples"], 1);
    assert_eq!(admin.delete("/api/metrics").await.json(), json!({"deleted": 1}));
    assert_eq!(
        admin.delete("/api/metrics?before=someday").await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let storage = admin.get("/api/storage").await.json();
    assert_eq!(
        (&storage["samples"], &storage["oldest"]),
        (&json!(0), &json!(null))
    );
    assert!(storage["database_bytes"].as_u64().unwrap() > 0);
}

/// Opens a disk alert (disks fire at once) and returns its id.
async fn open_alert(app: &TestApp, id: ServerId) -> i64 {
    app.read(healthy(id, Timestamp::now(), 920)).await;
    let alerts = app.viewer().await.get("/api/alerts?resolved=false").await.json();
    alerts[0]["id"]
        .as_i64()
        .unwrap_or_else(|| panic!("no alert: {alerts}"))
}

#[tokio::test]
async fn a_full_disk_is_an_alert_in_the_readers_language() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let id = app.enrol("web-1").await;
    open_alert(&app, id).await;
    let english = viewer.get("/api/alerts").await.json();
    insta::assert_json_snapshot!(steady(english[0].clone()));
    let chinese = viewer
        .clone()
        .with("accept-language", "zh-CN,zh;q=0.9")
        .get("/api/alerts")
        .await
        .json();
    assert!(
        chinese[0]["message"]
            .as_str()
            .unwrap()
            .contains("磁盘 / 使用率 92.0 %"),
        "{chinese}"
    );
    assert_eq!(viewer.get("/api/alerts?level=critical").await.json(), json!([]));
    assert_eq!(viewer.get("/api/alerts?resolved=true").await.json(), json!([]));
    assert_eq!(viewer.get("/api/stats").await.json()["active_alerts"], 1);
    let server = viewer.get(&format!("/api/servers/{id}")).await.json();
    assert_eq!(server["active_alerts"], json!({"warning": 1, "critical": 0}));
}

#[tokio::test]
async fn alerts_are_resolved_by_a_person_who_is_named() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (one, two) = (app.enrol("web-1").await, app.enrol("web-2").await);
    let alert = open_alert(&app, one).await;
    let resolved = admin
        .post(&format!("/api/alerts/{alert}/resolve"), json!({}))
        .await
        .json();
    assert_eq!(
        (&resolved["resolved"], &resolved["resolved_by"]),
        (&json!(true), &json!("token:admin"))
    );
    open_alert(&app, two).await;
    admin.post("/api/alerts/resolve", json!({})).await.field("ids");
    admin
        .post("/api/alerts/resolve", json!({"ids": [1], "all": true}))
        .await
        .field("all");
    assert_eq!(
        admin
            .post("/api/alerts/resolve", json!({"ids": [alert]}))
            .await
            .json(),
        json!({"resolved": 0})
    );
    assert_eq!(
        admin
            .post("/api/alerts/resolve", json!({"all": true}))
            .await
            .json(),
        json!({"resolved": 1})
    );
    assert_eq!(
        admin.post("/api/alerts/4711/resolve", json!({})).await.status,
        StatusCode::NOT_FOUND
    );
    let first = admin.get("/api/alerts?limit=1").await;
    assert_eq!(first.json()[0]["server_name"], "web-2");
    assert!(first.header("link").contains("cursor="));
}

#[tokio::test]
async fn where_people_log_in_from_is_for_admins() {
    let app = TestApp::start().await;
    app.user("ada", Role::Admin).await;
    app.logged_in("ada").await;
    let seen = app.admin().await.get("/api/events?kind=logged_in").await.json();
    assert_eq!(seen[0]["details"]["address"], "192.0.2.7");
    let hidden = app.viewer().await.get("/api/events?kind=logged_in").await.json();
    assert_eq!(
        (&hidden[0]["actor"], &hidden[0]["details"]),
        (&json!("ada"), &json!({}))
    );
    app.viewer()
        .await
        .get("/api/events?kind=party")
        .await
        .field("kind");
}

#[tokio::test]
async fn a_csv_neutralises_what_a_spreadsheet_would_run() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let id = app.enrol("=HYPERLINK(\"http://evil\")").await;
    app.read(healthy(id, minutes_ago(1), 920)).await;
    let answer = viewer.get("/api/export?kind=metrics&format=csv&lang=zh").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let name = answer.header("content-disposition");
    assert!(
        name.starts_with("attachment; filename=\"gander-metrics-20") && name.ends_with(".csv\""),
        "{name}"
    );
    let text = answer.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("\u{feff}时间 (UTC),服务器,CPU 使用率 (%)"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].contains(",\"'=HYPERLINK(\"\"http://evil\"\")\",42.5,50,92,1.42,120"),
        "{}",
        lines[1]
    );
    for (kind, expected) in [
        ("alerts", "Started (UTC),Server,Level"),
        ("servers", "Name,Address,Port"),
    ] {
        let answer = viewer
            .get(&format!("/api/export?kind={kind}&format=csv&lang=en"))
            .await;
        assert!(
            answer.text().starts_with(&format!("\u{feff}{expected}")),
            "{}",
            answer.text()
        );
        assert_eq!(answer.text().lines().count(), 2, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_workbook_is_a_workbook_and_places_are_given_back() {
    let app = TestApp::start().await;
    let viewer = app.viewer().await;
    let id = app.enrol("web-1").await;
    app.read(healthy(id, minutes_ago(1), 500)).await;
    for _ in 0..5 {
        let answer = viewer.get("/api/export?kind=metrics").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert!(answer.header("content-type").ends_with("spreadsheetml.sheet"));
        assert_eq!(&answer.body[..2], b"PK");
        assert!(answer.header("content-disposition").ends_with(".xlsx\""));
    }
    let places: Vec<_> = (0..2)
        .map(|_| app.state.exports.clone().try_acquire_owned().unwrap())
        .collect();
    assert_eq!(viewer.get("/api/export?kind=metrics").await.code(), "busy");
    drop(places);
    viewer.get("/api/export").await.field("kind");
    viewer
        .get("/api/export?kind=metrics&format=pdf")
        .await
        .field("format");
}

#[tokio::test]
async fn asking_for_health_again_and_again_writes_no_more_than_once_a_second() {
    let app = TestApp::start().await;
    let began = std::time::Instant::now();
    let mut writes = std::collections::BTreeSet::new();
    for round in 0..40 {
        let visitor = app.anonymous();
        let asking = visitor.get("/api/health");
        if round % 2 == 0 {
            // Hangs up as early as it can.
            let _ = tokio::time::timeout(Duration::ZERO, asking).await;
        } else {
            asking.await;
        }
        writes.extend(app.store.get_meta("health.checked_at").await.unwrap());
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(
        writes.len() <= seconds + 2,
        "{} writes within {seconds} seconds",
        writes.len()
    );
}

#[tokio::test]
async fn health_is_open_and_follows_what_is_checked() {
    let app = TestApp::start().await;
    let answer = app.anonymous().get("/api/health").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let body = answer.json();
    assert_eq!(
        (
            &body["status"],
            &body["checks"]["store"]["ok"],
            &body["checks"]["ingest"]["ok"]
        ),
        (&json!("ok"), &json!(true), &json!(true))
    );
    app.store.close().await;
    // The last check counts for a second, so the change shows a little later.
    let give_up = tokio::time::Instant::now() + PATIENCE;
    let failing = loop {
        let answer = app.anonymous().get("/api/health").await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            break answer.json();
        }
        assert!(
            tokio::time::Instant::now() < give_up,
            "a closed store stays healthy: {}",
            answer.text()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        (&failing["status"], &failing["checks"]["store"]["ok"]),
        (&json!("failing"), &json!(false))
    );
}
