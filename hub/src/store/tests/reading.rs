//! Queries: buckets, rows and latest values.

use super::*;
use crate::model::Metric;
use crate::store::{Cursor, MetricsQuery, SeriesQuery, Step};

fn query(server_id: ServerId, metrics: &[Metric], from: i64, to: i64, max_points: u32) -> SeriesQuery {
    SeriesQuery {
        server_id,
        metrics: metrics.to_vec(),
        from: Timestamp(from),
        to: Timestamp(to),
        max_points,
        step: Step::Auto,
    }
}

#[tokio::test]
async fn buckets_hold_minimum_mean_and_maximum_and_outages_are_gaps() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    // Ten minutes at 10 s, an hour of silence, ten minutes again.
    let at = |step: i64| NOW.0 + step * 10 * SECOND + if step < 60 { 0 } else { HOUR };
    let samples = (0..120).map(|step| sample(server.id, at(step), snapshot(step as u16, false)));
    test.commit_samples(samples.collect()).await;
    let ask = query(server.id, &[Metric::CpuUsage], NOW.0, NOW.0 + 2 * HOUR, 120);
    let answer = test.store.query(&ask).await.unwrap();
    assert_eq!(answer.step_ms, MINUTE);
    assert_eq!(answer.times.len(), 120);
    assert_eq!(answer.times[1].0 - answer.times[0].0, MINUTE);
    let cpu = &answer.series[0];
    assert_eq!((cpu.metric, cpu.label.as_str()), (Metric::CpuUsage, ""));
    assert_eq!(
        (cpu.min[1], cpu.avg[1], cpu.max[1]),
        (Some(6), Some(8.5), Some(11))
    );
    assert!(cpu.avg[..10].iter().all(Option::is_some));
    assert!(cpu.avg[10..70].iter().all(Option::is_none));
    assert!(cpu.avg[70..80].iter().all(Option::is_some));
    assert!(cpu.avg[80..].iter().all(Option::is_none));
}

#[tokio::test]
async fn every_label_is_a_series_and_the_slow_ones_have_no_gaps() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    let other = test.server("web-2").await;
    let mut samples: Vec<Sample> = (0..60)
        .map(|step| sample(server.id, NOW.0 + step * 10 * SECOND, snapshot(5, step % 6 == 0)))
        .collect();
    samples.push(sample(other.id, NOW.0, snapshot(9, true)));
    test.commit_samples(samples).await;
    let metrics = [Metric::FilesystemUsage, Metric::CpuCoreUsage, Metric::Temperature];
    let ask = query(server.id, &metrics, NOW.0, NOW.0 + 541 * SECOND, 1_000);
    let answer = test.store.query(&ask).await.unwrap();
    assert_eq!(answer.step_ms, 10 * SECOND);
    let names: Vec<(Metric, &str)> = answer
        .series
        .iter()
        .map(|series| (series.metric, series.label.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            (Metric::CpuCoreUsage, "0"),
            (Metric::CpuCoreUsage, "1"),
            (Metric::FilesystemUsage, "/"),
            (Metric::FilesystemUsage, "/srv"),
        ]
    );
    for series in &answer.series {
        assert!(
            series.avg.iter().all(Option::is_some),
            "{} has a gap",
            series.metric
        );
    }
}

#[tokio::test]
async fn the_borders_are_from_inclusive_to_exclusive() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    let samples = (0..4).map(|step| sample(server.id, NOW.0 + step * SECOND, snapshot(step as u16, false)));
    test.commit_samples(samples.collect()).await;
    let ask = query(
        server.id,
        &[Metric::CpuUsage],
        NOW.0 + SECOND,
        NOW.0 + 3 * SECOND,
        100,
    );
    let answer = test.store.query(&ask).await.unwrap();
    assert_eq!(answer.series[0].max, [Some(1), Some(2)]);
    let empty = query(
        server.id,
        &[Metric::CpuUsage],
        NOW.0 + HOUR,
        NOW.0 + 2 * HOUR,
        100,
    );
    let answer = test.store.query(&empty).await.unwrap();
    assert!(answer.series.is_empty());
    let backwards = query(server.id, &[Metric::CpuUsage], NOW.0 + HOUR, NOW.0, 100);
    assert!(test.store.query(&backwards).await.unwrap().times.is_empty());
}

