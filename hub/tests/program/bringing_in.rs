//! `import` of generated databases of the original system, of two versions of it.

use gander_hub::{
    model::{Metric, ServerId, alert::Rule},
    store::{AlertQuery, MetricsQuery, SeriesQuery, Step},
};
use sqlx::{
    Connection as _,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};

use super::*;

fn monitor_db(path: &Path, sql: &'static str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

fn with_store<T>(directory: &Path, look: impl AsyncFnOnce(&Store) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let key = MasterKey::load_existing(&directory.join("master.key"))
            .unwrap()
            .unwrap();
        let store = Store::open(&directory.join("gander.db"), key).await.unwrap();
        let found = look(&store).await;
        store.close().await;
        found
    })
}

fn import(directory: &Path, more: &[&str]) -> (bool, String, String) {
    let mut command = gander(directory);
    command
        .args(["import", "--from-monitor", "monitor.db"])
        .args(more);
    run(&mut command)
}

/// As the original writes it: 5,000 samples of two servers in local time, 30 s apart.
const FULL: &str = "
    CREATE TABLE servers (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(100) NOT NULL, ip VARCHAR(50) NOT NULL,
        ssh_user VARCHAR(50), ssh_password VARCHAR(200), ssh_key_path VARCHAR(200), ssh_port INTEGER DEFAULT 22,
        cpu_threshold REAL DEFAULT 80.0, memory_threshold REAL DEFAULT 85.0, disk_threshold REAL DEFAULT 90.0,
        is_active BOOLEAN DEFAULT 1, created_at DATETIME);
    INSERT INTO servers (name, ip, ssh_user, ssh_password, ssh_key_path, ssh_port, cpu_threshold, created_at) VALUES
        ('web-1', '192.0.2.1', 'deploy', 'hunter2-web', NULL, 2222, 70.0, '2024-05-01 08:00:00'),
        ('数据库', '192.0.2.2', 'root', NULL, '/nowhere/id_rsa', 22, 95, '2024-05-01 08:00:00'),
        ('', '192.0.2.3', 'root', 'x', NULL, 22, 80, NULL),
        ('evil', 'a b;rm', 'root', 'x', NULL, 22, 80, NULL),
        ('locked', '192.0.2.4', 'root', 'gAAAAABmQ0Zm', NULL, 22, 80, NULL);
    CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, server_id INTEGER, cpu_usage FLOAT, memory_usage FLOAT,
        disk_usage FLOAT, load_avg VARCHAR(50), processes INTEGER, network_in FLOAT, timestamp DATETIME);
    WITH RECURSIVE step(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM step WHERE n < 2499)
    INSERT INTO metrics (server_id, cpu_usage, memory_usage, disk_usage, load_avg, processes, network_in, timestamp)
        SELECT server, n % 100 + 0.5, 40.25, 71.0, '1.42, 0.90, 0.50', 120 + n % 7, 1.5,
            strftime('%Y-%m-%d %H:%M:%S.123456', 1714521600 + n * 30, 'unixepoch')
        FROM step, (SELECT 1 AS server UNION SELECT 2);
    INSERT INTO metrics (server_id, cpu_usage, timestamp) VALUES
        (77, 1, '2024-05-01 00:00:00'), (1, 1, 'yesterday'), (1, 1, '2094-05-01 00:00:00'), (1, NULL, '2024-06-01 00:00:00'),
        (1, 250, '2024-06-02 00:00:00');
    CREATE TABLE alerts (id INTEGER PRIMARY KEY AUTOINCREMENT, server_id INTEGER, type VARCHAR(50), message TEXT,
        level VARCHAR(20), resolved BOOLEAN, resolved_at DATETIME, created_at DATETIME);
    INSERT INTO alerts (server_id, type, message, level, resolved, resolved_at, created_at) VALUES
        (1, 'cpu', 'CPU使用率过高: 92.5% (阈值: 70%)', 'critical', 1, '2024-05-01 09:10:00', '2024-05-01 09:00:00'),
        (2, 'disk', 'Disk usage is 95.1%', 'warning', 0, NULL, '2024-05-02 09:00:00'),
        (2, 'offline', 'Connection refused', 'critical', 1, NULL, '2024-05-03 09:00:00'),
        (2, 'weather', 'rain', 'warning', 1, NULL, '2024-05-03 09:00:00');
    CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT);";

