//! Charts from a file that holds a year of one server and a day of 999 others.
//!
//! One server is measured every minute for 365 days, every metric; the others every five minutes
//! for the last day: a file of that shape can be made in a minute or two, and what a query of one
//! server costs depends on what that server has. Cold: the file is opened anew and the kernel has
//! been told to forget its pages. Warm: the median of many.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gander_e2e::measure::percentile;
use gander_e2e::recording::Recording;
use gander_hub::model::commit::{Commit, Sample};
use gander_hub::model::{Metric, ServerId, Timestamp};
use gander_hub::store::{MasterKey, SeriesQuery, Step, Store};
use rustix::fs::{Advice, fadvise};

use crate::fleet::Fleet;
use crate::ours::Ours;

const SERVERS: usize = 1_000;
const DAY_MS: i64 = 86_400_000;
const COLD: usize = 5;
const WARM: usize = 50;
/// Samples in one commit while the file is made.
const COMMIT: usize = 2_000;

pub(crate) async fn year(recording: &Recording, directory: &Path) {
    let path = directory.join("gander.db");
    let long = Fleet::new(recording, 60, 1, Some(365 * 1_440));
    let wide = Fleet::new(recording, 300, SERVERS - 1, Some(288));
    let mut ours = Ours::open(&path).await;
    ours.enrol(SERVERS, Timestamp(long.start)).await;
    let made = Instant::now();
    let ids = ours.ids.clone();
    append(&ours.store, &long, 0..long.length, &ids[..1]).await;
    append(&ours.store, &wide, 0..wide.length, &ids[1..]).await;
    let end = long.end().max(wide.end());
    ours.fold_all(Timestamp(end + DAY_MS)).await;
    let bytes = ours.close().await;
    println!("\n### One series of a year from a file with {SERVERS} servers\n");
    println!(
        "{:.0} MB, made in {:.0} s: one server every minute for a year, {} every five minutes for a day\n",
        bytes as f64 / 1e6,
        made.elapsed().as_secs_f64(),
        SERVERS - 1
    );
    println!("| span | points | warm, median | warm, 99th percentile | cold, median of {COLD} |");
    println!("|---|---:|---:|---:|---:|");
    for (name, days) in [("24 h", 1), ("30 days", 30), ("a year", 365)] {
        let query = SeriesQuery {
            server_id: ids[0],
            metrics: vec![Metric::CpuUsage],
            from: Timestamp(long.end() - days * DAY_MS),
            to: Timestamp(long.end()),
            max_points: 500,
            step: Step::Auto,
        };
        let mut cold = Vec::new();
        for _ in 0..COLD {
            forget_pages(&path);
            let store = open(&path).await;
            cold.push(ask(&store, &query).await.0);
            store.close().await;
        }
        let store = open(&path).await;
        ask(&store, &query).await;
        let (mut warm, mut points) = (Vec::new(), 0);
        for _ in 0..WARM {
            let (time, answered) = ask(&store, &query).await;
            warm.push(time);
            points = answered;
        }
        store.close().await;
        println!(
            "| {name} | {points} | {} | {} | {} |",
            ms(percentile(&mut warm, 50)),
            ms(percentile(&mut warm, 99)),
            ms(percentile(&mut cold, 50))
        );
    }
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

pub(crate) async fn open(path: &Path) -> Store {
    Store::open(path, MasterKey::random().unwrap()).await.unwrap()
}

async fn ask(store: &Store, query: &SeriesQuery) -> (Duration, usize) {
    let started = Instant::now();
    let answer = store.query(query).await.unwrap();
    let time = started.elapsed();
    let points = answer
        .series
        .first()
        .map_or(0, |series| series.avg.iter().flatten().count());
    assert!(points > 100, "{points} points");
    (time, points)
}

/// Writes what the page cache holds of the file and drops it.
pub(crate) fn forget_pages(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
}

/// Puts some of a fleet's samples into the store in the order of time, folding in between.
pub(crate) async fn append(store: &Store, fleet: &Fleet, numbers: Range<usize>, ids: &[ServerId]) {
    let mut samples = Vec::with_capacity(COMMIT);
    for number in numbers.clone() {
        for (server, id) in ids.iter().enumerate() {
            let (taken_at, snapshot) = fleet.sample(server, number);
            samples.push(Sample {
                server_id: *id,
                taken_at,
                snapshot: Arc::new(snapshot.clone()),
            });
            let is_last = number + 1 == numbers.end && server + 1 == ids.len();
            if samples.len() == COMMIT || is_last {
                let commit = Commit {
                    samples: std::mem::take(&mut samples),
                    ..Commit::default()
                };
                store.commit(&commit).await.unwrap();
                if number % 16 == 0 || is_last {
                    store.fold(taken_at, Duration::from_millis(500)).await.unwrap();
                }
            }
        }
    }
}
