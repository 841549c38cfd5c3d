//! The pipeline as a whole: a real database, ingest and live, fed with readings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use gander_hub::{
    ingest::{IngestError, Resolve},
    model::{
        Actor, CollectErrorCode, EventKind, Level, Origin, ServerId, Status, Transport,
        alert::{AlertPhase, Rule},
        reading::{Contact, Fate, Reading, ReceiptBook},
        server::PathReason,
    },
    store::{AlertQuery, DeleteRange, EventQuery},
};
use support::{Pipeline, eventually, failure, host_key, reading, seconds_ago, small_disk, spec, values};

const ALL: DeleteRange = DeleteRange {
    server_id: None,
    before: None,
};

fn alerts_query() -> AlertQuery {
    AlertQuery {
        limit: 10,
        ..AlertQuery::default()
    }
}

#[tokio::test]
async fn a_reading_is_stored_and_then_shown() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("web-1").await;
    let mut deltas = hub.live.subscribe();
    hub.send(reading(server, seconds_ago(5), values(420, 500))).await;

    let delta = deltas.recv().await.unwrap();
    assert_eq!(delta.servers.len(), 1);
    // What is told has been committed: the database has it already.
    assert_eq!(hub.store.count_samples(&ALL).await.unwrap(), 1);
    let state = hub.live.server(server).unwrap();
    assert_eq!(state.status, Status::Online);
    let snapshot = state.snapshot.as_ref().unwrap();
    assert_eq!(snapshot.cpu.as_ref().unwrap().usage_permille, 420);
    let query = EventQuery {
        limit: 10,
        ..EventQuery::default()
    };
    let events = hub.store.events(&query).await.unwrap();
    assert!(
        events
            .iter()
            .any(|event| event.event.kind == EventKind::ServerOnline)
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_receipt_is_given_once_the_whole_batch_is_on_the_disk() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("web-1").await;
    let unknown = ServerId(server.0 + 1);
    let (book, settled) = ReceiptBook::new();
    for (of, seconds) in [(server, 3), (server, 2), (unknown, 1)] {
        hub.send(Reading {
            receipt: Some(book.leaf()),
            ..reading(of, seconds_ago(seconds), values(100, 100))
        })
        .await;
    }
    drop(book);
    assert_eq!(settled.fate().await, Fate::Committed);
    assert_eq!(hub.store.count_samples(&ALL).await.unwrap(), 2);
    hub.stop().await;
}

#[tokio::test]
async fn agent_and_ssh_tell_one_history_and_the_present_says_which_is_live() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("web-1").await;
    hub.set_transport(server, Transport::Auto).await;
    hub.handle.servers_changed().await.unwrap();
    let by_agent = |seconds: i64, cpu: u16| Reading {
        origin: Origin::Agent,
        ..reading(server, seconds_ago(seconds), values(cpu, 100))
    };
    hub.send(by_agent(100, 1)).await;
    hub.send(by_agent(90, 2)).await;
    // Its stream breaks; SSH stands in.
    hub.send(reading(server, seconds_ago(75), values(3, 100))).await;
    hub.committed(3).await;
    let path = |hub: &Pipeline| hub.live.server(server).unwrap().path.clone().unwrap();
    assert_eq!(
        (path(&hub).live, path(&hub).why),
        (Origin::Ssh, PathReason::AgentSilent)
    );

    // The reason survives a restart, and so does what the agent last said.
    let seen = path(&hub);
    let hub = hub.restart().await;
    assert_eq!(path(&hub), seen);

    // It is back: live first, then what it kept meanwhile, some of it for the second time.
    let (book, settled) = ReceiptBook::new();
    let live = seconds_ago(10);
    for (at, cpu) in [(live, 7), (seconds_ago(80), 4), (seconds_ago(60), 5), (live, 7)] {
        hub.send(Reading {
            origin: Origin::Agent,
            receipt: Some(book.leaf()),
            ..reading(server, at, values(cpu, 100))
        })
        .await;
    }
    drop(book);
    assert_eq!(settled.fate().await, Fate::Committed);
    assert_eq!(
        (path(&hub).live, path(&hub).agent_seen),
        (Origin::Agent, Some(live))
    );
    let state = hub.live.server(server).unwrap();
    assert_eq!(state.last_success, Some(live));
    let shown = state.snapshot.as_ref().unwrap().cpu.as_ref().unwrap();
    assert_eq!(shown.usage_permille, 7, "replayed values are not the present");
    assert_eq!(
        hub.store.count_samples(&ALL).await.unwrap(),
        6,
        "each moment once"
    );
    let query = EventQuery {
        limit: 100,
        ..EventQuery::default()
    };
    let events = hub.store.events(&query).await.unwrap();
    let switches: Vec<_> = events
        .iter()
        .filter(|event| event.event.kind == EventKind::TransportChanged)
        .map(|event| event.event.details["to"].clone())
        .collect();
    assert_eq!(switches, ["agent", "ssh"], "newest first");
    hub.stop().await;
}

