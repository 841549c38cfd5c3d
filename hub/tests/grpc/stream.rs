//! The report stream: acknowledgement, clocks, orders, bounds, and its end.

use gander_hub::{
    model::{Actor, Metric, ServerId, Timestamp},
    store::{SeriesQuery, Step},
};
use gander_probe::Snapshot;
use gander_proto::{limits, v1};
use tonic::Code;
use v1::{agent_message::Message as Up, hub_message::Message as Down};

use crate::{
    agent::{Agent, Hub, machine},
    support::{eventually, values},
};

/// The CPU values stored of a server, by the second they were true.
async fn stored(hub: &Hub, server: i64) -> Vec<(i64, i64)> {
    let now = Timestamp::now();
    let answer = hub
        .pipeline
        .store
        .query(&SeriesQuery {
            server_id: ServerId(server),
            metrics: vec![Metric::CpuUsage],
            from: now.plus_millis(-600_000),
            to: now.plus_millis(600_000),
            max_points: 5_000,
            step: Step::Auto,
        })
        .await
        .unwrap();
    let Some(series) = answer.series.first() else {
        return Vec::new();
    };
    let points = answer.times.iter().zip(&series.max);
    points
        .filter_map(|(at, value)| value.map(|value| (at.as_millis(), value)))
        .collect()
}

async fn samples(hub: &Hub) -> u64 {
    hub.pipeline.store.storage_stats().await.unwrap().samples
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_and_what_comes_twice_is_stored_once() {
    let (hub, identity, enrolled) = Hub::with_agent().await;
    let (mut agent, welcome) = Agent::start(&hub, &identity).await;
    assert_eq!(welcome.server_name, "machine-1");
    assert_eq!(welcome.directive.unwrap().interval_ms, 10_000);

    let at = agent.now_ms();
    let batch: Vec<_> = (0..5_u16)
        .map(|n| (at - i64::from(n) * 1000, values(100 + n, 500)))
        .collect();
    agent.send(&batch, Some(0)).await;
    agent.acknowledged().await;
    assert_eq!(samples(&hub).await, 5);
    let live = hub.pipeline.live.server(ServerId(enrolled.server_id)).unwrap();
    assert_eq!(
        live.snapshot
            .as_ref()
            .unwrap()
            .cpu
            .as_ref()
            .unwrap()
            .usage_permille,
        100
    );

    // The acknowledgement was lost; the agent comes back and sends the same again.
    drop(agent);
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    agent.send(&batch, Some(0)).await;
    agent.acknowledged().await;
    assert_eq!(samples(&hub).await, 5);
    let agents = hub.board.all();
    assert_eq!(agents.len(), 1);
    assert_eq!(agents[0].1.dropped, 3);
    hub.stop().await;
}

/// A stream that brings no values must not keep SSH from reading the server.
#[tokio::test]
async fn only_values_count_as_heard() {
    let (hub, identity, enrolled) = Hub::with_agent().await;
    let server = ServerId(enrolled.server_id);
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    agent.send(&[], Some(0)).await;
    agent.acknowledged().await;
    agent
        .send(&[(agent.now_ms(), Snapshot::default())], Some(0))
        .await;
    agent.acknowledged().await;
    assert_eq!(hub.presence.last_heard(server), None);
    agent.send(&[(agent.now_ms(), values(1, 2))], Some(0)).await;
    agent.acknowledged().await;
    assert!(hub.presence.last_heard(server).is_some());
    hub.stop().await;
}

#[tokio::test]
async fn a_wrong_clock_is_measured_and_corrected_for() {
    let (hub, identity, enrolled) = Hub::with_agent().await;
    let mut agent = Agent::open(hub.connect(Some(&identity)).await.unwrap())
        .await
        .unwrap();
    agent.ahead_ms = 5 * 3_600_000;
    let welcome = agent.greet().await.unwrap();
    let told = welcome.directive.unwrap().clock_ahead_ms;
    assert!((told - agent.ahead_ms).abs() < 1_000, "{told}");

    let batch = [(agent.now_ms(), values(321, 500))];
    agent.send(&batch, Some(told)).await;
    agent.acknowledged().await;
    let values = stored(&hub, enrolled.server_id).await;
    assert_eq!(values.len(), 1);
    assert!((values[0].0 - Timestamp::now().as_millis()).abs() < 60_000);

    // The same again on another stream, measured a little otherwise: it carries its correction.
    drop(agent);
    let mut agent = Agent::open(hub.connect(Some(&identity)).await.unwrap())
        .await
        .unwrap();
    agent.ahead_ms = 5 * 3_600_000 + 700;
    agent.greet().await.unwrap();
    agent.send(&batch, Some(told)).await;
    agent.acknowledged().await;
    assert_eq!(samples(&hub).await, 1);
    assert_eq!(hub.board.all()[0].1.clock_ahead_ms, told);
    hub.stop().await;
}

#[tokio::test]
async fn somebody_who_looks_makes_it_quick_and_settings_reach_it() {
    let (hub, identity, enrolled) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let server_id = ServerId(enrolled.server_id);
    let look = hub.pipeline.live.watch_server(server_id);
    let directive = agent.directive().await;
    assert!(directive.focus);
    assert_eq!(directive.interval_ms, 1_000);
    drop(look);
    let directive = agent.directive().await;
    assert!(!directive.focus);
    assert_eq!(directive.interval_ms, 10_000);

    let server = hub.pipeline.store.server(server_id).await.unwrap().unwrap();
    let mut spec = server.spec;
    spec.interval_seconds = Some(5);
    let store = &hub.pipeline.store;
    store
        .update_server(
            server_id,
            &spec,
            &Default::default(),
            &Actor::hub(),
            Timestamp::now(),
        )
        .await
        .unwrap();
    assert_eq!(agent.directive().await.interval_ms, 5_000);
    hub.stop().await;
}

#[tokio::test]
async fn a_later_stream_of_an_agent_ends_the_one_before() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut first, _) = Agent::start(&hub, &identity).await;
    let (mut second, _) = Agent::start(&hub, &identity).await;
    assert_eq!(first.end().await.code(), Code::Aborted);
    let batch = [(second.now_ms(), values(100, 500))];
    second.send(&batch, None).await;
    second.acknowledged().await;
    hub.stop().await;
}