#[test]
fn the_original_systems_data_is_taken_over_once() {
    let directory = tempfile::tempdir().unwrap();
    monitor_db(&directory.path().join("monitor.db"), FULL);
    let before = fs::read(directory.path().join("monitor.db")).unwrap();
    let zone = ["--timezone", "Asia/Shanghai"];

    let (well, said, complaints) = import(directory.path(), &["--timezone", "Asia/Shanghai", "--dry-run"]);
    assert!(
        well && said.contains("WOULD BE ADDED") && said.contains("nothing was written"),
        "{complaints}{said}"
    );
    with_store(directory.path(), async |store| {
        assert!(store.servers().await.unwrap().is_empty());
    });

    let (well, said, complaints) = import(directory.path(), &zone);
    assert!(well, "{complaints}");
    assert!(!said.contains("hunter2") && !complaints.contains("hunter2"));
    let lines: Vec<Vec<&str>> = said
        .lines()
        .take(4)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1], ["servers", "5", "3", "0", "2"], "{said}");
    assert_eq!(lines[2], ["samples", "5005", "5000", "0", "5"], "{said}");
    assert_eq!(lines[3], ["alerts", "4", "3", "0", "1"], "{said}");
    for expected in [
        "samples from 2024-04-30T16:00:00.123Z to 2024-05-01T12:49:30.123Z",
        "1 samples left out: their server is not in the file, or was left out",
        "1 samples left out: their time cannot be read",
        "1 samples left out: their time is in the future: another --timezone?",
        "2 samples left out: they hold no value that can be read",
        "1 alerts left out: their type is not cpu, memory, disk or offline",
        "1 alerts were open there and are closed here",
        "server without a name was left out: it has no name",
        "server evil was left out: \"a b;rm\" is no address",
        "the key of server 数据库 could not be read from /nowhere/id_rsa",
        "the password of server locked is encrypted in the file",
        "not used: column metrics.network_in, column servers.is_active, column servers.created_at, table users",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }

    with_store(directory.path(), async |store| {
        let targets = store.targets().await.unwrap();
        let (server, credential) = targets
            .iter()
            .find(|(server, _)| server.spec.name == "web-1")
            .unwrap();
        assert_eq!(credential.password, Some(Secret::new("hunter2-web".into())));
        assert_eq!(
            (server.spec.ssh_port, server.spec.ssh_user.as_str()),
            (2222, "deploy")
        );
        assert_eq!(server.spec.thresholds.cpu.warning_percent, 70);
        assert_eq!(server.spec.thresholds.cpu.critical_percent, 90);
        let query = MetricsQuery {
            server_id: Some(server.id),
            limit: 10_000,
            ..MetricsQuery::default()
        };
        let rows = store.metric_rows(&query).await.unwrap().rows;
        assert_eq!(rows.len(), 2500);
        let row = &rows[130];
        assert_eq!(
            row.taken_at,
            Timestamp::parse("2024-04-30T17:05:00.123Z").unwrap()
        );
        assert_eq!(row.cpu_usage_permille, Some(305));
        assert_eq!(row.memory_usage_permille, Some(403));
        assert_eq!(row.disk_usage_permille, Some(710));
        assert_eq!(row.load_1_hundredths, Some(142));
        assert_eq!(row.processes, Some(124));
        // What was not measured is absent, not zero.
        let series = SeriesQuery {
            server_id: server.id,
            metrics: vec![Metric::CpuUser, Metric::MemoryUsed, Metric::MemoryTotal],
            from: rows[0].taken_at,
            to: rows[2499].taken_at,
            max_points: 100,
            step: Step::Auto,
        };
        assert!(store.query(&series).await.unwrap().series.is_empty());

        let mut alerts = alerts_of(store, None).await;
        alerts.sort_by_key(|alert| alert.created_at);
        let rules: Vec<Rule> = alerts.iter().map(|alert| alert.key.rule).collect();
        assert_eq!(rules, [Rule::Cpu, Rule::Disk, Rule::Unreachable]);
        assert_eq!(alerts[0].params["value_permille"], 925);
        assert_eq!(
            alerts[0].resolved_at,
            Some(Timestamp::parse("2024-05-01T01:10:00Z").unwrap())
        );
        assert_eq!(alerts[1].resolved_by.as_deref(), Some("import"));
        let sentence = gander_hub::alert::message::render(&alerts[0], "web-1", Default::default());
        assert_eq!(sentence, "web-1: CPU使用率过高: 92.5% (阈值: 70%)");
    });

    // Again: nothing twice. And the old file is as it was.
    let (well, said, _) = import(directory.path(), &["--timezone", "Asia/Shanghai", "--json"]);
    assert!(well, "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["servers"]["present"], 3);
    assert_eq!(
        (&report["samples"]["added"], &report["samples"]["present"]),
        (&0.into(), &5000.into())
    );
    assert_eq!(
        (&report["alerts"]["added"], &report["alerts"]["present"]),
        (&0.into(), &3.into())
    );
    assert!(fs::read(directory.path().join("monitor.db")).unwrap() == before);
    with_store(directory.path(), async |store| {
        assert_eq!(store.storage_stats().await.unwrap().samples, 5000);
        assert_eq!(alerts_of(store, None).await.len(), 3);
    });
    let (sound, said, _) = run(gander(directory.path()).arg("check"));
    assert!(sound, "{said}");

    // A hub starts with it, and while it runs nothing is brought in.
    let hub = Hub::start(gander(directory.path()).env("GANDER_LOCAL_SERVER", "false"));
    let (well, _, complaints) = import(directory.path(), &zone);
    assert!(!well && complaints.contains("stop it first"), "{complaints}");
    hub.stop();
}

