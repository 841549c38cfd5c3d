//! A collector with many servers at once: how it comes to them, comes back to them, and leaves them.

use std::{collections::HashSet, time::Duration};

use gander_e2e::{
    collecting::{Collecting, target},
    eventually::{PATIENCE, eventually},
    fleet::{Fleet, FleetSpec},
};
use gander_hub::{
    collect::{CollectConfig, Target},
    model::CollectErrorCode as Code,
};

fn targets(fleet: &Fleet, nodes: usize) -> Vec<Target> {
    (0..nodes)
        .map(|node| target(i64::try_from(node).unwrap() + 1, &fleet.spec(node)))
        .collect()
}

/// Collects without losing patience: how long a busy machine takes for many handshakes is not the question.
fn collect(fleet: &Fleet, nodes: usize) -> Collecting {
    let config = CollectConfig {
        connect_timeout: PATIENCE,
        poll_timeout: PATIENCE,
        ..CollectConfig::default()
    };
    Collecting::with_config(config, targets(fleet, nodes))
}

/// Until every server was read once more.
async fn all_read(collecting: &mut Collecting, servers: usize) {
    let mut seen = HashSet::new();
    while seen.len() < servers {
        let reading = collecting.next().await;
        if reading.outcome.is_ok() {
            seen.insert(reading.server_id);
        }
    }
}

#[tokio::test]
async fn a_fleet_is_read_over_one_connection_each_and_left_without_a_trace() {
    let fleet = Fleet::start(FleetSpec::of(20)).await.unwrap();
    let mut collecting = collect(&fleet, 20);
    let mut names = HashSet::new();
    let mut rates = HashSet::new();
    while rates.len() < 20 {
        let reading = collecting.next().await;
        let snapshot = reading.outcome.unwrap();
        names.extend(snapshot.system.and_then(|system| system.hostname));
        if snapshot.cpu.is_some() && snapshot.disks.is_some_and(|disks| !disks.is_empty()) {
            rates.insert(reading.server_id);
        }
    }
    assert_eq!(names.len(), 20, "each is a machine of its own");
    assert_eq!((fleet.figures().accepted, fleet.figures().open), (20, 20));
    collecting.stop().await;
    eventually("every connection is closed", async || {
        (fleet.figures().open == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_servers_at_one_address_are_never_more_than_its_sshd_lets_in() {
    let spec = FleetSpec {
        own_addresses: false,
        // Slow enough that handshakes overlap.
        round_trip: Duration::from_millis(20),
        ..FleetSpec::of(40)
    };
    let fleet = Fleet::start(spec).await.unwrap();
    fleet.measure(Duration::from_secs(1));
    let mut collecting = collect(&fleet, 40);
    all_read(&mut collecting, 40).await;
    let figures = fleet.figures();
    // OpenSSH begins to turn away at ten.
    assert!(
        (2..=10).contains(&figures.most_at_one_address),
        "{figures:?}: MaxStartups"
    );
    assert_eq!(figures.accepted, 40, "nobody had to come twice");
    collecting.stop().await;
}

#[tokio::test]
async fn after_a_cut_every_server_is_back_without_a_storm() {
    let fleet = Fleet::start(FleetSpec::of(16)).await.unwrap();
    let mut collecting = collect(&fleet, 16);
    all_read(&mut collecting, 16).await;
    fleet.cut();
    let mut gone = HashSet::new();
    while gone.len() < 16 {
        let reading = collecting.next().await;
        if let Err(error) = reading.outcome {
            assert!(
                matches!(error.code, Code::ConnectionRefused | Code::Disconnected),
                "{error}"
            );
            gone.insert(reading.server_id);
        }
    }
    assert_eq!(fleet.figures().open, 0);
    fleet.restore().await.unwrap();
    collecting.drain();
    all_read(&mut collecting, 16).await;
    let figures = fleet.figures();
    assert_eq!(
        (figures.accepted, figures.logged_in, figures.open),
        (32, 32, 16),
        "each came back once"
    );
    collecting.stop().await;
}

#[tokio::test]
async fn a_fleet_that_falls_silent_is_told_and_read_again_when_it_speaks() {
    let fleet = Fleet::start(FleetSpec::of(10)).await.unwrap();
    let mut collecting = Collecting::from(targets(&fleet, 10));
    all_read(&mut collecting, 10).await;
    fleet.silence(true);
    let mut silent = HashSet::new();
    while silent.len() < 10 {
        let reading = collecting.next().await;
        if let Err(error) = reading.outcome {
            assert_eq!(error.code, Code::Timeout, "{error}");
            silent.insert(reading.server_id);
        }
    }
    fleet.silence(false);
    all_read(&mut collecting, 10).await;
    // Given up, but told so: none of the silent connections is left open on its node.
    eventually("one connection for each server", async || {
        (fleet.figures().open == 10).then_some(())
    })
    .await;
    collecting.stop().await;
}

#[tokio::test]
async fn keys_exchanged_anew_on_every_connection_leave_no_gap() {
    let spec = FleetSpec {
        rekey: Duration::from_secs(1),
        ..FleetSpec::of(5)
    };
    let fleet = Fleet::start(spec).await.unwrap();
    let mut collecting = collect(&fleet, 5);
    all_read(&mut collecting, 5).await;
    for _ in 0..5 {
        all_read(&mut collecting, 5).await;
    }
    assert_eq!(fleet.figures().accepted, 5, "no connection was made anew");
    collecting.stop().await;
}
