//! What the crash soak writes, and how it is found again: samples whose every value follows from
//! the server and the number of the sample, so that nobody has to remember what was written.

use std::{
    collections::VecDeque,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use gander_hub::{
    ingest::{Ingest, IngestConfig},
    model::{
        Actor, Origin, Reading, ServerId, Timestamp, Transport,
        reading::{Fate, ReceiptBook},
        server::{ServerSpec, SshCredential},
    },
    store::{MasterKey, MetricRow, MetricsQuery, Store},
};
use gander_probe::{
    Snapshot,
    snapshot::{Cpu, Disk, DiskRates, Filesystem, Load, Memory, Processes},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dice::mix;

/// Servers that are written to.
pub const SERVERS: i64 = 20;
/// Time between two samples of a server, as it is stored.
const STEP_MS: i64 = 1_000;
/// Samples of each server that may be under way.
const WINDOW: usize = 64;
/// The pause between two samples: some hundred a second of each server.
const PAUSE: Duration = Duration::from_millis(4);
/// Rows looked at together.
const PAGE: u32 = 50_000;

/// What the writer prints once it writes.
pub const READY: &str = "ready";

fn chance(server: i64, number: i64, salt: u64, end: u64) -> u64 {
    mix(server.unsigned_abs() << 48 ^ number.unsigned_abs() << 8 ^ salt) % end
}

/// Sample `number` of a server.
fn snapshot(server: i64, number: i64) -> Snapshot {
    let chance = |salt, end| chance(server, number, salt, end);
    let small = |salt, end| u16::try_from(chance(salt, end)).unwrap();
    let middle = |salt, end| u32::try_from(chance(salt, end)).unwrap();
    let used = chance(2, 16 << 30);
    Snapshot {
        cpu: Some(Cpu {
            usage_permille: small(1, 1_001),
            user_permille: small(10, 1_001),
            cores_permille: (20..24).map(|salt| small(salt, 1_001)).collect(),
            ..Cpu::default()
        }),
        memory: Some(Memory {
            total_bytes: 16 << 30,
            used_bytes: used,
            available_bytes: (16 << 30) - used,
            free_bytes: chance(11, 16 << 30),
            ..Memory::default()
        }),
        load: Some(Load {
            one_hundredths: middle(3, 10_000),
            five_hundredths: middle(12, 10_000),
            fifteen_hundredths: middle(13, 10_000),
        }),
        processes: Some(Processes {
            total: Some(middle(4, 5_000)),
            ..Processes::default()
        }),
        filesystems: Some(vec![Filesystem {
            mount_point: "/".to_owned(),
            usage_permille: small(5, 1_001),
            used_bytes: chance(14, 1 << 40),
            ..Filesystem::default()
        }]),
        disks: Some(vec![Disk {
            device: "sda".to_owned(),
            rates: Some(DiskRates {
                read_bytes_per_second: chance(15, 1 << 30),
                write_bytes_per_second: chance(16, 1 << 30),
                ..DiskRates::default()
            }),
        }]),
        uptime_seconds: Some(number.unsigned_abs()),
        ..Snapshot::default()
    }
}

/// Whether a row holds what was written, as far as a row goes.
fn is_right(row: &MetricRow, number: i64) -> bool {
    let snapshot = snapshot(row.server_id.0, number);
    let value = |salt, end| i64::try_from(chance(row.server_id.0, number, salt, end)).ok();
    row.cpu_usage_permille == value(1, 1_001)
        && row.memory_usage_permille
            == snapshot
                .memory
                .and_then(|memory| memory.usage_permille())
                .map(i64::from)
        && row.load_1_hundredths == value(3, 10_000)
        && row.processes == value(4, 5_000)
        && row.disk_usage_permille == value(5, 1_001)
}

/// Opens the store of the soak, making the servers where there are none.
async fn open(database: &Path) -> Store {
    let key = MasterKey::load_or_create(&database.with_extension("key")).unwrap();
    let store = Store::open(database, key).await.unwrap();
    let there = store.servers().await.unwrap().len();
    for number in there..usize::try_from(SERVERS).unwrap() {
        let spec = ServerSpec::new(format!("soak-{number}"), "192.0.2.1", "gander", Transport::Ssh);
        let (none, actor) = (SshCredential::default(), Actor::hub());
        let made = store.create_server(&spec, &none, None, &actor, Timestamp::now());
        made.await.unwrap();
    }
    store
}

/// The process that is killed: the hub's ingest and store with folding beside them, writing samples
/// `first` and after as fast as it may, and printing each number once its samples are acknowledged.
pub async fn write(database: &Path, base: i64, first: i64) {
    let store = open(database).await;
    let (ingest, _handle, _live) = Ingest::load(store.clone(), IngestConfig::default())
        .await
        .unwrap();
    let (sender, readings) = mpsc::channel(4_096);
    tokio::spawn(ingest.run(readings, CancellationToken::new()));
    let newest = Arc::new(AtomicI64::new(first));
    tokio::spawn(fold(store.clone(), base, Arc::clone(&newest)));
    tokio::spawn(write_back(store));
    let mut out = std::io::stdout();
    writeln!(out, "{READY}").unwrap();
    let mut under_way = VecDeque::new();
    for number in first.. {
        let (book, settled) = ReceiptBook::new();
        for server in 1..=SERVERS {
            let reading = Reading {
                server_id: ServerId(server),
                origin: Origin::Ssh,
                taken_at: Timestamp(base + number * STEP_MS),
                outcome: Ok(Box::new(snapshot(server, number))),
                contact: None,
                receipt: Some(book.leaf()),
            };
            sender.send(reading).await.unwrap();
        }
        drop(book);
        newest.store(number, Ordering::Relaxed);
        under_way.push_back((number, settled));
        while under_way.len() >= WINDOW {
            let (number, settled) = under_way.pop_front().unwrap();
            assert_eq!(settled.fate().await, Fate::Committed, "sample {number}");
            writeln!(out, "{number}").unwrap();
        }
        while let Some((number, settled)) = under_way.front_mut() {
            let Some(fate) = settled.try_fate() else { break };
            assert_eq!(fate, Fate::Committed, "sample {number}");
            writeln!(out, "{number}").unwrap();
            under_way.pop_front();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Folds without a pause worth the name, so that many a kill falls into it.
async fn fold(store: Store, base: i64, newest: Arc<AtomicI64>) {
    loop {
        let now = Timestamp(base + newest.load(Ordering::Relaxed) * STEP_MS);
        store.fold(now, Duration::from_millis(200)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes the log back as soon as there are some pages, for the same reason.
async fn write_back(store: Store) {
    loop {
        store.tend_log().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Opens the database as a restart does and looks for the samples `from..=acknowledged` of all
/// servers, and that whatever else is there is right. Answers how long the opening took.
///
/// # Errors
/// Says what is missing or wrong.
pub async fn find(database: &Path, base: i64, from: i64, acknowledged: i64) -> Result<Duration, String> {
    let started = std::time::Instant::now();
    let store = open(database).await;
    let (_ingest, handle, live) = Ingest::load(store.clone(), IngestConfig::default())
        .await
        .map_err(|error| format!("ingest does not start: {error}"))?;
    let opening = started.elapsed();
    drop((handle, live));
    let mut query = MetricsQuery {
        from: Some(Timestamp(base + from * STEP_MS)),
        limit: PAGE,
        ..MetricsQuery::default()
    };
    let mut expected =
        (from..=acknowledged).flat_map(|number| (1..=SERVERS).map(move |server| (number, server)));
    let mut wanted = expected.next();
    loop {
        let page = store
            .metric_rows(&query)
            .await
            .map_err(|error| format!("the samples cannot be read: {error}"))?;
        if page.unreadable_rows + page.unreadable_blocks > 0 {
            return Err(format!(
                "{} rows and {} blocks are damaged",
                page.unreadable_rows, page.unreadable_blocks
            ));
        }
        for row in &page.rows {
            let number = (row.taken_at.0 - base) / STEP_MS;
            if !is_right(row, number) {
                return Err(format!(
                    "sample {number} holds other values than were written: {row:?}"
                ));
            }
            // Rows come in the order of time and server; what was not acknowledged may be there.
            if let Some(next) = wanted
                && number <= acknowledged
            {
                if (number, row.server_id.0) != next {
                    return Err(format!("sample {} of server {} is missing", next.0, next.1));
                }
                wanted = expected.next();
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    store.close().await;
    match wanted {
        Some((number, server)) => Err(format!("sample {number} of server {server} is missing")),
        None => Ok(opening),
    }
}