#[tokio::test]
async fn the_first_host_key_is_pinned_for_good() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("web-1").await;
    let mut first = reading(server, seconds_ago(5), values(100, 100));
    first.contact = Some(Contact {
        host_key: Some((host_key("one"), spec("web-1").endpoint())),
        session: None,
    });
    let mut second = reading(server, seconds_ago(4), values(100, 100));
    second.contact = Some(Contact {
        host_key: Some((host_key("two"), spec("web-1").endpoint())),
        session: None,
    });
    hub.send(first).await;
    hub.committed(1).await;
    hub.send(second).await;
    hub.committed(2).await;
    let stored = hub.store.server(server).await.unwrap().unwrap();
    assert_eq!(stored.host_key, Some(host_key("one")));
    hub.stop().await;
}

#[tokio::test]
async fn an_alert_fires_is_resolved_by_hand_and_stays_quiet() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("db-1").await;
    hub.send(reading(server, seconds_ago(30), values(100, 910))).await;
    eventually("it fires", async || {
        hub.live.snapshot().total_alert_counts().warning == 1
    })
    .await;

    let resolved = hub
        .handle
        .resolve_alerts(Resolve::All, &Actor::user("ada"))
        .await
        .unwrap();
    assert_eq!(resolved.len(), 1);
    assert_eq!(resolved[0].resolved_by.as_deref(), Some("ada"));
    assert_eq!(hub.live.snapshot().total_alert_counts().total(), 0);

    hub.send(reading(server, seconds_ago(20), values(100, 920))).await;
    hub.committed(2).await;
    let stored = hub.store.alerts(&alerts_query()).await.unwrap();
    assert_eq!(stored.len(), 1, "no second alert");

    // It is quiet after a restart, too, and speaks up when it gets worse.
    let hub = hub.restart().await;
    hub.send(reading(server, seconds_ago(10), values(100, 930))).await;
    hub.committed(1).await;
    assert_eq!(hub.live.snapshot().total_alert_counts().total(), 0);
    hub.send(reading(server, seconds_ago(5), values(100, 990))).await;
    eventually("it is critical", async || {
        hub.live.snapshot().total_alert_counts().critical == 1
    })
    .await;
    hub.stop().await;
}

