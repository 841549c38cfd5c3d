//! What was acknowledged survives `kill -9`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::model::commit::AlertChange;
use crate::store::{AlertQuery, DeleteRange, MetricsQuery};

const SAMPLES: i64 = 20;

/// The process that is killed: commits and says so, for as long as it lives.
#[tokio::test]
#[ignore = "the other half of everything_acknowledged_survives_kill_9"]
async fn commits_until_killed() {
    let Some(path) = std::env::var_os("GANDER_TEST_DATABASE") else {
        return;
    };
    let key = MasterKey::load_or_create(&Path::new(&path).with_extension("key")).unwrap();
    let store = Store::open(Path::new(&path), key).await.unwrap();
    let server = match store.servers().await.unwrap().pop() {
        Some(server) => server.id,
        None => {
            store
                .create_server(&spec("web-1"), &credential(), None, &admin(), NOW)
                .await
                .unwrap()
                .id
        }
    };
    let mut number = store.next_alert_id().await.unwrap();
    // Deletion and vacuum are cut short as well; they never touch what is acknowledged here.
    let other = spec(&format!("other-{number}"));
    let other = store
        .create_server(&other, &credential(), None, &admin(), NOW)
        .await
        .unwrap()
        .id;
    let cleaner = store.clone();
    tokio::spawn(async move {
        loop {
            let samples = (0..500)
                .map(|step| sample(other, NOW.0 + step, snapshot(2, true)))
                .collect();
            cleaner
                .commit(&Commit {
                    samples,
                    ..Commit::default()
                })
                .await
                .unwrap();
            let range = DeleteRange {
                server_id: Some(other),
                before: None,
            };
            cleaner.delete_samples(&range, &Actor::hub(), NOW).await.unwrap();
        }
    });
    // So are folding and merging, of what is acknowledged here among others.
    let folder = store.clone();
    tokio::spawn(async move {
        let sizes = crate::store::merge::Sizes {
            fold: 40,
            roll: 160,
            full: 640,
        };
        loop {
            folder
                .fold_by(&sizes, NOW, std::time::Duration::from_millis(50))
                .await
                .unwrap();
        }
    });
    loop {
        let samples = (0..SAMPLES)
            .map(|step| {
                sample(
                    server,
                    NOW.0 + number * MINUTE + step,
                    snapshot(number as u16, true),
                )
            })
            .collect();
        let alerts = vec![AlertChange::Put(alert(
            number,
            server,
            Rule::Cpu,
            AlertPhase::Resolved,
        ))];
        store
            .commit(&Commit {
                samples,
                alerts,
                ..Commit::default()
            })
            .await
            .unwrap();
        println!("acknowledged {number}");
        number += 1;
    }
}

#[tokio::test]
async fn everything_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gander.db");
    let mut acknowledged: Vec<i64> = Vec::new();
    for round in 0..6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::crash::commits_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env("GANDER_TEST_DATABASE", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut number_of = |line: String| line.strip_prefix("acknowledged ")?.parse::<i64>().ok();
        let enough = 3 + usize::from(rand::random::<u8>() % 40) + round;
        let mut seen = 0;
        while seen < enough {
            let line = lines.next().expect("the child died by itself").unwrap();
            if let Some(number) = number_of(line) {
                acknowledged.push(number);
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said between our decision and its end counts too; the last line may be cut off.
        acknowledged.extend(lines.map_while(Result::ok).filter_map(&mut number_of));

        let key = MasterKey::load_or_create(&path.with_extension("key")).unwrap();
        let store = Store::open(&path, key.clone()).await.unwrap();
        let test = TestStore {
            directory: tempfile::tempdir().unwrap(),
            key,
            store,
        };
        test.assert_whole().await;
        assert_eq!(test.store.verify_blocks(|_, _| ()).await.unwrap().faults, []);
        let server_id = test.store.servers().await.unwrap().last().unwrap().id;
        for number in &acknowledged {
            let rows = MetricsQuery {
                server_id: Some(server_id),
                from: Some(Timestamp(NOW.0 + number * MINUTE)),
                to: Some(Timestamp(NOW.0 + number * MINUTE + MINUTE)),
                limit: 100,
                after: None,
            };
            let page = test.store.metric_rows(&rows).await.unwrap();
            assert_eq!(page.rows.len() as i64, SAMPLES, "commit {number} is not whole");
            assert_eq!(page.rows[0].load_1_hundredths, Some(*number));
            assert!(test.store.alert(AlertId(*number)).await.unwrap().is_some());
        }
        // Nothing is there by half: a commit that was not acknowledged is whole or absent.
        let stats = test.store.storage_stats().await.unwrap();
        let own = stats
            .per_server
            .iter()
            .find(|server| server.server_id == server_id)
            .unwrap();
        let alerts = AlertQuery {
            server_id: Some(server_id),
            limit: 10_000,
            ..AlertQuery::default()
        };
        let commits = test.store.alerts(&alerts).await.unwrap().len() as u64;
        assert_eq!(own.samples, commits * SAMPLES as u64);
        assert!(commits as usize >= acknowledged.len());
        let range = DeleteRange {
            server_id: Some(server_id),
            before: None,
        };
        assert_eq!(test.store.count_samples(&range).await.unwrap(), own.samples);
        test.store.close().await;
    }
    assert!(acknowledged.is_sorted(), "{acknowledged:?}");
}
