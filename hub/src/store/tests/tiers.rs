//! Blocks and roll-ups: late samples, damage, the whole fleet, the cap on series.

use super::*;
use crate::model::{EventKind, Metric};
use crate::store::merge::Sizes;
use crate::store::{EventQuery, FleetQuery, GroupBy, MetricsQuery, SeriesQuery, Step};

const SMALL: Sizes = Sizes {
    fold: 32,
    roll: 64,
    full: 256,
};
const LONG: std::time::Duration = std::time::Duration::from_secs(3_600);

async fn fill(test: &TestStore, server_id: ServerId, steps: std::ops::Range<i64>) {
    let samples = steps.map(|step| {
        sample(
            server_id,
            NOW.0 + step * 10 * SECOND,
            snapshot((step % 900) as u16, step % 6 == 0),
        )
    });
    test.commit_samples(samples.collect()).await;
}

fn series(server_id: ServerId, metric: Metric, hours: i64, step: i64) -> SeriesQuery {
    SeriesQuery {
        server_id,
        metrics: vec![metric],
        from: NOW,
        to: Timestamp(NOW.0 + hours * HOUR),
        max_points: 5_000,
        step: Step::Fixed(step),
    }
}

#[tokio::test]
async fn folding_leaves_no_row_and_changes_no_answer() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await.id;
    fill(&test, server, 0..2_000).await;
    let questions = [
        series(server, Metric::CpuUsage, 6, 10 * SECOND),
        series(server, Metric::FilesystemUsage, 6, 30 * SECOND),
        series(server, Metric::Load1, 6, 15 * MINUTE),
        series(server, Metric::DiskReadBytes, 6, 3 * HOUR),
    ];
    let rows = MetricsQuery {
        limit: 5_000,
        ..MetricsQuery::default()
    };
    let mut before = Vec::new();
    for question in &questions {
        before.push(test.store.query(question).await.unwrap());
    }
    let (all, latest) = (
        test.store.metric_rows(&rows).await.unwrap(),
        test.store.latest().await.unwrap(),
    );
    let report = test.store.fold_by(&SMALL, NOW, LONG).await.unwrap();
    assert_eq!((report.folded, report.more), (2_000, false));
    assert!(report.merged > 0, "{report:?}");
    let stats = test.store.storage_stats().await.unwrap();
    assert_eq!((stats.samples, stats.unfolded, stats.trash_bytes), (2_000, 0, 0));
    assert_eq!(
        stats.tiers.iter().map(|tier| tier.tier_ms).collect::<Vec<_>>(),
        [0, 900_000, 10_800_000]
    );
    for (question, before) in questions.iter().zip(before) {
        assert_eq!(test.store.query(question).await.unwrap(), before);
    }
    assert_eq!(test.store.metric_rows(&rows).await.unwrap(), all);
    assert_eq!(test.store.latest().await.unwrap(), latest);
    test.assert_whole().await;
}

#[tokio::test]
async fn what_one_call_has_no_time_for_the_next_ones_do() {
    let mut test = TestStore::new().await;
    let server = test.server("web-1").await.id;
    fill(&test, server, 0..1_000).await;
    // No time at all for merging: folded in small parts, as by many calls that were cut short.
    let apart = Sizes { full: 1, ..SMALL };
    test.store.fold_by(&apart, NOW, LONG).await.unwrap();
    let blocks = test.store.storage_stats().await.unwrap().tiers[0].blocks;
    let cut = test
        .store
        .fold_by(&SMALL, NOW, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert!(cut.more || cut.merged == 0);
    test.reopen().await;
    while test
        .store
        .fold_by(&SMALL, NOW, std::time::Duration::from_millis(100))
        .await
        .unwrap()
        .more
    {}
    let after = &test.store.storage_stats().await.unwrap().tiers[0];
    assert!(
        after.blocks < blocks,
        "{} of {blocks} blocks are left",
        after.blocks
    );
}

#[tokio::test]
async fn late_samples_enter_once_whatever_is_folded() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await.id;
    let wave = |odd: i64| {
        let samples = (0..600).map(move |step| (step * 2 + odd) * 10 * SECOND);
        samples.map(move |at| sample(server, NOW.0 + at, snapshot((at / SECOND % 700) as u16, false)))
    };
    test.commit_samples(wave(0).collect()).await;
    test.store.fold_by(&SMALL, NOW, LONG).await.unwrap();
    // The agent sends what the hub missed, and some of what it has, twice.
    for _ in 0..2 {
        test.commit_samples(wave(1).chain(wave(0).take(50)).collect())
            .await;
        test.store.fold_by(&SMALL, NOW, LONG).await.unwrap();
    }
    let receipt = test.commit_samples(wave(1).chain(wave(0)).collect()).await;
    assert_eq!((receipt.samples, receipt.duplicates), (0, 1_200));
    assert_eq!(test.store.storage_stats().await.unwrap().samples, 1_200);
    let coarse = test
        .store
        .query(&series(server, Metric::Load1, 1, 15 * MINUTE))
        .await
        .unwrap();
    let expected: f64 = (0..90).map(|step| f64::from(step * 10 % 700)).sum::<f64>() / 90.0;
    assert!((coarse.series[0].avg[0].unwrap() - expected).abs() < 0.01);
    assert_eq!(test.store.verify_blocks(|_, _| ()).await.unwrap().faults, []);
}