#[tokio::test]
async fn a_wait_goes_on_after_a_restart_where_it_was() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("web-1").await;
    let began = seconds_ago(120);
    let at = |seconds: i64| began.plus_millis(seconds * 1000);
    for seconds in [0, 10, 20, 30] {
        hub.send(reading(server, at(seconds), values(850, 100))).await;
    }
    hub.committed(4).await;
    let pending = &hub.store.load_open_alerts().await.unwrap()[0];
    assert_eq!(
        (pending.phase, pending.pending_since),
        (AlertPhase::Pending, began)
    );

    let hub = hub.restart().await;
    for seconds in [40, 50] {
        hub.send(reading(server, at(seconds), values(850, 100))).await;
    }
    hub.committed(2).await;
    assert_eq!(hub.live.snapshot().total_alert_counts().total(), 0);
    hub.send(reading(server, at(60), values(850, 100))).await;
    eventually("it fires", async || {
        hub.live.snapshot().total_alert_counts().warning == 1
    })
    .await;
    let fleet = hub.live.snapshot();
    let alert = fleet.alerts().next().unwrap();
    assert_eq!(
        (alert.key.rule, alert.pending_since, alert.created_at),
        (Rule::Cpu, began, at(60))
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_stop_loses_nothing_of_what_was_received() {
    let hub = Pipeline::start().await;
    let mut servers = Vec::new();
    for n in 0..20 {
        servers.push(hub.enrol(&format!("server-{n}")).await);
    }
    for n in 0..50 {
        for server in &servers {
            hub.send(reading(*server, seconds_ago(300 - n), values(100, 100)))
                .await;
        }
    }
    // No wait: most of it is still in the channel.
    let hub = hub.restart().await;
    assert_eq!(hub.store.count_samples(&ALL).await.unwrap(), 1000);
    for server in &servers {
        assert_eq!(hub.live.server(*server).unwrap().status, Status::Online);
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_failing_server_is_offline_and_alerts_name_the_cause() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("web-1").await;
    hub.send(failure(server, seconds_ago(10), CollectErrorCode::KeyRefused))
        .await;
    eventually("it is critical", async || {
        hub.live.snapshot().alert_counts(server).critical == 1
    })
    .await;
    let state = hub.live.server(server).unwrap();
    assert_eq!((state.status, state.failure_count), (Status::Offline, 1));
    let fleet = hub.live.snapshot();
    let alert = fleet.alerts().next().unwrap();
    assert_eq!(alert.level, Level::Critical);
    assert_eq!(alert.params["cause_code"], "key_refused");

    // The state is there after a restart, with its error.
    let hub = hub.restart().await;
    let state = hub.live.server(server).unwrap();
    assert_eq!(state.error.as_ref().unwrap().code, CollectErrorCode::KeyRefused);
    assert_eq!(hub.live.snapshot().alert_counts(server).critical, 1);
    hub.stop().await;
}

#[tokio::test]
async fn a_deleted_server_is_gone_at_once_and_its_late_readings_with_it() {
    let hub = Pipeline::start().await;
    let server = hub.enrol("web-1").await;
    hub.send(reading(server, seconds_ago(10), values(100, 990))).await;
    hub.committed(1).await;
    let ada = Actor::user("ada");
    assert!(
        hub.store
            .delete_server(server, &ada, seconds_ago(0))
            .await
            .unwrap()
    );
    // Ingest has not heard of it yet; the store drops what belongs to nobody.
    hub.send(reading(server, seconds_ago(5), values(100, 990))).await;
    hub.committed(2).await;
    hub.handle.servers_changed().await.unwrap();
    assert!(hub.live.snapshot().is_empty());
    assert_eq!(hub.live.snapshot().total_alert_counts().total(), 0);
    hub.send(reading(server, seconds_ago(1), values(100, 990))).await;
    hub.committed(3).await;
    assert_eq!(hub.store.count_samples(&ALL).await.unwrap(), 0);
    hub.stop().await;
}

#[tokio::test]
async fn a_reading_the_database_refuses_is_left_out_and_all_others_are_stored() {
    let hub = Pipeline::start().await;
    let fine = hub.enrol("web-1").await;
    let broken = hub.enrol("web-2").await;
    hub.sql(&format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON status WHEN new.server_id = {broken}
         BEGIN SELECT raise(ABORT, 'not this one'); END"
    ))
    .await;
    let (fine_book, fine_settled) = ReceiptBook::new();
    let (broken_book, broken_settled) = ReceiptBook::new();
    let began = seconds_ago(60);
    for n in 0..30 {
        let (server, book) = if n % 10 == 4 {
            (broken, &broken_book)
        } else {
            (fine, &fine_book)
        };
        hub.send(Reading {
            receipt: Some(book.leaf()),
            ..reading(server, began.plus_millis(n * 1000), values(100, 910))
        })
        .await;
    }
    drop((fine_book, broken_book));
    assert_eq!(fine_settled.fate().await, Fate::Committed);
    assert_eq!(broken_settled.fate().await, Fate::Refused);
    hub.committed(27).await;
    assert_eq!(hub.store.count_samples(&ALL).await.unwrap(), 27);
    let progress = hub.handle.progress();
    assert_eq!((progress.refused_readings, progress.waiting_readings), (3, 0));
    assert_eq!(progress.failing_since, None);
    let refusal = progress.last_refusal.clone().unwrap();
    assert_eq!(refusal.server_id, broken);
    assert!(refusal.reason.contains("not this one"), "{}", refusal.reason);

    // Nothing is shown or judged that the database does not hold.
    assert_eq!(hub.live.server(broken).unwrap().status, Status::Unknown);
    let told = |hub: &Pipeline| {
        let fleet = hub.live.snapshot();
        let mut ids: Vec<_> = fleet.alerts().map(|alert| alert.id).collect();
        ids.sort();
        ids
    };
    let stored = |alerts: Vec<gander_hub::model::Alert>| {
        let mut ids: Vec<_> = alerts.iter().map(|alert| alert.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(told(&hub).len(), 1);
    assert_eq!(told(&hub), stored(hub.store.load_open_alerts().await.unwrap()));

    // Once the database takes it again, so does the engine, as if nothing had been.
    hub.sql("DROP TRIGGER refuse").await;
    hub.send(reading(broken, seconds_ago(1), values(100, 910))).await;
    hub.committed(28).await;
    assert_eq!(hub.live.server(broken).unwrap().status, Status::Online);
    assert_eq!(told(&hub).len(), 2);
    assert_eq!(told(&hub), stored(hub.store.load_open_alerts().await.unwrap()));
    let hub = hub.restart().await;
    assert_eq!(told(&hub).len(), 2);
    hub.stop().await;
}

#[tokio::test]
async fn a_pause_the_database_refuses_blocks_nobody() {
    let hub = Pipeline::start().await;
    let fine = hub.enrol("web-1").await;
    let broken = hub.enrol("web-2").await;
    hub.send(reading(broken, seconds_ago(20), values(100, 990))).await;
    hub.committed(1).await;
    hub.sql(&format!(
        "CREATE TRIGGER refuse BEFORE UPDATE ON status WHEN new.server_id = {broken}
         BEGIN SELECT raise(ABORT, 'not this one'); END"
    ))
    .await;
    hub.set_enabled(broken, false).await;
    hub.handle.servers_changed().await.unwrap();
    let shown = hub.live.server(broken).unwrap();
    assert_eq!(shown.status, Status::Online, "what the database holds");
    assert_eq!(hub.live.snapshot().alert_counts(broken).critical, 1);
    hub.send(reading(fine, seconds_ago(10), values(100, 100))).await;
    hub.committed(2).await;

    hub.sql("DROP TRIGGER refuse").await;
    hub.handle.servers_changed().await.unwrap();
    assert_eq!(hub.live.server(broken).unwrap().status, Status::Paused);
    assert_eq!(hub.live.snapshot().alert_counts(broken).total(), 0);
    hub.stop().await;
}

#[tokio::test]
async fn after_the_stop_wishes_are_refused() {
    let hub = Pipeline::start().await;
    let handle = hub.handle.clone();
    hub.stop().await;
    assert_eq!(handle.servers_changed().await, Err(IngestError::Stopped));
}

/// With a disk of its own that is really full: see [`small_disk`].
#[test]
fn a_full_disk_loses_nothing_and_is_told() {
    small_disk::run("inside_a_small_disk");
}

#[tokio::test]
#[ignore = "run by a_full_disk_loses_nothing_and_is_told, on a file system of its own"]
async fn inside_a_small_disk() {
    let Some(disk) = small_disk::path() else { return };
    let hub = Pipeline::start_in(&disk, 8).await;
    let server = hub.enrol("web-1").await;
    let began = seconds_ago(500);
    hub.send(reading(server, began, values(100, 910))).await;
    hub.committed(1).await;

    let ballast = small_disk::fill(&disk);
    // More than the channel and a batch hold: the sender must be held back.
    let sender = hub.readings.clone();
    let sending = tokio::spawn(async move {
        for n in 1..=3000 {
            let reading = reading(server, began.plus_millis(n * 100), values(100, 990));
            sender.send(reading).await.unwrap();
        }
    });
    eventually("it is told", async || {
        hub.handle.progress().failing_since.is_some()
    })
    .await;
    eventually("the channel is full", async || hub.readings.capacity() == 0).await;
    assert!(!sending.is_finished(), "whoever collects is held back");
    let error = hub.handle.progress().last_error.clone().unwrap();
    assert!(error.contains("full"), "{error}");
    let ada = Actor::user("ada");
    let refused = hub.handle.resolve_alerts(Resolve::All, &ada).await;
    assert!(
        matches!(refused, Err(IngestError::StoreFailing(_))),
        "{refused:?}"
    );
    let shown = hub.live.snapshot().total_alert_counts();
    assert_eq!(shown.critical, 0, "nothing is shown that is not stored");

    std::fs::remove_file(ballast).unwrap();
    sending.await.unwrap();
    hub.committed(3001).await;
    assert_eq!(hub.handle.progress().failing_since, None);
    let query = EventQuery {
        kind: Some(EventKind::StorageFailed),
        limit: 10,
        ..EventQuery::default()
    };
    let events = hub.store.events(&query).await.unwrap();
    assert_eq!(events.len(), 1, "it is on record once");
    assert!(
        events[0].event.details["reason"]
            .as_str()
            .unwrap()
            .contains("full")
    );
    let samples = hub.store.count_samples(&ALL).await.unwrap();
    assert_eq!(samples, 3001, "nothing lost, nothing twice");
    let alerts = hub.store.alerts(&alerts_query()).await.unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].level, Level::Critical);
    let resolved = hub.handle.resolve_alerts(Resolve::All, &ada).await.unwrap();
    assert_eq!(resolved.len(), 1);

    // Full at the end: the stop says what could not be stored, in time.
    let ballast = small_disk::fill(&disk);
    let (book, settled) = ReceiptBook::new();
    hub.send(Reading {
        receipt: Some(book.leaf()),
        ..reading(server, seconds_ago(1), values(100, 100))
    })
    .await;
    drop(book);
    let error = hub.stop_with_error().await;
    assert_eq!(settled.fate().await, Fate::Lost, "the sender is to send it again");
    assert!(error.contains("could not be stored"), "{error}");
    std::fs::remove_file(ballast).unwrap();
}
