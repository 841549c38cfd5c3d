//! gander's store beside Prometheus and VictoriaMetrics, fed the same samples of a loaded machine.
//!
//! `make bench ONLY=store`, or `cargo bench -p gander-e2e --bench history -- PART...` with the parts
//! `sizes`, `classes`, `commits`, `week`, `year`, `page` (all by default). `RECORDING=FILE` names a
//! recording (`agent/probe/examples/record.rs`); without one, the short one in the repository is
//! used. Figures depend on the machine; nothing is asserted. Prints tables in Markdown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a measuring program: it prints, and whatever fails ends it"
)]

mod fleet;
mod ours;
mod page;
mod rivals;
mod year;

use std::path::{Path, PathBuf};
use std::time::Duration;

use gander_e2e::measure::machine;
use gander_e2e::recording::Recording;
use gander_hub::model::{Metric, Timestamp};
use gander_probe::Snapshot;
use tempfile::TempDir;

use fleet::Fleet;
use ours::{Filled, Ours, commit_times};
use rivals::Kind;

const PARTS: [&str; 6] = ["sizes", "classes", "commits", "week", "year", "page"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this too, to see whether it starts.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let wanted: Vec<&str> = PARTS
        .into_iter()
        .filter(|part| arguments.iter().any(|argument| argument == part))
        .collect();
    let wants = |part: &str| wanted.is_empty() || wanted.contains(&part);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let file = recording_file();
    let recording = Recording::read(&file).unwrap();
    println!("\n## The store: {}", machine());
    println!(
        "\nSamples: {} s of {}",
        recording.seconds(),
        file.file_name().unwrap_or_default().to_string_lossy()
    );
    for kind in [Kind::Prometheus, Kind::VictoriaMetrics] {
        match kind.version() {
            Some(version) => println!("- {version}"),
            None => println!("- {} is not installed: left out", kind.name()),
        }
    }
    runtime.block_on(async {
        if wants("sizes") {
            sizes(&recording, 10).await;
            sizes(&recording, 1).await;
        }
        if wants("classes") {
            classes(&recording).await;
        }
        if wants("commits") {
            commits(&recording).await;
        }
        if wants("week") {
            week(&recording).await;
        }
        if wants("year") {
            year::year(&recording, directory().path()).await;
        }
        if wants("page") {
            page::page(&recording, directory().path()).await;
        }
    });
}

fn recording_file() -> PathBuf {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/loaded.answers.gz");
    std::env::var_os("RECORDING").map_or_else(|| PathBuf::from(committed), PathBuf::from)
}

/// Beside the build, not in /tmp: that is often memory, and the disk is what is measured.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The same samples into all three: bytes, speed, and a query.
async fn sizes(recording: &Recording, step: usize) {
    let fleet = long_fleet(recording, step, 20);
    println!(
        "\n### {} servers × {} samples at {step} s\n",
        fleet.servers(),
        fleet.length
    );
    println!("| | bytes a value | values/s of one core | values/s | the series of a day's page, over HTTP |");
    println!("|---|---:|---:|---:|---:|");
    let home = directory();
    let empty = Ours::open(&home.path().join("empty.db")).await.close().await;
    let path = home.path().join("gander.db");
    let mut ours = Ours::open(&path).await;
    let mut filled = ours.fill(&fleet, Snapshot::clone).await;
    filled.bytes = ours.close().await;
    let query = our_query(&path, &fleet).await;
    row("gander", &filled, Some(query), None);
    let share = empty as f64 / filled.values as f64;
    println!("| of which an empty file, {empty} bytes | {share:.3} | | | |");
    for kind in [Kind::Prometheus, Kind::VictoriaMetrics] {
        if kind.version().is_none() {
            continue;
        }
        let home = directory();
        let rival = kind.start(home.path()).await;
        let theirs = rival.fill(&fleet).await;
        let query = rival.query(Metric::CpuUsage, fleet.start, fleet.end()).await;
        row(kind.name(), &theirs, Some(query), Some(&filled));
    }
    let fleet = fleet.with_jitter();
    let home = directory();
    let mut ours = Ours::open(&home.path().join("gander.db")).await;
    let mut filled = ours.fill(&fleet, Snapshot::clone).await;
    filled.bytes = ours.close().await;
    row(
        "gander, times to the millisecond as they were",
        &filled,
        None,
        None,
    );
}

/// At a slow pace all the series of a recording one after the other: a store that holds an hour of a
/// server is mostly dictionary.
fn long_fleet(recording: &Recording, step: usize, servers: usize) -> Fleet {
    let length = (step > 1).then(|| recording.seconds().saturating_sub(2 * step));
    Fleet::new(recording, step, servers, length)
}