#[tokio::test]
async fn a_damaged_row_is_left_out_and_reported() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    let samples = (0..10).map(|step| sample(server.id, NOW.0 + step * SECOND, snapshot(5, true)));
    test.commit_samples(samples.collect()).await;
    test.tamper("UPDATE sample SET cells = x'ffffffffffffffffffffffff' WHERE taken_at % 10000 = 3000")
        .await;
    test.tamper("UPDATE sample SET layout_id = 999 WHERE taken_at % 10000 = 4000")
        .await;
    let ask = query(server.id, &[Metric::CpuUsage], NOW.0, NOW.0 + MINUTE, 100);
    assert_eq!(test.store.query(&ask).await.unwrap().unreadable_rows, 2);
    let rows = MetricsQuery {
        limit: 100,
        ..MetricsQuery::default()
    };
    let page = test.store.metric_rows(&rows).await.unwrap();
    assert_eq!((page.rows.len(), page.unreadable_rows), (8, 2));
    test.tamper("UPDATE sample SET cells = x'80'").await;
    assert!(test.store.latest().await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_come_oldest_first_page_by_page_and_hold_the_disk_usage() {
    let test = TestStore::new().await;
    let servers = [test.server("a").await.id, test.server("b").await.id];
    let mut samples = Vec::new();
    for step in 0..20 {
        for server_id in servers {
            samples.push(sample(
                server_id,
                NOW.0 + step * MINUTE,
                snapshot(step as u16, step == 0),
            ));
        }
    }
    test.commit_samples(samples).await;
    let mut all = Vec::new();
    let mut query = MetricsQuery {
        limit: 7,
        ..MetricsQuery::default()
    };
    loop {
        let page = test.store.metric_rows(&query).await.unwrap();
        all.extend(page.rows);
        let Some(next) = page.next else { break };
        query.after = Some(next.to_string().parse::<Cursor>().unwrap());
    }
    assert_eq!(all.len(), 40);
    assert!(all.is_sorted_by_key(|row| (row.taken_at, row.server_id)));
    let row = &all[10];
    assert_eq!(row.cpu_usage_permille, Some(5));
    assert_eq!(row.memory_usage_permille, Some(250));
    assert_eq!(row.disk_usage_permille, Some(420));
    assert_eq!(row.load_1_hundredths, Some(5));
    assert_eq!(row.processes, Some(105));
    assert!(
        all[32..].iter().all(|row| row.disk_usage_permille.is_none()),
        "held for a quarter of an hour"
    );

    let one = MetricsQuery {
        server_id: Some(servers[1]),
        from: Some(Timestamp(NOW.0 + MINUTE)),
        to: Some(Timestamp(NOW.0 + 4 * MINUTE)),
        limit: 2,
        after: None,
    };
    let page = test.store.metric_rows(&one).await.unwrap();
    assert_eq!(page.rows.len(), 2);
    assert_eq!(
        page.rows[0].disk_usage_permille,
        Some(420),
        "looked up before the page"
    );
    let rest = MetricsQuery {
        after: page.next,
        ..one
    };
    let page = test.store.metric_rows(&rest).await.unwrap();
    assert_eq!((page.rows.len(), page.next), (1, None));
    assert!("nonsense".parse::<Cursor>().is_err());
}

#[tokio::test]
async fn latest_values_are_merged_section_by_section() {
    let mut test = TestStore::new().await;
    let server = test.server("web-1").await;
    test.server("never seen").await;
    let mut unmounted = snapshot(2, true);
    unmounted.filesystems.as_mut().unwrap().truncate(1);
    test.commit_samples(vec![
        sample(server.id, NOW.0, snapshot(1, true)),
        sample(server.id, NOW.0 + MINUTE, unmounted),
        sample(server.id, NOW.0 + 2 * MINUTE, snapshot(3, false)),
    ])
    .await;
    test.reopen().await;
    let latest = test.store.latest().await.unwrap();
    assert_eq!(latest.len(), 1);
    let latest = &latest[&server.id];
    assert_eq!(latest.taken_at.0, NOW.0 + 2 * MINUTE);
    assert_eq!(latest.snapshot.cpu, snapshot(3, false).cpu);
    assert_eq!(
        latest.snapshot.filesystems.as_ref().unwrap().len(),
        1,
        "/srv was unmounted since"
    );
    assert_eq!(latest.snapshot.disks, snapshot(3, false).disks);
}

#[tokio::test]
async fn another_process_may_write_and_is_noticed() {
    let test = TestStore::new().await;
    let server = test.server("web-1").await;
    test.commit_samples(vec![sample(server.id, NOW.0, snapshot(1, true))])
        .await;
    let second = Store::open(&test.path(), test.key.clone()).await.unwrap();
    second.delete_server(server.id, &admin(), NOW).await.unwrap();
    let receipt = test
        .commit_samples(vec![sample(server.id, NOW.0 + 1, snapshot(1, true))])
        .await;
    assert_eq!((receipt.samples, receipt.orphans), (0, 1));
    second.close().await;
}