#[tokio::test]
async fn a_damaged_block_loses_itself_only_and_is_reported() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await.id;
    for part in 0..3 {
        fill(&test, server, part * 100..(part + 1) * 100).await;
        test.store
            .fold_by(&Sizes { full: 100, ..SMALL }, NOW, LONG)
            .await
            .unwrap();
    }
    let sound = test.store.verify_blocks(|_, _| ()).await.unwrap();
    assert_eq!((sound.samples, sound.faults.len()), (300, 0));
    // The last byte of the middle block's first chunk of samples.
    test.tamper(
        "UPDATE chunk SET data = CAST(substr(data, 1, length(data) - 1) || x'a5' AS BLOB) WHERE id =
             (SELECT max(id) FROM chunk WHERE id >> 16 = (SELECT id FROM block WHERE tier = 0
                 AND first_at = (SELECT first_at FROM block WHERE tier = 0 ORDER BY first_at LIMIT 1 OFFSET 1)))",
    )
    .await;
    let report = test.store.verify_blocks(|_, _| ()).await.unwrap();
    assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
    assert_eq!(
        (report.faults[0].server_id, report.faults[0].samples),
        (server, 100)
    );
    // All series together touch the damaged column.
    let mut ask = series(server, Metric::CpuUsage, 1, 10 * SECOND);
    ask.metrics = Metric::ALL.to_vec();
    let answer = test.store.query(&ask).await.unwrap();
    assert_eq!(answer.unreadable_blocks, 1);
    let cpu = answer
        .series
        .iter()
        .find(|series| series.metric == Metric::CpuUsage)
        .unwrap();
    assert_eq!(
        (cpu.max[99], cpu.max[100], cpu.max[199], cpu.max[200]),
        (Some(99), None, None, Some(200))
    );
    // Without its directory it has nothing to say at all, and the rest still has.
    test.tamper(
        "DELETE FROM chunk WHERE id = (SELECT id << 16 FROM block WHERE tier = 0 ORDER BY first_at LIMIT 1)",
    )
    .await;
    let rows = MetricsQuery {
        limit: 1_000,
        ..MetricsQuery::default()
    };
    let page = test.store.metric_rows(&rows).await.unwrap();
    assert!(page.unreadable_blocks >= 1);
    assert_eq!(page.rows.last().unwrap().taken_at.0, NOW.0 + 2_990 * SECOND);
    // Folding leaves it alone, deleting removes it.
    test.store.fold_by(&SMALL, NOW, LONG).await.unwrap();
    let range = crate::store::DeleteRange {
        server_id: Some(server),
        before: Some(Timestamp(NOW.0 + 2_000 * SECOND)),
    };
    assert_eq!(
        test.store.delete_samples(&range, &admin(), NOW).await.unwrap(),
        200
    );
    assert_eq!(test.store.verify_blocks(|_, _| ()).await.unwrap().faults, []);
}