fn row(name: &str, filled: &Filled, query: Option<Duration>, beside: Option<&Filled>) {
    let density = filled.bytes as f64 / filled.values as f64;
    let per_core = filled.values as f64 / filled.cpu.as_secs_f64();
    let per_second = filled.values as f64 / filled.wall.as_secs_f64();
    let ratio = |ratio: f64| beside.map_or(String::new(), |_| format!(" ({ratio:.2}×)"));
    let (bytes_ratio, speed_ratio) = beside.map_or((1.0, 1.0), |ours| {
        (
            density * ours.values as f64 / ours.bytes as f64,
            per_core * ours.cpu.as_secs_f64() / ours.values as f64,
        )
    });
    println!(
        "| {name} | {density:.3}{} | {per_core:.0}{} | {per_second:.0} | {} |",
        ratio(bytes_ratio),
        ratio(speed_ratio),
        query.map_or("".to_owned(), |query| format!(
            "{:.1} ms",
            query.as_secs_f64() * 1e3
        )),
    );
}

/// One series over the fleet's time in 300 steps through a real hub: the median of some tries.
async fn our_query(path: &Path, fleet: &Fleet) -> Duration {
    let hub = gander_e2e::TestHub::builder()
        .database(path)
        .without_local_server()
        .start()
        .await;
    let instant = |time: i64| jiff_text(Timestamp(time));
    let call = format!(
        "/api/servers/1/series?metrics={}&from={}&to={}&points=300",
        Metric::CpuUsage.name(),
        instant(fleet.start),
        instant(fleet.end()),
    );
    let mut times = Vec::new();
    for _ in 0..21 {
        let started = std::time::Instant::now();
        let answer = hub.api().get(&call).await;
        times.push(started.elapsed());
        let points = answer["times"].as_array().map_or(0, Vec::len);
        assert!(points > 50, "{points} points: {answer}");
    }
    hub.stop().await;
    gander_e2e::measure::percentile(&mut times, 50)
}

/// A time as the API takes it.
fn jiff_text(time: Timestamp) -> String {
    serde_json::to_value(time)
        .unwrap()
        .as_str()
        .unwrap()
        .replace('+', "%2B")
}

/// What each class of metrics takes, alone in a database, with its times, roll-ups and dictionary: how
/// much larger the file is than one in which the servers are enrolled and nothing else.
async fn classes(recording: &Recording) {
    type Keep = fn(&Snapshot) -> Snapshot;
    macro_rules! only {
        ($($field:ident),+) => {
            (concat!($(stringify!($field), " "),+).trim_end(), (|snapshot: &Snapshot| Snapshot {
                $($field: snapshot.$field.clone(),)+
                ..Snapshot::default()
            }) as Keep)
        };
    }
    let classes: [(&str, Keep); 8] = [
        only!(cpu),
        only!(memory, swap),
        only!(load),
        only!(processes, uptime_seconds),
        only!(pressure),
        only!(sockets),
        only!(disks),
        only!(interfaces),
    ];
    println!("\n### Bytes a value by class, each alone in a database\n");
    println!("| class | values a sample | at 10 s | at 1 s |\n|---|---:|---:|---:|");
    let paces = [(10, 4), (1, 4)].map(|(step, servers)| long_fleet(recording, step, servers));
    for (name, keep) in classes {
        let mut densities = Vec::new();
        let mut values = 0;
        for fleet in &paces {
            let home = directory();
            let mut empty = Ours::open(&home.path().join("empty.db")).await;
            empty.enrol(fleet.servers(), Timestamp(fleet.start)).await;
            let empty = empty.close().await;
            let mut ours = Ours::open(&home.path().join("gander.db")).await;
            let filled = ours.fill(fleet, keep).await;
            values = filled.values / (fleet.length * fleet.servers()) as u64;
            let grown = ours.close().await.saturating_sub(empty);
            densities.push(grown as f64 / filled.values.max(1) as f64);
        }
        println!(
            "| {name} | {values} | {:.3} | {:.3} |",
            densities[0], densities[1]
        );
    }
}

/// How long commits take at the load of half a million values a second.
async fn commits(recording: &Recording) {
    let home = directory();
    // Ten batches a second of 1,000 samples each are that many values.
    // So many of them that every server is folded more than once.
    let fleet = Fleet::new(recording, 10, 1_000, Some(600));
    let ([median, late, longest], new) = commit_times(&fleet, &home.path().join("gander.db"), 1_000).await;
    println!("\n### Commits of 1,000 samples while folding goes on\n");
    println!(
        "median {:.1} ms, 99th percentile {:.1} ms, longest {:.1} ms; while all servers were new, {:.1} ms at most",
        median.as_secs_f64() * 1e3,
        late.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3,
        new.as_secs_f64() * 1e3
    );
}

/// Five servers for seven days at 30 s, every metric.
async fn week(recording: &Recording) {
    let home = directory();
    let fleet = Fleet::new(recording, 30, 5, Some(7 * 86_400 / 30));
    let mut ours = Ours::open(&home.path().join("gander.db")).await;
    let filled = ours.fill(&fleet, Snapshot::clone).await;
    let values = filled.values as f64 / (fleet.length * fleet.servers()) as f64;
    let bytes = ours.close().await as f64;
    println!("\n### 5 servers, 7 days at 30 s, {values:.0} values a sample\n");
    println!(
        "{:.1} MB, {:.3} bytes a value (the original: 120 MB for five values a sample)",
        bytes / 1e6,
        bytes / filled.values as f64
    );
}
