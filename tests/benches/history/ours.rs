//! gander's side: readings through the hub's ingest into a store, folding beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gander_e2e::measure::{own_cpu, percentile};
use gander_hub::ingest::{Ingest, IngestConfig};
use gander_hub::model::commit::{Commit, Sample};
use gander_hub::model::metric::visit;
use gander_hub::model::server::{ServerSpec, SshCredential};
use gander_hub::model::{Actor, Origin, Reading, ServerId, Timestamp, Transport};
use gander_hub::store::{MasterKey, Store};
use gander_probe::Snapshot;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;

/// As between the hub's collectors and ingest.
const READING_BACKLOG: usize = 4_096;

/// What filling a store took.
#[derive(Debug, Default, Clone)]
pub(crate) struct Filled {
    pub(crate) values: u64,
    /// Of this process, copying the samples included.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Of the database file and its log once all is folded and written back.
    pub(crate) bytes: u64,
}

/// A database in a directory of its own.
pub(crate) struct Ours {
    pub(crate) store: Store,
    pub(crate) path: PathBuf,
    pub(crate) ids: Vec<ServerId>,
}

impl Ours {
    pub(crate) async fn open(path: &Path) -> Self {
        let store = Store::open(path, MasterKey::random().unwrap()).await.unwrap();
        Self {
            store,
            path: path.to_owned(),
            ids: Vec::new(),
        }
    }

    /// Enrols servers until there are so many.
    pub(crate) async fn enrol(&mut self, servers: usize, at: Timestamp) {
        for number in self.ids.len()..servers {
            let spec = ServerSpec::new(
                format!("web-{number}.example.org"),
                "192.0.2.1",
                "gander",
                Transport::Ssh,
            );
            let (none, actor) = (SshCredential::default(), Actor::hub());
            let made = self.store.create_server(&spec, &none, None, &actor, at);
            self.ids.push(made.await.unwrap().id);
        }
    }

    /// Sends a fleet's samples through ingest, in the order of time, as fast as they are taken;
    /// `keep` picks the values of a sample that are sent.
    pub(crate) async fn fill(&mut self, fleet: &Fleet, keep: impl Fn(&Snapshot) -> Snapshot) -> Filled {
        self.enrol(fleet.servers(), Timestamp(fleet.start)).await;
        let (ingest, handle, _live) = Ingest::load(self.store.clone(), IngestConfig::default())
            .await
            .unwrap();
        let (sender, readings) = mpsc::channel(READING_BACKLOG);
        let shutdown = CancellationToken::new();
        let (cpu, wall) = (own_cpu(), Instant::now());
        let ingest = tokio::spawn(ingest.run(readings, shutdown.clone()));
        let folding = tokio::spawn(beside(self.store.clone()));
        let mut values = 0;
        for number in 0..fleet.length {
            for (server, id) in self.ids.iter().enumerate() {
                let (taken_at, snapshot) = fleet.sample(server, number);
                let snapshot = keep(snapshot);
                visit(&snapshot, |_, _, _| values += 1);
                let reading = Reading {
                    server_id: *id,
                    origin: Origin::Ssh,
                    taken_at,
                    outcome: Ok(Box::new(snapshot)),
                    contact: None,
                    receipt: None,
                };
                sender.send(reading).await.unwrap();
            }
        }
        let sent = (fleet.length * fleet.servers()) as u64;
        let mut progress = handle.watch_progress();
        progress
            .wait_for(|progress| progress.committed_readings >= sent)
            .await
            .unwrap();
        folding.abort();
        let _ = folding.await;
        // A day later nothing of it waits as rows for more to come.
        self.fold_all(Timestamp(fleet.end() + 86_400_000)).await;
        let filled = Filled {
            values,
            cpu: own_cpu() - cpu,
            wall: wall.elapsed(),
            bytes: 0,
        };
        shutdown.cancel();
        drop(sender);
        ingest.await.unwrap().unwrap();
        filled
    }

    /// Folds until nothing is left that may be folded.
    pub(crate) async fn fold_all(&self, now: Timestamp) {
        while self.store.fold(now, Duration::from_secs(1)).await.unwrap().more {}
        // What the hub does every ten minutes: it gives the pages back that folding left empty.
        self.store.retain(now).await.unwrap();
    }

    /// Writes the log back, closes the database, and says how large it is.
    pub(crate) async fn close(self) -> u64 {
        self.store.close().await;
        ["", "-wal", "-shm"]
            .iter()
            .map(|end| {
                let mut path = self.path.clone().into_os_string();
                path.push(end);
                std::fs::metadata(path).map_or(0, |metadata| metadata.len())
            })
            .sum()
    }
}

/// What the hub does beside ingest.
async fn beside(store: Store) {
    tokio::join!(fold_beside(&store), write_back_beside(&store));
}

/// Writes the log back, and looks as often as the hub does.
async fn write_back_beside(store: &Store) {
    loop {
        store.tend_log().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Folds whenever there is something to fold, as the hub does, but looks more often.
async fn fold_beside(store: &Store) {
    loop {
        let report = store
            .fold(Timestamp::now(), Duration::from_millis(500))
            .await
            .unwrap();
        if !report.more {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Commits until the servers have told all sections, the slow ones too.
const NEW: usize = 10;

/// How long commits of a batch of samples take, one behind the other: median, 99th percentile and longest.
/// Apart from them the longest while servers are new, when the dictionary of each is written.
pub(crate) async fn commit_times(fleet: &Fleet, path: &Path, batch: usize) -> ([Duration; 3], Duration) {
    let mut ours = Ours::open(path).await;
    ours.enrol(fleet.servers(), Timestamp(fleet.start)).await;
    let folding = tokio::spawn(beside(ours.store.clone()));
    let mut times = Vec::new();
    let mut samples = Vec::with_capacity(batch);
    for number in 0..fleet.length {
        for (server, id) in ours.ids.iter().enumerate() {
            let (taken_at, snapshot) = fleet.sample(server, number);
            samples.push(Sample {
                server_id: *id,
                taken_at,
                snapshot: Arc::new(snapshot.clone()),
            });
        }
        if samples.len() >= batch {
            let commit = Commit {
                samples: std::mem::take(&mut samples),
                ..Commit::default()
            };
            let started = Instant::now();
            ours.store.commit(&commit).await.unwrap();
            times.push(started.elapsed());
        }
    }
    folding.abort();
    let _ = folding.await;
    ours.close().await;
    let new = times.drain(..NEW).max().unwrap_or_default();
    ([50, 99, 100].map(|percent| percentile(&mut times, percent)), new)
}
