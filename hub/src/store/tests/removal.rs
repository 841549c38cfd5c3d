//! Deleting samples: in small steps, with other commits in between, and the file shrinks.

use super::*;
use crate::model::EventKind;
use crate::store::{Ages, DeleteRange, EventQuery, MetricsQuery, Retention};

const EVERYTHING: DeleteRange = DeleteRange {
    server_id: None,
    before: None,
};

async fn fill(test: &TestStore, server_id: ServerId, samples: i64) {
    for chunk in 0..samples / 1_000 {
        let samples = (chunk * 1_000..(chunk + 1) * 1_000).map(|step| {
            sample(
                server_id,
                NOW.0 + step * SECOND,
                snapshot((step % 997) as u16, true),
            )
        });
        test.commit_samples(samples.collect()).await;
    }
}

#[tokio::test]
async fn deleting_gives_the_space_back_and_leaves_the_rest() {
    let test = TestStore::new().await;
    let (one, two) = (test.server("one").await.id, test.server("two").await.id);
    fill(&test, one, 20_000).await;
    fill(&test, two, 1_000).await;
    test.tamper("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let before = test.store.storage_stats().await.unwrap();
    assert_eq!(before.samples, 21_000);
    let middle = Some(Timestamp(NOW.0 + 5_000 * SECOND));
    let range = DeleteRange {
        server_id: Some(one),
        before: middle,
    };
    assert_eq!(test.store.count_samples(&range).await.unwrap(), 5_000);
    assert_eq!(
        test.store.delete_samples(&range, &admin(), NOW).await.unwrap(),
        5_000
    );
    assert_eq!(test.store.count_samples(&EVERYTHING).await.unwrap(), 16_000);

    let range = DeleteRange {
        server_id: Some(one),
        before: None,
    };
    assert_eq!(
        test.store.delete_samples(&range, &admin(), NOW).await.unwrap(),
        15_000
    );
    let after = test.store.storage_stats().await.unwrap();
    assert!(
        after.database_bytes * 4 < before.database_bytes,
        "{} of {} bytes are left",
        after.database_bytes,
        before.database_bytes
    );
    assert_eq!((after.samples, after.free_bytes), (1_000, 0));
    assert_eq!(after.per_server[0].series, 0, "its series went with its samples");
    assert_eq!(after.per_server[1].newest.unwrap().0, NOW.0 + 999 * SECOND);
    let query = EventQuery {
        kind: Some(EventKind::SamplesDeleted),
        limit: 9,
        ..EventQuery::default()
    };
    let events = test.store.events(&query).await.unwrap();
    assert_eq!(events[0].event.details["samples"], 15_000);
    assert_eq!(events[0].event.actor.as_deref(), Some("ada"));
    assert_eq!(test.store.delete_samples(&range, &admin(), NOW).await.unwrap(), 0);
    // The server goes on with a new dictionary.
    test.commit_samples(vec![sample(one, NOW.0, snapshot(3, true))])
        .await;
    let rows = MetricsQuery {
        server_id: Some(one),
        limit: 5,
        ..MetricsQuery::default()
    };
    assert_eq!(
        test.store.metric_rows(&rows).await.unwrap().rows[0].cpu_usage_permille,
        Some(3)
    );
    test.assert_whole().await;
}

#[tokio::test]
async fn commits_go_in_between_the_steps_of_a_deletion() {
    let test = TestStore::new().await;
    let server = test.server("one").await.id;
    let live = test.server("live").await.id;
    fill(&test, server, 20_000).await;
    let range = DeleteRange {
        server_id: Some(server),
        before: None,
    };
    let deletion = {
        let store = test.store.clone();
        tokio::spawn(async move { store.delete_samples(&range, &Actor::hub(), NOW).await })
    };
    let mut seen_half_way = 0;
    let mut step = 0;
    while !deletion.is_finished() {
        step += 1;
        test.commit_samples(vec![sample(live, NOW.0 + step, snapshot(1, true))])
            .await;
        let left = test.store.count_samples(&range).await.unwrap();
        seen_half_way += u32::from(left > 0 && left < 20_000);
    }
    assert_eq!(deletion.await.unwrap().unwrap(), 20_000);
    assert!(seen_half_way >= 2, "the deletion was one transaction");
}

/// The same age for every tier.
fn keep(age_ms: i64) -> Retention {
    let age = Some(age_ms.unsigned_abs() / 1_000);
    Retention {
        global: Ages {
            samples: age,
            quarter_hours: age,
            three_hours: age,
        },
        from_config: false,
        tags: BTreeMap::new(),
    }
}

#[tokio::test]
async fn retention_removes_old_samples_dead_series_and_what_a_crash_left() {
    let test = TestStore::new().await;
    let (one, two) = (test.server("one").await.id, test.server("two").await.id);
    let mut old = snapshot(1, true);
    old.disks.as_mut().unwrap()[0].device = "gone".to_owned();
    test.commit_samples(vec![
        sample(one, NOW.0, old),
        sample(one, NOW.0 + 30 * HOUR, snapshot(1, true)),
        sample(one, NOW.0 + 60 * HOUR, snapshot(1, true)),
        sample(two, NOW.0 + 60 * HOUR, snapshot(1, true)),
    ])
    .await;
    // As after a crash between a deletion's first and last step.
    test.tamper("INSERT INTO removal SELECT id FROM server WHERE name = 'two'")
        .await;
    test.tamper("DELETE FROM server WHERE name = 'two'").await;
    let rows = MetricsQuery {
        limit: 9,
        ..MetricsQuery::default()
    };
    assert_eq!(
        test.store.metric_rows(&rows).await.unwrap().rows.len(),
        3,
        "they are not shown"
    );

    let series = |label: &'static str| {
        let readers = test.store.inner.readers.clone();
        async move {
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM series WHERE label = ?")
                .bind(label)
                .fetch_one(&readers)
                .await
                .unwrap()
        }
    };
    assert_eq!(series("gone").await, 5);
    // The samples alone are too old: their series stay in the roll-ups.
    let mut rules = keep(20 * HOUR);
    rules.global.three_hours = None;
    rules.global.quarter_hours = None;
    let now = NOW.plus_millis(60 * HOUR);
    assert_eq!(test.store.retain_by(&rules, now, 0).await.unwrap(), 2);
    assert_eq!(series("gone").await, 5);
    test.store.retain_by(&keep(20 * HOUR), now, 0).await.unwrap();
    assert_eq!(series("gone").await, 0);
    assert_eq!(series("sda").await, 5);
    assert_eq!(test.store.count_samples(&EVERYTHING).await.unwrap(), 1);
    assert_eq!(test.store.storage_stats().await.unwrap().samples, 1);
    let rows = test.store.metric_rows(&rows).await.unwrap();
    assert_eq!((rows.rows.len(), rows.unreadable_rows), (1, 0));
}

#[tokio::test]
async fn old_history_goes_and_what_is_open_stays() {
    use crate::model::commit::AlertChange;
    let test = TestStore::new().await;
    let server = test.server("one").await.id;
    let held = Alert {
        held: true,
        ..alert(3, server, Rule::Disk, AlertPhase::Resolved)
    };
    let alerts = vec![
        AlertChange::Put(alert(1, server, Rule::Cpu, AlertPhase::Firing)),
        AlertChange::Put(alert(2, server, Rule::Cpu, AlertPhase::Resolved)),
        AlertChange::Put(held),
    ];
    test.store
        .commit(&Commit {
            alerts,
            ..Commit::default()
        })
        .await
        .unwrap();
    assert_eq!(test.store.purge_history(NOW).await.unwrap(), 0);
    assert_eq!(
        test.store.purge_history(NOW.plus_millis(1)).await.unwrap(),
        2,
        "one event, one alert"
    );
    let open: Vec<i64> = test
        .store
        .load_open_alerts()
        .await
        .unwrap()
        .iter()
        .map(|alert| alert.id.0)
        .collect();
    assert_eq!(open, [1, 3]);
}
