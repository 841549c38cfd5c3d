//! The fleet page: a line of every server of 1,000, from a file that holds hours of all of them.
//!
//! As the page asks it: an hour in minutes, the first time after the hub's start, and again after
//! every server has told one more sample. Cold: the kernel has been told to forget the file's pages.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gander_e2e::measure::percentile;
use gander_e2e::recording::Recording;
use gander_hub::model::commit::{Commit, Sample};
use gander_hub::model::{Metric, Timestamp};
use gander_hub::store::{FleetQuery, GroupBy, Step, Store};

use crate::fleet::Fleet;
use crate::ours::Ours;
use crate::year::{append, forget_pages, ms, open};

const SERVERS: usize = 1_000;
/// Seconds between two samples: what a hub does by default.
const PACE: usize = 30;
const HOURS: usize = 6;
const COLD: usize = 5;
const AGAIN: usize = 40;
/// What the page may take.
const GOAL: &str = "50 ms";

pub(crate) async fn page(recording: &Recording, directory: &Path) {
    let path = directory.join("gander.db");
    let held = HOURS * 3_600 / PACE;
    let fleet = Fleet::new(recording, PACE, SERVERS, Some(held + 2 * AGAIN));
    let mut ours = Ours::open(&path).await;
    ours.enrol(SERVERS, Timestamp(fleet.start)).await;
    let ids = ours.ids.clone();
    append(&ours.store, &fleet, 0..held, &ids).await;
    let bytes = ours.close().await;
    println!("\n### The fleet page: a line of each of {SERVERS} servers (goal {GOAL})\n");
    println!(
        "{:.0} MB: {HOURS} hours of every server at {PACE} s\n",
        bytes as f64 / 1e6
    );
    println!("| span | points of all lines | first, cold | first, warm | again, median | again, longest |");
    println!("|---|---:|---:|---:|---:|---:|");
    let mut next = held;
    for (name, hours, points) in [("an hour", 1, 60), ("6 hours", 6, 60)] {
        let [mut cold, mut warm] = [Vec::new(), Vec::new()];
        for _ in 0..COLD {
            forget_pages(&path);
            for times in [&mut cold, &mut warm] {
                // Opened anew: the store remembers nothing.
                let store = open(&path).await;
                times.push(ask(&store, &fleet, next, hours, points).await.0);
                store.close().await;
            }
        }
        let store = open(&path).await;
        ask(&store, &fleet, next, hours, points).await;
        let (mut again, mut found) = (Vec::new(), 0);
        for _ in 0..AGAIN {
            let samples = ids.iter().enumerate().map(|(server, id)| {
                let (taken_at, snapshot) = fleet.sample(server, next);
                Sample {
                    server_id: *id,
                    taken_at,
                    snapshot: Arc::new(snapshot.clone()),
                }
            });
            let commit = Commit {
                samples: samples.collect(),
                ..Commit::default()
            };
            store.commit(&commit).await.unwrap();
            next += 1;
            let (time, points) = ask(&store, &fleet, next, hours, points).await;
            again.push(time);
            found = points;
        }
        store.close().await;
        println!(
            "| {name} | {found} | {} | {} | {} | {} |",
            ms(percentile(&mut cold, 50)),
            ms(percentile(&mut warm, 50)),
            ms(percentile(&mut again, 50)),
            ms(percentile(&mut again, 100))
        );
    }
}

/// The line of every server until sample `next`; how long it took, and how many points it had.
async fn ask(store: &Store, fleet: &Fleet, next: usize, hours: i64, points: u32) -> (Duration, usize) {
    let to = fleet.sample(0, next).0;
    let query = FleetQuery {
        metric: Metric::CpuUsage,
        label: None,
        servers: None,
        tag: None,
        group: None,
        from: to.plus_millis(-hours * 3_600_000),
        to,
        max_points: points,
        step: Step::Auto,
        top: None,
        group_by: GroupBy::Nothing,
    };
    let started = Instant::now();
    let answer = store.fleet(&query).await.unwrap();
    let time = started.elapsed();
    assert_eq!(answer.lines.len(), SERVERS);
    let filled = answer
        .lines
        .iter()
        .map(|line| line.points.avg.iter().flatten().count());
    (time, filled.sum())
}
