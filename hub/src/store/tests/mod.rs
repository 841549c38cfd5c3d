//! Tests of the store on real files in temporary directories.

mod crash;
mod credentials;
mod keeping;
mod model;
mod opening;
mod people;
mod pipeline;
mod plans;
mod reading;
mod removal;
mod servers;
mod tiers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use gander_probe::Snapshot;
use gander_probe::snapshot::{
    Cpu, Disk, DiskRates, Filesystem, Interface, InterfaceRates, Load, Memory, Processes, System,
};
use tempfile::TempDir;

use super::{MasterKey, Store};
use crate::model::alert::{AlertKey, AlertPhase, Rule};
use crate::model::commit::{Commit, Sample};
use crate::model::server::{ServerSpec, SshCredential};
use crate::model::{Actor, Alert, AlertId, HostKey, Level, Secret, Server, ServerId, Timestamp, Transport};

/// A store in a directory of its own, and the key to open it again.
struct TestStore {
    directory: TempDir,
    key: MasterKey,
    store: Store,
}

impl TestStore {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = MasterKey::random().unwrap();
        let store = Store::open(&directory.path().join("gander.db"), key.clone())
            .await
            .unwrap();
        Self {
            directory,
            key,
            store,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("gander.db")
    }

    /// Closes the file and opens it again, as a restart does.
    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Store::open(&self.path(), self.key.clone()).await.unwrap();
    }

    async fn server(&self, name: &str) -> Server {
        self.store
            .create_server(&spec(name), &SshCredential::default(), None, &admin(), NOW)
            .await
            .unwrap()
    }

    /// Runs one statement behind the store's back.
    async fn tamper(&self, sql: &'static str) {
        let mut writer = self.store.inner.writer.lock().await;
        sqlx::query(sql)
            .execute(writer.connection.as_mut().unwrap())
            .await
            .unwrap();
    }

    async fn commit_samples(&self, samples: Vec<Sample>) -> super::CommitReceipt {
        let commit = Commit {
            samples,
            ..Commit::default()
        };
        self.store.commit(&commit).await.unwrap()
    }

    async fn assert_whole(&self) {
        let mut writer = self.store.inner.writer.lock().await;
        let answer: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(writer.connection.as_mut().unwrap())
            .await
            .unwrap();
        assert_eq!(answer, "ok");
    }
}

/// 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp(1_767_225_600_000);
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn admin() -> Actor {
    Actor::user("ada")
}

fn spec(name: &str) -> ServerSpec {
    ServerSpec {
        interval_seconds: Some(15),
        tags: vec!["web".to_owned(), "東京".to_owned()],
        group: Some("edge".to_owned()),
        ..ServerSpec::new(name, "192.0.2.7", "gander", Transport::Auto)
    }
}

fn host_key(letter: char) -> HostKey {
    HostKey {
        algorithm: "ssh-ed25519".to_owned(),
        fingerprint: format!("SHA256:{letter}"),
        public_key: format!("ssh-ed25519 {letter}"),
    }
}

fn credential() -> SshCredential {
    SshCredential {
        password: Some(Secret::new("hunter2-password".to_owned())),
        private_key: Some(Secret::new("-----BEGIN hunter2-key".to_owned())),
        passphrase: Some(Secret::new("hunter2-passphrase".to_owned())),
        ..SshCredential::default()
    }
}

/// What a poll of the fast sections brings; `slow`: of the slow ones too.
fn snapshot(value: u16, slow: bool) -> Snapshot {
    let filesystem = |mount_point: &str, usage_permille| Filesystem {
        mount_point: mount_point.to_owned(),
        total_bytes: 1 << 40,
        used_bytes: u64::from(usage_permille) << 30,
        usage_permille,
        ..Filesystem::default()
    };
    Snapshot {
        cpu: Some(Cpu {
            usage_permille: value % 1001,
            cores_permille: vec![value % 1001, 1000 - value % 1001],
            ..Cpu::default()
        }),
        memory: Some(Memory {
            total_bytes: 8 << 30,
            used_bytes: 2 << 30,
            ..Memory::default()
        }),
        load: Some(Load {
            one_hundredths: u32::from(value),
            ..Load::default()
        }),
        processes: Some(Processes {
            total: Some(u32::from(value) + 100),
            ..Processes::default()
        }),
        disks: Some(vec![Disk {
            device: "sda".to_owned(),
            rates: Some(DiskRates {
                read_bytes_per_second: u64::from(value) * 4096,
                ..DiskRates::default()
            }),
        }]),
        interfaces: Some(vec![Interface {
            name: "eth0".to_owned(),
            rates: Some(InterfaceRates {
                receive_bytes_per_second: u64::from(value) * 1500,
                ..InterfaceRates::default()
            }),
        }]),
        filesystems: slow.then(|| vec![filesystem("/", 420), filesystem("/srv", 900)]),
        boot_id: Some("6b1c".to_owned()),
        system: slow.then(|| System {
            hostname: Some("node".to_owned()),
            cpu_cores: Some(2),
            ..System::default()
        }),
        ..Snapshot::default()
    }
}

fn sample(server_id: ServerId, taken_at: i64, snapshot: Snapshot) -> Sample {
    Sample {
        server_id,
        taken_at: Timestamp(taken_at),
        snapshot: Arc::new(snapshot),
    }
}

fn alert(id: i64, server_id: ServerId, rule: Rule, phase: AlertPhase) -> Alert {
    Alert {
        id: AlertId(id),
        key: AlertKey {
            server_id,
            rule,
            label: String::new(),
        },
        phase,
        level: Level::Warning,
        pending_since: NOW,
        created_at: NOW.plus_millis(id),
        resolved_at: (phase == AlertPhase::Resolved).then_some(NOW),
        resolved_by: None,
        held: false,
        clearing_since: Some(NOW.plus_millis(5)),
        level_change_since: Some(NOW.plus_millis(6)),
        evidence_at: NOW.plus_millis(7),
        evidence_count: 3,
        params: BTreeMap::from([("value_permille".to_owned(), serde_json::json!(871))]),
    }
}
