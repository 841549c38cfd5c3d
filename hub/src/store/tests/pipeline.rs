//! Commits: whole or not at all, once, and what of them survives a restart.

use super::*;
use crate::model::commit::{AlertChange, Pin};
use crate::model::server::{PathReason, ServerPath};
use crate::model::{CollectError, CollectErrorCode, Event, EventKind, Origin, ServerState, Status};
use crate::store::{AlertQuery, CredentialChange, EventQuery, MAX_SERIES, StoreError};

fn pin(server: &crate::model::Server, name: char) -> Pin {
    Pin {
        server_id: server.id,
        host_key: host_key(name),
        endpoint: server.spec.endpoint(),
        at: NOW,
    }
}

fn offline() -> ServerState {
    ServerState {
        status: Status::Offline,
        status_since: Some(NOW),
        last_success: Some(NOW.plus_millis(-1)),
        failure_count: 3,
        error: Some(CollectError {
            code: CollectErrorCode::Timeout,
            message: "web-1 did not answer".to_owned(),
            params: BTreeMap::from([("host".to_owned(), "192.0.2.7".to_owned())]),
        }),
        origin: Some(Origin::Ssh),
        path: Some(ServerPath {
            live: Origin::Ssh,
            since: NOW,
            why: PathReason::AgentSilent,
            agent_seen: Some(NOW.plus_millis(-1)),
        }),
        ssh: None,
        snapshot: None,
    }
}

#[tokio::test]
async fn a_commit_is_sent_between_threads() {
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let test = TestStore::new().await;
    sendable(test.store.commit(&Commit::default())).await.unwrap();
    sendable(test.store.health_check()).await.unwrap();
    sendable(test.store.query(&crate::store::SeriesQuery {
        server_id: ServerId(1),
        metrics: vec![],
        from: NOW,
        to: NOW,
        max_points: 1,
        step: crate::store::Step::Auto,
    }))
    .await
    .unwrap();
    sendable(test.store.retain(NOW)).await.unwrap();
    sendable(test.store.fold(NOW, std::time::Duration::ZERO))
        .await
        .unwrap();
    sendable(test.store.load_states()).await.unwrap();
}

#[tokio::test]
async fn a_sample_counts_once_and_those_of_deleted_servers_not_at_all() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    let gone = test.server("web-2").await;
    test.store.delete_server(gone.id, &admin(), NOW).await.unwrap();
    let mut commit = Commit {
        samples: vec![
            sample(server.id, NOW.0, snapshot(1, true)),
            sample(server.id, NOW.0, snapshot(2, true)),
            sample(gone.id, NOW.0, snapshot(3, true)),
        ],
        bare_samples: Vec::new(),
        states: vec![(gone.id, Arc::new(offline())), (server.id, Arc::new(offline()))],
        pins: vec![pin(&gone, 'a'), pin(&server, 'b')],
        alerts: vec![
            AlertChange::Put(alert(1, gone.id, Rule::Cpu, AlertPhase::Firing)),
            AlertChange::Put(alert(2, server.id, Rule::Cpu, AlertPhase::Firing)),
        ],
        events: vec![],
    };
    let receipt = test.store.commit(&commit).await.unwrap();
    assert_eq!((receipt.samples, receipt.duplicates, receipt.orphans), (1, 1, 3));
    assert_eq!(
        receipt.values,
        2 * crate::model::metric::flatten(&snapshot(1, true)).len() as u64
    );
    let again = test.store.commit(&commit).await.unwrap();
    assert_eq!((again.samples, again.duplicates), (0, 2));
    // The first pin stands.
    commit.pins = vec![pin(&server, 'c')];
    test.store.commit(&commit).await.unwrap();
    assert_eq!(
        test.store.server(server.id).await.unwrap().unwrap().host_key,
        Some(host_key('b'))
    );
    assert_eq!(test.store.storage_stats().await.unwrap().samples, 1);
    assert_eq!(test.store.load_open_alerts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_is_not_pinned_to_a_server_that_moved_meanwhile() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    let mut elsewhere = server.spec.clone();
    elsewhere.ip = "192.0.2.99".into();
    test.store
        .update_server(server.id, &elsewhere, &CredentialChange::default(), &admin(), NOW)
        .await
        .unwrap();
    // Proved by the machine at the old address, before the change.
    let commit = Commit {
        pins: vec![pin(&server, 'a')],
        ..Commit::default()
    };
    test.store.commit(&commit).await.unwrap();
    let stored = test.store.server(server.id).await.unwrap().unwrap();
    assert_eq!(stored.host_key, None);
    let pinned = async || {
        let query = EventQuery {
            limit: 100,
            ..EventQuery::default()
        };
        let events = test.store.events(&query).await.unwrap();
        events
            .iter()
            .filter(|event| event.event.kind == EventKind::HostKeyPinned)
            .count()
    };
    assert_eq!(pinned().await, 0);
    let commit = Commit {
        pins: vec![pin(&stored, 'b')],
        ..Commit::default()
    };
    test.store.commit(&commit).await.unwrap();
    let stored = test.store.server(server.id).await.unwrap().unwrap();
    assert_eq!(stored.host_key, Some(host_key('b')));
    assert_eq!(pinned().await, 1);
}