#[tokio::test]
async fn the_fleet_is_ranked_grouped_and_summed_up() {
    let test = TestStore::new().await;
    let mut ids = Vec::new();
    for number in 0..10 {
        let mut spec = spec(&format!("web-{number}"));
        spec.tags = vec![if number < 4 { "edge" } else { "core" }.to_owned()];
        let (credential, actor) = (SshCredential::default(), admin());
        let made = test.store.create_server(&spec, &credential, None, &actor, NOW);
        ids.push(made.await.unwrap().id);
    }
    let mut samples = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        for step in 0..360 {
            samples.push(sample(
                *id,
                NOW.0 + step * 10 * SECOND,
                snapshot(number as u16 * 100, step % 6 == 0),
            ));
        }
    }
    test.commit_samples(samples).await;
    let query = FleetQuery {
        metric: Metric::CpuUsage,
        label: None,
        servers: None,
        tag: None,
        group: None,
        from: NOW,
        to: Timestamp(NOW.0 + HOUR),
        max_points: 4,
        step: Step::Auto,
        top: Some(3),
        group_by: GroupBy::Tag,
    };
    let answer = test.store.fleet(&query).await.unwrap();
    test.store.fold_by(&SMALL, NOW, LONG).await.unwrap();
    assert_eq!(test.store.fleet(&query).await.unwrap(), answer);
    assert_eq!((answer.step_ms, answer.times.len()), (15 * MINUTE, 4));
    let top: Vec<ServerId> = answer.lines.iter().map(|line| line.server_id).collect();
    assert_eq!(top, [ids[9], ids[8], ids[7]]);
    assert_eq!(answer.lines[0].points.avg, [Some(900.0); 4]);
    let names: Vec<Option<&str>> = answer.groups.iter().map(|group| group.name.as_deref()).collect();
    assert_eq!(names, [None, Some("core"), Some("edge")]);
    assert_eq!(
        (answer.groups[0].p50[0], answer.groups[0].p95[0]),
        (Some(400.0), Some(900.0))
    );
    assert_eq!(
        (answer.groups[2].servers, answer.groups[2].avg[0]),
        (4, Some(150.0))
    );
    // Of two filesystems the fuller one; of one label that one.
    let disks = FleetQuery {
        metric: Metric::FilesystemUsage,
        tag: Some("edge".into()),
        ..query
    };
    let answer = test.store.fleet(&disks).await.unwrap();
    assert_eq!(
        (answer.lines.len(), answer.lines[0].points.max[0]),
        (3, Some(900))
    );
    let root = FleetQuery {
        label: Some("/".into()),
        ..disks
    };
    let answer = test.store.fleet(&root).await.unwrap();
    assert_eq!(
        (
            answer.lines[0].points.label.as_str(),
            answer.lines[0].points.max[0]
        ),
        ("/", Some(420))
    );
}

#[tokio::test]
async fn the_cap_on_series_says_so_once() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await.id;
    let mut many = snapshot(1, false);
    many.interfaces = Some(
        (0..400)
            .map(|number| Interface {
                name: format!("veth{number}"),
                rates: Some(InterfaceRates::default()),
            })
            .collect(),
    );
    for step in 0..5 {
        test.commit_samples(vec![sample(server, NOW.0 + step * MINUTE, many.clone())])
            .await;
    }
    let query = EventQuery {
        kind: Some(EventKind::SeriesLimited),
        limit: 9,
        ..EventQuery::default()
    };
    let events = test.store.events(&query).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event.details["limit"], 1_000);
    let stats = test.store.storage_stats().await.unwrap();
    assert!(stats.per_server[0].at_series_limit && stats.per_server[0].dropped_values > 0);
}

#[tokio::test]
async fn what_retention_left_only_in_a_roll_up_is_shown_in_its_steps() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await.id;
    fill(&test, server, 0..2_000).await;
    let ages = crate::store::Ages {
        samples: Some(3_600),
        quarter_hours: None,
        three_hours: None,
    };
    test.store
        .set_retention(None, Some(ages), &admin(), NOW)
        .await
        .unwrap();
    let now = NOW.plus_millis(20_000 * SECOND);
    assert_eq!(test.store.retain(now).await.unwrap(), 1_640);
    let recent = SeriesQuery {
        from: Timestamp(NOW.0 + 5 * HOUR),
        ..series(server, Metric::CpuUsage, 6, 10 * SECOND)
    };
    assert_eq!(test.store.query(&recent).await.unwrap().step_ms, 10 * SECOND);
    let old = test
        .store
        .query(&series(server, Metric::CpuUsage, 2, 10 * SECOND))
        .await
        .unwrap();
    assert_eq!(old.step_ms, 15 * MINUTE);
    assert_eq!(
        (old.series[0].min[1], old.series[0].avg[1], old.series[0].max[1]),
        (Some(90), Some(134.5), Some(179))
    );
    let forecast = test.store.forecast(now).await.unwrap();
    assert!(
        forecast.values_a_day > 0 && forecast.bytes_in_a_year > 0,
        "{forecast:?}"
    );
    let retention = test.store.retention().await.unwrap();
    assert_eq!((retention.global, retention.from_config), (ages, false));
}