#[tokio::test]
async fn what_is_against_the_rules_ends_the_stream_with_its_reason() {
    let (hub, identity, _) = Hub::with_agent().await;
    let batch = |number, samples| {
        Up::Batch(v1::Batch {
            number,
            samples: Some(samples),
            ..v1::Batch::default()
        })
    };

    let mut agent = Agent::open(hub.connect(Some(&identity)).await.unwrap())
        .await
        .unwrap();
    agent.say(batch(1, v1::Samples::default())).await;
    let status = agent.end().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "the first message must be hello")
    );

    let (mut agent, _) = Agent::start(&hub, &identity).await;
    agent.say(batch(2, v1::Samples::default())).await;
    agent.say(batch(2, v1::Samples::default())).await;
    assert_eq!(
        agent.end().await.message(),
        "batch 2 came after batch 2: numbers must rise"
    );

    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let unknown_word = v1::Samples {
        samples: vec![v1::Sample {
            after_base_ms: 0,
            snapshot: Some(v1::Snapshot {
                boot_id: Some(9),
                ..v1::Snapshot::default()
            }),
        }],
        ..v1::Samples::default()
    };
    agent.say(batch(1, unknown_word)).await;
    assert_eq!(
        agent.end().await.message(),
        "batch 1: boot_id names word 9, and the table has 0"
    );

    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let too_large = v1::Samples {
        words: vec!["w".repeat(limits::MESSAGE_BYTES)],
        ..v1::Samples::default()
    };
    agent.say(batch(1, too_large)).await;
    assert_eq!(agent.end().await.code(), Code::ResourceExhausted);
    assert_eq!(samples(&hub).await, 0);
    hub.stop().await;
}

#[tokio::test]
async fn a_flood_of_small_messages_holds_up_nobody_else() {
    let hub = Hub::start().await;
    let token = hub.token(2).await;
    let (flooder, _) = hub.enrol(&token, machine(1)).await;
    let (other, _) = hub.enrol(&token, machine(2)).await;
    let (flood, _) = Agent::start(&hub, &flooder).await;
    let flooding = tokio::spawn(async move {
        // The hub takes a thousand at once and then a few a second: this one will never be done.
        for hub_ms in 0..1_000_000 {
            flood.say(Up::Pong(v1::Pong { hub_ms, agent_ms: 0 })).await;
        }
        drop(flood);
    });
    let (mut agent, _) = Agent::start(&hub, &other).await;
    for n in 0..5 {
        let batch = [(agent.now_ms() - n, values(100, 500))];
        agent.send(&batch, None).await;
        agent.acknowledged().await;
    }
    assert!(!flooding.is_finished(), "the flood was let through");
    flooding.abort();
    hub.stop().await;
}

#[tokio::test]
async fn a_deleted_server_ends_its_stream_for_good() {
    let (hub, identity, enrolled) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    let store = &hub.pipeline.store;
    store
        .delete_server(ServerId(enrolled.server_id), &Actor::hub(), Timestamp::now())
        .await
        .unwrap();
    assert_eq!(agent.end().await.code(), Code::PermissionDenied);
    let again = Agent::open(hub.connect(Some(&identity)).await.unwrap()).await;
    assert_eq!(again.err().unwrap().code(), Code::PermissionDenied);
    hub.stop().await;
}

#[tokio::test]
async fn a_stop_is_told_and_what_was_under_way_is_acknowledged_or_not_stored() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    agent.send(&[(agent.now_ms(), values(100, 500))], None).await;
    agent.acknowledged().await;
    hub.shutdown.cancel();
    let mut was_told = false;
    let status = loop {
        match agent.hear().await {
            Ok(Down::Stopping(_)) => was_told = true,
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert!(was_told);
    assert_eq!(status.code(), Code::Unavailable);
    hub.stop().await;
}

#[tokio::test]
async fn what_an_agent_says_of_itself_is_kept() {
    let (hub, identity, _) = Hub::with_agent().await;
    let (mut agent, _) = Agent::start(&hub, &identity).await;
    agent.send(&[(agent.now_ms(), values(100, 500))], None).await;
    agent.acknowledged().await;
    drop(agent);
    eventually("the stream has ended", async || hub.board.all().is_empty()).await;
    let store = hub.pipeline.store.clone();
    hub.shutdown.cancel();
    eventually("what was noted is written down", async || {
        let agents = store.agents().await.unwrap();
        agents[0].last_seen_at.is_some() && agents[0].dropped == 3
    })
    .await;
    hub.stop().await;
}