#[tokio::test]
async fn states_survive_with_what_the_machine_is_and_its_latest_values() {
    let mut test = TestStore::new().await;
    let server = test.server("web-1").await;
    let mut state = offline();
    state.snapshot = Some(Box::new(snapshot(7, true)));
    let commit = Commit {
        samples: vec![
            sample(server.id, NOW.0, snapshot(7, true)),
            sample(server.id, NOW.0 + 10 * SECOND, snapshot(8, false)),
        ],
        states: vec![(server.id, Arc::new(state.clone()))],
        ..Commit::default()
    };
    test.store.commit(&commit).await.unwrap();
    // A later failure does not take away what is known of the machine.
    let commit = Commit {
        states: vec![(server.id, Arc::new(offline()))],
        ..Commit::default()
    };
    test.store.commit(&commit).await.unwrap();
    test.reopen().await;
    let mut loaded = test
        .store
        .load_states()
        .await
        .unwrap()
        .remove(&server.id)
        .unwrap();
    let kept = loaded.snapshot.take().unwrap();
    // A state is not kept with each sample, so the newest of those counts.
    let expected = ServerState {
        last_success: Some(NOW.plus_millis(10 * SECOND)),
        ..offline()
    };
    assert_eq!(loaded, expected);
    assert_eq!(kept.system, snapshot(7, true).system);
    assert_eq!(kept.boot_id.as_deref(), Some("6b1c"));
    assert_eq!(kept.cpu, snapshot(8, false).cpu);
    assert_eq!(kept.root_filesystem().unwrap().usage_permille, 420);
}

#[tokio::test]
async fn a_commit_of_many_servers_keeps_the_state_and_the_number_of_samples_of_each() {
    let mut test = TestStore::new().await;
    let mut commit = Commit::default();
    for number in 0..77 {
        let server = test.server(&format!("web-{number}")).await;
        let state = ServerState {
            status: Status::Online,
            status_since: Some(NOW),
            last_success: Some(NOW),
            failure_count: u32::try_from(number).unwrap(),
            error: None,
            origin: Some(Origin::Agent),
            path: Some(ServerPath {
                live: Origin::Agent,
                since: NOW,
                why: PathReason::Only,
                agent_seen: Some(NOW),
            }),
            ..offline()
        };
        commit.states.push((server.id, Arc::new(state)));
        for second in 0..=number % 3 {
            let at = NOW.0 + second * SECOND;
            commit.samples.push(sample(server.id, at, snapshot(7, false)));
        }
    }
    test.store.commit(&commit).await.unwrap();
    // Again, as after an acknowledgement that was lost: nothing more is there.
    let receipt = test.store.commit(&commit).await.unwrap();
    assert_eq!(receipt.samples, 0);
    assert_eq!(
        test.store.storage_stats().await.unwrap().samples,
        commit.samples.len() as u64
    );
    test.reopen().await;
    let loaded = test.store.load_states().await.unwrap();
    assert_eq!(loaded.len(), 77);
    for (id, state) in &commit.states {
        let newest = NOW.plus_millis(i64::from(state.failure_count) % 3 * SECOND);
        let loaded = &loaded[id];
        assert_eq!(loaded.failure_count, state.failure_count);
        assert_eq!(loaded.last_success, Some(newest), "the newest sample");
        assert_eq!(loaded.path.as_ref().unwrap().agent_seen, Some(newest));
    }
}

