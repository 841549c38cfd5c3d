//! What the store costs: writing samples, and reading a day of one series from disk.
//!
//! `cargo bench -p gander-hub --bench store`

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::path::PathBuf;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use gander_hub::model::commit::{Commit, Sample};
use gander_hub::model::metric::flatten;
use gander_hub::model::server::{ServerSpec, SshCredential};
use gander_hub::model::{Actor, Metric, ServerId, Timestamp, Transport};
use gander_hub::store::{MasterKey, MetricsQuery, SeriesQuery, Step, Store};
use gander_probe::Snapshot;
use gander_probe::snapshot::{
    Cpu, Disk, DiskRates, Filesystem, Interface, InterfaceRates, Load, Memory, Processes, Swap,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const START: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;

fn main() {
    divan::main();
}

/// A middling server: 8 cores, 2 disks, 2 interfaces, 3 filesystems.
fn snapshot(step: i64) -> Snapshot {
    // A cheap walk that looks like measurements: neighbours differ, nothing repeats.
    let noise = |salt: i64, range: i64| {
        ((step * 2_654_435_761 + salt * 40_503).wrapping_mul(6_364_136_223_846_793_005) >> 33)
            .rem_euclid(range)
    };
    let permille = |salt| noise(salt, 1_000) as u16;
    Snapshot {
        cpu: Some(Cpu {
            usage_permille: permille(1),
            user_permille: permille(2),
            system_permille: permille(3),
            iowait_permille: Some(permille(4) / 100),
            steal_permille: Some(0),
            cores_permille: (10..18).map(permille).collect(),
            ..Cpu::default()
        }),
        memory: Some(Memory {
            total_bytes: 16 << 30,
            used_bytes: (4 << 30) + noise(5, 1 << 28) as u64,
            available_bytes: (12 << 30) - noise(5, 1 << 28) as u64,
            free_bytes: (1 << 30) + noise(6, 1 << 20) as u64,
            buffers_bytes: Some(200 << 20),
            cached_bytes: Some((9 << 30) + noise(7, 1 << 20) as u64),
        }),
        swap: Some(Swap::default()),
        load: Some(Load {
            one_hundredths: noise(8, 800) as u32,
            five_hundredths: 210,
            fifteen_hundredths: 180,
        }),
        uptime_seconds: Some(step as u64 * 10),
        processes: Some(Processes {
            total: Some(300 + noise(9, 20) as u32),
            threads: Some(900),
            running: Some(noise(10, 5) as u32),
            blocked: Some(0),
        }),
        disks: Some(
            ["nvme0n1", "sda"]
                .map(|device| Disk {
                    device: device.to_owned(),
                    rates: Some(DiskRates {
                        read_bytes_per_second: noise(20, 1 << 20) as u64,
                        write_bytes_per_second: noise(21, 1 << 22) as u64,
                        reads_per_second: noise(22, 300) as u64,
                        writes_per_second: noise(23, 900) as u64,
                        utilisation_permille: permille(24),
                        await_us: Some(noise(25, 5_000) as u64),
                    }),
                })
                .into(),
        ),
        interfaces: Some(
            ["eth0", "lo"]
                .map(|name| Interface {
                    name: name.to_owned(),
                    rates: Some(InterfaceRates {
                        receive_bytes_per_second: noise(30, 1 << 22) as u64,
                        transmit_bytes_per_second: noise(31, 1 << 22) as u64,
                        receive_packets_per_second: noise(32, 5_000) as u64,
                        transmit_packets_per_second: noise(33, 5_000) as u64,
                        errors: 0,
                        drops: 0,
                    }),
                })
                .into(),
        ),
        filesystems: (step % 6 == 0).then(|| {
            ["/", "/var", "/srv"]
                .map(|mount_point| Filesystem {
                    mount_point: mount_point.to_owned(),
                    total_bytes: 1 << 40,
                    used_bytes: (1 << 39) + noise(40, 1 << 20) as u64,
                    available_bytes: (1 << 39) - noise(40, 1 << 20) as u64,
                    usage_permille: 500,
                    inodes_total: Some(1 << 26),
                    inodes_used: Some(1_000_000),
                    ..Filesystem::default()
                })
                .into()
        }),
        ..Snapshot::default()
    }
}

struct Bench {
    runtime: Runtime,
    store: Store,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        // Beside the build, not in /tmp: that is often memory, and the disk is what is measured.
        let directory = tempfile::tempdir_in(PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        let path = directory.path().join("gander.db");
        let store = runtime
            .block_on(Store::open(&path, MasterKey::random().unwrap()))
            .unwrap();
        Self {
            runtime,
            store,
            directory,
        }
    }

    fn server(&self, name: String) -> ServerId {
        let spec = ServerSpec::new(name, "192.0.2.1", "gander", Transport::Ssh);
        let none = SshCredential::default();
        let actor = Actor::hub();
        let made = self
            .store
            .create_server(&spec, &none, None, &actor, Timestamp(START));
        self.runtime.block_on(made).unwrap().id
    }

    fn commit(&self, samples: Vec<Sample>) {
        let commit = Commit {
            samples,
            ..Commit::default()
        };
        self.runtime.block_on(self.store.commit(&commit)).unwrap();
    }

    /// A day of one server at this many seconds a sample.
    fn day(step_seconds: i64) -> (Self, ServerId) {
        let bench = Self::new();
        let server_id = bench.server("node".to_owned());
        let samples: Vec<Sample> = (0..86_400 / step_seconds)
            .map(|step| Sample {
                server_id,
                taken_at: Timestamp(START + step * step_seconds * 1_000),
                snapshot: Arc::new(snapshot(step)),
            })
            .collect();
        for chunk in samples.chunks(2_000) {
            bench.commit(chunk.to_vec());
        }
        (bench, server_id)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.runtime.block_on(self.store.close());
        let _ = std::fs::remove_dir_all(self.directory.path());
    }
}

/// Commits of one poll round of a fleet, synchronous=FULL included; items are values.
#[divan::bench(args = [100, 1_000], sample_count = 20, sample_size = 1)]
fn commit_a_round_of(bencher: Bencher<'_, '_>, servers: i64) {
    let bench = Bench::new();
    let ids: Vec<ServerId> = (0..servers)
        .map(|index| bench.server(format!("node-{index}")))
        .collect();
    let values = flatten(&snapshot(1)).len();
    let mut round = 0;
    bencher
        .counter(ItemsCount::new(values * ids.len()))
        .with_inputs(|| {
            round += 1;
            let sample = |(index, server_id): (usize, &ServerId)| Sample {
                server_id: *server_id,
                taken_at: Timestamp(START + round * 10_000),
                snapshot: Arc::new(snapshot(round * 6 + 1 + index as i64 * 6)),
            };
            ids.iter().enumerate().map(sample).collect::<Vec<_>>()
        })
        .bench_local_values(|samples| bench.commit(samples));
}

/// A day of one series in 300 buckets; the argument is seconds between samples.
#[divan::bench(args = [30, 10], sample_count = 50)]
fn a_day_of_one_series(bencher: Bencher<'_, '_>, step_seconds: i64) {
    let (bench, server_id) = Bench::day(step_seconds);
    let query = SeriesQuery {
        server_id,
        metrics: vec![Metric::CpuUsage],
        from: Timestamp(START),
        to: Timestamp(START + DAY_MS),
        max_points: 300,
        step: Step::Auto,
    };
    bencher.bench_local(|| bench.runtime.block_on(bench.store.query(&query)).unwrap());
}

/// A day of everything a server's page shows.
#[divan::bench(sample_count = 20)]
fn a_day_of_a_whole_page(bencher: Bencher<'_, '_>) {
    let (bench, server_id) = Bench::day(10);
    let query = SeriesQuery {
        server_id,
        metrics: Metric::ALL.to_vec(),
        from: Timestamp(START),
        to: Timestamp(START + DAY_MS),
        max_points: 300,
        step: Step::Auto,
    };
    bencher.bench_local(|| bench.runtime.block_on(bench.store.query(&query)).unwrap());
}

/// A day of the original system's rows.
#[divan::bench(sample_count = 20)]
fn a_day_of_rows(bencher: Bencher<'_, '_>) {
    let (bench, server_id) = Bench::day(30);
    let query = MetricsQuery {
        server_id: Some(server_id),
        limit: 100_000,
        ..MetricsQuery::default()
    };
    bencher.bench_local(|| bench.runtime.block_on(bench.store.metric_rows(&query)).unwrap());
}
