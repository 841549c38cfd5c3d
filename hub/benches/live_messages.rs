//! What the live feed costs: writing the `initial` and `delta` messages once for all clients.
//!
//! `cargo bench -p gander-hub --bench live_messages`

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::{collections::BTreeSet, sync::Arc};

use divan::{Bencher, counter::BytesCount, counter::ItemsCount};
use gander_hub::{
    api::ws::{Directory, encode_delta, encode_initial},
    live::{Delta, Live},
    model::{
        Server, ServerId, ServerState, Status, Timestamp, Transport,
        server::{ServerSpec, Thresholds},
    },
};
use gander_probe::{
    Snapshot,
    snapshot::{
        Cpu, Disk, DiskRates, Filesystem, Interface, InterfaceRates, Load, Memory, Processes, System,
    },
};

const FLEETS: [i64; 3] = [100, 1_000, 10_000];

fn main() {
    divan::main();
}

fn server(number: i64) -> Server {
    Server {
        id: ServerId(number),
        spec: ServerSpec {
            name: format!("web-{number}.example.org"),
            ip: format!("10.0.{}.{}", number / 250, number % 250),
            ssh_port: 22,
            ssh_user: "monitor".into(),
            transport: Transport::Auto,
            interval_seconds: None,
            jump_server_id: None,
            credential_id: None,
            tags: vec!["web".into(), "eu".into()],
            group: Some("shop".into()),
            thresholds: Thresholds::default(),
            enabled: true,
        },
        has_password: false,
        has_key: true,
        credential: None,
        host_key: None,
        created_at: Timestamp(1_767_225_600_000),
        updated_at: Timestamp(1_767_225_600_000),
    }
}

fn state(number: i64) -> ServerState {
    let wobble = u16::try_from(number % 900).unwrap();
    ServerState {
        status: Status::Online,
        status_since: Some(Timestamp(1_767_225_600_000)),
        last_success: Some(Timestamp(1_767_229_200_000)),
        snapshot: Some(Box::new(Snapshot {
            cpu: Some(Cpu {
                usage_permille: wobble,
                cores_permille: vec![wobble; 8],
                ..Cpu::default()
            }),
            memory: Some(Memory {
                total_bytes: 16_000_000_000,
                used_bytes: 7_000_000_000,
                ..Memory::default()
            }),
            load: Some(Load {
                one_hundredths: 142,
                five_hundredths: 100,
                fifteen_hundredths: 50,
            }),
            uptime_seconds: Some(1_000_000),
            processes: Some(Processes {
                total: Some(200),
                ..Processes::default()
            }),
            filesystems: Some(
                ["/", "/var", "/home"]
                    .map(|mount_point| Filesystem {
                        mount_point: mount_point.into(),
                        usage_permille: wobble,
                        ..Filesystem::default()
                    })
                    .to_vec(),
            ),
            disks: Some(
                ["sda", "sda1", "nvme0n1"]
                    .map(|device| Disk {
                        device: device.into(),
                        rates: Some(DiskRates::default()),
                    })
                    .to_vec(),
            ),
            interfaces: Some(
                ["lo", "eth0", "eth1"]
                    .map(|name| Interface {
                        name: name.into(),
                        rates: Some(InterfaceRates::default()),
                    })
                    .to_vec(),
            ),
            system: Some(System {
                os: Some("Debian GNU/Linux 12 (bookworm)".into()),
                kernel: Some("6.1.0-18-amd64".into()),
                hostname: Some(format!("web-{number}")),
                cpu_cores: Some(8),
                ..System::default()
            }),
            ..Snapshot::default()
        })),
        ..ServerState::default()
    }
}

fn fleet(size: i64) -> (Directory, Live, Vec<(ServerId, Arc<ServerState>)>) {
    let directory: Directory = (1..=size)
        .map(|number| (ServerId(number), server(number)))
        .collect();
    let states: Vec<_> = (1..=size)
        .map(|number| (ServerId(number), Arc::new(state(number))))
        .collect();
    (directory, Live::new(states.clone(), []), states)
}

/// Every server of the fleet was read since the delta before.
#[divan::bench(args = FLEETS)]
fn delta_of_all(bencher: Bencher<'_, '_>, size: i64) {
    let (directory, live, servers) = fleet(size);
    let (snapshot, unchanged) = (live.snapshot(), BTreeSet::new());
    let delta = Delta {
        servers,
        ..Delta::default()
    };
    let bytes = encode_delta(&directory, &unchanged, &snapshot, &delta, 30)
        .unwrap()
        .as_str()
        .len();
    bencher
        .counter(ItemsCount::new(delta.servers.len()))
        .counter(BytesCount::new(bytes))
        .bench(|| encode_delta(&directory, &unchanged, &snapshot, &delta, 30).unwrap());
}

/// One server of the fleet was read (somebody watches it).
#[divan::bench(args = FLEETS)]
fn delta_of_one(bencher: Bencher<'_, '_>, size: i64) {
    let (directory, live, mut servers) = fleet(size);
    let (snapshot, unchanged) = (live.snapshot(), BTreeSet::new());
    servers.truncate(1);
    let delta = Delta {
        servers,
        ..Delta::default()
    };
    bencher.bench(|| encode_delta(&directory, &unchanged, &snapshot, &delta, 30).unwrap());
}

/// Somebody opens the page.
#[divan::bench(args = FLEETS)]
fn initial(bencher: Bencher<'_, '_>, size: i64) {
    let (directory, live, _) = fleet(size);
    let servers: Vec<Server> = directory.into_values().collect();
    let snapshot = live.snapshot();
    let bytes = encode_initial(&servers, &snapshot, 30).unwrap().as_str().len();
    bencher
        .counter(BytesCount::new(bytes))
        .bench(|| encode_initial(&servers, &snapshot, 30).unwrap());
}