#[tokio::test]
async fn open_alerts_survive_exactly_and_ids_are_not_given_twice() {
    let mut test = TestStore::new().await;
    let server = test.server("web-1").await;
    assert_eq!(test.store.next_alert_id().await.unwrap(), 1);
    let pending = alert(1, server.id, Rule::Cpu, AlertPhase::Pending);
    let firing = Alert {
        level: Level::Critical,
        ..alert(2, server.id, Rule::Memory, AlertPhase::Firing)
    };
    let held = Alert {
        held: true,
        resolved_by: Some("ada".to_owned()),
        ..alert(3, server.id, Rule::Disk, AlertPhase::Resolved)
    };
    let resolved = alert(4, server.id, Rule::Disk, AlertPhase::Resolved);
    let forgotten = alert(5, server.id, Rule::Unreachable, AlertPhase::Pending);
    let mut alerts: Vec<AlertChange> = [&pending, &firing, &held, &resolved, &forgotten]
        .map(|alert| AlertChange::Put(alert.clone()))
        .into();
    alerts.push(AlertChange::Forget(AlertId(5)));
    test.store
        .commit(&Commit {
            alerts,
            ..Commit::default()
        })
        .await
        .unwrap();
    test.reopen().await;
    assert_eq!(test.store.next_alert_id().await.unwrap(), 6);
    assert_eq!(
        test.store.load_open_alerts().await.unwrap(),
        [pending.clone(), firing.clone(), held.clone()]
    );

    let all = AlertQuery {
        limit: 10,
        ..AlertQuery::default()
    };
    let shown = test.store.alerts(&all).await.unwrap();
    assert_eq!(
        shown,
        [resolved.clone(), held.clone(), firing.clone()],
        "newest first, pending never"
    );
    let ask = |query: AlertQuery| {
        let store = test.store.clone();
        async move { store.alerts(&query).await.unwrap() }
    };
    assert_eq!(
        ask(AlertQuery {
            resolved: Some(false),
            ..all.clone()
        })
        .await,
        std::slice::from_ref(&firing)
    );
    assert_eq!(
        ask(AlertQuery {
            resolved: Some(true),
            limit: 1,
            ..all.clone()
        })
        .await,
        [resolved]
    );
    assert_eq!(
        ask(AlertQuery {
            before: Some(AlertId(3)),
            ..all.clone()
        })
        .await,
        std::slice::from_ref(&firing)
    );
    assert_eq!(
        ask(AlertQuery {
            level: Some(Level::Critical),
            ..all.clone()
        })
        .await,
        std::slice::from_ref(&firing)
    );
    assert!(
        ask(AlertQuery {
            server_id: Some(ServerId(99)),
            ..all
        })
        .await
        .is_empty()
    );
    assert_eq!(test.store.alert(AlertId(2)).await.unwrap(), Some(firing));
    assert_eq!(test.store.alert(pending.id).await.unwrap(), None);
}

#[tokio::test]
async fn two_open_alerts_of_one_identity_never_block_a_commit() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    let alerts = [10, 11]
        .map(|id| AlertChange::Put(alert(id, server.id, Rule::Cpu, AlertPhase::Firing)))
        .into();
    test.store
        .commit(&Commit {
            alerts,
            ..Commit::default()
        })
        .await
        .unwrap();
    let open: Vec<i64> = test
        .store
        .load_open_alerts()
        .await
        .unwrap()
        .iter()
        .map(|alert| alert.id.0)
        .collect();
    assert_eq!(open, [11]);
    let older = test.store.alert(AlertId(10)).await.unwrap().unwrap();
    assert_eq!(
        (older.phase, older.resolved_at),
        (AlertPhase::Resolved, Some(NOW.plus_millis(11)))
    );
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_half_written_and_the_same_commit_works_later() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    test.commit_samples(vec![sample(server.id, NOW.0, snapshot(1, true))])
        .await;
    test.tamper("PRAGMA max_page_count = 1").await;
    let commit = Commit {
        samples: (1..5_000)
            .map(|step| sample(server.id, NOW.0 + step * SECOND, snapshot(2, true)))
            .collect(),
        alerts: vec![AlertChange::Put(alert(
            1,
            server.id,
            Rule::Cpu,
            AlertPhase::Firing,
        ))],
        events: vec![Event {
            at: NOW,
            kind: EventKind::HubStarted,
            server_id: None,
            actor: None,
            details: serde_json::json!({}),
        }],
        ..Commit::default()
    };
    for _ in 0..2 {
        let error = test.store.commit(&commit).await.unwrap_err();
        assert!(matches!(error, StoreError::Full), "{error}");
        assert!(error.to_string().contains("free some space"));
    }
    assert_eq!(test.store.storage_stats().await.unwrap().samples, 1);
    assert!(test.store.load_open_alerts().await.unwrap().is_empty());
    let started = EventQuery {
        kind: Some(EventKind::HubStarted),
        limit: 9,
        ..EventQuery::default()
    };
    assert!(test.store.events(&started).await.unwrap().is_empty());

    test.tamper("PRAGMA max_page_count = 1073741823").await;
    assert_eq!(test.store.commit(&commit).await.unwrap().samples, 4_999);
    assert_eq!(test.store.events(&started).await.unwrap().len(), 1);
    test.assert_whole().await;
}