async fn alerts_of(store: &Store, server_id: Option<ServerId>) -> Vec<gander_hub::model::Alert> {
    let query = AlertQuery {
        server_id,
        limit: 1000,
        ..AlertQuery::default()
    };
    store.alerts(&query).await.unwrap()
}

/// Few columns, other names, seconds since 1970; and a name that is taken by another machine.
#[test]
fn an_older_file_is_read_as_far_as_it_goes_and_nothing_is_written_over() {
    let directory = tempfile::tempdir().unwrap();
    monitor_db(
        &directory.path().join("monitor.db"),
        "CREATE TABLE servers (id INTEGER PRIMARY KEY, name TEXT, host TEXT, username TEXT, password TEXT);
         INSERT INTO servers VALUES (1, 'web-1', '192.0.2.9', 'root', 'x'), (2, 'new', 'new.example.org', NULL, 'y');
         CREATE TABLE metrics (server_id INTEGER, cpu TEXT, timestamp INTEGER);
         INSERT INTO metrics VALUES (1, '1', 1714521600), (2, '12.5%', 1714521600), (2, '13', 1714521660);",
    );
    keeping::fill(directory.path(), 500);
    let (well, said, complaints) = import(directory.path(), &[]);
    assert!(well, "{complaints}");
    assert!(
        said.contains("server web-1 (192.0.2.9) was left out, and its history"),
        "{said}"
    );
    assert!(said.contains("there is no table alerts"), "{said}");
    with_store(directory.path(), async |store| {
        let servers = store.servers().await.unwrap();
        let names: Vec<&str> = servers.iter().map(|server| server.spec.name.as_str()).collect();
        assert_eq!(names, ["new", "web-1"]);
        assert_eq!(
            (servers[0].spec.ip.as_str(), servers[0].spec.ssh_user.as_str()),
            ("new.example.org", "root")
        );
        assert_eq!(servers[1].spec.ip, "192.0.2.1");
        let query = MetricsQuery {
            server_id: Some(servers[0].id),
            limit: 10,
            ..MetricsQuery::default()
        };
        let rows = store.metric_rows(&query).await.unwrap().rows;
        let cpu: Vec<Option<i64>> = rows.iter().map(|row| row.cpu_usage_permille).collect();
        assert_eq!(cpu, [Some(125), Some(130)]);
        assert_eq!(store.storage_stats().await.unwrap().samples, 502);
    });

    for (sql, expected) in [
        ("CREATE TABLE hosts (id INTEGER)", "no table servers"),
        (
            "CREATE TABLE servers (id INTEGER, label TEXT)",
            "with the columns name and ip",
        ),
    ] {
        fs::remove_file(directory.path().join("monitor.db")).unwrap();
        monitor_db(&directory.path().join("monitor.db"), sql);
        let (well, _, complaints) = import(directory.path(), &[]);
        assert!(!well && complaints.contains(expected), "{complaints}");
    }
    fs::write(directory.path().join("monitor.db"), "no database".repeat(1000)).unwrap();
    let (well, _, complaints) = import(directory.path(), &[]);
    assert!(!well && complaints.contains("monitor.db"), "{complaints}");
    let (well, _, complaints) = import(directory.path(), &["--timezone", "Mars/Olympus"]);
    assert!(!well && complaints.contains("Mars/Olympus"), "{complaints}");
}