#[tokio::test]
async fn a_write_given_up_half_way_leaves_nothing_and_blocks_nobody() {
    let test = TestStore::new().await;
    let mut write = test.store.write().await.unwrap();
    sqlx::query("INSERT INTO meta VALUES ('half', 'way')")
        .execute(write.connection().unwrap())
        .await
        .unwrap();
    drop(write);
    test.store.set_meta("whole", Some("yes")).await.unwrap();
    assert_eq!(test.store.get_meta("half").await.unwrap(), None);
    assert_eq!(
        test.store.get_meta("whole").await.unwrap().as_deref(),
        Some("yes")
    );
    test.store.set_meta("whole", None).await.unwrap();
    assert_eq!(test.store.get_meta("whole").await.unwrap(), None);
}

#[tokio::test]
async fn a_node_cannot_grow_its_series_without_end() {
    let test = TestStore::new().await;
    let server = test.server("hostile").await;
    let many = |from: usize, count: usize| {
        let interface = |index: usize| Interface {
            name: format!("veth{index}"),
            rates: Some(InterfaceRates::default()),
        };
        Snapshot {
            interfaces: Some((from..from + count).map(interface).collect()),
            ..Snapshot::default()
        }
    };
    let receipt = test
        .commit_samples(vec![sample(server.id, NOW.0, many(0, 500))])
        .await;
    assert_eq!(receipt.values, MAX_SERIES as u64);
    assert_eq!(receipt.dropped_values[&server.id], 500 * 6 - MAX_SERIES as u64);
    let stats = test.store.storage_stats().await.unwrap();
    assert_eq!(stats.per_server[0].series, MAX_SERIES as u64);
    assert_eq!(stats.per_server[0].dropped_values, 500 * 6 - MAX_SERIES as u64);
    // Other names an hour later are refused, two days later they take the place of the dead ones.
    let receipt = test
        .commit_samples(vec![sample(server.id, NOW.0 + HOUR, many(900, 10))])
        .await;
    assert_eq!((receipt.samples, receipt.values), (1, 0));
    let receipt = test
        .commit_samples(vec![sample(server.id, NOW.0 + 49 * HOUR, many(900, 10))])
        .await;
    assert_eq!(receipt.values, 60);

    let long = Interface {
        name: "x".repeat(256),
        rates: Some(InterfaceRates::default()),
    };
    let snapshot = Snapshot {
        interfaces: Some(vec![long]),
        ..snapshot(1, true)
    };
    let receipt = test
        .commit_samples(vec![sample(server.id, NOW.0 + 50 * HOUR, snapshot)])
        .await;
    assert_eq!(receipt.dropped_values[&server.id], 6);
}

#[tokio::test]
async fn a_deleted_server_takes_everything_along_and_its_id_does_not_return() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    let commit = Commit {
        samples: (0..3_000)
            .map(|step| sample(server.id, NOW.0 + step, snapshot(1, false)))
            .collect(),
        states: vec![(server.id, Arc::new(offline()))],
        alerts: vec![AlertChange::Put(alert(
            1,
            server.id,
            Rule::Cpu,
            AlertPhase::Firing,
        ))],
        ..Commit::default()
    };
    test.store.commit(&commit).await.unwrap();
    assert!(test.store.delete_server(server.id, &admin(), NOW).await.unwrap());
    for table in [
        "sample", "series", "layout", "status", "alert", "tally", "removal", "server",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let left: i64 = sqlx::query_scalar(sql)
            .fetch_one(&test.store.inner.readers)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
    assert_ne!(test.server("web-1").await.id, server.id);
}
